"""The course's figures. Each function returns a matplotlib figure and draws what its name says."""

import functools
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

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


def _note(ax: Axes, text: str, at: tuple, offset: tuple, **style) -> None:
    """Text beside the data point `at`, moved by `offset` printer's points."""
    ax.annotate(text, at, offset, textcoords="offset points", **style)


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax`, or the axes of a new figure of `size` inches."""
    return ax if ax is not None else plt.subplots(figsize=size, layout="constrained")[1]


@styled
def picture_grid(
    x: np.ndarray, titles: list[str], columns: int = 6, colours: list[str] | None = None
) -> Figure:
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
    """Mean accuracy against photographs a class on a log axis, with 95 % intervals over seeds.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy.
        labels: strategy -> the name written beside its line.
        fewer: draws the arrow from the control's largest size to where the method is level with it.
        thumbnails: pictures, uint8 N x 3 x H x W, shown as a pile below both ends of the arrow.
        chance: the accuracy of always naming the largest class, drawn as a dotted line.
    """
    ax = axes_of(ax, (9, 5.6))
    for strategy, label in labels.items():
        _draw_curve(ax, table[table["strategy"] == strategy], strategy, label)
    sizes = sorted(table["per_class"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] * 0.72, sizes[-1] * 1.45)
    ax.set_xlabel("training photographs of each class (log scale); bars: 95 % intervals over seeds")
    ax.set_ylabel("accuracy on the test photographs")
    if chance is not None:
        ax.axhline(chance, color=GREY, ls=":", lw=1.5, zorder=0)
        _note(
            ax,
            "always the larger class",
            (sizes[-1] * 1.4, chance),
            (0, -4),
            color=GREY,
            va="top",
            ha="right",
            fontsize=10,
        )
    if fewer is not None and 0 < fewer.examples < fewer.largest:
        _arrow(ax, fewer, thumbnails)
    return ax.figure


def _draw_curve(ax: Axes, runs: pd.DataFrame, strategy: str, label: str) -> None:
    """The mean over seeds at each size with its interval, and the name of the line above its middle."""
    _, colour, marker = LOOKS[strategy]
    means = runs.groupby("per_class")["accuracy"].apply(mean_interval)
    mean, low, high, _ = np.array(means.tolist()).T
    ax.errorbar(
        means.index, mean, [mean - low, high - mean], color=colour, marker=marker, ms=8, lw=2.5, capsize=4
    )
    over = strategy != "from_scratch"
    middle = len(mean) // 2
    _note(
        ax,
        label,
        (means.index[middle], (high if over else low)[middle]),
        (-6, 10 if over else -14),
        color=colour,
        weight="bold",
        ha="right" if over else "left",
        va="center",
    )


def _arrow(ax: Axes, fewer: Fewer, thumbnails: np.ndarray | None) -> None:
    """An arrow leftwards at the accuracy of the control, its factor above it, piles of pictures below."""
    low, high = ax.get_ylim()
    bottom = low - 0.3 * (high - low)
    ax.set_ylim(bottom, high)
    ax.annotate(
        "",
        (fewer.examples, fewer.accuracy),
        (fewer.largest, fewer.accuracy),
        zorder=5,
        arrowprops={
            "arrowstyle": "-|>",
            "lw": 3,
            "color": INK,
            "shrinkA": 8,
            "shrinkB": 0,
            "mutation_scale": 22,
        },
    )
    _note(
        ax,
        f"{fewer.factor:.0f} times fewer (95 %: {fewer.low:.0f} or more)",
        (1.15 * np.sqrt(fewer.examples * fewer.largest), fewer.accuracy),
        (0, 7),
        ha="center",
        weight="bold",
        fontsize=15,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=1.5,
    )
    for examples in (fewer.examples, fewer.largest):
        ax.plot([examples] * 2, [bottom, fewer.accuracy], color=INK, lw=1.2, ls=(0, (3, 3)), zorder=1)
        if thumbnails is not None:
            _pile(ax, thumbnails, (examples, bottom), depth=round(examples / 8))
        _note(
            ax,
            f"{examples:.0f} of each",
            (examples, bottom),
            (0, 5),
            ha="center",
            fontsize=11,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=6,
        )


def _pile(ax: Axes, pictures: np.ndarray, at: tuple[float, float], depth: int) -> None:
    """The pictures side by side above the point `at`, each on a pile of `depth` empty frames."""
    blank = np.full((8, 8, 3), 235, np.uint8)
    for k, picture in enumerate(pictures):
        for card in range(depth, -1, -1):
            image = blank if card else picture.transpose(1, 2, 0)
            across = 46 * k - 23 * (len(pictures) - 1) + 1.2 * card
            box = AnnotationBbox(
                OffsetImage(image, zoom=36 / len(image)),
                at,
                (across, 46 + 1.6 * card),
                boxcoords="offset points",
                pad=0.08,
                bboxprops={"edgecolor": GREY, "lw": 0.6},
            )
            ax.add_artist(box)


@styled
def race(live: dict[str, pd.DataFrame], stored: pd.DataFrame) -> Figure:
    """Left: training loss, one live run a strategy. Right: stored test accuracy, a dot a seed, intervals.

    Args:
        live: strategy -> the table of its history, with columns step and loss.
        stored: one row a run, with columns strategy, seed, accuracy.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained", width_ratios=(3, 2))
    smooth = {strategy: table["loss"].rolling(10, min_periods=1).mean() for strategy, table in live.items()}
    heights = _apart({strategy: max(0.03, curve.iloc[-1]) for strategy, curve in smooth.items()}, 0.05)
    for row, (strategy, table) in enumerate(live.items()):
        name, colour, marker = LOOKS[strategy]
        left.plot(table["step"], smooth[strategy], color=colour, lw=2.5)
        left.text(
            table["step"].max() * 1.02, heights[strategy], name, color=colour, weight="bold", va="center"
        )
        _strip(right, stored.loc[stored["strategy"] == strategy, "accuracy"], row, colour, marker)
    steps = max(table["step"].max() for table in live.values())
    left.set(xlabel="update", ylabel="training loss (mean of 10 updates)", title="One seed, live")
    left.set(xlim=(0, steps * 1.7), ylim=(0, None), xticks=np.linspace(0, steps, 6))
    right.set_yticks(range(len(live)), [LOOKS[strategy][0] for strategy in live])
    right.set(xlabel="accuracy on the test photographs", ylim=(-0.5, len(live) - 0.1))
    right.set_title(f"{stored['seed'].nunique()} seeds, stored")
    return figure


def _strip(ax: Axes, values: pd.Series, row: int, colour: str, marker: str) -> None:
    """A row of dots, one a seed, and above them their mean with its interval."""
    mean, low, high, _ = mean_interval(values)
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(values))
    ax.scatter(values, row + spread, s=26, color=colour, alpha=0.55, marker=marker, lw=0)
    ax.errorbar(
        mean, row + 0.3, xerr=[[mean - low], [high - mean]], color=INK, marker=marker, ms=8, capsize=4
    )
    ax.text(mean, row + 0.42, f"{mean:.2f}", ha="center", va="bottom")


def _apart(heights: dict[str, float], least: float) -> dict[str, float]:
    """The heights of labels, moved up where needed so that any two are `least` apart."""
    moved, last = {}, -np.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        last = moved[name] = max(height, last + least)
    return moved


@styled
def seeds_as_dots(table: pd.DataFrame, a: str, b: str) -> Figure:
    """Difference a - b, a dot a seed, the two most opposite marked, and the mean with its interval."""
    accuracy = table.pivot(index="seed", columns="strategy", values="accuracy")
    gap = (accuracy[a] - accuracy[b]).sort_index()
    ax = axes_of(None, (9, 3.6))
    names = LOOKS[a][0], LOOKS[b][0]
    heights = np.linspace(0.15, 0.85, len(gap))
    colours = [LOOKS[a][1] if g > 0 else LOOKS[b][1] if g < 0 else GREY for g in gap]
    ax.scatter(gap, heights, c=colours, s=60, zorder=3, edgecolor="white")
    ax.axvline(0, color=INK, lw=1)
    for seed, word, side in ((gap.idxmax(), names[0], "left"), (gap.idxmin(), names[1], "right")):
        _note(
            ax,
            f"seed {seed}: {word}\nwins by {abs(gap[seed]):.2f}",
            (gap[seed], heights[list(gap.index).index(seed)]),
            (12 if side == "left" else -12, 0),
            va="center",
            ha=side,
            fontsize=11,
        )
    mean, low, high, n = mean_interval(gap)
    ax.errorbar(mean, -0.1, xerr=[[mean - low], [high - mean]], color=INK, marker="D", ms=9, lw=3, capsize=6)
    ax.annotate(
        f"mean of {n} seeds: {mean:+.3f}  [{low:+.3f}, {high:+.3f}]".replace("-", "\N{MINUS SIGN}"),
        (mean, -0.1),
        (0, -18),
        textcoords="offset points",
        ha="center",
        va="top",
    )
    reach = 1.9 * gap.abs().max()
    ax.set(xlim=(-reach, reach), ylim=(-0.45, 1), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"← {names[1]} better      accuracy difference      {names[0]} better →")
    return ax.figure
