"""The experiments of lesson 02: choosing the best epoch, and a leak."""

from course_utils.evidence.experiments import HITS, Study, grid_of
from course_utils.lessons.lesson02.epoch_selection import optimism
from course_utils.lessons.lesson02.leakage import PAIRS, SOURCES, leak

STUDIES = {
    "optimism": Study(
        optimism,
        grid_of(strategy=("feature_extraction", "fine_tuning"), per_class=(40, 120)),
        range(10),
        minutes=8,
        version=2,
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
