"""Three ways to use a backbone and what no transfer reaches, side by side: read off the rows of the shared grid."""

import pandas as pd

from course_utils.evidence.claims import Effect, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.evidence.items import measure_of

ARMS = {"pretrained": "feature_extraction", "untrained": "untrained_frozen", "pixels": "raw_pixels"}
CONTROLS = ("untrained_frozen", "raw_pixels")
UPDATES = 400  # of fine-tuning and of training from scratch
OTHER_PHOTONETS = ("photonet-1", "photonet-2")
STUDIES = {"photonet": ("transfer", "heads"), "efficientnet_lite0": ("transfer_lite0", "heads_lite0")} | dict.fromkeys(
    OTHER_PHOTONETS, ("transfer_photonets", "heads_photonets")
)


def ways_to_use(backbone: str = "photonet") -> pd.DataFrame:
    """Rows of the arms feature_extraction, fine_tuning, from_scratch and two controls, in the column `strategy`.

    The frozen arm is at its best: stage, positions and penalty were chosen within the training pool. A head on raw
    pixels has no backbone, and PhotoNet's study holds its rows for all.

    Args:
        backbone: "photonet", "efficientnet_lite0", or one of the two PhotoNets of other seeds, "photonet-1" and
            "photonet-2", which ran in the headline cells alone.
    """
    learned, heads = (rows[rows["backbone"] == backbone] for rows in map(load_results, STUDIES[backbone]))
    pixels = load_results(STUDIES["photonet"][1]).query("network == 'pixels'")
    heads = pd.concat([heads[heads["network"] != "pixels"], pixels[pixels["task"].isin(heads["task"])]])
    rows = pd.concat([heads.assign(strategy=heads["network"].map(ARMS)), learned.query("steps == @UPDATES")])
    rows = rows.assign(backbone=backbone).reset_index(drop=True)
    rows.attrs = learned.attrs
    return rows


def gap(rows: pd.DataFrame, task: str, per_class: int) -> Effect:
    """Fine-tuning minus freezing at one size of one task, of the rows of one backbone."""
    some = rows[(rows["task"] == task) & (rows["per_class"] == per_class)]
    return paired_difference(some, "fine_tuning", "feature_extraction", measure=measure_of(task))
