"""The figures of lesson 00: accuracy against examples with its arrow, a dot a seed, and the race as dots."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from course_utils.errors import CourseError
from course_utils.evidence.claims import Interval, mean_interval
from course_utils.lessons.lesson00.fewer import Fewer
from course_utils.plots.comparisons import band_of, draw_band, draw_curve, means_by_size, name_ends
from course_utils.plots.style import Look, axes_of, ground, look, say, styled


@styled
def accuracy_against_examples(
    table: pd.DataFrame,
    labels: dict[str, str],
    fewer: Fewer | None = None,
    thumbnails: np.ndarray | None = None,
    chance: float | None = None,
    controls: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Mean accuracy against examples a class on a log axis, with 95 % intervals over seeds.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy.
        labels: strategy -> the name written beside its line; three at most.
        fewer: draws the arrow from the control's largest size to where the method is level with it.
        thumbnails: pictures, uint8 N x 3 x H x W, shown as a pile below both ends of the arrow.
        chance: the accuracy of always naming the largest class, drawn as a dotted line.
        controls: runs of what transfers nothing (columns as in `table`). From the lowest to the highest of
            their means at each size, `chance` among them, they become one grey band labelled "no transfer".
    """
    ax = axes_of(ax, (9, 5.6))
    curves = {strategy: means_by_size(table[table["strategy"] == strategy]) for strategy in labels}
    sizes = sorted({size for curve in curves.values() for size in curve.index})
    ends = []
    if controls is not None:
        low, high = band_of(controls, chance)
        draw_band(ax, low, high)
        ends.append((sizes[-1], (low.iloc[-1] + high.iloc[-1]) / 2, "no transfer", ground().grey))
    elif chance is not None:
        ax.plot(sizes[:: len(sizes) - 1], [chance] * 2, color=ground().grey, ls=":", lw=1.8, zorder=0.6)
        ends.append((sizes[-1], chance, "always the\nlarger class", ground().grey))
    for strategy, curve in curves.items():
        draw_curve(ax, curve, look(strategy))
        name = f"{look(strategy).sign} {labels[strategy]}"
        ends.append((curve.index[-1], curve["mean"].iloc[-1], name, look(strategy).letters))
    _log_axes(ax, sizes)
    if fewer is not None and 0 < fewer.examples < fewer.largest:
        _arrow(ax, fewer, thumbnails)
    name_ends(ax, ends)
    words = _words_of_curves(curves, labels)
    if controls is not None:
        words += f" The grey band of no transfer lies between {low.min():.2f} and {high.max():.2f}."
    elif chance is not None:
        words += f" Always naming the larger class gives {chance:.2f}."
    if fewer is not None and 0 < fewer.examples < fewer.largest:
        ends = f"from {fewer.largest} of each to {fewer.examples:.0f}"
        words += f" An arrow at {fewer.accuracy:.2f} leads {ends}: {fewer}."
    return say(ax.figure, words)


def _log_axes(ax: Axes, sizes: list[int]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] * 0.8, sizes[-1] * 1.1)
    ax.set_xlabel("training examples of each class (log scale); bars: 95 % intervals over seeds")
    ax.set_ylabel("accuracy on the test split")


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
        ax.annotate(text, middle, (0, above), textcoords="offset points", ha="center", zorder=1.5, **letters)
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
        f"{labels[strategy]} goes from {curve['mean'].iloc[0]:.2f} at {curve.index[0]} "
        f"to {curve['mean'].iloc[-1]:.2f} at {curve.index[-1]}"
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


@styled
def accuracies_at(table: pd.DataFrame, per_class: int, labels: dict[str, str], ax: Axes | None = None) -> Figure:
    """Accuracies at one number of examples a class: a dot a seed for each arm, its mean and 95 % interval.

    The axes do not depend on `per_class`, so that nothing but the dots moves under a slider.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy; all sizes, for the axes.
        labels: strategy -> its name, from top to bottom.
    Raises:
        CourseError: no run has that number of examples.
    """
    rows = table[table["strategy"].isin(labels)]
    here = rows[rows["per_class"] == per_class]
    if here.empty:
        known = ", ".join(map(str, sorted(rows["per_class"].unique())))
        raise CourseError(f"No run has {per_class} examples of each class; there are runs with {known}.")
    ax = axes_of(ax, (8, 1.4 + 0.9 * len(labels)))
    means = {}
    for row, strategy in enumerate(labels):
        values = here.loc[here["strategy"] == strategy, "accuracy"]
        if len(values):
            means[labels[strategy]] = _strip(ax, values, -row, look(strategy))
    _name_rows(ax, {-row: (strategy, label) for row, (strategy, label) in enumerate(labels.items())})
    low, high = rows["accuracy"].min() - 0.01, rows["accuracy"].max() + 0.01
    ax.set(xlim=(np.floor(20 * low) / 20, np.ceil(20 * high) / 20), ylim=(0.2 - len(labels), 0.8))
    ax.set(xlabel="accuracy on the test split; above the dots: mean and 95 % interval")
    ax.set_title(f"{per_class} examples of each class, {here['seed'].nunique()} seeds")
    return say(ax.figure, f"Accuracy with {per_class} examples of each class: {_words_of_means(means)}")


