"""Heads fitted to the end: what they are fitted on, how they were tuned, and that a stored row comes again."""

import numpy as np
import pytest

from course_utils.evidence.experiments import TUNING_SEEDS, load_results
from course_utils.evidence.transfer_grid import LARGEST
from course_utils.lessons.lesson02.linear_heads import PENALTIES, SOURCES, _pixels, heads, tuned_head


def test_raw_pixels_are_averaged_to_sixteen_a_side():
    x = np.zeros((2, 3, 48, 48), np.uint8)
    x[0, 1, :3, :6] = 90  # two of the 16 x 16 places, in the second channel
    flat = _pixels(x)
    assert flat.shape == (2, 3 * 16 * 16) and flat[0].nonzero()[0].tolist() == [256, 257] and flat[0].max() == 90


@pytest.mark.parametrize("features", SOURCES)
def test_stage_and_penalty_are_the_best_of_the_tuning_runs(features):
    runs = load_results("heads_tuning")
    assert set(runs["seed"]) == set(TUNING_SEEDS)
    for task, largest in LARGEST.items():
        for per_class, sizes in ((2, [2]), (10, [10, 40]), (40, [10, 40]), (largest, [10, 40])):
            stage, penalty = tuned_head(task, features, per_class)
            ours = runs[(runs["task"] == task) & (runs["features"] == features) & runs["per_class"].isin(sizes)]
            means = ours.groupby(["stage", "penalty"])["accuracy"].mean()
            assert stage in SOURCES[features] and penalty in PENALTIES
            assert means[stage, penalty] == means.max()


def test_a_stored_row_comes_again():
    arm = "task == 'digits' and features == 'pretrained' and per_class == 2"
    stored = load_results("heads").query(arm).query("seed == 0")
    again = heads(0, "digits", "pretrained", 2)
    assert again["accuracy"] == pytest.approx(stored["accuracy"].item(), abs=0.02)  # another chip may round otherwise
