"""A stored run done again, to see whether about the same comes out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils import registry
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.experiments import load_results, one_run

CHEAP = 2  # seconds of a run that a lesson may do again


class SpotCheck(NamedTuple):
    """One stored run done again: its `setting`, both accuracies, and the 99 % prediction interval of the stored.

    Where the data cannot be had, `accuracy` is nan and `hindrance` says why.
    """

    setting: dict
    stored: float
    accuracy: float
    low: float
    high: float
    seconds: float
    hindrance: str = ""

    @property
    def inside(self) -> bool:
        """Whether the new run could be one of the stored ones."""
        return self.low <= self.accuracy <= self.high

    def __str__(self) -> str:
        """What was run, what came, and whether that fits."""
        what = ", ".join(f"{name} {value}" for name, value in self.setting.items())
        if self.hindrance:
            return f"Not run again here ({what}), so the stored {self.stored:.3f} stands unchecked:\n{self.hindrance}"
        verdict = "inside" if self.inside else "OUTSIDE"
        return (
            f"Run again here ({what}): accuracy {self.accuracy:.3f}; stored: {self.stored:.3f}.\n"
            f"That is {verdict} the 99 % prediction interval of the stored runs, {self.low:.3f} to {self.high:.3f}."
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self).replace("_", r"\_").replace("\n", "\n\n")


def spot_check(name: str) -> SpotCheck:
    """Do a cheap stored run again, with its seed, and compare it with the runs of the same setting.

    Of the settings that take two seconds at most (or as little as any does), it is the one that spreads least.

    The 99 % prediction interval is Student's for one more run: mean ± t · s · √(1 + 1/n).

    Raises:
        CourseError: no such study, or no setting with five seeds or more whose accuracies differ.
    """
    study, table = registry.study(name), load_results(name)
    keys = list(study.grid[0])
    groups = table.groupby(keys)["accuracy"]
    spread = groups.transform("std")
    enough = table[(groups.transform("count") >= 5) & (spread > 0)]
    if enough.empty:
        raise CourseError(f"{name} has no setting with five seeds or more whose accuracies differ: nothing to check.")
    cheap = enough[enough["seconds"] <= max(CHEAP, enough["seconds"].min())]
    row = table.loc[spread[cheap.index].idxmin()]
    run = {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in [*keys, "seed"]}
    values = table.loc[(table[keys] == row[keys]).all(axis=1), "accuracy"]
    low, high = _prediction_interval(values)
    try:
        again = one_run(study.function, run, study.measures)
    except DataUnavailable as error:
        reason = str(error).splitlines()[0]
        return SpotCheck(run, float(row["accuracy"]), float("nan"), low, high, 0.0, reason)
    return SpotCheck(run, float(row["accuracy"]), again["accuracy"], low, high, again["seconds"])


def _prediction_interval(values: pd.Series) -> tuple[float, float]:
    n = len(values)
    half = stats.t.ppf(0.995, n - 1) * values.std() * np.sqrt(1 + 1 / n)
    return float(values.mean() - half), float(values.mean() + half)
