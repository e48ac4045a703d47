"""Accuracy against examples, with the arrow that says how many times fewer."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from course_utils.errors import CourseError
from course_utils.lessons.lesson00.fewer import Fewer
from course_utils.plots.comparisons import draw_curve, means_by_size, name_ends
from course_utils.plots.style import axes_of, ground, look, say, styled


@styled
def accuracy_against_examples(
    table: pd.DataFrame,
    labels: dict[str, str],
    fewer: Fewer | None = None,
    thumbnails: np.ndarray | None = None,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Mean accuracy against examples of each class on a log axis, with 95 % intervals.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy.
        labels: strategy -> the name written beside its line.
        fewer: draws the arrow from the control's largest size to where the method is level with it.
        thumbnails: pictures, uint8 N x 3 x H x W, shown as a pile below both ends of the arrow.
        chance: the accuracy of always naming the largest class, drawn as a dotted line.
    Raises:
        CourseError: no labels, or one of a strategy without runs.
    """
    known = set(table["strategy"])
    if not labels or not set(labels) <= known:
        raise CourseError(f"Some of {list(labels)} have no runs.\nGive names of {', '.join(sorted(known))}.")
    ax = axes_of(ax, (9, 5.8))
    curves = {strategy: means_by_size(table[table["strategy"] == strategy]) for strategy in labels}
    sizes = sorted({size for curve in curves.values() for size in curve.index})
    ends = []
    if chance is not None:
        ax.plot(sizes[:: len(sizes) - 1], [chance] * 2, color=ground().grey, ls=":", lw=1.8, zorder=0.6)
        ends.append((sizes[-1], chance, "always the\nlarger class", ground().grey))
    for strategy, curve in curves.items():
        draw_curve(ax, curve, look(strategy))
        name = f"{look(strategy).sign} {labels[strategy]}"
        ends.append((curve.index[-1], curve["mean"].iloc[-1], name, look(strategy).letters))
    _log_axes(ax, sizes)
    words = _words_of_curves(curves, labels)
    words += "" if chance is None else f" Always naming the larger class gives {100 * chance:.0f} %."
    if fewer is not None and 0 < fewer.examples < fewer.largest:
        _arrow(ax, fewer, thumbnails)
        ax.set_title(f"With transfer, {fewer.examples:.0f} photographs of each do what {fewer.largest} do without")
        ends_of_arrow = f"from {fewer.largest} of each to {fewer.examples:.0f}"
        words += f" An arrow at {100 * fewer.accuracy:.0f} % leads {ends_of_arrow}: {fewer}."
    name_ends(ax, ends)
    return say(ax.figure, words)


def _log_axes(ax: Axes, sizes: list[int]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] * 0.8, sizes[-1] * 1.1)
    ax.set_xlabel("training examples of each class (log scale); bars: 95 % intervals")
    ax.set_ylabel("test photographs that are right")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _arrow(ax: Axes, fewer: Fewer, thumbnails: np.ndarray | None) -> None:
    """An arrow leftwards at the accuracy of the control, its factor above it, piles of pictures below."""
    low, high = ax.get_ylim()
    bottom = low - 0.3 * (high - low)
    ax.set_ylim(bottom, high)
    ink, paper = ground().ink, {"facecolor": ground().paper, "edgecolor": "none", "pad": 1}
    style = {"arrowstyle": "-|>", "lw": 3, "color": ink, "shrinkA": 8, "shrinkB": 0, "mutation_scale": 22}
    ax.annotate("", (fewer.examples, fewer.accuracy), (fewer.largest, fewer.accuracy), arrowprops=style, zorder=5)
    middle = 1.3 * np.sqrt(fewer.examples * fewer.largest), fewer.accuracy
    upper = f"to {fewer.high:.0f}" if np.isfinite(fewer.high) else "or more"
    told = (
        (f"{fewer.factor:.0f} times fewer", 24, {"weight": "bold", "fontsize": 16}),
        (f"95 % interval: {fewer.low:.0f} {upper}", 8, {"fontsize": 12}),
    )
    for text, above, letters in told:
        ax.annotate(
            text, middle, (0, above), textcoords="offset points", ha="center", zorder=6,
            path_effects=[withStroke(linewidth=5, foreground=ground().paper)], **letters,
        )  # fmt: skip
    for examples in (fewer.examples, fewer.largest):
        ax.plot([examples] * 2, [bottom, fewer.accuracy], color=ink, lw=1.2, ls=(0, (3, 3)), zorder=1)
        if thumbnails is not None:
            _pile(ax, thumbnails, (examples, bottom), depth=round(examples / 8))
        ax.annotate(
            f"{examples:.0f} of each", (examples, bottom), (0, 5), textcoords="offset points", ha="center",
            fontsize=11, bbox=paper, zorder=6,
        )  # fmt: skip


def _pile(ax: Axes, pictures: np.ndarray, at: tuple[float, float], depth: int) -> None:
    """The pictures side by side above the point `at`, each on a pile of `depth` empty frames."""
    blank = np.full((8, 8, 3), to_rgb(ground().faint))
    for k, picture in enumerate(pictures):
        for card in range(depth, -1, -1):
            image = blank if card else picture.transpose(1, 2, 0)
            place = 46 * k - 23 * (len(pictures) - 1) + 1.2 * card, 46 + 1.6 * card
            ax.add_artist(_framed(image, at, place))


def _framed(image: np.ndarray, at: tuple[float, float], place: tuple[float, float]) -> AnnotationBbox:
    """A small picture in a frame, `place` printer's points from the point `at`."""
    frame = {"edgecolor": ground().grey, "facecolor": ground().paper, "lw": 0.6}
    small = OffsetImage(image, zoom=36 / len(image))
    return AnnotationBbox(small, at, place, boxcoords="offset points", pad=0.08, bboxprops=frame)


def _words_of_curves(curves: dict[str, pd.DataFrame], labels: dict[str, str]) -> str:
    sizes = sorted({size for curve in curves.values() for size in curve.index})
    seeds = ", ".join(sorted({f"{n:.0f}" for curve in curves.values() for n in curve["n"]}))
    said = [
        f"{labels[strategy]} goes from {100 * curve['mean'].iloc[0]:.0f} % at {curve.index[0]} "
        f"to {100 * curve['mean'].iloc[-1]:.0f} % at {curve.index[-1]}"
        for strategy, curve in curves.items()
    ]
    text = f"Accuracy against {sizes[0]} to {sizes[-1]} examples of each class, means of {seeds} seeds: "
    text += f"{'; '.join(said)}."
    first, *others = labels
    for other in others:
        gaps = (curves[first]["mean"] - curves[other]["mean"]).dropna()
        above = f"all {len(gaps)}" if (gaps > 0).all() else f"{(gaps > 0).sum()} of {len(gaps)}"
        text += f" {labels[first]} lies above {labels[other]} at {above} sizes."
    return text
