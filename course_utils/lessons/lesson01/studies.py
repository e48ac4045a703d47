"""The experiments of lesson 01: Yosinski's in small."""

from course_utils.evidence.experiments import Study, grid_of
from course_utils.lessons.lesson01.yosinski import (
    PAIRS,
    RATES,
    TUNING_PAIR,
    yosinski,
    yosinski_base,
    yosinski_grid,
    yosinski_tuning,
)

STUDIES = {
    "yosinski_tuning": Study(yosinski_tuning, grid_of(lr=RATES), (TUNING_PAIR,), minutes=5),
    "yosinski_base": Study(
        yosinski_base, grid_of(half_of=("A", "B")), PAIRS, minutes=8, needs=("yosinski_tuning",)
    ),
    "yosinski": Study(yosinski, yosinski_grid(), PAIRS, minutes=60, needs=("yosinski_base",)),
}
