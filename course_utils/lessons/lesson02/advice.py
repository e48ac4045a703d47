"""What lesson 02 puts on the recipe card."""

import pandas as pd

from course_utils.lessons.lesson02.compared import gap, ways_to_use


def advice() -> dict[str, str]:
    """Situation -> what to do, with its number from the stored rows."""
    rows = ways_to_use("photonet")
    return {key: _advised(rows, task) for key, task in (("far", "letters"), ("near", "ants_bees"))}


def _advised(rows: pd.DataFrame, task: str) -> str:
    """Freeze or fine-tune, by ten examples of each class of a task."""
    lead = gap(rows, task, 10)
    if lead.low > 0:
        return f"fine-tune: {100 * lead.mean:.0f} points ahead of the best frozen head"
    if lead.high < 0:
        return f"freeze: {-100 * lead.mean:.0f} points ahead of fine-tuning"
    within = 100 * max(-lead.low, lead.high)
    return f"freeze, it is cheaper: fine-tuning lies within ± {within:.0f} points of it"
