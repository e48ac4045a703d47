"""Contrast: how well colours stand out from what lies behind them, and what in a figure cannot be read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.collections import Collection, PathCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

TEXT, LARGE_TEXT, MARK = 4.5, 3.0, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11
LARGE, SMALLEST = 14, 9  # points: bold text from here on is large; nothing is smaller than this
SOME = 0.1  # the share of an artist that may stand badly without a word: a line that crosses a letter


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance (0 to 1) of colours, ... x 3 with values from 0 to 1.

    Source: WCAG 2.2, "relative luminance".
    """
    colours = np.asarray(colours, float)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Contrast ratio (1 to 21) between colours, each ... x 3 with values from 0 to 1."""
    first, second = luminance(a) + 0.05, luminance(b) + 0.05
    return np.maximum(first, second) / np.minimum(first, second)


def readable(colour: str, ground: str, least: float = TEXT) -> str:
    """`colour`, darkened or lightened just until it has the contrast `least` on `ground`."""
    start, behind = np.array(to_rgb(colour)), np.array(to_rgb(ground))
    end = np.ones(3) if luminance(behind) < 0.18 else np.zeros(3)  # 0.18: black and white stand out alike
    for share in np.linspace(0, 1, 51):
        found = to_hex((1 - share) * start + share * end)
        if contrast(np.array(to_rgb(found)), behind) >= least:
            break
    return found


def contrast_faults(figure: Figure) -> list[str]:
    """What in a figure cannot be read: a line a fault, and an empty list when all can.

    Each visible text needs a contrast of 4.5 (large bold text 3) against the pixels behind it, pictures and its
    own box included, 9 points, and a place of its own inside the figure; each line, marker, bar and arrow needs
    a contrast of 3, by its face or by its edge. Decoration needs none: grid lines, ticks, pictures, and what is
    drawn below the data (a zorder under 1), on which the data lie.
    """
    figure.draw_without_rendering()
    shown = list(_shown(figure))
    scales = {part for tick in shown if isinstance(tick, Tick) for part in tick.get_children()}
    grounds = {figure.patch, *(ax.patch for ax in figure.axes)}
    marks = [artist for artist in shown if _is_mark(artist) and artist not in grounds]
    words = [artist for artist in shown if isinstance(artist, Text) and artist.get_text().strip()]
    texts = [(text, text.get_window_extent()) for text in words]  # now: names of axes move when ticks are hidden
    with _without_letters(words):
        behind_texts = _pixels(figure)
        with _hidden([*words, *marks]):
            behind_marks = _pixels(figure)
    faults = [fault for text, box in texts for fault in _text_faults(text, box, behind_texts)]
    faults += [f"{_quote(b)} overlaps {_quote(a)}" for a, b in _overlaps(texts)]
    return faults + [fault for mark in marks if mark not in scales for fault in _mark_faults(mark, behind_marks)]


def _shown(artist: Artist) -> Iterator[Artist]:
    """`artist` and what it is made of, as far as it is drawn; framed pictures are not looked into."""
    if not artist.get_visible() or isinstance(artist, AnnotationBbox):
        return
    yield artist
    if isinstance(artist, Annotation) and artist.arrow_patch is not None:
        yield artist.arrow_patch
    for part in artist.get_children():
        off = isinstance(artist, Axes) and not artist.axison
        if off and (isinstance(part, Axis) or part in artist.spines.values()):
            continue
        if isinstance(part, Tick) and not _in_view(part, artist):
            continue
        yield from _shown(part)


def _in_view(tick: Tick, axis: Axis) -> bool:
    low, high = sorted(axis.get_view_interval())
    return low <= tick.get_loc() <= high


def _is_mark(artist: Artist) -> bool:
    kind = isinstance(artist, (Line2D, Collection, Patch)) and not isinstance(artist, QuadMesh)
    return kind and artist.get_zorder() >= 1


@contextmanager
def _without_letters(texts: list[Text]) -> Iterator[None]:
    """Inside, the texts have no letters, and still their boxes."""
    colours = [text.get_color() for text in texts]
    for text in texts:
        text.set_color("none")
    try:
        yield
    finally:
        for text, colour in zip(texts, colours, strict=True):
            text.set_color(colour)


@contextmanager
def _hidden(artists: list[Artist]) -> Iterator[None]:
    for artist in artists:
        artist.set_visible(False)
    try:
        yield
    finally:
        for artist in artists:
            artist.set_visible(True)


def _pixels(figure: Figure) -> np.ndarray:
    """The figure as rows of colours, H x W x 3 from 0 to 1, the lowest row first as in display coordinates."""
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")  # what is hidden keeps its place
    raw = io.BytesIO()
    try:
        with matplotlib.rc_context({"savefig.bbox": "standard", "savefig.facecolor": "auto"}):
            figure.savefig(raw, dpi=figure.dpi)
    finally:
        figure.set_layout_engine(layout)
    raw.seek(0)
    return imread(raw)[::-1, :, :3]


def _text_faults(text: Text, extent: Bbox, behind: np.ndarray) -> Iterator[str]:
    if text.get_fontsize() < SMALLEST:
        yield f"{_quote(text)} has {text.get_fontsize():.3g} points, not {SMALLEST} or more"
    (left, bottom), (right, top) = extent.get_points()
    height, width = behind.shape[:2]
    if min(left, bottom, width - right, height - top) < -1:
        yield f"{_quote(text)} is cut off by the edge of the figure"
    box = behind[max(0, int(bottom)) : max(0, int(top) + 1), max(0, int(left)) : max(0, int(right) + 1)]
    bold = text.get_fontweight() in ("bold", "heavy", "semibold") and text.get_fontsize() >= LARGE
    least = LARGE_TEXT if bold else TEXT
    seen = _contrasts(to_rgba_array(text.get_color(), text.get_alpha()), box.reshape(-1, 3))
    if len(seen) and np.quantile(seen, SOME) < least:
        yield f"{_quote(text)} has a contrast of {np.quantile(seen, SOME):.1f}, not {least:.3g}"


def _quote(text: Text) -> str:
    return repr(" ".join(text.get_text().split())[:40])


def _overlaps(texts: list[tuple[Text, Bbox]]) -> Iterator[tuple[Text, Text]]:
    """Pairs of texts of which one covers more than a tenth of the other."""
    boxes = np.array([box.extents for _, box in texts]).reshape(-1, 4)
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common, areas = (high - low).clip(0).prod(2), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for first, second in np.argwhere(np.triu(common > SOME * np.minimum.outer(areas, areas), 1)):
        yield texts[first][0], texts[second][0]


def _contrasts(colours: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The contrast of rgba colours (1 x 4 or N x 4), as they look on the colours behind them (N x 3)."""
    alpha = colours[:, 3:]
    return contrast(alpha * colours[:, :3] + (1 - alpha) * behind, behind)


