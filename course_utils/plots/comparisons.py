"""What figures that compare ways to transfer are made of: curves, the band of controls, names at the ends of lines."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_utils.evidence.claims import accuracy_of
from course_utils.plots.style import Look, ground

BACKBONES = {"photonet": "PhotoNet", "efficientnet_lite0": "EfficientNet-Lite0"}  # what they are called in figures
TASKS = {"letters": "letters", "digits": "digits", "tiles": "tiles", "ants_bees": "ants and bees"}  # and in this order


def signed(points: float, _: int = 0) -> str:
    """Whole points with their sign, as +5, 0 or −5; the formatter of an axis too."""
    return f"{points:+.0f}".replace("-", "\N{MINUS SIGN}") if round(points) else "0"


def means_by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a size: the mean of one arm's runs, and low and high for new seeds and test items, and n."""
    return pd.DataFrame({size: accuracy_of(rows)._asdict() for size, rows in runs.groupby("per_class")}).T


def draw_curve(ax: Axes, curve: pd.DataFrame, arm: Look) -> None:
    """The mean over seeds at each size with its interval."""
    reach = curve["mean"] - curve["low"], curve["high"] - curve["mean"]
    ax.errorbar(
        curve.index, curve["mean"], reach, color=arm.line, marker=arm.marker, ms=9, lw=2.5, elinewidth=1.8, capsize=4
    )


def draw_band(ax: Axes, low: pd.Series, high: pd.Series) -> None:
    """A grey area between two lines, each a value a size."""
    ax.fill_between(low.index, low, high, color=ground().faint, lw=0, zorder=0.5)
    for edge in (low, high):
        ax.plot(edge.index, edge, color=ground().grey, lw=1, zorder=0.6)


def name_ends(ax: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names to the right of where lines end, outside the axes: each x, y, the name and its colour; kept apart."""
    heights = _apart([y for _, y, _, _ in ends], ax.get_ylim())
    for (x, _, name, colour), height in zip(ends, heights, strict=True):
        ax.annotate(
            name, (x, height), (12, 0), textcoords="offset points", color=colour, weight="bold", va="center",
            annotation_clip=False,
        )  # fmt: skip


def _apart(heights: list[float], limits: tuple[float, float]) -> list[float]:
    """The heights of names, moved as little as it takes so that they do not touch and stay within the limits."""
    moved, (low, high) = np.array(heights, float), limits
    least = 0.06 * (high - low)
    for _ in range(200):
        order = np.argsort(moved, kind="stable")
        for a, b in pairwise(order):
            push = max(0, least - (moved[b] - moved[a])) / 2
            moved[a], moved[b] = moved[a] - push, moved[b] + push
        moved = moved.clip(low + least / 3, high - least / 3)
    return moved.tolist()
