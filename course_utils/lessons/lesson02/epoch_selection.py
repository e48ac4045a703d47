"""Choosing the best epoch on the photographs that are then reported: how much too good does it look?"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from course_utils.data.tasks import load_task
from course_utils.errors import CourseError
from course_utils.evidence.results import pack, unpack
from course_utils.grids.transfer_grid import PIXELS, tuned_knobs
from course_utils.models.loading import load_model
from course_utils.training.evaluation import evaluate
from course_utils.training.fit import fit
from course_utils.training.strategies import feature_extraction, fine_tuning

EPOCHS = 25
BATCH = 16
PHOTOGRAPHS = 153  # in the test split of ants and bees
DRAWS = 400  # of the photographs that choose
SAME, OTHERS = "the same photographs", "other photographs"


def optimism(seed: int, strategy: str, per_class: int) -> dict:
    """Ants and bees at 48 px, 25 epochs: which of the 153 test photographs are right after each epoch.

    Primary claim, named before the grid ran: fine-tuning on 40 photographs a class, the accuracy at the best of
    25 epochs is higher on the half of the test photographs that chose the epoch than on the other half (a mean
    over random halves, paired by seed). Its size is what the lesson reports; all other comparisons are exploratory.

    `accuracy` is that of the last epoch, which nobody chose; `correct` holds all epochs, one after the other. The
    rates, and the backbone's share of them, are those tuned for the grid `transfer`, within the training pool.
    """
    task = load_task("ants_bees", per_class=per_class, seed=seed, image_size=PIXELS["ants_bees"])
    model = load_model("photonet", len(task.classes), seed=seed)
    every, right = len(task.train) // BATCH, []

    def look(step: int, model, row: dict) -> None:
        if step % every == 0:
            right.append(evaluate(model, task.test).correct)

    knobs = tuned_knobs("photonet", "ants_bees", strategy, 100)
    plan = fine_tuning(share=knobs["share"]) if strategy == "fine_tuning" else feature_extraction()
    fit(model, task, plan, lr=knobs["lr"], steps=EPOCHS * every, batch_size=BATCH, seed=seed, augment=False,
        progress=False, callbacks=[look])  # fmt: skip
    return {"accuracy": round(right[-1].mean(), 4), "correct": pack(np.concatenate(right))}


def hits(runs: pd.DataFrame) -> np.ndarray:
    """Which test photographs are right after each epoch: runs x epochs x photographs, booleans.

    Args:
        runs: rows of the study `optimism`.
    """
    return unpack(runs["correct"], EPOCHS * PHOTOGRAPHS).reshape(len(runs), EPOCHS, PHOTOGRAPHS)


def reported(runs: pd.DataFrame, counts: Iterable[int]) -> pd.DataFrame:
    """Choose the best epoch on some of the test photographs: its accuracy on these and on all others.

    Which photographs choose is drawn 400 times for each count, alike for all runs; accuracies are means over the
    draws. Of epochs that are equally good, the first is chosen.

    Args:
        runs: rows of the study `optimism`.
        counts: how many photographs choose, each from 1 to 152.
    Returns:
        Two rows for each run and count: `chosen_by` the count, `reported_on` either of `SAME` and `OTHERS`, their
        `accuracy`, and `last`, that of the last epoch on all photographs.
    Raises:
        CourseError: a count leaves nobody to choose or nobody to report.
    """
    counts = list(counts)
    if not counts or not all(isinstance(count, (int, np.integer)) and 0 < count < PHOTOGRAPHS for count in counts):
        raise CourseError(
            f"Of {PHOTOGRAPHS} photographs, {counts} shall choose.\n"
            f"Give a list of numbers from 1 to {PHOTOGRAPHS - 1}, such as [76]: the others report."
        )
    named, right = runs[["strategy", "per_class", "seed"]], hits(runs).astype(float)
    tables = []
    for count in counts:
        rng = np.random.default_rng(count)
        draws = np.array([rng.permutation(PHOTOGRAPHS) < count for _ in range(DRAWS)], float)
        ours, theirs = right @ draws.T / count, right @ (1 - draws).T / (PHOTOGRAPHS - count)
        best = ours.argmax(axis=1)[:, None]
        for name, accuracies in ((SAME, ours), (OTHERS, theirs)):
            means = np.take_along_axis(accuracies, best, axis=1).mean(axis=(1, 2))
            tables.append(named.assign(chosen_by=count, reported_on=name, accuracy=means, last=right[:, -1].mean(1)))
    table = pd.concat(tables, ignore_index=True)
    table.attrs = dict(runs.attrs)  # stored rows stay stored rows
    return table
