"""What the numbers do and do not show: differences paired by seed, their intervals, and claims."""

import html
import os
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import CourseError
from course_utils.evidence.items import half_over_items, measured, tested

FEWEST_PAIRS = 5  # below, there are points and no interval
VERDICTS = ("holds", "refuted", "unknown", "no spread", "too few pairs")
DIRECTIONS = ("higher", "lower", "level")
MEASURES = ("accuracy", "balanced_accuracy")
RESULTS = ("seed", *MEASURES, "correct", "overlap", "seconds")  # columns by which nobody filters
SHARED = 0.5  # of a seed's training examples; seeds that share more are hardly draws


class Interval(NamedTuple):
    """A mean with its 95 % interval; `n` is the number of seeds behind it."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: np.ndarray, over_items: float = 0.0) -> Interval:
    """Student-t 95 % interval of the mean of `values`, one a seed.

    Below two values there is no spread to measure: `low` and `high` are then nan. `over_items`, half of an interval
    over test items, is added in squares. What is left to chance in both is so counted twice, which makes the interval
    slightly too wide. Source: Owen 2007, "The pigeonhole bootstrap", section 3.
    """
    values = np.asarray(values, float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(np.hypot(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n), over_items))
    return Interval(mean, mean - half, mean + half, n)


class Effect(NamedTuple):
    """A difference in accuracy, a - b, paired by seed, with its 95 % interval.

    `agree` of the `n` pairs have the sign of the mean; `ties` are pairs without a difference. Below five pairs
    `low` and `high` are nan: there are points, and nothing to claim. `stored` names the experiment of the rows.
    The interval covers new seeds, and new test items too where it has looked at `items` of them in `groups` that share
    nothing (both 0: seeds alone). `overlap` is the share of a seed's training examples that another seed's hold too.
    """

    mean: float
    low: float
    high: float
    n: int
    agree: int
    ties: int
    differences: np.ndarray
    stored: str = ""
    items: int = 0
    groups: int = 0
    overlap: float = float("nan")

    @property
    def covers(self) -> str:
        """What the interval is for, in words."""
        if self.groups < self.items:
            return f"new seeds and new groups of test items ({self.groups} here)"
        return "new seeds and new test items" if self.items else "new seeds alone, with these test items"

    def __str__(self) -> str:
        """The difference with its interval, what that covers, and how many seeds agree, in words."""
        if self.n < FEWEST_PAIRS:
            return f"{self.mean:+.3f} (only {self.n} seeds, so no interval)"
        ties = f", {self.ties} tied" if self.ties else ""
        return (
            f"{self.mean:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f} for {self.covers}; "
            f"{self.agree} of {self.n} seeds agree{ties})"
        )

    __repr__ = __str__


def paired_difference(
    table: pd.DataFrame, a: object, b: object, on: str = "strategy", items: bool = True, measure: str = "accuracy"
) -> Effect:
    """Accuracy of `a` minus accuracy of `b`, paired by seed, with a 95 % interval for new seeds and new test items.

    Seeds and test items are put together by `mean_interval`: slightly too wide. Which items were right is read from
    the column `correct` of stored results, what they share from `data/results/items.csv` by the column `task`. Without
    hits, or where the arms are of different tasks, the interval is for seeds alone, and the result says so.

    Args:
        table: one row a run, with the columns seed, accuracy and `on`; one row for each arm and seed.
        a, b: two values of the column `on`.
        items: False leaves test items out.
        measure: "accuracy", or "balanced_accuracy" (from its column, or from hits and the classes of a listed task).
    Raises:
        CourseError: an arm or column is missing, no seed is in both arms, an arm has several rows a seed or an
            accuracy that is no number, or hits that do not fit.
    """
    arms = [_arm(table, value, on, measure) for value in (a, b)]
    seeds = arms[0].index.intersection(arms[1].index).sort_values()
    if seeds.empty:
        raise CourseError(f"No seed has both {a!r} and {b!r}, so nothing can be paired.")
    rows = pd.concat([arm.loc[seeds] for arm in arms])
    found = tested(rows) if items or measure not in rows else None
    first, second = np.split(measured(rows, found, measure), 2)
    gaps = (first - second).round(10)
    half = half_over_items(found, measure) if items else None
    mean, low, high, n = mean_interval(gaps, half or 0.0)
    if n < FEWEST_PAIRS:
        low = high = float("nan")
    agree = int((np.sign(gaps) == np.sign(mean)).sum()) if mean else 0
    sizes = (0, 0) if half is None else (len(found.groups), len(set(found.groups)))
    overlap = float(rows["overlap"].max()) if "overlap" in rows else float("nan")
    stored = table.attrs.get("stored", "")
    return Effect(mean, low, high, n, agree, int((gaps == 0).sum()), gaps, stored, *sizes, overlap)


def _arm(table: pd.DataFrame, value: object, on: str, measure: str) -> pd.DataFrame:
    """The rows of one arm, by seed."""
    missing = [name for name in ("seed", "accuracy", on) if name not in table]
    if missing:
        raise CourseError(f"The table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.")
    if measure not in MEASURES:
        raise CourseError(f"measure={measure!r} is not possible.\nGive one of {', '.join(map(repr, MEASURES))}.")
    rows = table[table[on] == value]
    if rows.empty:
        known = ", ".join(map(repr, table[on].unique()))
        raise CourseError(f"No row has {on} {value!r}; there is {known}.")
    if rows["seed"].duplicated().any():
        varied = [c for c in rows if c not in (*RESULTS, on) and 1 < rows[c].nunique() < len(rows)]
        remedy = f"Filter the table by {' and '.join(varied)} first." if varied else "Drop the rows that came twice."
        raise CourseError(f"{value!r} has several rows a seed, and a pair is one of each.\n{remedy}")
    for name in {"accuracy", measure} & set(rows):
        if rows[name].isna().any():
            seeds = ", ".join(map(str, rows.loc[rows[name].isna(), "seed"]))
            raise CourseError(
                f"{value!r} has no {name} for seed {seeds}: it is NaN there.\n"
                "Expected a number for each seed. Do that run again, or drop its row before you compare."
            )
    return rows.set_index("seed")


class Claim(NamedTuple):
    """A sentence with its measured value, what the measurement says of it, and what that means."""

    sentence: str
    verdict: str
    meaning: str = ""

    def __str__(self) -> str:
        """The sentence and the verdict."""
        return f"{self.sentence}\nVerdict: {self.verdict}{self.meaning}"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"> {as_it_is(self.sentence)}\n>\n> **{self.verdict}**{as_it_is(self.meaning)}"


def as_it_is(text: str) -> str:
    """Markdown that shows `text` letter by letter, whatever a task or an arm is called."""
    marked = re.sub(r"([\\`*_{}\[\]()#+.!|~-])", r"\\\1", html.escape(text, quote=False))
    return marked.replace("$", "<span>&#36;</span>")  # a bare one would begin a formula, an escaped one too


def claim(
    text: str, effect: Effect, direction: str = "higher", margin: float | None = None, expect: str = "holds"
) -> Claim:
    """The sentence `text` with the measured value in the place of {effect}, and its verdict.

    It "holds" when the whole interval lies on the side of zero that `direction` names, is "refuted" when the whole
    interval lies on the other, and else "unknown". "level" holds when the interval lies inside of ± `margin`, and is
    refuted when all of it lies outside. "no spread": all seeds gave the same difference. "too few pairs": below five.

    Args:
        effect: from `paired_difference`, or anything with mean, low and high.
        direction: "higher" (a is better than b), "lower", or "level".
        margin: for "level": the difference that would not matter, named before the runs.
        expect: the verdict of the stored rows. In strict mode (COURSE_STRICT=1) another verdict of stored rows
            is an error; a live run may come out as it likes.
    """
    fits = margin is None if direction != "level" else margin is not None and margin > 0
    if "{effect}" not in text or direction not in DIRECTIONS or expect not in VERDICTS or not fits:
        raise CourseError(
            f"claim takes a text with {{effect}} in it, a direction ({', '.join(DIRECTIONS)}), a margin above zero\n"
            f"with level and with nothing else, and the verdict expected ({', '.join(VERDICTS)}).\n"
            f"This is {text!r}, {direction!r}, margin={margin}, {expect!r}."
        )
    verdict = _verdict(effect, direction, margin)
    sentence = text.replace("{effect}", str(effect))
    if os.environ.get("COURSE_STRICT") == "1" and getattr(effect, "stored", "") and verdict != expect:
        raise CourseError(
            f"The stored rows of {effect.stored} no longer bear this claim out: {verdict}, not {expect}.\n"
            f"{sentence}\nChange the text with its verdict, or look what changed the rows."
        )
    return Claim(sentence, verdict, _meaning(verdict, effect, margin))


def _verdict(effect: Effect, direction: str, margin: float | None) -> str:
    low, high = effect.low, effect.high
    if np.isnan(low):
        return "too few pairs"
    if np.ptp(getattr(effect, "differences", (low, high))) == 0:
        return "no spread"
    if direction == "level":
        inside, outside = -margin < low and high < margin, low >= margin or high <= -margin
    else:
        inside, outside = (low > 0, high < 0) if direction == "higher" else (high < 0, low > 0)
    return "holds" if inside else "refuted" if outside else "unknown"


def _meaning(verdict: str, effect: Effect, margin: float | None) -> str:
    """What a verdict means in numbers, and what keeps it from being more."""
    side = "on the other side" if margin is None else f"outside of ± {margin:g}"
    said = {
        "holds": "" if margin is None else f" (the whole interval lies inside of ± {margin:g})",
        "refuted": f" (the whole interval lies {side})",
        "unknown": f" (the difference lies within ± {max(abs(effect.low), abs(effect.high)):.3f})",
        "no spread": " (every seed gave the same difference: nothing varied, so this is no result)",
        "too few pairs": f" (a claim takes {FEWEST_PAIRS} seeds or more)",
    }[verdict]
    if (shared := getattr(effect, "overlap", 0)) > SHARED:
        said += f". Seeds share {100 * shared:.0f} % of their training examples: no claim rests on this size alone."
    return said
