"""Spot checks: a stored run done again falls inside the interval of its like, and changed code outside."""

import numpy as np
import pandas as pd
import pytest
from studies import GRID, toy

from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.experiments import (
    HITS,
    Study,
    run_study,
)
from course_utils.evidence.spot_checks import spot_check
from course_utils.evidence.studies import STUDIES

pytestmark = pytest.mark.usefixtures("at_once")


# --- spot checks ---


def noisy(seed: int, strategy: str) -> dict:
    return {"accuracy": round(0.7 + 0.01 * np.random.default_rng(seed).standard_normal(), 4)}


@pytest.fixture
def noisy_study(results, monkeypatch):
    study = Study(noisy, [{"strategy": "a"}], range(10), minutes=1)
    monkeypatch.setitem(STUDIES, "noisy", study)
    run_study(study, "noisy")
    return study


def test_a_spot_check_of_the_same_code_falls_inside(noisy_study):
    check = spot_check("noisy")
    assert check.inside and check.accuracy == check.stored
    assert "inside" in str(check) and check.low < 0.7 < check.high


def test_a_spot_check_of_changed_code_falls_outside(noisy_study, monkeypatch):
    worse = noisy_study._replace(function=lambda seed, strategy: {"accuracy": 0.6})
    monkeypatch.setitem(STUDIES, "noisy", worse)
    check = spot_check("noisy")
    assert not check.inside and "OUTSIDE" in str(check)


def test_a_spot_check_without_the_data_says_so(noisy_study, monkeypatch):
    def nowhere(seed, strategy):
        raise DataUnavailable("ants_bees is not here.\nDo this.")

    monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(function=nowhere))
    check = spot_check("noisy")
    assert not check.inside and "unchecked" in str(check) and "not here" in str(check)


def test_the_prediction_interval_holds_99_of_100_further_runs():
    from course_utils.evidence.spot_checks import _prediction_interval

    draw = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        *stored, further = draw.normal(0.7, 0.02, 11)
        low, high = _prediction_interval(pd.Series(stored))
        inside.append(low <= further <= high)
    assert 0.985 <= np.mean(inside) <= 0.995


def test_a_spot_check_needs_spread(results, monkeypatch):
    monkeypatch.setitem(STUDIES, "toy", Study(toy, GRID, range(3), minutes=1, measures=HITS))
    run_study(STUDIES["toy"], "toy")
    with pytest.raises(CourseError, match="five seeds"):
        spot_check("toy")
    with pytest.raises(CourseError, match="no experiment"):
        spot_check("nothing")
