"""Three ways to use a backbone and what no transfer reaches, side by side: read off the rows of the shared grid."""

import pandas as pd

from course_utils.evidence.claims import Effect, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.evidence.items import measure_of

TASKS = {"letters": "letters", "tiles": "tiles", "digits": "digits", "ants_bees": "ants and bees"}
ARMS = {"pretrained": "feature_extraction", "untrained": "untrained_frozen", "pixels": "raw_pixels"}
CONTROLS = ("untrained_frozen", "raw_pixels")
UPDATES = 400  # of fine-tuning and of training from scratch


def ways_to_use(backbone: str = "photonet") -> pd.DataFrame:
    """Rows of the arms feature_extraction, fine_tuning, from_scratch and two controls, in the column `strategy`.

    The frozen arm is at its best: stage, positions and penalty were chosen within the training pool.

    Args:
        backbone: "photonet".
    """
    learned = load_results("transfer").query("steps == @UPDATES")
    heads = load_results("heads")
    rows = pd.concat([heads.assign(strategy=heads["network"].map(ARMS)), learned], ignore_index=True)
    rows = rows[rows["backbone"] == backbone]
    rows.attrs = learned.attrs
    return rows


def gap(rows: pd.DataFrame, task: str, per_class: int) -> Effect:
    """Fine-tuning minus freezing at one size of one task, of the rows of one backbone."""
    some = rows[(rows["task"] == task) & (rows["per_class"] == per_class)]
    return paired_difference(some, "fine_tuning", "feature_extraction", measure=measure_of(task))
