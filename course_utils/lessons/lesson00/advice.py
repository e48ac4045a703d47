"""What lesson 00 puts on the recipe card."""

from course_utils.evidence.experiments import load_results
from course_utils.lessons.lesson00.fewer import times_fewer


def advice() -> dict[str, str]:
    """Situation -> what to do, with its number from the stored rows."""
    runs = load_results("lesson00").query("not (strategy == 'from_scratch' and steps == 100)")
    fewer = times_fewer(runs, "feature_extraction", "from_scratch")
    told = f"{fewer.factor:.0f} times fewer photographs than from scratch "
    told += f"(PhotoNet, ants and bees; 95 % interval: {fewer.low:.0f} or more)"
    return {"few": f"freeze, train a new head: {told}"}
