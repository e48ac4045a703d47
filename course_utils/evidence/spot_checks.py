"""A stored run done again, to see whether nearly the same number comes out."""

from typing import NamedTuple

import pandas as pd

from course_utils import registry
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.claims import as_it_is
from course_utils.evidence.experiments import load_results, one_run
from course_utils.evidence.items import number_of
from course_utils.evidence.results import keys_of, remedy

CHEAP = 2  # seconds of a run that a lesson may do again
POINTS, ITEMS = 0.02, 1.5  # by which accuracies may differ: as a share, and in test items; the larger one counts


class SpotCheck(NamedTuple):
    """One stored run done again: its `setting`, both accuracies, and by how much they may differ.

    Where the data cannot be had, `accuracy` is nan and `hindrance` says why.
    """

    setting: dict
    stored: float
    accuracy: float
    allowed: float
    seconds: float
    hindrance: str = ""

    @property
    def near(self) -> bool:
        """Whether nearly the same number came out."""
        return abs(self.accuracy - self.stored) <= self.allowed + 1e-9

    def __str__(self) -> str:
        """What was run, what came, and whether that is near."""
        what = ", ".join(f"{name} {value}" for name, value in self.setting.items())
        if self.hindrance:
            return f"Not run again here ({what}), so the stored {self.stored:.1%} stand unchecked:\n{self.hindrance}"
        verdict = "nearly the same" if self.near else "NOT nearly the same"
        return (
            f"Run again here ({what}): {self.accuracy:.1%} right; stored: {self.stored:.1%}.\n"
            f"That is {verdict}: up to {100 * self.allowed:.1f} points apart is allowed."
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return as_it_is(str(self)).replace("\n", "\n\n")


def spot_check(name: str) -> SpotCheck:
    """Do a stored run again, with its seed: the study's headline, and else a cheap one.

    That is, of the settings that take two seconds at most (or as little as any does), one whose seeds differ least.

    Raises:
        CourseError: no such study, or its headline is not stored.
    """
    study, table = registry.study(name), load_results(name)
    keys = [*study.grid[0], "seed"]
    row = _headline(study.headline, table, name) if study.headline else _cheap(table, keys[:-1])
    run = study.headline or {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in keys}
    allowed = max(POINTS, ITEMS / number_of(table.loc[[row.name]]) if "correct" in table else 0)
    try:
        again = one_run(study.function, run, study.measures)
    except DataUnavailable as error:
        return SpotCheck(run, float(row["accuracy"]), float("nan"), allowed, 0.0, str(error).splitlines()[0])
    return SpotCheck(run, float(row["accuracy"]), again["accuracy"], allowed, again["seconds"])


def _headline(run: dict, table: pd.DataFrame, name: str) -> pd.Series:
    if run.keys() <= set(table):
        same = (keys_of(table, run) == keys_of(pd.DataFrame([run]), run).iloc[0]).all(axis=1)
        if same.any():
            return table[same].iloc[0]
    raise CourseError(f"The run that stands for {name} is not among its stored rows.\n{remedy(name)}")


def _cheap(table: pd.DataFrame, setting: list[str]) -> pd.Series:
    cheap = table[table["seconds"] <= max(CHEAP, table["seconds"].min())]
    spread = table.groupby(setting)["accuracy"].transform("std").fillna(1.0)
    return table.loc[spread[cheap.index].idxmin()]
