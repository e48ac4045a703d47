"""Which test items the stored rows had right, what each item counts, and which of them share something.

`data/results/items.csv` holds what a row cannot: for each test item of a task its class and its group (letters share
a font family, tiles a tile, textures a photograph; an item of any other task is a group by itself).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import CourseError
from course_utils.evidence import results

TASKS = ("ants_bees", "digits", "letters", "textures", "tiles")  # whose items are listed

COLUMNS = ["task", "item", "label", "group"]
GROUPS = {"letters": "font families", "tiles": "tiles", "textures": "photographs"}  # what test items share


class Tested(NamedTuple):
    """Test items of some rows: which were right (rows x items), what each counts, and the number of its group."""

    right: np.ndarray
    weights: np.ndarray
    groups: np.ndarray


def tested(rows: pd.DataFrame, measure: str = "accuracy") -> Tested | None:
    """The test items of rows of one task, from their columns `accuracy` and `correct`.

    None where there are no hits, where the rows are of several tasks, or where the classes are not known that
    balanced accuracy takes: then nothing can be said about items. CourseError where hits and accuracies do not fit.
    """
    tasks = set(rows["task"]) if "task" in rows else {None}
    if len(tasks) > 1 or "correct" not in rows or rows["correct"].isna().any():
        return None
    known, right = listed(tasks.pop()), _right(rows)
    count = right.shape[1]
    weights, groups = np.full(count, 1 / count), np.arange(count)
    if known is not None:
        groups = np.unique(known["group"], return_inverse=True)[1]
    if measure != "accuracy":
        if known is None:
            return None
        sizes = known.groupby("label")["label"].transform("size").to_numpy()
        weights = 1 / (known["label"].nunique() * sizes)
    return Tested(right, weights, groups)


def listed(task: str | None) -> pd.DataFrame | None:
    """The rows of `items.csv` for a task, in the order of its test split; None for one that is not of `TASKS`."""
    if task not in TASKS:
        return None
    rows = stored().query("task == @task").sort_values("item")
    if rows.empty:
        raise CourseError(
            f"{results.ITEMS}.csv does not list the test items of {task}, so nobody knows which of them share what.\n"
            "Expected the file that comes with the stored rows.\n"
            "Run: git checkout data/results/items.csv, or leave test items out: items=False."
        )
    return rows


def stored() -> pd.DataFrame:
    """All of `items.csv`, no rows where there is no such file; CourseError where it holds something else."""
    path = results.RESULTS / f"{results.ITEMS}.csv"
    try:
        rows = pd.read_csv(path, dtype={"group": str}) if path.exists() else pd.DataFrame(columns=COLUMNS)
        if list(rows) != COLUMNS or rows.isna().any(axis=None):
            raise ValueError(f"it does not have the columns {', '.join(COLUMNS)}, filled")
        if odd := [task for task, k in rows.groupby("task")["item"] if sorted(k) != list(range(len(k)))]:
            raise ValueError(f"the items of {odd[0]} are not numbered from 0 on, each once")
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path} is no list of test items: {' '.join(str(error).split())}.\n"
            "Expected the file that comes with the stored rows. Run: git checkout data/results/items.csv"
        ) from error
    return rows


def measure_of(task: str | None) -> str:
    """What is counted on a task: most tiles are intact, so there each class counts alike."""
    return "balanced_accuracy" if task == "tiles" else "accuracy"


def chance_of(task: str) -> float:
    """What always giving one answer scores on a listed task: one of so many classes, or the largest class's share."""
    shares = listed(task)["label"].value_counts(normalize=True)
    return 1 / len(shares) if measure_of(task) == "balanced_accuracy" else shares.max()


def number_of(rows: pd.DataFrame) -> int:
    """How many test items the rows of one task have: as many as are listed, or as hits and accuracies tell."""
    known = listed(rows["task"].iloc[0]) if "task" in rows else None
    if known is not None:
        return len(known)
    bits, accuracies = results.unpack(rows["correct"], 4 * len(rows["correct"].iloc[0])), rows["accuracy"].sum()
    if not accuracies or not bits.any():
        return bits.shape[1]
    return max(round(bits.sum() / accuracies), bits.any(0).nonzero()[0][-1] + 1)


def _right(rows: pd.DataFrame) -> np.ndarray:
    texts, count = rows["correct"].astype(str), 0
    size = len(texts.iloc[0]) // 2  # bytes, of which the last is filled up
    if texts.str.fullmatch(f"(?:[0-9a-f]{{2}}){{{size}}}").all():
        count = number_of(rows)
        right, filling = np.split(results.unpack(texts, 8 * size), [count], axis=1)
        fits = -(-count // 8) == size and not filling.any()
        if fits and np.allclose(right.mean(1), rows["accuracy"], atol=1e-3):
            return right
    raise CourseError(
        f"The column `correct` does not fit the accuracies{f' and {count:,} test items' if count else ''}.\n"
        "Expected rows as they are stored: which test items were right, and the accuracies that this gives.\n"
        "Load them anew, or leave test items out: items=False."
    )


def half_interval(gaps: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> float:
    """Half of the 95 % interval of the weighted mean of `gaps`, one an item, over new groups of items; nan for one.

    `weights` add up to 1; `groups` are numbers from 0.
    """
    parts = np.bincount(groups, weights * (gaps - weights @ gaps))
    count = len(parts)
    if count < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1) * (parts @ parts)))
