"""What it does to choose the best epoch, or the best stage, on one set of pictures."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from course_utils.evidence.claims import mean_interval
from course_utils.lessons.lesson02.epoch_selection import EPOCHS, OTHERS, SAME
from course_utils.plots.comparisons import name_ends, signed
from course_utils.plots.contrast import MARK
from course_utils.plots.style import SIGNS, Drawing, colour_of, ground, look, say, styled

RED, BLUE = "#bd1f01", "#3f90da"


@styled
def chosen_epochs(table: pd.DataFrame) -> Figure:
    """The best epoch against how many photographs chose it: its accuracy on these and on all others.

    Drawn is the difference to the last epoch on all photographs, which nobody chose, with its 95 % interval over
    seeds; a panel a strategy.

    Args:
        table: as from `reported`, of one number of examples a class.
    """
    arms = table["strategy"].unique()
    figure = Drawing(figsize=(10.5, 4.6), layout="constrained")
    axes, said = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0], []
    for ax, strategy in zip(axes, arms, strict=True):
        rows, ends = table[table["strategy"] == strategy], []
        for name, colour, marker in ((SAME, RED, "s"), (OTHERS, BLUE, "o")):
            means = _line(ax, rows[rows["reported_on"] == name], colour_of(colour, MARK), marker)
            ends.append((means.index[-1], means.iloc[-1], f"{SIGNS[marker]} on {name}", colour_of(colour)))
            said.append(f"{look(strategy).name} on {name} {_listed(means.index, means, '+.1f')}")
        ax.axhline(0, color=ground().ink, ls=(0, (4, 2)), lw=1.5)
        ends.append((means.index[-1], 0, "- - last epoch", ground().ink))
        ax.set_xscale("log")
        ax.set_xticks(means.index, list(map(str, means.index)))
        ax.minorticks_off()
        ax.set_title(look(strategy).name)
    name_ends(axes[-1], ends)
    axes[0].set_ylabel("points by which the chosen epoch\nis ahead of the last")
    axes[0].yaxis.set_major_formatter(signed)
    figure.suptitle("The fewer photographs choose, the more the best epoch flatters")
    figure.supxlabel("photographs that choose the epoch (log scale); bars: 95 % intervals over seeds", fontsize=12)
    return say(figure, f"The best of {EPOCHS} epochs, chosen by some photographs. By their number, the points by "
                       f"which it is ahead of the last epoch: {'; '.join(said)}.")  # fmt: skip


def _line(ax: Axes, rows: pd.DataFrame, colour: str, marker: str) -> pd.Series:
    """A line of mean differences to the last epoch in points, one for each number that chose; the means."""
    groups = (100 * (rows["accuracy"] - rows["last"])).groupby(rows["chosen_by"])
    found = pd.DataFrame({count: mean_interval(values)._asdict() for count, values in groups}).T
    reach = found["mean"] - found["low"], found["high"] - found["mean"]
    ax.errorbar(found.index, found["mean"], reach, color=colour, marker=marker, ms=8, lw=2.5, capsize=4)
    return found["mean"]


@styled
def splits_and_folds(scores: dict[str, np.ndarray], test: dict[str, float]) -> Figure:
    """Estimates of accuracy a stage: from single splits, from all folds together, and on the test split.

    Under each stage stands how often it is the best, by one split and by all folds; in a tie it is the first.

    Args:
        scores: stage -> accuracies, partitions x folds, of partitions that are the same for all stages.
        test: stage -> the accuracy on the test split, a line for comparison.
    """
    all_scores = np.stack(list(scores.values()))
    folds = all_scores.shape[2]
    kinds = {"one split": (all_scores.reshape(len(scores), -1), -0.2, RED, "s", 22),
             f"{folds} folds": (all_scores.mean(axis=2), 0.22, BLUE, "o", 20)}  # fmt: skip
    figure = Drawing(figsize=(10, 5.2), layout="constrained")
    ax, labels, said = figure.subplots(), list(scores), []
    for name, (values, shift, colour, marker, size) in kinds.items():
        swarms = [_swarm(row) for row in values]
        widest = max(np.ptp(swarm) for swarm in swarms) or 1.0
        for place, (row, swarm) in enumerate(zip(values, swarms, strict=True)):
            ax.scatter(place + shift + 0.4 * swarm / widest, row, s=size, marker=marker, color=colour_of(colour, MARK),
                       lw=0, label=f"{name}, {len(row)} times" if place == 0 else None)  # fmt: skip
        best = np.bincount(values.argmax(axis=0), minlength=len(scores)) / values.shape[1]
        labels = [f"{label}\n{name}: {share:.0%}" for label, share in zip(labels, best, strict=True)]
        said.append(f"{name}: from lowest to highest {_listed(scores, np.ptp(values, axis=1))}, "
                    f"chosen {_listed(scores, best)}")  # fmt: skip
    ends = [np.arange(len(test)) + end for end in (-0.42, 0.44)]
    ax.hlines(list(test.values()), *ends, color=ground().ink, lw=2, label="test split, not used to choose")
    ax.set_xticks(range(len(scores)), labels, fontsize=11)
    ax.tick_params(axis="x", length=0)
    ax.grid(False, axis="x")
    ax.set(ylabel="right answers of a probe", xlabel="stage, and how often each way chooses it")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    figure.suptitle("One split is a matter of luck; folds agree with each other")
    figure.legend(loc="outside lower center", ncols=3, handletextpad=0.3, markerscale=1.8)
    return say(figure, f"Estimates of accuracy for each stage. {'; '.join(said)}; on the test split "
                       f"{_listed(scores, test.values())}.")  # fmt: skip


def _listed(names: Iterable, values: Iterable[float], form: str = ".2f") -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(names, values, strict=True))


def _swarm(values: np.ndarray) -> np.ndarray:
    """Shifts to the side, one apart, so that equal values stand in a row around their middle."""
    shifts = np.zeros(len(values))
    for value in np.unique(values.round(6)):
        same = np.flatnonzero(values.round(6) == value)
        shifts[same] = np.arange(len(same)) - (len(same) - 1) / 2
    return shifts
