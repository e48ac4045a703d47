"""The figure of the lesson: where along a network is the best stage for a task?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.evidence.claims import accuracy_of
from course_utils.evidence.items import chance_of, measure_of
from course_utils.lessons.lesson01.stages import best_stage, stages_of
from course_utils.plots.comparisons import BACKBONES, TASKS
from course_utils.plots.contrast import readable
from course_utils.plots.style import Drawing, ground, say, styled

TRAINED = "#3f90da"
REACH = 125  # per cent that a panel shows, with room for a star
LEGEND = (
    "right answers on test pictures{of_tiles}, 95 % intervals · blue: trained, grey: untrained\n"
    "★ chosen on training pictures: filled where it clearly beats every other stage, else hollow · dots: chance"
)


@styled
def best_stages(*tables: pd.DataFrame, tasks: dict[str, str] = TASKS) -> Figure:
    """Accuracy of probes at each stage as bars, the untrained network's behind them in grey, a star on the chosen one.

    Args:
        tables: a row of panels each: `probed` features of one backbone.
        tasks: task -> what it is called, from left to right; one that a table has not stays empty.
    """
    counts = [len(stages_of(table)) for table in tables]
    figure = Drawing(figsize=(2.75 * len(tasks), 0.6 + 0.7 * len(counts) + 0.42 * sum(counts)), layout="constrained")
    grid = figure.subplots(len(tables), len(tasks), height_ratios=counts, squeeze=False)
    said = []
    for axes, table in zip(grid, tables, strict=True):
        network = BACKBONES[table["backbone"].iloc[0]] + (", places kept" if table["positions"].iloc[0] > 1 else "")
        for ax, (task, title) in zip(axes, tasks.items(), strict=True):
            rows = table[table["task"] == task]
            if rows.empty:
                ax.axis("off")
            else:
                said.append(f"{network}, {_panel(ax, rows, title)}")
            if ax is not axes[0]:
                ax.set_yticklabels([])
        axes[0].set_ylabel(network.replace(", ", "\n"))
    figure.supxlabel(LEGEND.format(of_tiles=" (tiles: mean over the kinds)" if "tiles" in tasks else ""), fontsize=11)
    return say(figure, " ".join(said))


def _panel(ax: Axes, rows: pd.DataFrame, title: str) -> str:
    """One task: bars from the first stage, at the top, to the last; what they show in words."""
    task, stages, trained = rows["task"].iloc[0], stages_of(rows), rows[rows["network"] == "pretrained"]
    bars = [accuracy_of(trained[trained["stage"] == stage]) for stage in stages]
    mean, low, high = 100 * np.array([bar[:3] for bar in bars]).T
    twin = rows[rows["network"] == "untrained"].groupby("stage")[measure_of(task)].mean()
    places, chance = np.arange(len(stages)), 100 * chance_of(task)
    colour = readable(TRAINED, ground().faint, 3.2)
    ax.barh(places, 100 * twin[stages], 0.86, color=ground().faint, edgecolor=ground().grey, lw=0.8)
    ax.barh(places, mean, 0.46, color=colour)
    ax.errorbar(mean, places, xerr=(mean - low, high - mean), ls="", color=ground().ink, lw=1.6, capsize=3)
    ax.axvline(chance, color=ground().ink, ls=":", lw=1.6)
    best = best_stage(trained)
    at = stages.index(best.stage)
    inside = ground().ink if best.clear else ground().paper
    ax.plot(high[at] + 0.07 * REACH, at, "*", ms=15, mfc=inside, mec=ground().ink, mew=1.3)
    ax.set(yticks=places, yticklabels=stages, ylim=(len(stages) - 0.4, -0.6), xlim=(0, REACH))
    ax.set_xticks([0, 50, 100])
    ax.xaxis.set_major_formatter("{x:.0f} %")
    ax.grid(visible=False, axis="y")
    ax.set_title(f"{title}: {best.stage}" if best.clear else f"{title}: not clear")
    numbers = ", ".join(f"{stage} {value:.0f} %" for stage, value in zip(stages, mean, strict=True))
    lead = "clearly leads every other stage" if best.clear else "does not clearly lead every other stage"
    return f"{title}: {numbers}; {best.stage} {lead}; untrained {100 * twin.min():.0f} to {100 * twin.max():.0f} %."
