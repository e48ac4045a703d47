"""Training curves: what was measured in training against the updates."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.plots.comparisons import name_ends
from course_utils.plots.style import Drawing, look, say, styled

SMOOTH = 10  # updates over which the values of single batches are averaged
MEASURES = {"loss": "training loss", "accuracy": "training accuracy"}  # on the batches


@styled
def learning_curves(
    runs: dict[str, pd.DataFrame], columns: Sequence[str] = ("loss", "accuracy"), ax: Axes | None = None
) -> Figure:
    """What was measured in training against the updates, a panel a column, a line an arm.

    Values of single batches are averaged over 10 updates; those that are measured now and then, such as
    validation_accuracy, are drawn as they are.

    Args:
        runs: strategy -> the table of its history, with the column step. A table of several runs has a column
            seed too; its line is then the mean over seeds, in its 95 % interval.
        columns: what to draw, of the columns of the tables.
        ax: where to draw a single column.
    """
    have = list(dict.fromkeys(name for table in runs.values() for name in getattr(table, "columns", ())))
    missing = [name for name in columns for table in runs.values() if name not in getattr(table, "columns", ())]
    if missing or not have or (ax is not None and len(columns) > 1):
        raise CourseError(
            f"learning_curves draws columns of tables, one for one ax. They have {', '.join(have) or 'none'}.\n"
            "The table of a history is history.table: learning_curves({'fine_tuning': history.table})."
        )
    if ax is None:
        figure = Drawing(figsize=(9 if len(columns) > 1 else 7, 4.2), layout="constrained")
        panels = figure.subplots(1, len(columns), squeeze=False)[0]
    else:
        panels = [ax]
    named = panels[-1]  # the names beside one panel serve its neighbours
    said = [_curves(panel, runs, column, panel is named) for panel, column in zip(panels, columns, strict=True)]
    return say(named.figure, " ".join(said))


def _curves(ax: Axes, runs: dict[str, pd.DataFrame], column: str, named: bool) -> str:
    """One panel of learning curves, and what it shows in words."""
    ends, said, steps = [], [], max(table["step"].max() for table in runs.values())
    for strategy, table in runs.items():
        arm, curve = look(strategy), _over_seeds(table, column)
        every = max(1, len(curve) // 5)
        ax.plot(curve.index, curve["mean"], color=arm.line, lw=2.5, marker=arm.marker, markevery=every, ms=7)
        if curve["n"].iloc[-1] > 1:
            ax.fill_between(curve.index, curve["low"], curve["high"], color=arm.line, alpha=0.08, lw=0, zorder=0.5)
            for edge in ("low", "high"):
                ax.plot(curve.index, curve[edge], color=arm.line, lw=0.9)
        ends.append((steps, curve["mean"].iloc[-1], f"{arm.sign} {arm.name}", arm.letters))
        said.append(f"{arm.name} goes from {curve['mean'].iloc[0]:.2f} to {curve['mean'].iloc[-1]:.2f}")
    name = MEASURES.get(column, column.replace("_", " "))
    smoothed = any(_is_dense(table, column) for table in runs.values())
    ax.set(xlabel=f"update (lines: means over {SMOOTH})" if smoothed else "update", ylabel=name)
    ax.set(xlim=(0, steps), ylim=(0, 1.02 if "accuracy" in column else None))
    if named:
        name_ends(ax, ends)
    return f"{name[0].upper()}{name[1:]} over {steps} updates: {'; '.join(said)}."


def _is_dense(table: pd.DataFrame, column: str) -> bool:
    return bool(table[column].notna().all() and table["step"].nunique() > 3 * SMOOTH)


def _over_seeds(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row a step: mean, low, high and n over the seeds, after averaging each run over its last updates."""
    seeds = table["seed"] if "seed" in table else pd.Series(0, table.index)
    wide = table.assign(seed=seeds).pivot(index="step", columns="seed", values=column).dropna()
    if _is_dense(table, column):
        wide = wide.rolling(SMOOTH, min_periods=1).mean()
    return pd.DataFrame([mean_interval(row) for row in wide.to_numpy()], index=wide.index)
