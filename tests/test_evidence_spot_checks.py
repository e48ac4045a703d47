"""Spot checks: a stored run done again gives nearly the same number, and changed code does not."""

import html
import re

import numpy as np
import pytest
from nbconvert.filters import markdown2html
from studies import GRID, toy

from course_utils import registry
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.experiments import HITS, Study, run_study
from course_utils.evidence.results import pack
from course_utils.evidence.spot_checks import SpotCheck, spot_check
from course_utils.grids.studies import STUDIES

pytestmark = pytest.mark.usefixtures("at_once")


def noisy(seed: int, strategy: str) -> dict:
    return {"accuracy": round(0.7 + 0.01 * np.random.default_rng(seed).standard_normal(), 4)}


def off_by(shift):
    return lambda seed, strategy: {"accuracy": noisy(seed, strategy)["accuracy"] + shift}


@pytest.fixture
def noisy_study(results, monkeypatch):
    study = Study(noisy, [{"strategy": "a"}, {"strategy": "b"}], range(10), minutes=1)
    monkeypatch.setitem(STUDIES, "noisy", study)
    run_study(study, "noisy")
    return study


def test_the_same_code_gives_the_same_number(noisy_study):
    check = spot_check("noisy")
    assert check.near and check.accuracy == check.stored and check.allowed == 0.02
    assert "nearly the same" in str(check) and "up to 2.0 points apart is allowed" in str(check)


@pytest.mark.parametrize(("shift", "near"), [(0.019, True), (0.02, True), (-0.02, True), (0.021, False), (-0.1, False)])
def test_two_points_are_near_and_more_are_not(noisy_study, monkeypatch, shift, near):
    monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(function=off_by(shift)))
    check = spot_check("noisy")
    assert check.near == near and ("NOT nearly the same" in str(check)) != near


def test_of_few_test_items_one_and_a_half_are_near(results, monkeypatch):
    study = Study(toy, GRID, range(6), minutes=1, measures=HITS)
    right = study._replace(function=lambda seed, strategy, lr: hit(seed + 1))
    monkeypatch.setitem(STUDIES, "toy", right)
    run_study(right, "toy")
    for more, near in ((1, True), (2, False)):
        changed = study._replace(function=lambda seed, strategy, lr, k=more: hit(seed + 1 + k))
        monkeypatch.setitem(STUDIES, "toy", changed)
        check = spot_check("toy")
        assert check.allowed == pytest.approx(1.5 / 12) and check.near == near


def hit(count):
    return {"accuracy": round(count / 12, 4), "correct": pack(np.arange(12) < count)}


def test_the_headline_is_what_is_done_again(noisy_study, monkeypatch):
    for run in ({"strategy": "b", "seed": 7}, {"seed": 2, "strategy": "a"}):
        monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(headline=run))
        check = spot_check("noisy")
        assert check.setting == run and check.near and f"seed {run['seed']}" in str(check)
    for gone in ({"strategy": "b", "seed": 70}, {"strategy": "b", "steps": 3, "seed": 1}):
        monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(headline=gone))
        with pytest.raises(CourseError, match=r"not among its stored rows\.\nRun: .* recompute noisy"):
            spot_check("noisy")


def test_every_headline_is_a_run_of_its_study():
    declared = {name: study for name, study in registry.studies().items() if study.headline}
    assert "lesson00" in declared
    for name, study in declared.items():
        setting = {key: value for key, value in study.headline.items() if key != "seed"}
        assert setting in study.grid and study.headline["seed"] in study.seeds, name


def test_without_the_data_it_says_so(noisy_study, monkeypatch):
    def nowhere(seed, strategy):
        raise DataUnavailable("ants_bees is not here.\nDo this.")

    monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(function=nowhere))
    check = spot_check("noisy")
    assert not check.near and "unchecked" in str(check) and "not here" in str(check)


def test_without_a_headline_it_is_a_cheap_run_whose_seeds_differ_least(results, monkeypatch):
    study = Study(toy, GRID, range(6), minutes=1, measures=HITS)
    monkeypatch.setitem(STUDIES, "toy", study)
    run_study(study, "toy")
    assert spot_check("toy").setting["lr"] == 1e-4  # all differ alike, and the first is taken
    with pytest.raises(CourseError, match="no experiment"):
        spot_check("nothing")


def test_names_are_shown_as_they_are():
    odd = r"<b>$x$* and _y_ [z](w) `c`"
    shown = SpotCheck({"task": odd, "seed": 0}, 0.5, 0.51, 0.02, 1.0)._repr_markdown_()
    text = html.unescape(re.sub(r"<[^>]*>", "", markdown2html(shown)))
    assert odd in text and "$" not in shown and "<b>" not in shown
