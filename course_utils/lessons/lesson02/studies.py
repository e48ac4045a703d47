"""The experiments of lesson 02: heads fitted to the end, choosing the best epoch, and a leak."""

from course_utils.evidence.experiments import HITS, TUNING_SEEDS, Study, grid_of
from course_utils.lessons.lesson02.epoch_selection import optimism
from course_utils.lessons.lesson02.leakage import PAIRS, SOURCES, leak
from course_utils.lessons.lesson02.linear_heads import heads, heads_grid, heads_tuning, heads_tuning_grid

HEADLINE = {"task": "letters", "features": "pretrained", "per_class": 10, "seed": 0}
STUDIES = {
    "heads_tuning": Study(heads_tuning, heads_tuning_grid(), TUNING_SEEDS, minutes=6),
    "heads": Study(
        heads, heads_grid(), range(10), 10, 3, ("heads_tuning",), HITS, HEADLINE
    ),
    "optimism": Study(
        optimism,
        grid_of(strategy=("feature_extraction", "fine_tuning"), per_class=(40, 120)),
        range(10),
        minutes=8,
        needs=("transfer_tuning",),
        measures=HITS,
    ),
    "leak": Study(
        leak,
        grid_of(pretrained_with=SOURCES),
        PAIRS,
        minutes=20,
        measures=("accuracy", "leaked_bees", "clean_bees", "ants", "copies"),
    ),
}
