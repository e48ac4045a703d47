"""The course's figures. Each function returns a matplotlib figure and draws what its name says."""

import functools
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyBboxPatch

from course_utils.evidence import Fewer, mean_interval

STYLE = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.facecolor": "white",
    "legend.frameon": False,
}
INK, GREY = "#222222", "#8a8a8a"
# strategy -> (name in figures, colour of petroff10, marker)
LOOKS = {
    "from_scratch": ("from scratch", "#bd1f01", "s"),
    "feature_extraction": ("feature extraction", "#3f90da", "o"),
    "fine_tuning": ("fine-tuning", "#ffa90e", "^"),
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the course's style, and close the figure so that a notebook shows it once."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.style.context(["petroff10", STYLE]):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return wrapper


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    return ax if ax is not None else plt.subplots(figsize=size, layout="constrained")[1]


@styled
def picture_grid(x: np.ndarray, titles: list[str], columns: int = 6, colours: list[str] | None = None) -> Figure:
    """Pictures (uint8 N x 3 x H x W) in rows of `columns`, each under its title."""
    rows = -(-len(x) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.55 * columns, 1.85 * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, (picture, title, ax) in enumerate(zip(x, titles, axes.flat, strict=False)):
        ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
        ax.set_title(title, fontsize=11, loc="center", color=colours[i] if colours else INK)
    return figure


@styled
def accuracy_against_examples(
    table: pd.DataFrame,
    labels: dict[str, str],
    fewer: Fewer | None = None,
    thumbnails: np.ndarray | None = None,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Mean accuracy against examples a class on a log axis, with 95 % intervals over seeds.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy.
        labels: strategy -> the name written beside its line.
        fewer: draws the arrow from the control's largest size to where the method is level with it.
        thumbnails: pictures, uint8 N x 3 x H x W, shown as a pile at both ends of the arrow.
        chance: the accuracy of always naming the largest class, drawn as a dotted line.
    """
    ax = _axes(ax, (9, 5.4))
    for strategy, label in labels.items():
        _, colour, marker = LOOKS[strategy]
        runs = table[table["strategy"] == strategy].groupby("per_class")["accuracy"]
        means = runs.apply(mean_interval)
        sizes, (mean, low, high, _) = means.index, np.array(means.tolist()).T
        ax.errorbar(sizes, mean, [mean - low, high - mean], color=colour, marker=marker, ms=8, lw=2.5, capsize=4)
        end = -1 if fewer is None else (1 if strategy == "feature_extraction" else 2)
        ax.annotate(
            label, (sizes[end], mean[end]), (0, 22 if end == 1 else -34), textcoords="offset points",
            color=colour, weight="bold", ha="right" if end == 1 else "left",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(s) for s in sizes])
    ax.minorticks_off()
    ax.set_xlabel("photographs a class (log scale)")
    ax.set_ylabel("accuracy on the test photographs")
    if chance is not None:
        ax.axhline(chance, color=GREY, ls=":", lw=1.5)
        ax.text(sizes[0], chance, "always the larger class", color=GREY, va="bottom", fontsize=10)
    if fewer is not None:
        _arrow(ax, fewer, thumbnails)
    return ax.figure


def _arrow(ax: Axes, fewer: Fewer, thumbnails: np.ndarray | None) -> None:
    """One horizontal arrow, leftwards, at the control's accuracy; the factor written above it."""
    ax.annotate(
        "", (fewer.examples, fewer.accuracy), (fewer.largest, fewer.accuracy),
        arrowprops={"arrowstyle": "-|>", "lw": 3, "color": INK, "shrinkA": 8, "shrinkB": 0, "mutation_scale": 22},
    )  # fmt: skip
    middle = np.sqrt(fewer.examples * fewer.largest)
    ax.annotate(
        f"{fewer.factor:.0f} times fewer", (middle, fewer.accuracy), (0, 7), textcoords="offset points",
        ha="center", weight="bold", fontsize=16, color=INK,
    )  # fmt: skip
    ends = ((fewer.examples, 3, "left"), (fewer.largest, 14, "right"))
    for examples, depth, _ in ends:
        ax.annotate(
            f"{examples:.0f} a class", (examples, fewer.accuracy), (0, -100), textcoords="offset points",
            ha="center", fontsize=11, color=INK,
        )  # fmt: skip
        if thumbnails is not None:
            _pile(ax, thumbnails, (examples, fewer.accuracy), depth)


def _pile(ax: Axes, pictures: np.ndarray, at: tuple[float, float], depth: int) -> None:
    """A picture of each class on top of a pile of `depth` frames, below the point `at`."""
    for k, picture in enumerate(pictures):
        for card in range(depth, -1, -1):
            image = picture.transpose(1, 2, 0) if card == 0 else np.full((*picture.shape[1:], 3), 235, np.uint8)
            place = (44 * k - 22 * (len(pictures) - 1) + 1.2 * card, -58 + 1.6 * card)
            box = AnnotationBbox(
                OffsetImage(image, zoom=36 / picture.shape[1]), at, place, boxcoords="offset points", pad=0.08,
                bboxprops={"edgecolor": GREY, "lw": 0.6},
            )  # fmt: skip
            ax.add_artist(box)


@styled
def race(live: dict[str, pd.DataFrame], stored: pd.DataFrame) -> Figure:
    """Left: training loss of one live run a strategy. Right: stored test accuracy, a dot a seed and the interval."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained", width_ratios=(3, 2))
    for row, (strategy, table) in enumerate(live.items()):
        name, colour, marker = LOOKS[strategy]
        smooth = table["loss"].rolling(10, min_periods=1).mean()
        left.plot(table["step"], smooth, color=colour, lw=2.5)
        left.annotate(name, (table["step"].iloc[-1], smooth.iloc[-1]), (6, 0), textcoords="offset points",
                      color=colour, weight="bold", va="center")  # fmt: skip
        values = stored.loc[stored["strategy"] == strategy, "accuracy"]
        mean, low, high, _ = mean_interval(values)
        spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(values))
        right.scatter(values, row + spread, s=22, color=colour, alpha=0.45, marker=marker, lw=0)
        right.errorbar(mean, row + 0.3, xerr=[[mean - low], [high - mean]], color=INK, marker=marker, ms=8, capsize=4)
        right.text(mean, row + 0.42, f"{mean:.2f}", ha="center", va="bottom")
    left.set(xlabel="update", ylabel="training loss (mean of 10 updates)", title="One seed, live")
    left.margins(x=0.3)
    left.set_xlim(0)
    right.set_yticks(range(len(live)), [LOOKS[s][0] for s in live])
    right.set(xlabel="accuracy on the test photographs", title=f"{len(values)} seeds, stored", ylim=(-0.5, len(live)))
    return figure


@styled
def seeds_as_dots(table: pd.DataFrame, a: str, b: str) -> Figure:
    """Difference a - b, a dot a seed, the two that crown opposite winners marked, and the interval of the mean."""
    accuracy = table.pivot(index="seed", columns="strategy", values="accuracy")
    gap = (accuracy[a] - accuracy[b]).sort_index()
    ax = _axes(None, (9, 3.6))
    names = LOOKS[a][0], LOOKS[b][0]
    heights = np.linspace(0.15, 0.85, len(gap))
    colours = [LOOKS[a][1] if g > 0 else LOOKS[b][1] if g < 0 else GREY for g in gap]
    ax.scatter(gap, heights, c=colours, s=60, zorder=3, edgecolor="white")
    ax.axvline(0, color=INK, lw=1)
    for seed, word, side in ((gap.idxmax(), names[0], "left"), (gap.idxmin(), names[1], "right")):
        ax.annotate(
            f"seed {seed}: {word}\nwins by {abs(gap[seed]):.2f}", (gap[seed], heights[list(gap.index).index(seed)]),
            (12 if side == "left" else -12, 0), textcoords="offset points", va="center", ha=side, fontsize=11,
        )  # fmt: skip
    mean, low, high, n = mean_interval(gap)
    ax.errorbar(mean, -0.1, xerr=[[mean - low], [high - mean]], color=INK, marker="D", ms=9, lw=3, capsize=6)
    ax.annotate(f"mean of {n} seeds: {mean:+.3f}  [{low:+.3f}, {high:+.3f}]", (mean, -0.1), (0, -18),
                textcoords="offset points", ha="center", va="top")  # fmt: skip
    reach = 1.9 * gap.abs().max()
    ax.set(xlim=(-reach, reach), ylim=(-0.45, 1), yticks=[])
    ax.set_xlabel(f"← {names[1]} better      accuracy difference      {names[0]} better →")
    return ax.figure


@styled
def the_words() -> Figure:
    """A drawing of source and target: each a domain (pictures) and a task (labels), joined by the backbone."""
    ax = _axes(None, (10, 4.6))
    ax.set(xlim=(0, 10), ylim=(0, 4.6))
    ax.axis("off")
    rows = (
        (3.0, "SOURCE", "domain: 99,000 photographs\nof things of all kinds", "task: name one\nof 199 classes", "#a96b59"),
        (0.5, "TARGET", "domain: 20 photographs\nof insects, closer up", "task: ant or bee?", "#3f90da"),
    )
    for y, title, domain, task, colour in rows:
        ax.text(0.1, y + 1.25, title, weight="bold", fontsize=14, color=colour)
        _box(ax, (0.1, y), (2.9, 1.1), domain, colour, "white")
        _box(ax, (3.7, y), (3.0, 1.1), "BACKBONE\npictures → features", "#717581", "#eceef2")
        _box(ax, (7.2, y), (1.0, 1.1), "HEAD", colour, "white")
        ax.text(8.4, y + 0.55, task, va="center")
        for x0, x1 in ((3.0, 3.7), (6.7, 7.2)):
            ax.annotate("", (x1, y + 0.55), (x0, y + 0.55), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.5})
    ax.annotate("", (5.2, 1.65), (5.2, 2.95), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 4, "mutation_scale": 25})
    ax.text(5.35, 2.3, "transfer: the weights are kept", va="center", weight="bold")
    ax.text(7.2, 1.8, "new, and trained\non the 20", va="center", fontsize=11, color="#3f90da")
    return ax.figure


def _box(ax: Axes, at: tuple, size: tuple, text: str, edge: str, face: str) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=0.12", "edgecolor": edge, "facecolor": face, "lw": 2}
    ax.add_patch(FancyBboxPatch(at, *size, **style))
    ax.text(at[0] + size[0] / 2, at[1] + size[1] / 2, text, ha="center", va="center")
