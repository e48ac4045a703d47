"""The probes of every stage and Yosinski's experiment: their splits, their controls, what they stored."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import load_model, load_results, paired_difference
from course_utils.data.tasks import Split, Task
from course_utils.errors import CourseError
from course_utils.evidence.transfer_grid import STAGES
from course_utils.lessons.lesson01 import probes as probing
from course_utils.lessons.lesson01 import yosinski
from course_utils.lessons.lesson01.probes import HELD_OUT, SIZES
from course_utils.lessons.lesson01.views import as_seen, photograph_of
from course_utils.tools.run import ROOT
from course_utils.training.evaluation import inference


@pytest.mark.parametrize("task", ["digits", "letters", "faces"])
def test_the_images_apart_are_always_the_same_and_no_probe_learns_from_them(task):
    y = probing._task(task).train.y
    aparts = []
    for seed in (0, 1):
        before = set()
        for size in SIZES[task]:
            train, apart = probing._rows(task, size, seed)
            assert not set(train) & set(apart) and before <= set(train)
            assert set(np.bincount(y[train])) == {size}
            before = set(train)
            aparts.append(tuple(apart))
    assert len(set(aparts)) == 1 and len(aparts[0]) <= HELD_OUT
    assert len(set(np.bincount(y[list(aparts[0])]))) == 1


def test_the_second_control_has_as_many_features_at_every_stage_and_sees_no_label():
    shapes = {probing._features("digits", "pretrained", 0, stage, 32)[0].shape for stage in STAGES}
    assert shapes == {(len(probing._task("digits").train), 32)}


def test_stored_probes_cover_every_setting_ten_times():
    runs = load_results("probes")
    assert len(runs) == 10 * len(probing.probes_grid())
    assert set(runs.seed) == set(range(10)) and set(runs.stage) == set(STAGES)


def test_a_stored_probe_comes_out_again():
    setting = {"task": "digits", "network": "pretrained", "stage": "layer3", "dimensions": 0, "per_class": 5}
    arm = " and ".join(f"{name} == {value!r}" for name, value in setting.items())
    stored = load_results("probes").query(f"{arm} and seed == 0").iloc[0]
    again = probing.probes(0, **setting)
    assert again["accuracy"] == pytest.approx(stored["accuracy"], abs=0.02)
    assert again["apart"] == pytest.approx(stored["apart"], abs=0.03)


def test_the_lesson_quotes_what_is_stored():
    runs = load_results("probes").query("dimensions == 0")
    trained = runs.query("network == 'pretrained' and per_class == 20")
    letters = paired_difference(trained.query("task == 'letters'"), "layer3", "layer4", on="stage")
    insects = paired_difference(trained.query("task == 'ants_bees'"), "layer4", "layer3", on="stage")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for lead in (letters, insects):
        stated = f"{lead.mean:.3f} [{lead.low:.3f}, {lead.high:.3f}]".replace("0.", ".")
        assert stated in readme
    stem = runs.query("per_class == 20 and stage == 'stem'")
    gains = [paired_difference(rows, "pretrained", "untrained", on="network").mean for _, rows in stem.groupby("task")]
    assert sorted(gain < 0.03 for gain in gains) == [False, True, True, True]
    apart = runs.query("network == 'pretrained'").groupby(["task", "per_class", "stage"])["apart"].mean().unstack()
    best = apart.idxmax(axis=1)
    assert set(best["digits"]) == set(best["letters"]) == {"layer3"} and best["ants_bees"][20] == "layer4"


def test_a_picture_as_each_stage_sees_it():
    model, picture = load_model("photonet"), np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    views = as_seen(model, picture)
    assert [len(view) for view in views.values()] == [32, 32, 16, 8, 4]
    with inference(model):
        stem = model.run(model.prepare(torch.from_numpy(picture)[None]), stop="stem")[0].mean(0)
    assert np.allclose(views["stem"], stem, atol=0.05)


def test_a_photograph_of_ones_own_is_cut_to_a_square_and_what_is_none_gets_a_clear_error(tmp_path):
    mine, not_one = tmp_path / "mine.png", tmp_path / "notes.txt"
    Image.new("RGB", (300, 200), (200, 30, 30)).save(mine)
    not_one.write_text("no picture")
    picture = photograph_of(str(mine))
    assert picture.shape == (3, 64, 64) and picture[0].min() > 190
    for which in (str(not_one), str(tmp_path / "gone.jpg"), str(tmp_path), 999, -1):
        with pytest.raises(CourseError) as error:
            photograph_of(which)
        assert len(str(error.value).splitlines()) <= 3


@pytest.fixture
def small_halves(monkeypatch):
    """Two classes of noise instead of Tiny-ImageNet, one epoch."""
    rng = np.random.default_rng(0)

    def half(pair, name):
        split = Split(rng.integers(0, 255, (64, 3, 32, 32), np.uint8), np.arange(64) % 50)
        return Task(name, [str(k) for k in range(50)], split, split, True)

    monkeypatch.setattr(yosinski, "half", half)
    monkeypatch.setattr(yosinski, "EPOCHS", 1)
    monkeypatch.setattr(yosinski, "tuned", lambda *_: 1e-2)
    source = load_model("photonet", 50, pretrained=False, seed=7)
    source.has_statistics = True
    monkeypatch.setattr(yosinski, "base", lambda pair, name: source)
    return source


@pytest.mark.parametrize(("condition", "depth", "kept"), [("AnB", 2, 2), ("BnB+", 3, 0), ("AnB", 5, 5), ("BnB", 1, 1)])
def test_yosinski_keeps_exactly_the_frozen_stages_of_the_source(small_halves, condition, depth, kept, monkeypatch):
    trained = []
    monkeypatch.setattr(yosinski, "evaluate", lambda model, split: trained.append(model) or Score)
    yosinski.yosinski(0, condition, depth)

    def same(stage):
        pairs = zip(trained[0].stages[stage].state_dict().values(), small_halves.stages[stage].state_dict().values(),
                    strict=True)  # fmt: skip
        return all(a.equal(b) for a, b in pairs)

    assert [same(stage) for stage in STAGES] == [True] * kept + [False] * (5 - kept)


class Score:
    """What an evaluation of no interest gives."""

    accuracy = 0.5
