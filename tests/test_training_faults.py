"""Settings, labels and models that make no sense: each gets a message, and nothing is silently wrong."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import digits_task, small_net

from course_utils import evaluate, extract, fit, load_model, probe
from course_utils.data import Split
from course_utils.errors import CourseError

WRONG = {
    "lr": ["1e-3", math.nan, math.inf, 0, -1e-3, True],
    "steps": ["10", math.nan, 2.5, 0, -3, True],
    "epochs": ["1", math.nan, math.inf, 0],
    "batch_size": ["8", None, math.nan, math.inf, 0, 1.5],
    "validation": ["0.2", math.nan, 0, 1, -0.1],
    "seed": ["0", None, -1, 0.5, math.nan],
    "device": ["gpu9", "cuda:99", 3.5, "nothing here"],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def said(call) -> str:
    with pytest.raises(CourseError) as caught:
        call()
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


@pytest.mark.parametrize(("name", "value"), CASES)
def test_fit_names_the_setting_that_is_not_possible(name, value):
    assert f"{name}={value!r}" in said(lambda: fit(small_net(), digits_task(20), progress=False, **{name: value}))


@pytest.mark.parametrize("value", ["10", math.nan, 1, 0, -3, 2.5, True])
def test_a_head_has_a_whole_number_of_classes(value):
    assert f"num_classes={value!r}" in said(lambda: load_model("photonet", num_classes=value))


@pytest.mark.parametrize("value", ["0", -1, None, 0.5])
def test_a_model_is_drawn_by_a_whole_number(value):
    assert f"seed={value!r}" in said(lambda: load_model("photonet", 10, seed=value))


@pytest.mark.parametrize("value", ["1", 0, -1, math.nan, math.inf, None])
def test_a_probe_has_a_strength(value):
    assert f"C={value!r}" in said(lambda: probe(np.eye(4), [0, 0, 1, 1], C=value))


def with_labels(y):
    task = digits_task(20)
    return replace(task, train=Split(task.train.x[: len(y)], np.asarray(y)))


LABELS = {
    "one-hot": (np.eye(10)[:8], "argmax"),
    "fractions": (np.array([0, 1, 3.7, 2]), "whole numbers"),
    "not a number": (np.array([0, 1, np.nan]), "whole numbers"),
    "names": (np.array(["ant", "bee"]), "numpy.unique"),
    "none": (np.array([], int), "at least one"),
}


@pytest.mark.parametrize("what", LABELS)
def test_labels_are_one_whole_number_each(what):
    y, words = LABELS[what]
    assert words in said(lambda: fit(small_net(), with_labels(y), steps=1, progress=False))
    if len(y):
        assert words in said(lambda: evaluate(small_net(), with_labels(y).train))


def test_whole_numbers_of_any_type_are_labels():
    for kind in (np.int8, np.uint16, np.float64, bool):
        fit(small_net(), with_labels(np.array([0, 1, 1, 0], kind)), steps=1, progress=False)


def test_counts_that_do_not_match_are_said():
    task = digits_task(20)
    uneven = Split(task.train.x[:5], task.train.y[:4])
    assert "5 pictures or texts and 4 labels" in said(lambda: evaluate(small_net(), uneven))
    assert "5 pictures" in said(lambda: fit(small_net(), replace(task, train=uneven), steps=1, progress=False))


def test_features_that_are_not_numbers_are_refused():
    features = np.ones((4, 3))
    features[1, 2] = np.nan
    assert "tenth of that rate" in said(lambda: probe(features, [0, 0, 1, 1]))


def test_parameters_of_another_model_are_refused():
    other = small_net()
    said_so = said(lambda: fit(small_net(), digits_task(20), lambda model: other.parameters(), steps=1, progress=False))
    assert "not this model's" in said_so


def test_the_head_of_the_source_is_not_scored_without_a_word():
    model, task = load_model("photonet"), digits_task(20)
    with pytest.warns(UserWarning, match="head of its source"):
        evaluate(model, task.test)
    trained = load_model("photonet", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(trained, task.test)


class Brightness(torch.nn.Module):
    factor = 1.0

    def __init__(self):
        super().__init__()
        self.factors = [1.0]

    def forward(self, x):
        return x * self.factor * self.factors[0]


CHANGES = {
    "a class attribute": lambda model: setattr(Brightness, "factor", 2.0),
    "a list": lambda model: model.stages["stem"][-1].factors.__setitem__(0, 2.0),
    "its forward": lambda model: setattr(model.stages["layer1"], "forward", lambda x: 0 * x),
    "prepare": lambda model: setattr(model, "prepare", lambda batch: batch.float()),
    "pool": lambda model: setattr(model, "pool", lambda x, positions=1: x.amax((2, 3))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_features_are_never_stale_after_a_change_of_ones_own(change, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Brightness, "factor", 1.0)
    model, x = small_net(pretrained=True), digits_task(20).train.x
    if change in ("a class attribute", "a list"):
        model.stages["stem"].append(Brightness())
    before = extract(model, x)
    CHANGES[change](model)
    after = extract(model, x)
    assert not np.allclose(before, after)
