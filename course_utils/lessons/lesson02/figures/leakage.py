"""The figure of a leak: what bees in the source did for leaked and for clean test photographs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from course_utils.plots.comparisons import signed
from course_utils.plots.contrast import MARK
from course_utils.plots.style import axes_of, colour_of, ground, say, styled

GROUPS = {  # column -> (name, below it, colour)
    "clean_bees": ("clean bees", "no copy in any source", "#3f90da"),
    "leaked_bees": ("leaked bees", "copies among the source's bees", "#bd1f01"),
}
WITHOUT, WITH = "no bee", "bee"
APART = 0.2  # between the pairs of a group
ROOM = 0.05  # above and below the points, so that small differences look small
RING, DOT = ({"marker": "o", "ls": "", "ms": size, "mew": 2} for size in (14, 7))  # both are seen where they meet


@styled
def leaked_and_clean(runs: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """The share right of clean and of leaked bees: a line a pair, from no bees in the source to bees in it.

    Args:
        runs: rows of the study `leak`: seed (the pair), pretrained_with, clean_bees and leaked_bees.
    """
    ax, said = axes_of(ax, (7.5, 4.8)), []
    for place, (column, (name, _, colour)) in enumerate(GROUPS.items()):
        table = runs.pivot(index="seed", columns="pretrained_with", values=column)[[WITHOUT, WITH]]
        for k, (before, after) in enumerate(table.to_numpy()):
            _line(ax, place + APART * (k - (len(table) - 1) / 2), before, after, colour_of(colour, MARK))
        said.append(f"{name} {', '.join(f'{100 * a:.0f} to {100 * b:.0f} %' for a, b in table.to_numpy())}")
    shares = runs[[*GROUPS]]
    ax.set_ylim(shares.min(axis=None) - ROOM, shares.max(axis=None) + ROOM)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.yaxis.set_major_locator(MultipleLocator(0.05))
    gains = runs.groupby("pretrained_with")[[*GROUPS]].mean().loc[[WITHOUT, WITH]].diff().iloc[-1]
    ax.figure.suptitle(f"Leaked bees gain {100 * (gains['leaked_bees'] - gains['clean_bees']):.0f} points more "
                       "than clean ones")  # fmt: skip
    _explain(ax)
    return say(ax.figure, (
        f"Share of test bees that are right, a line for each of {runs['seed'].nunique()} pairs of networks, from the "
        f"one without bees in its source to the one with them: {'; '.join(said)}."
    ))  # fmt: skip


def _line(ax: Axes, x: float, before: float, after: float, colour: str) -> None:
    ax.plot([x, x], [before, after], color=colour, lw=2)
    ax.plot(x, before, **RING, mfc=ground().paper, mec=colour)
    ax.plot(x, after, **DOT, color=colour)
    where = {"xytext": (0, 12), "textcoords": "offset points", "ha": "center", "color": ground().ink}
    ax.annotate(signed(100 * (after - before)), (x, max(before, after)), **where)


def _explain(ax: Axes) -> None:
    """Names below the groups, and what the two circles mean."""
    ax.set_xticks(range(len(GROUPS)), [f"{name}\n({below})" for name, below, _ in GROUPS.values()])
    for label, (*_, colour) in zip(ax.get_xticklabels(), GROUPS.values(), strict=True):
        label.set_color(colour_of(colour))
    ink = ground().ink
    ax.plot([], [], **RING, mfc=ground().paper, mec=ink, label="no bees in the source")
    ax.plot([], [], **DOT, color=ink, label="bees in the source")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    ax.grid(False, axis="x")
    ax.set(xlim=(-0.5, len(GROUPS) - 0.5), ylabel="share of test bees that are right",
           xlabel="a line: two networks, alike but for the bees;\nthree pairs, so no intervals")  # fmt: skip
