"""The experiments of lesson 01: probes of every stage, how far each task lies, and Yosinski's in small."""

from course_utils.evidence.experiments import TUNING_SEEDS, Study, grid_of
from course_utils.lessons.lesson01.probes import SIZES, probes, probes_grid, probes_tuning, source_distance, tuning_grid
from course_utils.lessons.lesson01.yosinski import (
    PAIRS,
    RATES,
    TUNING_PAIR,
    yosinski,
    yosinski_base,
    yosinski_grid,
    yosinski_tuning,
)

HEADLINE = {"task": "digits", "per_class": 1, "network": "pretrained", "stage": "layer3", "dimensions": 0, "seed": 0}
STUDIES = {
    "probes_tuning": Study(probes_tuning, tuning_grid(), TUNING_SEEDS, minutes=10),
    "probes": Study(
        probes,
        probes_grid(),
        range(10),
        minutes=10,
        needs=("probes_tuning",),
        measures=("accuracy", "apart", "correct"),
        headline=HEADLINE,
    ),
    "source_distance": Study(
        source_distance, grid_of(task=(*SIZES, "source")), range(10), minutes=2, measures=("distance",)
    ),
    "yosinski_tuning": Study(yosinski_tuning, grid_of(lr=RATES), (TUNING_PAIR,), minutes=5),
    "yosinski_base": Study(
        yosinski_base, grid_of(half_of=("A", "B")), PAIRS, minutes=8, needs=("yosinski_tuning",)
    ),
    "yosinski": Study(yosinski, yosinski_grid(), PAIRS, minutes=60, needs=("yosinski_base",)),
}