def _strip(ax: Axes, values: pd.Series, row: float, arm: Look) -> Interval:
    """A row of dots, one a seed, and above them their mean with its interval, which is returned."""
    found = mean_interval(values)
    mean, low, high, _ = found
    spread = np.random.default_rng(0).uniform(-0.14, 0.14, len(values))
    ax.scatter(values, row + spread, s=42, color=arm.line, marker=arm.marker, edgecolor=ground().paper, lw=0.6)
    reach = [[mean - low], [high - mean]]
    ax.errorbar(mean, row + 0.3, xerr=reach, color=ground().ink, marker=arm.marker, ms=8, lw=2, capsize=5)
    ax.annotate(f"{mean:.2f}", (mean, row + 0.38), (0, 3), textcoords="offset points", ha="center", va="bottom")
    return found


def _name_rows(ax: Axes, rows: dict[int, tuple[str, str]]) -> None:
    """Names beside rows of dots, in the colour of the dots: height -> the strategy and its name."""
    arms = [look(strategy) for strategy, _ in rows.values()]
    ax.set_yticks(list(rows), [f"{arm.sign} {name}" for arm, (_, name) in zip(arms, rows.values(), strict=True)])
    for text, arm in zip(ax.get_yticklabels(), arms, strict=True):
        text.set(color=arm.letters, weight="bold")


def _words_of_means(means: dict[str, Interval]) -> str:
    """The means with their intervals, from the highest to the lowest."""
    order = sorted(means.items(), key=lambda item: -item[1].mean)
    return "; ".join(f"{name} {interval_words(found)}" for name, found in order) + "."


def interval_words(found: Interval, form: str = ".2f") -> str:
    """A mean with its interval and the number of seeds, in words; numbers in the format `form`."""
    mean, low, high = (f"{value:{form}}" for value in found[:3])
    return f"{mean} ({found.n} seeds, 95 % interval {low} to {high})" if found.n > 1 else f"{mean} (one seed)"


@styled
def seeds_as_dots(table: pd.DataFrame, a: str, b: str, ax: Axes | None = None) -> Figure:
    """Difference a - b, a dot a seed, the two most opposite marked, and the mean with its interval.

    Args:
        table: one row a run, with columns strategy, seed, accuracy.
    """
    accuracy = table.pivot(index="seed", columns="strategy", values="accuracy")
    gap = (accuracy[a] - accuracy[b]).dropna().sort_index()
    ax, (first, second) = axes_of(ax, (9, 3.8)), (look(a), look(b))
    heights = dict(zip(gap.index, np.linspace(0.15, 0.85, len(gap)), strict=True))
    ax.plot([0, 0], [-0.2, 1], color=ground().ink, lw=1)
    for seed, g in gap.items():
        arm = first if g > 0 else second
        marker, colour = (arm.marker, arm.line) if g else ("d", ground().grey)
        ax.plot(g, heights[seed], ls="", marker=marker, ms=9, color=colour)
    for seed, arm, side in ((gap.idxmax(), first, "left"), (gap.idxmin(), second, "right")):
        text = f"seed {seed}: {arm.name}\nwins by {abs(gap[seed]):.2f}"
        shift = (12 if side == "left" else -12, 0)
        ax.annotate(text, (gap[seed], heights[seed]), shift, textcoords="offset points", va="center", ha=side,
                    fontsize=11)  # fmt: skip
    mean, low, high, n = found = mean_interval(gap)
    reach = [[mean - low], [high - mean]]
    ax.errorbar(mean, -0.1, xerr=reach, color=ground().ink, marker="D", ms=9, lw=3, capsize=6)
    text = f"mean of {n} seeds: {mean:+.3f}  [{low:+.3f}, {high:+.3f}]".replace("-", "\N{MINUS SIGN}")
    ax.annotate(text, (mean, -0.1), (0, -16), textcoords="offset points", ha="center", va="top")
    span = 1.9 * gap.abs().max()
    ax.set(xlim=(-span, span), ylim=(-0.45, 1), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"← {second.name} better      accuracy difference      {first.name} better →")
    return say(ax.figure, (
        f"Accuracy of {first.name} minus accuracy of {second.name}, a dot a seed: from {gap.min():+.2f} (seed "
        f"{gap.idxmin()}) to {gap.max():+.2f} (seed {gap.idxmax()}); {(gap > 0).sum()} above zero, "
        f"{(gap < 0).sum()} below. The mean is {interval_words(found, '+.3f')}."
    ))  # fmt: skip
