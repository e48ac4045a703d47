"""The reliability diagram: its bins are those of the calibration error, and its ranges hold what is calibrated."""

import numpy as np
import pytest
import torch

from course_utils.errors import CourseError
from course_utils.lessons.lesson02.figures.calibration import BINS, _bins, reliability
from course_utils.training.evaluation import calibration_error


def stated(n=2000, seed=0):
    """`n` probabilities, many small and few large, and outcomes that follow them exactly."""
    rng = np.random.default_rng(seed)
    likely = rng.beta(0.6, 1.4, n)
    return likely, rng.random(n) < likely


def dots(figure, column=0):
    """Across and up of the dots of a panel, and which of them are ringed."""
    lines = [line for line in figure.axes[column].lines if line.get_linestyle() == "None"]
    all_of_them, ringed = (np.column_stack(line.get_data()) for line in lines)
    return all_of_them, ringed


def test_the_bins_are_those_of_the_calibration_error():
    likely, happened = stated()
    likely[:3] = 0, 1, 5 / 15
    which = _bins(likely)
    gaps = [abs((happened[which == k] - likely[which == k]).sum()) for k in range(BINS)]
    expected = calibration_error(torch.as_tensor(likely), torch.as_tensor(happened))
    assert sum(gaps) / len(likely) == pytest.approx(expected)
    figure = reliability({"a": likely}, happened)
    assert f"calibration error {expected:.3f}" in figure.words
    there, _ = dots(figure)
    assert there[4] == pytest.approx([likely[which == 4].mean(), happened[which == 4].mean()])


def test_the_ranges_hold_what_is_calibrated_and_miss_what_is_not(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")  # contrast is looked at elsewhere, and takes its time
    draws = [stated(seed=seed) for seed in range(12)]
    outside = [len(dots(reliability({"a": likely}, happened))[1]) for likely, happened in draws]
    assert np.mean(outside) / BINS < 0.07
    likely, happened = stated()
    figure = reliability({"said": likely, "overstated": np.sqrt(likely)}, happened)
    assert len(dots(figure, 1)[1]) > 10 and "on average below it" in figure.words.split("overstated")[1]


def test_empty_bins_are_left_out_and_counts_stand_below():
    likely, happened = np.array([0.1, 0.12, 0.9]), np.array([False, True, True])
    figure = reliability({"a": likely}, happened)
    assert len(dots(figure)[0]) == 2 and "Of 2 bins with pictures, 0 outside the range of chance." in figure.words
    assert sorted(bar.get_height() for bar in figure.axes[1].patches)[-2:] == [1, 2]


@pytest.mark.parametrize("wrong", [None, np.ones(2), np.full(3, 1.2), -np.ones(3), np.ones((3, 2)), np.full(3, np.nan)])
def test_what_are_no_probabilities_is_an_error(wrong):
    with pytest.raises(CourseError, match="one for each of the 3 outcomes") as error:
        reliability({} if wrong is None else {"a": wrong}, np.array([0, 1, 1]))
    assert len(str(error.value).splitlines()) <= 3


def test_a_perfect_model_has_an_error_that_grows_as_pictures_get_fewer():
    """What the lab says of the bias."""
    draws = {n: [map(torch.as_tensor, stated(n, seed)) for seed in range(40)] for n in (900, 90)}
    floors = {n: np.mean([calibration_error(*draw) for draw in drawn]) for n, drawn in draws.items()}
    assert 0.01 < floors[900] < floors[90] / 2