def _mark_faults(mark: Artist, behind: np.ndarray) -> Iterator[str]:
    """One fault for the first of the artist's parts that does not stand out."""
    for points, colours in _parts(mark):
        there = _around(points, behind)
        if not len(there) or not colours:
            continue
        best = np.max([_contrasts(colour[None], there) for colour in colours], axis=0)
        if np.quantile(best, SOME) < MARK:
            name = f"{type(mark).__name__} in {to_hex(colours[0])}"
            yield f"a {name} has a contrast of {np.quantile(best, SOME):.1f}, not {MARK:.3g}"
            return


def _around(points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The colours at points inside the figure, N x 3: medians over 5 x 5 pixels, so that thin guides do not count."""
    height, width = pixels.shape[:2]
    x, y = np.floor(points[np.isfinite(points).all(1)]).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    dy, dx = np.mgrid[-2:3, -2:3].reshape(2, 25, 1)
    return np.median(pixels[(y[inside] + dy).clip(0, height - 1), (x[inside] + dx).clip(0, width - 1)], axis=0)


def _parts(mark: Artist) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Each part of an artist: points along it in display coordinates, and its colours (rgba) there."""
    if isinstance(mark, Line2D):
        yield from _line_parts(mark)
    elif isinstance(mark, Patch):
        edge = [np.array(mark.get_edgecolor())] if mark.get_linewidth() else []
        face = [np.array(mark.get_facecolor())] if mark.get_fill() else []
        yield _along(mark.get_path(), mark.get_transform()), _seen(edge + face)
    else:
        yield from _collection_parts(mark)


def _line_parts(line: Line2D) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    if line.get_linestyle() not in ("None", "none", "", " ") and line.get_linewidth():
        yield _along(line.get_path(), line.get_transform()), list(to_rgba_array(line.get_color(), line.get_alpha()))
    if line.get_marker() not in ("None", "none", "", " ", None):
        colours = [line.get_markerfacecolor(), line.get_markeredgecolor()]
        rgba = [to_rgba_array(colour, line.get_alpha())[:1] for colour in colours]
        yield line.get_transform().transform(line.get_xydata()), _seen([c[0] for c in rgba if len(c)])


def _collection_parts(marks: Collection) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """A part for each of a scatter's dots, for each of another collection's lines or areas."""
    paths, faces, edges = marks.get_paths(), marks.get_facecolor(), marks.get_edgecolor()
    edges = edges if marks.get_linewidth()[0] else []
    if isinstance(marks, PathCollection):
        places = marks.get_offset_transform().transform(marks.get_offsets())[:, None]
    else:
        places = [_along(path, marks.get_transform()) for path in paths]
    for i, points in enumerate(places):
        yield points, _seen([colours[i % len(colours)] for colours in (edges, faces) if len(colours)])


def _along(path: Path, transform: object) -> np.ndarray:
    """Points along a path, in display coordinates."""
    outlines = transform.transform_path(path).to_polygons(closed_only=False)
    return np.concatenate([Path(o).interpolated(12).vertices for o in outlines] or [np.empty((0, 2))])


def _seen(colours: list[np.ndarray]) -> list[np.ndarray]:
    return [colour for colour in colours if colour[3] > 0]
