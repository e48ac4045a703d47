"""How many times fewer examples a method needs than its control, with an interval."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from course_utils.errors import CourseError
from course_utils.evidence.claims import paired_difference


class Fewer(NamedTuple):
    """How many times fewer examples a method needs to do as well as its control at the largest size.

    `factor` with its 95 % limits `low` and `high`, for what `covers` says; `examples` of each class at which the
    method is level with `accuracy`, the control's mean at its `largest` number. A limit beyond the measured sizes is
    inf; where there are fewer than five seeds the limits are nan.
    """

    factor: float
    low: float
    high: float
    examples: float
    largest: int
    accuracy: float
    covers: str

    def __str__(self) -> str:
        """The factor with its interval, in words."""
        if np.isnan(self.low):
            return f"{self.factor:.0f} times fewer (too few seeds for an interval)"
        upper = f"to {self.high:.0f}" if np.isfinite(self.high) else "or more, beyond the sizes measured"
        return f"{self.factor:.0f} times fewer (95 % interval {self.low:.0f} {upper}, for {self.covers})"


def times_fewer(table: pd.DataFrame, method: str, control: str) -> Fewer:
    """Read off how many examples of each class `method` needs to match `control` at its largest size.

    At each size, the accuracy of the method minus the control's at its largest size is a `paired_difference`: its mean
    and its 95 % limits, for new seeds and new test items where the table has hits. Over the sizes, the means are
    joined by straight lines over the logarithm of the size, and so are the limits; each line's crossing of nought
    gives one of `factor`, `low`, `high`.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy; `correct` and `task` where known.
        method, control: two of the strategies. What a factor means depends on the control, so name it with it.
    Raises:
        CourseError: an arm or a column is missing, sizes are no numbers above 0, or runs cannot be paired by seed.
    """
    _check(table, method, control)
    runs = {name: table[table["strategy"] == name] for name in (method, control)}
    largest = int(runs[control]["per_class"].max())
    goal = runs[control][runs[control]["per_class"] == largest]
    at_size = dict(iter(runs[method].groupby("per_class")))
    gaps = [paired_difference(pd.concat([rows, goal]), method, control) for rows in at_size.values()]
    examples, latest, earliest = (
        _crossing(np.array(list(at_size)), np.array([getattr(gap, name) for gap in gaps]))
        for name in ("mean", "low", "high")
    )
    factor, low, high = (largest / n if n else float("inf") for n in (examples, latest, earliest))
    return Fewer(factor, low, high, examples, largest, float(goal["accuracy"].mean()), gaps[0].covers)


def _check(table: pd.DataFrame, method: str, control: str) -> None:
    if missing := {"strategy", "per_class", "seed", "accuracy"} - set(table):
        raise CourseError(f"The table has no column {', '.join(sorted(missing))}; it has {', '.join(map(str, table))}.")
    known = table["strategy"].unique().tolist()
    if unknown := [name for name in (method, control) if name not in known]:
        raise CourseError(f"No row has strategy {unknown[0]!r}; there is {', '.join(map(repr, known))}.")
    sizes = table["per_class"]
    if sizes.dtype.kind not in "iuf" or not (sizes > 0).all():
        raise CourseError("The column per_class should hold numbers above 0, the examples of each class.")


def _crossing(sizes: np.ndarray, values: np.ndarray) -> float:
    """The size from which `values` stay above nought, between sizes by a straight line over log size.

    0 where they are above it from the first size on, inf where they end below it, nan where there are none.
    """
    if np.isnan(values).any():
        return float("nan")
    below = np.flatnonzero(values < 0)
    if not len(below):
        return 0.0
    if below[-1] == len(sizes) - 1:
        return float("inf")
    a, b = below[-1], below[-1] + 1
    share = -values[a] / (values[b] - values[a])
    return float(np.exp(np.log(sizes[a]) + share * np.log(sizes[b] / sizes[a])))
