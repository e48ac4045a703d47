"""How many times fewer examples a method needs than its control, with an interval."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from course_utils.evidence.claims import mean_interval


class Fewer(NamedTuple):
    """How many times fewer examples a method needs to do as well as its control at the largest size.

    `factor` with its 95 % limits `low` and `high`; `examples` a class at which the method is level with
    `accuracy`, the control's mean at its `largest` number a class. A limit beyond the measured sizes is inf.
    """

    factor: float
    low: float
    high: float
    examples: float
    largest: int
    accuracy: float

    def __str__(self) -> str:
        """The factor with its interval, in words."""
        upper = f"to {self.high:.0f}" if np.isfinite(self.high) else "or more, beyond the sizes measured"
        return f"{self.factor:.0f} times fewer (95 % interval {self.low:.0f} {upper})"


def times_fewer(table: pd.DataFrame, method: str, control: str) -> Fewer:
    """Read off how many examples a class `method` needs to match `control` at its largest size.

    At each size, the accuracy of the method minus the control's at its largest size is paired by seed; its mean
    and Student-t 95 % limits are joined by straight lines over the logarithm of the size, and each line's
    crossing of nought gives one of `factor`, `low`, `high`.

    Args:
        table: one row a run, with columns strategy, per_class, seed, accuracy.
    """
    accuracy = table.pivot(index="seed", columns=["strategy", "per_class"], values="accuracy")
    largest = int(max(accuracy[control].columns))
    goal = accuracy[control][largest]
    sizes = np.array(sorted(accuracy[method].columns))
    gaps = [mean_interval(accuracy[method][size] - goal) for size in sizes]
    examples, latest, earliest = (
        _crossing(sizes, np.array([getattr(gap, name) for gap in gaps])) for name in ("mean", "low", "high")
    )
    factor, low, high = (largest / n if n else float("inf") for n in (examples, latest, earliest))
    return Fewer(factor, low, high, examples, largest, float(goal.mean()))


def _crossing(sizes: np.ndarray, values: np.ndarray) -> float:
    """The size from which `values` stay above nought, between sizes by a straight line over log size.

    0 where they are above it from the first size on, inf where they end below it.
    """
    below = np.flatnonzero(values < 0)
    if not len(below):
        return 0.0
    if below[-1] == len(sizes) - 1:
        return float("inf")
    a, b = below[-1], below[-1] + 1
    share = -values[a] / (values[b] - values[a])
    return float(np.exp(np.log(sizes[a]) + share * np.log(sizes[b] / sizes[a])))
