"""The course's figures, one function a figure: each takes what it draws and returns a figure that says it in words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from course_utils.accuracies import accuracies_at, accuracy_against_examples, interval_words, name_ends
from course_utils.choosing import chosen_epochs, splits_and_folds
from course_utils.comparisons import accuracy_by_task, differences_by_task
from course_utils.contrast import contrast
from course_utils.dissection_plots import dreams, exciting_patches
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.gallery import feature_maps, filters, neighbours, picture_grid, predictions
from course_utils.leak_plots import leaked_and_clean
from course_utils.maps import picture_maps
from course_utils.reliability import reliability
from course_utils.similarity_plots import similarity_maps
from course_utils.stages import best_stages, borrowed_stages, panels
from course_utils.style import Drawing, axes_of, colour_of, ground, look, say, styled

__all__ = [
    "accuracies_at", "accuracy_against_examples", "accuracy_by_task", "best_stages", "borrowed_stages",
    "chosen_epochs", "confusion_matrix", "differences_by_task", "dreams", "exciting_patches", "feature_maps",
    "filters", "leaked_and_clean", "learning_curves", "neighbours", "panels", "picture_grid", "picture_maps",
    "predictions", "reliability", "seeds_as_dots", "similarity_maps", "splits_and_folds",
]  # fmt: skip
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
    missing = [name for name in columns for table in runs.values() if name not in table]
    if missing or (ax is not None and len(columns) > 1):
        have = ", ".join(next(iter(runs.values())).columns)
        raise CourseError(f"learning_curves draws columns of the tables, one for one ax. They have {have}.")
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


@styled
def confusion_matrix(counts: np.ndarray, classes: Sequence[str], ax: Axes | None = None) -> Figure:
    """How many examples of each class were called what; the shade is the share of the row.

    Args:
        counts: C x C whole numbers, a row for each true class, as scikit-learn's `confusion_matrix` gives them.
        classes: C names.
    Raises:
        CourseError: `counts` is not C x C.
    """
    counts = np.asarray(counts)
    many = len(classes)
    if counts.shape != (many, many):
        raise CourseError(f"{many} classes need {many} x {many} counts, not {' x '.join(map(str, counts.shape))}.")
    side, size = min(9.0, 2.6 + 0.42 * many), 16 if many <= 4 else 12 if many <= 15 else 9
    ax = axes_of(ax, (side, side - 0.4))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("shares", [ground().paper, colour_of("#3f90da", 7)])
    ax.imshow(shares, cmap=shades, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count or many <= 4:  # among many classes an empty cell is easier to read than a nought
            colour = _ink_on(shades(shares[row, column])[:3])
            ax.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=size)
    turn = {"rotation": 90} if many > 4 and max(map(len, classes)) > 2 else {}
    ax.set_xticks(range(many), classes, **turn)
    ax.set_yticks(range(many), classes)
    ax.set(xlabel="predicted", ylabel="true class")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    return say(ax.figure, _words_of_confusion(counts, classes))


def _ink_on(colour: tuple) -> str:
    """Black or white, whichever is easier to read on `colour`."""
    return max(("black", "white"), key=lambda ink: contrast((0, 0, 0) if ink == "black" else (1, 1, 1), colour))


def _words_of_confusion(counts: np.ndarray, classes: Sequence[str]) -> str:
    right, total = int(np.trace(counts)), int(counts.sum())
    text = f"{right} of {total} examples are right ({right / max(total, 1):.0%})."
    wrong = counts - np.diag(np.diag(counts))
    if wrong.any():
        i, j = np.unravel_index(wrong.argmax(), wrong.shape)
        whole = f"the {counts[i].sum()} of class {classes[i]}"
        text += f" The commonest mistake: {wrong[i, j]} of {whole} are called {classes[j]}."
    return text
