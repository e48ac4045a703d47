"""A difference as dots, one per seed."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.evidence.claims import paired_difference
from course_utils.plots.style import axes_of, ground, look, say, styled


@styled
def seeds_as_dots(table: pd.DataFrame, a: str, b: str, ax: Axes | None = None) -> Figure:
    """Difference a - b in points, a dot per seed, and the mean with its interval for new seeds and test items.

    Args:
        table: one row a run, with columns strategy, seed, accuracy.
    Raises:
        CourseError: the arms cannot be paired by seed.
    """
    paired_difference(table, a, b, items=False)  # which says what cannot be paired
    accuracy = 100 * table.pivot(index="seed", columns="strategy", values="accuracy")
    gap = (accuracy[a] - accuracy[b]).dropna().sort_index()
    ax, (first, second) = axes_of(ax, (9, 3.8)), (look(a), look(b))
    heights = dict(zip(gap.index, np.linspace(0.1, 0.75, len(gap)), strict=True))
    ax.plot([0, 0], [-0.2, 1], color=ground().ink, lw=1)
    for seed, g in gap.items():
        arm = first if g > 0 else second
        marker, colour = (arm.marker, arm.line) if g else ("d", ground().grey)
        ax.plot(g, heights[seed], ls="", marker=marker, ms=8, color=colour)
    for arm, wins, side in ((first, (gap > 0).sum(), "right"), (second, (gap < 0).sum(), "left")):
        ax.text(0.5 + (0.03 if side == "right" else -0.03), 0.97, f"{arm.sign} {arm.name}\nwins {wins}",
                transform=ax.transAxes, color=arm.letters, weight="bold", fontsize=11, va="top",
                ha="left" if side == "right" else "right")  # fmt: skip
    effect, n = paired_difference(table, a, b), len(gap)
    mean, low, high = (100 * value for value in effect[:3])
    reach = [[mean - low], [high - mean]]
    ax.errorbar(mean, -0.1, xerr=reach, color=ground().ink, marker="D", ms=8, lw=3, capsize=6)
    text = f"mean of {n} seeds: {mean:+.1f} points  [{low:+.1f}, {high:+.1f}]".replace("-", "\N{MINUS SIGN}")
    clear = {"facecolor": ground().paper, "edgecolor": "none", "pad": 1}
    ax.annotate(text, (mean, -0.1), (0, -14), textcoords="offset points", ha="center", va="top", bbox=clear)
    span = 1.35 * gap.abs().max()
    ax.set(xlim=(-span, span), ylim=(-0.45, 1.05), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"points by which {first.name} leads {second.name}\n(grey: tied; heights mean nothing)", fontsize=11)
    return say(ax.figure, (
        f"Accuracy of {first.name} minus accuracy of {second.name}, a dot per seed: from {gap.min():+.0f} to "
        f"{gap.max():+.0f} points; {(gap > 0).sum()} above zero, {(gap < 0).sum()} below. "
        f"The mean of {n} seeds is {mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})."
    ))  # fmt: skip
