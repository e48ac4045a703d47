"""Which stage serves a task best, and what trained weights add at each: read off stored probes of frozen networks."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
from scipy import stats

from course_utils.errors import CourseError
from course_utils.evidence.claims import Effect, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.evidence.items import measure_of
from course_utils.grids.frozen import LITE0_STAGES, PENALTIES
from course_utils.plots.comparisons import BACKBONES, TASKS


class Best(NamedTuple):
    """The stage that tuning chose, its `leads` over every other one on test pictures, and whether all are `clear`."""

    stage: str
    leads: dict[str, Effect]
    clear: bool


def probed(name: str, per_class: int = 10, positions: int = 1) -> pd.DataFrame:
    """Stored probes at one size, of features averaged over all places (1) or kept apart in a 4 x 4 grid (4).

    The column `chosen` holds the stage that is best on the tuning study's seeds, which see the training pool alone.

    Args:
        name: a study of stages, "stages" or "stages_lite0", beside which `NAME_tuning` is stored.
    Raises:
        CourseError: there are no such rows.
    """
    one = f"per_class == {per_class} and positions == {positions}"
    tuned = load_results(f"{name}_tuning").query(one).groupby(["network", "task", "stage"])[list(PENALTIES)].mean()
    best = tuned.max(axis=1).groupby(["network", "task"]).idxmax().str[-1].rename("chosen")
    every = load_results(name)
    runs = every.query(one)
    if runs.empty:
        sizes, sides = ([*map(str, sorted(every[column].unique()))] for column in ("per_class", "positions"))
        raise CourseError(
            f"No rows of {name} have {per_class} examples of each class and positions {positions}.\n"
            f"There are the sizes {', '.join(sizes)}, with positions {', '.join(sides)}."
        )
    found = runs.join(best, on=["network", "task"])
    found.attrs = runs.attrs
    return found


def stages_of(rows: pd.DataFrame) -> list[str]:
    """The stages that some rows have, in order."""
    return [stage for stage in LITE0_STAGES if stage in set(rows["stage"])]


def best_stage(rows: pd.DataFrame) -> Best:
    """How clearly the chosen stage leads, of the rows of one trained network on one task.

    Clear means: ahead of each other stage, by intervals over new seeds and new test items that stay above zero
    after Holm's correction for so many comparisons.

    Raises:
        CourseError: there are no rows.
    """
    if rows.empty:
        raise CourseError("There are no rows to choose a stage from.\nIs the task one of the table's?")
    chosen, measure = rows["chosen"].iloc[0], measure_of(rows["task"].iloc[0])
    others = [stage for stage in stages_of(rows) if stage != chosen]
    leads = {other: paired_difference(rows, chosen, other, on="stage", measure=measure) for other in others}
    return Best(chosen, leads, above_zero(leads.values()))


def above_zero(effects: Iterable[Effect]) -> bool:
    """Whether every one of several differences lies above zero, as Holm tests them: the surest at .05 / their number.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    effects = list(effects)
    surest_first = sorted(map(_p_value, effects))
    kept = all(p < 0.05 / (len(effects) - k) for k, p in enumerate(surest_first))
    return kept and all(effect.mean > 0 for effect in effects)


def _p_value(effect: Effect) -> float:
    """Two-sided, of the Student-t interval that the difference has."""
    half = max((effect.high - effect.low) / 2, 1e-12)
    return float(2 * stats.t.sf(abs(effect.mean) / half * stats.t.ppf(0.975, effect.n - 1), effect.n - 1))


def on_other_photonets() -> dict[str, Effect]:
    """How far layer3 leads layer4 with ten letters of each, on the PhotoNets of two other seeds: name -> difference."""
    rows = load_results("stages_photonets").query("task == 'letters' and per_class == 10 and positions == 1")
    return {name: paired_difference(part, "layer3", "layer4", on="stage") for name, part in rows.groupby("backbone")}


def gains(rows: pd.DataFrame, tasks: dict[str, str] = TASKS) -> pd.DataFrame:
    """What trained weights add to an untrained network, in points with half of the 95 % interval: tasks x stages."""
    table = {}
    for task, title in tasks.items():
        at = {stage: rows[(rows["task"] == task) & (rows["stage"] == stage)] for stage in stages_of(rows)}
        table[title] = {stage: _in_points(part, measure_of(task)) for stage, part in at.items()}
    return pd.DataFrame(table).T


def gains_at(stage: str, *tables: pd.DataFrame) -> pd.DataFrame:
    """The same at one stage of several networks, a table of `probed` rows each: tasks x networks."""
    at = {}
    for rows in tables:
        tasks = {task: title for task, title in TASKS.items() if task in set(rows["task"])}
        at[BACKBONES[rows["backbone"].iloc[0]]] = gains(rows[rows["stage"] == stage], tasks)[stage]
    return pd.DataFrame(at).reindex(TASKS.values()).fillna("not compared")


def _in_points(rows: pd.DataFrame, measure: str) -> str:
    gain = paired_difference(rows, "pretrained", "untrained", on="network", measure=measure)
    return f"{100 * gain.mean:+.1f} ± {50 * (gain.high - gain.low):.1f}".replace("-", "\N{MINUS SIGN}")
