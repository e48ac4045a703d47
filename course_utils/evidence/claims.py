"""What the numbers do and do not show: differences paired by seed, their intervals, and claims."""

import html
import os
import re
from numbers import Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.data.splits import show_some
from course_utils.errors import CourseError, check_switch
from course_utils.evidence.items import GROUPS, Tested, half_interval, measure_of, tested

FEWEST_PAIRS = 5  # below, there are points and no interval
VERDICTS = ("holds", "refuted", "unknown", "no spread", "too few pairs")
DIRECTIONS = ("higher", "lower", "level")
MEASURES = ("accuracy", "balanced_accuracy")
RESULTS = ("seed", *MEASURES, "correct", "overlap", "seconds")  # columns by which nobody filters
SEEDS_ALONE = "new seeds alone, with these test items"
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
    if values.ndim != 1 or not len(values):
        raise CourseError(f"mean_interval takes one value a seed, one at least; these have the shape {values.shape}.")
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(np.hypot(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n), over_items))
    return Interval(mean, mean - half, mean + half, n)


def accuracy_of(runs: pd.DataFrame) -> Interval:
    """The mean of one arm's runs, as `measure_of` their task says, and its interval as in `paired_difference`."""
    if "accuracy" not in runs or not len(runs):
        raise CourseError("accuracy_of takes runs with their accuracy, one at least.\nDoes a filter leave no row?")
    measure = measure_of(runs["task"].iloc[0] if "task" in runs else None)
    found = tested(runs, measure)
    over_items = half_interval(found.right.mean(0), found.weights, found.groups) if found else 0.0
    return mean_interval(runs[measure], over_items)


class Effect(NamedTuple):
    """A difference in accuracy, a - b, paired by seed, with its 95 % interval.

    `agree` of the `n` pairs have the sign of the mean; `ties` are pairs without a difference. Below five pairs
    `low` and `high` are nan: there are points, and nothing to claim. `stored` names the experiment of the rows.
    `covers` says what the interval is for, `groups` how many groups of test items that share nothing it rests on (0:
    seeds alone), and `overlap` which share of a seed's training examples another seed's hold too.
    """

    mean: float
    low: float
    high: float
    n: int
    agree: int
    ties: int
    differences: np.ndarray
    stored: str = ""
    covers: str = SEEDS_ALONE
    groups: int = 0
    overlap: float = float("nan")

    def __str__(self) -> str:
        """The difference with its interval, what that covers, and how many seeds agree, in words."""
        mean, low, high = (100 * value for value in (self.mean, self.low, self.high))
        if self.n < FEWEST_PAIRS:
            return f"{mean:+.1f} points (only {self.n} seeds, so no interval)"
        ties = f", {self.ties} tied" if self.ties else ""
        return (
            f"{mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f} for {self.covers}; "
            f"{self.agree} of {self.n} seeds agree{ties})"
        )

    __repr__ = __str__


def paired_difference(
    table: pd.DataFrame, a: object, b: object, on: str = "strategy", items: bool = True, measure: str = "accuracy"
) -> Effect:
    """Accuracy of `a` minus accuracy of `b`, paired by seed, with a 95 % interval for new seeds and new test items.

    Which items were right is read from the column `correct` of stored results, what they share from
    `data/results/items.csv` by the column `task`; put together (`mean_interval`), the interval is slightly too wide.
    Without hits, or where the arms are of different tasks, it is for seeds alone, and the result says so.

    Args:
        table: one row a run, with the columns seed, accuracy and `on`; one row for each arm and seed.
        a, b: two values of the column `on`.
        items: False leaves test items out.
        measure: "accuracy", or "balanced_accuracy" (from its column, or from hits and the classes of a listed task).
    Raises:
        CourseError: an arm or column is missing, no seed is in both arms, an arm has several rows a seed or an
            accuracy that is no number, or hits that do not fit.
    """
    check_switch("items", items)
    arms = [_arm(table, value, on, measure) for value in (a, b)]
    if arms[0].equals(arms[1]):
        raise CourseError(f"a and b are both {a!r}, and nothing differs from itself.\nGive two values of {on!r}.")
    seeds = arms[0].index.intersection(arms[1].index).sort_values()
    if seeds.empty:
        raise CourseError(f"No seed has both {a!r} and {b!r}, so nothing can be paired.")
    rows = pd.concat([arm.loc[seeds] for arm in arms])
    found = tested(rows, measure) if items or measure not in rows else None
    first, second = np.split(_values(rows, found, measure), 2)
    gaps, covers, groups, half = (first - second).round(10), SEEDS_ALONE, 0, 0.0
    if items and found and found.groups.any():  # one group alone would not tell how others differ
        right, other = np.split(found.right, 2)
        half, groups = half_interval(right.mean(0) - other.mean(0), *found[1:]), len(set(found.groups))
        shared = GROUPS.get(rows["task"].iloc[0] if "task" in rows else None, "groups of test items")
        few = f"new {shared} ({groups} here)" if groups < len(found.groups) else "new test items"
        covers = f"new seeds and {few}"
    mean, low, high, n = mean_interval(gaps, half)
    if n < FEWEST_PAIRS:
        low = high = float("nan")
    agree = int((np.sign(gaps) == np.sign(mean)).sum()) if mean else 0
    overlap = float(rows["overlap"].max()) if "overlap" in rows else float("nan")
    stored = table.attrs.get("stored", "")
    return Effect(mean, low, high, n, agree, int((gaps == 0).sum()), gaps, stored, covers, groups, overlap)


