"""What lesson 02 puts on the recipe card."""

from math import ceil

import pandas as pd

from course_utils.lessons.lesson02.compared import gap, ways_to_use
from course_utils.plots.comparisons import BACKBONES


def advice() -> dict[str, str]:
    """Situation -> what to do, with its number from the stored rows of each network that the task was run on."""
    tables = [ways_to_use(network) for network in ("photonet", "efficientnet_lite0")]
    return {key: _advised(tables, task) for key, task in (("far", "letters"), ("near", "ants_bees"))}


def _advised(tables: list[pd.DataFrame], task: str) -> str:
    """Freeze or fine-tune each network, by ten examples of each class of a task."""
    tables = [rows for rows in tables if task in set(rows["task"])]
    said = [(BACKBONES[rows["backbone"].iloc[0]], _one(rows, task)) for rows in tables]
    return "; ".join(f"{network}: {words}" for network, words in said) if len(said) > 1 else said[0][1]


def _one(rows: pd.DataFrame, task: str) -> str:
    lead = gap(rows, task, 10)
    if lead.low > 0:
        return f"fine-tune, {100 * lead.mean:.0f} points ahead of the best frozen head"
    if lead.high < 0:
        return f"freeze, {-100 * lead.mean:.0f} points ahead of fine-tuning"
    within = ceil(100 * max(-lead.low, lead.high))
    return f"freeze, it is cheaper: fine-tuning lies within ± {within} points of it"
