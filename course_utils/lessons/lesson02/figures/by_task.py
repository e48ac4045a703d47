"""Ways to transfer compared task by task: accuracies, and differences, against examples of each class."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.evidence.claims import Effect, paired_difference
from course_utils.plots.comparisons import band_of, draw_band, draw_curve, means_by_size, name_ends
from course_utils.plots.style import Drawing, Look, ground, look, say, styled


@styled
def accuracy_by_task(
    table: pd.DataFrame,
    titles: dict[str, str],
    labels: dict[str, str],
    controls: pd.DataFrame,
    chance: dict[str, float],
) -> Figure:
    """Mean accuracy against examples of each class with 95 % intervals over seeds, a panel a task.

    Args:
        table: one row a run, with columns task, strategy, per_class, seed, accuracy.
        titles: task -> what stands above its panel, from left to right.
        labels: strategy -> the name of its line; three at most.
        controls: runs of what transfers nothing (columns as in `table`): with `chance` a grey band.
        chance: task -> the accuracy of always naming the largest class.
    """
    figure, axes = _panels(len(titles))
    said = []
    for ax, (task, title) in zip(axes, titles.items(), strict=True):
        low, high = band_of(controls[controls["task"] == task], chance[task])
        draw_band(ax, low, high)
        runs, ends = table[table["task"] == task], []
        for strategy, name in labels.items():
            curve, arm = means_by_size(runs[runs["strategy"] == strategy]), look(strategy)
            draw_curve(ax, curve, arm)
            ends.append((curve.index[-1], curve["mean"].iloc[-1], f"{arm.sign} {name}", arm.letters))
            said.append(f"{title}, {name}: {curve['mean'].iloc[0]:.2f} with {curve.index[0]} of each, "
                        f"{curve['mean'].iloc[-1]:.2f} with {curve.index[-1]}.")  # fmt: skip
        said.append(f"No transfer there: {low.min():.2f} to {high.max():.2f}.")
        _sizes(ax, title, list(low.index))
        if ax is axes[-1]:
            name_ends(ax, [*ends, (low.index[-1], (low.iloc[-1] + high.iloc[-1]) / 2, "no transfer", ground().grey)])
    axes[0].set(ylim=(0, 1.02), ylabel="accuracy on the test split")
    figure.supxlabel(
        "training examples of each class (log scale); bars: 95 % intervals over seeds\n"
        "grey: no transfer and no backbone trained: always the largest class, or a head on pixels or random weights",
        fontsize=12,
    )
    return say(figure, " ".join(said))


@styled
def differences_by_task(
    table: pd.DataFrame, a: str, b: str, titles: dict[str, str], sides: tuple[str, str], mark: int
) -> Figure:
    """Accuracy of `a` minus accuracy of `b`, paired by seed with 95 % intervals, against examples, a panel a task.

    Args:
        table: one row a run, with columns task, strategy, per_class, seed, accuracy.
        a, b: two strategies.
        titles: task -> what stands above its panel, from left to right.
        sides: what a value above zero means, and one below.
        mark: a number of examples that a rule names, drawn as a dashed line.
    """
    figure, axes = _panels(len(titles))
    said = []
    for ax, (task, title) in zip(axes, titles.items(), strict=True):
        runs = table[(table["task"] == task) & table["strategy"].isin([a, b])]
        found = {size: paired_difference(rows, a, b) for size, rows in runs.groupby("per_class")}
        ax.axhline(0, color=ground().ink, lw=1)
        ax.axvline(mark, color=ground().grey, ls=(0, (4, 3)), lw=1.4)
        for size, effect in found.items():
            _point(ax, size, effect, look(a if effect.mean > 0 else b))
        _sizes(ax, title, list(found))
        ax.set_xlim(1.5, max(mark, *found) * 1.8)
        said.append(f"{title}: " + ", ".join(f"{e.mean:+.3f} with {size}" for size, e in found.items()) + ".")
    low, high = axes[0].get_ylim()
    reach = 1.25 * max(-low, high)  # room for the words
    axes[0].set_ylim(-reach, reach)
    axes[0].set_ylabel("difference in accuracy")
    for side, height, arm in ((sides[0], 0.97, look(a)), (sides[1], 0.03, look(b))):
        axes[0].text(0.03, height, side, transform=axes[0].transAxes, color=arm.letters, weight="bold",
                     va="top" if height > 0.5 else "bottom")  # fmt: skip
    axes[0].annotate(f"the rule's {mark}", (mark, -reach), (-4, 4), textcoords="offset points", rotation=90, ha="right")
    figure.supxlabel("training examples of each class (log scale); bars: 95 % intervals, hollow: they include zero",
                     fontsize=12)  # fmt: skip
    return say(figure, f"Differences, above zero {sides[0]}, below zero {sides[1]}. {' '.join(said)}")


def _point(ax: Axes, size: int, effect: Effect, arm: Look) -> None:
    """One difference with its interval; hollow where that includes zero."""
    clear = np.sign(effect.low) == np.sign(effect.high)
    reach = [[effect.mean - effect.low], [effect.high - effect.mean]]
    ax.errorbar([size], [effect.mean], reach, color=arm.line, marker=arm.marker, ms=9, lw=2, capsize=4,
                mfc=arm.line if clear else ground().paper, ls="")  # fmt: skip


def _panels(count: int) -> tuple[Figure, np.ndarray]:
    figure = Drawing(figsize=(11, 4.2), layout="constrained")
    return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def _sizes(ax: Axes, title: str, sizes: list[int]) -> None:
    ax.set_title(title)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] * 0.75, sizes[-1] * 1.3)
