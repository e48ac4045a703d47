"""Maps of pictures: many features flattened to two, with some of the pictures laid where they come to stand."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from course_utils.errors import CourseError
from course_utils.lessons.lesson02.neighbourhood import COUNT, neighbour_share
from course_utils.plots.style import Drawing, colour_of, ground, say, styled

LEFT, RIGHT = "#3f90da", "#bd1f01"  # frames of the two sides of a photograph
THUMBNAIL = 20  # points on the figure


@styled
def picture_maps(
    maps: dict[str, np.ndarray],
    pictures: np.ndarray,
    y: np.ndarray,
    right: np.ndarray,
    classes: Sequence[str],
    shown: str | None = None,
) -> Figure:
    """Maps of the same pictures, two in a row: a grey dot a picture, and some of the pictures themselves.

    A blue frame marks a picture of the left side of a photograph, a red and dashed one of the right. Each title says
    how often the five left dots nearest to a right one have its class.

    Args:
        maps: title -> N x 2 places.
        pictures: uint8 N x 3 x H x W.
        y: their N classes.
        right: N booleans, which of them are from the right side; five or more are not.
        classes: the names of the classes.
        shown: the class of which all pictures are laid on the maps; None lays one of each class and side.
    Raises:
        CourseError: no maps, maps of other numbers of places than there are pictures, fewer than five pictures
            that are not from the right side, or no such class.
    """
    places = [np.asarray(places, float) for places in maps.values()]
    if not places or any(p.shape != (len(pictures), 2) or not np.isfinite(p).all() for p in places):
        raise CourseError(f"Each map needs a place for each picture, {len(pictures)} x 2 finite numbers; give some.")
    if (~np.asarray(right, bool)).sum() < COUNT:
        raise CourseError(f"Fewer than {COUNT} pictures are of the left side: too few for as many neighbours.")
    if shown is not None and shown not in classes:
        raise CourseError(f"There is no class {shown!r}; there is {', '.join(classes)}.")
    rows = -(-len(maps) // 2)
    figure = Drawing(figsize=(10, 4.1 * rows + 0.35), layout="constrained")
    figure.get_layout_engine().set(wspace=0.04, hspace=0.05)
    said = []
    for ax, (title, places) in zip(figure.subplots(rows, 2).flat, maps.items(), strict=False):
        share = neighbour_share(places, y, right)
        laid = _middles(places, y, right) if shown is None else np.flatnonzero(y == classes.index(shown))
        _map(ax, places, pictures, right, laid)
        ax.set_title(f"{title}: {share:.0%} of neighbours match")
        said.append(f"{title} {share:.2f}")
    what = "one patch of each class and side" if shown is None else f"all patches of {shown}"
    chance = 1 / len(classes)
    figure.supxlabel(
        f"shown: {what}; blue frame: left side of a photograph, red and dashed: right side"
        f"\na match: of the {COUNT} left dots nearest to a right one, those of its class ({chance:.0%} by chance)",
        fontsize=12,
    )
    return say(figure, (
        f"{len(pictures)} pictures as dots on {len(maps)} maps, with {what} as pictures. Of the {COUNT} left dots "
        f"nearest to each right one, so many have its class: {'; '.join(said)}."
    ))  # fmt: skip


def _middles(places: np.ndarray, y: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each class and side, the point with the smallest sum of distances to the others."""
    found = []
    for k in np.unique(y):
        for side in (False, True):
            group = np.flatnonzero((y == k) & (right == side))
            apart = np.linalg.norm(places[group][:, None] - places[group], axis=2)
            found.append(group[apart.sum(1).argmin()])
    return np.array(found)


def _map(ax: Axes, places: np.ndarray, pictures: np.ndarray, right: np.ndarray, laid: np.ndarray) -> None:
    ax.scatter(*places.T, s=9, color=ground().grey, lw=0, zorder=0.6)  # pictures may lie on dots
    for k in laid:
        thumbnail = OffsetImage(pictures[k].transpose(1, 2, 0), zoom=THUMBNAIL / pictures.shape[-1])
        frame = {"edgecolor": colour_of(RIGHT if right[k] else LEFT), "lw": 2}
        frame["linestyle"] = (0, (2, 1)) if right[k] else "-"
        ax.add_artist(AnnotationBbox(thumbnail, places[k], pad=0.12, bboxprops=frame))
    low, high = places.min(0), places.max(0)
    margin = 0.08 * (high - low)
    ax.set(xticks=[], yticks=[], xlim=(low[0] - margin[0], high[0] + margin[0]))
    ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
    ax.spines[:].set(visible=True, color=ground().grey)
    ax.grid(False)
