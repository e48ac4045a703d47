"""Frozen networks under heads: what is tuned, what is chosen by it, and one pass through a network for all stages."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from course_utils.data.tasks import load_task
from course_utils.grids import frozen
from course_utils.grids.frozen import CELL, LITE0_STAGES, PENALTIES, heads, stages, stages_tuning, tuned_penalty
from course_utils.grids.studies import STUDIES
from course_utils.grids.transfer_grid import STAGES

NAMES = list(PENALTIES)


@pytest.fixture(autouse=True)
def afresh(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    frozen._seen.cache_clear()
    frozen._tuning.cache_clear()
    yield
    frozen._tuning.cache_clear()


@pytest.fixture
def tuning(monkeypatch):
    """Stores made-up tuning rows: (network, stage, positions, per_class, seed) -> an accuracy for each penalty."""

    def store(rows):
        table = pd.DataFrame(
            [
                dict(zip(CELL, (network, "digits", stage, positions, n), strict=True))
                | {"seed": seed} | dict.fromkeys(NAMES, 0.1) | scores
                for (network, stage, positions, n, seed), scores in rows.items()
            ]
        )
        monkeypatch.setattr(frozen, "load_results", {"stages_tuning": table}.__getitem__)

    return store


def digits_at(penalty, per_class, seed=100, stage="layer2", positions=4, network="pretrained", score=0.9):
    return {(network, stage, positions, per_class, seed): {penalty: score}}


def test_the_penalty_is_the_best_in_the_mean_over_seeds_and_a_tie_goes_to_the_middle(tuning):
    tied = {"C=0.01": 0.9, "C=0.1": 0.9, "C=1": 0.9, "C=10": 0.9}
    tuning(
        digits_at("C=1", 2, 100, score=0.8) | digits_at("C=0.1", 2, 101, score=0.7)
        | digits_at("C=0.1", 2, 102, score=0.3) | {("pretrained", "layer2", 4, 10, 100): tied}
        | digits_at("C=100", 40)
    )  # fmt: skip
    cell = ("photonet", "pretrained", "digits", "layer2", 4)
    assert tuned_penalty(*cell, 2) == 0.1  # .7 and .3 once each, against .8 once
    assert tuned_penalty(*cell, 10) == 0.1  # of two in the middle, the stronger
    assert tuned_penalty(*cell, 40) == 100.0
    assert tuned_penalty("photonet-1", *cell[1:], 2) == 0.1  # the first PhotoNet's


def test_the_stage_is_the_best_at_ten_of_each_class_at_its_own_penalty(tuning):
    tuning(
        digits_at("C=1", 10, stage="layer3", positions=1, score=0.8) | digits_at("C=0.01", 10, score=0.85)
        | digits_at("C=1", 2, stage="layer3", positions=1, score=0.99) | digits_at("C=1", 10, network="untrained")
    )  # fmt: skip
    assert frozen.tuned_stage("photonet", "pretrained", "digits") == ("layer2", 4)


def test_a_run_measures_what_its_study_declares(tuning):
    tuning(digits_at("C=0.01", 2) | digits_at("C=0.01", 10))
    setting = STUDIES["stages"].grid[0] | {"task": "digits", "stage": "layer2", "positions": 4, "per_class": 2}
    probed = stages(0, **setting)
    assert tuple(probed) == STUDIES["stages"].measures and probed["penalty"] == 0.01
    assert probed["accuracy"] > 0.6 and probed["overlap"] == pytest.approx(0.014, abs=0.001)
    head = heads(0, "photonet", "pretrained", "digits", 2)
    assert head == {"stage": "layer2", "positions": 4} | probed
    assert tuple(head) == STUDIES["heads"].measures


def test_tuning_tries_every_penalty_within_the_training_pool(monkeypatch):
    whole = load_task("digits", image_size=32)
    monkeypatch.setattr(frozen, "whole", lambda *_: replace(whole, test=None))
    monkeypatch.setattr(frozen, "drawn", None)
    scores = stages_tuning(100, "photonet", "pixels", "digits", "pixels", 1, 10)
    assert tuple(scores) == STUDIES["stages_tuning"].measures == tuple(NAMES)
    assert all(0.6 < score < 1 for score in scores.values())
    within, _ = frozen._seen("photonet", "pixels", "digits", 10, 100, tuning=True)
    assert len(within.train) == 100 and len(within.test) == 1000
    train, held_out = frozen._features(within, None, "pixels", 1)
    again = frozen.probe(train, within.train.y, PENALTIES["C=0.1"]).predict(held_out)
    assert scores["C=0.1"] == pytest.approx(balanced_accuracy_score(within.test.y, again), abs=5e-5)


def test_one_pass_for_all_stages_and_every_seed_has_an_untrained_network_of_its_own(monkeypatch):
    passes, plain = [], frozen.extract
    monkeypatch.setattr(frozen, "extract", lambda *args, **kw: passes.append(args[2]) or plain(*args, **kw))
    seen = {seed: frozen._seen("photonet", "untrained", "digits", 2, seed) for seed in (0, 1)}
    assert passes == ["all"] * 8
    monkeypatch.setattr("course_utils.features._compute", None)  # from now on, all is on the disk
    for stage in STAGES:
        first, second = (frozen._features(*seen[seed], stage, 4)[1] for seed in (0, 1))
        assert first.dtype == np.float64 and not np.allclose(first, second)


def test_what_one_pass_serves_stands_together_and_no_imagenet_weights_meet_ants_and_bees():
    for name, stages_of in (("stages", STAGES), ("stages_lite0", LITE0_STAGES), ("stages_photonets", STAGES)):
        grid = STUDIES[name].grid
        keys = [tuple(cell[k] for k in ("backbone", "network", "task", "per_class")) for cell in grid]
        blocks = [key for key, before in zip(keys, [None, *keys], strict=False) if key != before]
        assert len(blocks) == len(set(blocks)) and len(grid) == len(blocks) * 2 * len(stages_of)
        assert ("ants_bees" in {cell["task"] for cell in grid}) == (name == "stages")
    assert {cell["network"] for cell in STUDIES["stages_photonets"].grid} == {"pretrained"}
    assert {cell["task"] for cell in STUDIES["heads_lite0"].grid} == {"letters", "tiles", "digits"}


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith(("stages", "heads"))])
def test_every_cell_that_a_study_reports_was_tuned(name):
    study = STUDIES[name]
    tuned = {tuple(cell.values())[1:] for need in study.needs for cell in STUDIES[need].grid}
    if name.startswith("stages"):
        assert all(tuple(cell.values())[1:] in tuned for cell in study.grid) or not study.needs
    else:
        assert {(c["network"], c["task"]) for c in study.grid} <= {(w, t) for w, t, *_ in tuned}