def _values(rows: pd.DataFrame, found: Tested | None, measure: str) -> np.ndarray:
    """The measure of each row: its column, or worked out from the hits."""
    if measure in rows:
        return rows[measure].to_numpy(float)
    if found is None:
        raise CourseError(
            f"The table has no column {measure!r}, nor what it takes to work it out.\n"
            "Expected the columns `correct` and `task`, of a task in data/results/items.csv."
        )
    return found.right @ found.weights


def _arm(table: pd.DataFrame, value: object, on: str, measure: str) -> pd.DataFrame:
    """The rows of one arm, by seed."""
    if missing := [name for name in ("seed", "accuracy", on) if name not in table]:
        raise CourseError(f"The table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}.")
    if measure not in MEASURES:
        raise CourseError(f"measure={measure!r} is not possible.\nGive one of {', '.join(map(repr, MEASURES))}.")
    rows = table[table[on] == value]
    if rows.empty:
        known = show_some(list(map(repr, table[on].unique().tolist()))) or "no row at all"
        raise CourseError(f"No row has {on} {value!r}; there is {known}.")
    if rows["seed"].duplicated().any():
        varied = [c for c in rows if c not in (*RESULTS, on) and 1 < rows[c].nunique() < len(rows)]
        remedy = f"Filter the table by {' and '.join(varied)} first." if varied else "Drop the rows that came twice."
        raise CourseError(f"{value!r} has several rows a seed, and a pair is one of each.\n{remedy}")
    for name in {"accuracy", measure} & set(rows):
        numbers = pd.to_numeric(rows[name], errors="coerce").astype(float)
        if bad := rows.loc[~numbers.between(-1, 1), "seed"].tolist():
            raise CourseError(f"{value!r} has no {name} for seed {show_some(bad)}: it is NaN, or no share of 1.\n"
                              "Run it again, or drop its row; divide percentages by 100.")  # fmt: skip
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
    fits = margin is None if direction != "level" else isinstance(margin, Real) and 0 < margin < 1
    if "{effect}" not in text or direction not in DIRECTIONS or expect not in VERDICTS or not fits:
        raise CourseError(
            f"claim takes a text with {{effect}} in it, a direction ({', '.join(DIRECTIONS)}), a margin from 0 to 1\n"
            f"with level and with nothing else, and the verdict expected ({', '.join(VERDICTS)}).\n"
            f"This is {text!r}, {direction!r}, margin={margin}, {expect!r}."
        )
    verdict, meaning = _verdict(effect, direction, margin)
    if (shared := getattr(effect, "overlap", 0)) > SHARED:
        meaning += f". Seeds share {100 * shared:.0f} % of their training examples: no claim rests on this size alone."
    sentence = text.replace("{effect}", str(effect))
    if os.environ.get("COURSE_STRICT") == "1" and getattr(effect, "stored", "") and verdict != expect:
        raise CourseError(
            f"The stored rows of {effect.stored} no longer bear this claim out: {verdict}, not {expect}.\n"
            f"{sentence}\nChange the text with its verdict, or look what changed the rows."
        )
    return Claim(sentence, verdict, meaning)


def _verdict(effect: Effect, direction: str, margin: float | None) -> tuple[str, str]:
    """One of `VERDICTS`, and what it means in numbers."""
    low, high = (-effect.high, -effect.low) if direction == "lower" else (effect.low, effect.high)
    if np.isnan(low):
        return "too few pairs", f" (a claim takes {FEWEST_PAIRS} seeds or more)"
    if np.ptp(getattr(effect, "differences", (low, high))) == 0:
        return "no spread", " (every seed gave the same difference: nothing varied, so this is no result)"
    if margin is None and low > 0:
        return "holds", ""
    if margin is None and high < 0:
        return "refuted", " (the whole interval lies on the other side)"
    if margin and -margin < low and high < margin:
        return "holds", f" (the whole interval lies inside of ± {100 * margin:g} points)"
    if margin and (low >= margin or high <= -margin):
        return "refuted", f" (the whole interval lies outside of ± {100 * margin:g} points)"
    return "unknown", f" (the difference lies within ± {100 * max(abs(low), abs(high)):.1f} points)"
