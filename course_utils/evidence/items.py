"""Which test items a stored row had right, which class each is of, and which of them share something.

`data/results/items.csv` holds what a row cannot: for each test item of a task its class and its group (letters share
a font family, tiles a tile, textures a photograph; an item of any other task is a group by itself).
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence import results
from course_utils.files import replacing

TASKS = ("ants_bees", "digits", "letters", "textures", "tiles")  # whose items are listed
COLUMNS = ("task", "item", "label", "group")


class Tested(NamedTuple):
    """The test items behind some rows: which were right (rows x items), their classes (None: not known), groups."""

    right: np.ndarray
    labels: np.ndarray | None
    groups: np.ndarray

    def weights(self, measure: str) -> np.ndarray | None:
        """What each item counts in `measure`; None for balanced accuracy where the classes are not known."""
        if measure == "accuracy":
            return np.full(len(self.groups), 1 / len(self.groups))
        if self.labels is None:
            return None
        counts = np.bincount(self.labels)
        return 1 / (np.count_nonzero(counts) * counts[self.labels])


def path() -> Path:
    """Where the items are listed."""
    return results.RESULTS / f"{results.ITEMS}.csv"


def of(task: str | None) -> pd.DataFrame | None:
    """The test items of a task in their order; None for one that is not of `TASKS`."""
    if task not in TASKS:
        return None
    listed = _listed()
    if task not in set(listed["task"]):
        raise CourseError(
            f"{path()} does not list the test items of {task}, so nobody knows which of them share something.\n"
            "Expected the file that comes with the stored rows.\n"
            "Run: git checkout data/results/items.csv, or leave test items out: items=False."
        )
    return listed[listed["task"] == task]


def tested(rows: pd.DataFrame) -> Tested | None:
    """The test items of some rows; None where these have no hits, or are of several tasks.

    Of a task that is not listed, the number of items follows from the accuracies, since the last byte of `correct`
    is filled up; each item is then a group by itself.

    Raises:
        CourseError: `correct` does not fit the accuracies, or the items that are listed.
    """
    tasks = set(rows["task"]) if "task" in rows else {None}
    if len(tasks) > 1 or "correct" not in rows or rows["correct"].isna().any():
        return None
    known = of(tasks.pop())
    right = _right(rows)
    if known is None:
        return Tested(right, None, np.arange(right.shape[1]))
    return Tested(right, known["label"].to_numpy(), np.unique(known["group"], return_inverse=True)[1])


def number_of(rows: pd.DataFrame) -> int:
    """How many test items the rows of one task have: as many as are listed, or as hits and accuracies tell."""
    known = of(rows["task"].iloc[0]) if "task" in rows else None
    if known is not None:
        return len(known)
    bits, accuracies = results.unpack(rows["correct"], 4 * len(rows["correct"].iloc[0])), rows["accuracy"].sum()
    return round(bits.sum() / accuracies) if accuracies and bits.any() else bits.shape[1]


def _right(rows: pd.DataFrame) -> np.ndarray:
    """Which test items were right: rows x items; CourseError where these do not fit the accuracies."""
    texts, count = rows["correct"].astype(str), 0
    size = len(texts.iloc[0]) // 2  # bytes
    if texts.str.fullmatch(f"(?:[0-9a-f]{{2}}){{{size}}}").all():
        right = results.unpack(texts, count := number_of(rows))
        if -(-count // 8) == size and np.allclose(right.mean(1), rows["accuracy"], atol=1e-3):
            return right
    raise CourseError(
        f"The column `correct` does not fit the accuracies{f' and {count:,} test items' if count else ''}.\n"
        "Expected rows as they are stored: which test items were right, and the accuracies that this gives.\n"
        "Load them anew, or leave test items out: items=False."
    )


def measured(rows: pd.DataFrame, found: Tested | None, measure: str) -> np.ndarray:
    """The measure of each row: its column, or worked out from which items were right."""
    if measure in rows:
        return rows[measure].to_numpy(float)
    if found is None or found.labels is None:
        raise CourseError(
            f"The table has no column {measure!r}, nor what it takes to work it out.\n"
            "Expected the columns `correct` and `task`, of a task in data/results/items.csv.\n"
            "Compare by accuracy instead, or add the column."
        )
    return found.right @ found.weights(measure)


def half_over_items(found: Tested | None, measure: str) -> float | None:
    """Half of the 95 % interval, over new groups of test items, of what the first half of the rows leads by.

    None where nothing is known: without hits, without the classes that a balanced accuracy takes, or with one group.
    """
    weights = found.weights(measure) if found else None
    if weights is None or not found.groups.any():
        return None
    first, second = np.split(found.right, 2)
    return half_interval(first.mean(0) - second.mean(0), weights, found.groups)


def half_interval(gaps: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> float:
    """Half of the 95 % interval of the weighted mean of `gaps`, one an item, over new groups of items.

    Args:
        weights: what each item counts; they add up to 1.
        groups: the number, from 0, of the group in which an item shares something with others.
    """
    parts = np.bincount(groups, weights * (gaps - weights @ gaps))
    count = len(parts)
    return float(stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1) * (parts @ parts)))


def refresh(tasks: Iterable[str]) -> None:
    """List the test items of these tasks anew where they differ from what is listed; what is not here stays."""
    before = _listed()
    parts = dict(iter(before.groupby("task")))
    for task in set(tasks) & set(TASKS):
        with suppress(DataUnavailable):
            parts[task] = _worked_out(task)
    after = pd.concat([parts[task] for task in sorted(parts)], ignore_index=True) if parts else before
    if not after.astype(str).equals(before.astype(str)):
        results.RESULTS.mkdir(parents=True, exist_ok=True)
        with replacing(path()) as beside:
            after.to_csv(beside, index=False, lineterminator="\n")
        print(f"{path().name} lists the test items of {', '.join(sorted(parts))} anew.")


def _worked_out(task: str) -> pd.DataFrame:
    from course_utils.data.tasks import load_task  # which reading rows does not need

    test = load_task(task, per_class=1, image_size=8).test  # classes and groups do not depend on the size
    number = np.arange(len(test))
    groups = number if test.groups is None else test.groups
    return pd.DataFrame(dict(zip(COLUMNS, (task, number, test.y, groups), strict=True)))


def _listed() -> pd.DataFrame:
    """Every item that is listed; none where there is no file."""
    if not path().exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path(), dtype={"group": str})
