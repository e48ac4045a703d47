"""What the numbers do and do not show: differences paired by seed, their intervals, and claims."""

import os
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import CourseError
from course_utils.evidence.results import unpack

FEWEST_PAIRS = 5  # below, there are points and no interval
VERDICTS = ("holds", "leans", "does not hold")
RESAMPLES = 2000
RESULTS = ("seed", "accuracy", "correct", "seconds")  # columns by which nobody filters


class Interval(NamedTuple):
    """A mean with its 95 % interval; `n` is the number of seeds behind it."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: np.ndarray) -> Interval:
    """Student-t 95 % interval of the mean of `values`, one a seed.

    Below two values there is no spread to measure: `low` and `high` are then nan.
    """
    values = np.asarray(values, float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


class Effect(NamedTuple):
    """A difference in accuracy, a - b, paired by seed, with its 95 % interval.

    `agree` of the `n` pairs have the sign of the mean; `ties` are pairs without a difference. Below five pairs
    `low` and `high` are nan: there are points, and nothing to claim. `stored` names the experiment of the rows.
    """

    mean: float
    low: float
    high: float
    n: int
    agree: int
    ties: int
    differences: np.ndarray
    stored: str = ""

    def __str__(self) -> str:
        """The difference with its interval and how many seeds agree, in words."""
        if self.n < FEWEST_PAIRS:
            return f"{self.mean:+.3f} (only {self.n} seeds, so no interval)"
        ties = f", {self.ties} tied" if self.ties else ""
        return (
            f"{self.mean:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f}; "
            f"{self.agree} of {self.n} seeds agree{ties})"
        )

    __repr__ = __str__


def paired_difference(table: pd.DataFrame, a: object, b: object, on: str = "strategy", items: bool = False) -> Effect:
    """Accuracy of `a` minus accuracy of `b`, paired by seed, with its Student-t 95 % interval.

    Args:
        table: one row a run, with the columns seed, accuracy and `on`; one row for each arm and seed.
        a, b: two values of the column `on`.
        items: let the interval cover other test items too, not just other seeds. It takes the column `correct`
            of stored results; the differences of the items, each a mean over seeds, are resampled 2,000 times,
            and the spread of their mean widens the interval (in squares, which is slightly too wide).
            Source: Owen 2007, "The pigeonhole bootstrap", section 3.
    Raises:
        CourseError: an arm or column is missing, no seed is in both arms, or an arm has several rows a seed.
    """
    arms = [_arm(table, value, on) for value in (a, b)]
    seeds = arms[0].index.intersection(arms[1].index).sort_values()
    if seeds.empty:
        raise CourseError(f"No seed has both {a!r} and {b!r}, so nothing can be paired.")
    first, second = (arm.loc[seeds] for arm in arms)
    gaps = (first["accuracy"] - second["accuracy"]).round(10).to_numpy()
    mean, low, high, n = mean_interval(gaps)
    if n < FEWEST_PAIRS:
        low = high = float("nan")
    elif items:
        half = float(np.hypot(high - mean, _items_half(first, second)))
        low, high = mean - half, mean + half
    agree = int((np.sign(gaps) == np.sign(mean)).sum()) if mean else 0
    return Effect(mean, low, high, n, agree, int((gaps == 0).sum()), gaps, table.attrs.get("stored", ""))


def _arm(table: pd.DataFrame, value: object, on: str) -> pd.DataFrame:
    """The rows of one arm, by seed."""
    missing = [name for name in ("seed", "accuracy", on) if name not in table]
    if missing:
        raise CourseError(f"The table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.")
    rows = table[table[on] == value]
    if rows.empty:
        known = ", ".join(map(repr, table[on].unique()))
        raise CourseError(f"No row has {on} {value!r}; there is {known}.")
    if rows["seed"].duplicated().any():
        varied = [c for c in rows if c not in (*RESULTS, on) and 1 < rows[c].nunique() < len(rows)]
        remedy = f"Filter the table by {' and '.join(varied)} first." if varied else "Drop the rows that came twice."
        raise CourseError(f"{value!r} has several rows a seed, and a pair is one of each.\n{remedy}")
    return rows.set_index("seed")


def _items_half(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Half of the 95 % interval of the mean difference over resampled test items."""
    if "correct" not in first:
        raise CourseError("items=True needs the column `correct`, which items were right; stored results have it.")
    bits = [unpack(rows["correct"], 4 * len(rows["correct"].iloc[0])) for rows in (first, second)]
    accuracies = first["accuracy"].sum() + second["accuracy"].sum()
    count = round((bits[0].sum() + bits[1].sum()) / max(accuracies, 1e-9))  # the last bits may be padding
    if not count:
        return 0.0
    gaps = (bits[0].mean(0) - bits[1].mean(0))[:count]
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    return float(stats.norm.ppf(0.975) * gaps[draws].mean(1).std(ddof=1))


class Claim(NamedTuple):
    """A sentence with its measured value, and what the measurement says of it."""

    sentence: str
    verdict: str

    def __str__(self) -> str:
        """The sentence and the verdict."""
        return f"{self.sentence}\nVerdict: {self.verdict}{_EXPLAINED[self.verdict]}"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"> {self.sentence}\n>\n> **{self.verdict}**{_EXPLAINED[self.verdict]}"


_EXPLAINED = {
    "holds": "",
    "leans": " (this way, but the interval includes zero)",
    "does not hold": "",
    "too few pairs": f" (a claim takes {FEWEST_PAIRS} seeds or more)",
}


def claim(text: str, effect: Effect, direction: str = "higher", expect: str = "holds") -> Claim:
    """The sentence `text` with the measured value in the place of {effect}, and its verdict.

    It "holds" when the whole interval lies on the side of zero that `direction` names, "leans" when only the
    mean does, and "does not hold" otherwise.

    Args:
        effect: from `paired_difference`, or anything with mean, low and high.
        direction: "higher" (a is better than b) or "lower".
        expect: the verdict of the stored rows. In strict mode (COURSE_STRICT=1) another verdict of stored rows
            is an error; a live run may come out as it likes.
    """
    if "{effect}" not in text or direction not in ("higher", "lower") or expect not in VERDICTS:
        raise CourseError(
            "claim takes a text with {effect} in it, a direction (higher or lower) and the verdict expected:\n"
            f"{', '.join(VERDICTS)}. This is {text!r}, {direction!r}, {expect!r}."
        )
    verdict = _verdict(effect, 1 if direction == "higher" else -1)
    if os.environ.get("COURSE_STRICT") == "1" and getattr(effect, "stored", "") and verdict != expect:
        raise CourseError(
            f"The stored rows of {effect.stored} no longer bear this claim out: {verdict}, not {expect}.\n"
            f"{text.replace('{effect}', str(effect))}\nChange the text with its verdict, or look what changed the rows."
        )
    return Claim(text.replace("{effect}", str(effect)), verdict)


def _verdict(effect: Effect, sign: int) -> str:
    if np.isnan(effect.low):
        return "too few pairs"
    if min(sign * effect.low, sign * effect.high) > 0:
        return "holds"
    return "leans" if sign * effect.mean > 0 else "does not hold"
