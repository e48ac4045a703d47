"""Features that keep positions, and a frozen head that reads a stage of its choice."""

import numpy as np
import pytest
import torch

from course_utils import assert_frozen, evaluate, extract, feature_extraction, fit, load_model, load_task
from course_utils.errors import CourseError


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))


def test_positions_are_the_means_of_a_grid():
    model, x = load_model("photonet"), load_task("digits", per_class=1, image_size=64).train.x
    maps = extract(model, x, "layer1", pooled=False)  # 32 x 32
    grid = maps.reshape(len(x), 32, 4, 8, 4, 8).mean((3, 5)).reshape(len(x), -1)
    np.testing.assert_allclose(extract(model, x, "layer1", positions=4), grid, atol=1e-5)
    np.testing.assert_allclose(extract(model, x, "layer1", positions=1), maps.mean((2, 3)), atol=1e-5)


def test_a_map_smaller_than_the_grid_stays_as_it_is():
    model, x = load_model("photonet"), load_task("digits", per_class=1).train.x
    maps = extract(model, x, "layer4", pooled=False)  # 2 x 2
    np.testing.assert_array_equal(extract(model, x, "layer4", positions=4), maps.reshape(len(x), -1))


def test_a_frozen_head_reads_the_stage_and_the_positions_that_it_was_told():
    task = load_task("digits", per_class=5)
    model = load_model("photonet", 10)
    with assert_frozen(model.stages):
        fit(model, task, feature_extraction("layer2", positions=4), steps=30, progress=False)
    read = extract(model, task.test.x, "layer2", positions=4)
    assert model.head.in_features == read.shape[1] == 64 * 16
    with torch.no_grad():
        logits = model.head(torch.from_numpy(read))
    probabilities = evaluate(model, task.test).probabilities
    np.testing.assert_allclose(probabilities, logits.softmax(1), atol=5e-3)
    model.eval()
    with torch.no_grad():  # the plain forward pass reads the same
        plain = model(model.prepare(model.encode(task.test.x[:20]))).softmax(1)
    np.testing.assert_allclose(plain, probabilities[:20], atol=5e-3)


def test_where_a_head_reads_is_kept_and_fine_tuning_goes_on_from_there():
    task = load_task("digits", per_class=5)
    model = load_model("photonet", 10)
    fit(model, task, feature_extraction("layer3"), steps=5, progress=False)
    untouched = [p.clone() for p in model.stages["layer4"].parameters()]
    fit(model, task, "fine_tuning", steps=5, progress=False)
    assert model.head.in_features == 128
    assert all(torch.equal(a, b) for a, b in zip(untouched, model.stages["layer4"].parameters(), strict=True))


def test_the_same_seed_draws_the_same_head():
    task, heads = load_task("digits", per_class=5), []
    for seed in (0, 0, 1):
        model = load_model("photonet", 10, seed=seed)
        fit(model, task, feature_extraction("layer2", positions=2), steps=1, seed=seed, progress=False)
        heads.append(model.head.weight.detach().clone())
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(("strategy", "words"), [
    (feature_extraction("layer9"), "no stage"), (feature_extraction(positions=0), "positions"),
    (feature_extraction(positions=2.5), "positions"),
])  # fmt: skip
def test_a_stage_or_grid_that_is_not_possible_is_refused(strategy, words):
    with pytest.raises(CourseError, match=words):
        fit(load_model("photonet", 10), load_task("digits", per_class=2), strategy, steps=1, progress=False)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "4"])
def test_extract_refuses_a_grid_that_is_not_possible(wrong):
    with pytest.raises(CourseError, match="positions"):
        extract(load_model("photonet"), np.zeros((1, 3, 32, 32), np.uint8), positions=wrong)
