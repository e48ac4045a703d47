"""Features: right, in one pass, and never stale, half-written or damaged on disk."""

import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toys import digits_task, small_net

from course_utils.data import cache
from course_utils.errors import CourseError
from course_utils.features import _keys, extract, probe
from course_utils.training.freezing import freeze

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    return tmp_path / "features"


class Counted:
    """With how many pictures the backbone was run.

    A class of the same name takes the place of the model's: a method set on the object would keep it from the cache.
    """

    def __init__(self, model):
        self.pictures, kind = 0, type(model)

        def prepare(model, batch):
            self.pictures += len(batch)
            return kind.prepare(model, batch)

        prepare.__module__ = kind.__module__
        model.__class__ = type(kind.__name__, (kind,), {"prepare": prepare, "__module__": kind.__module__})


def pictures(n=40, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def stored(folder):
    """The files of features, one an entry."""
    return sorted(folder.glob("*/features.npy"))


# --- what comes out --------------------------------------------------------------------------------------


def test_features_are_those_of_the_stages_in_inference_mode():
    model, x = small_net(pretrained=True).train(), pictures(300)
    features, maps = (
        extract(model, x, "all", device="cpu"),
        extract(model, x, "all", pooled=False, device="cpu"),
    )
    assert model.training and all(m.training for m in model.modules())
    model.eval()
    with torch.no_grad():
        h = model.prepare(torch.from_numpy(x))
        for name, stage in model.stages.items():
            h = stage(h)
            np.testing.assert_allclose(maps[name], h.numpy(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(features[name], h.mean((2, 3)).numpy(), rtol=1e-3, atol=1e-4)
            assert features[name].dtype == maps[name].dtype == np.float32
    assert list(features) == list(model.stages)
    assert np.array_equal(extract(model, x, device="cpu"), features["layer4"])
    assert np.array_equal(extract(model, x, "layer2", device="cpu"), features["layer2"])


def test_all_stages_take_one_pass_and_a_stage_no_further_one(own_cache):
    model, x = small_net(pretrained=True), pictures()
    counted = Counted(model)
    extract(model, x, "all", device="cpu")
    assert counted.pictures == 40
    for stage in (None, "stem", "layer3", "all"):
        extract(model, x, stage, device="cpu")
    assert counted.pictures == 40
    assert len(stored(own_cache)) == 5


def test_what_extract_does_not_take():
    model, task = small_net(), digits_task()
    for wrong in (task, task.train):
        with pytest.raises(CourseError, match=r"extract\(model, task\.train\.x\)"):
            extract(model, wrong)
    with pytest.raises(CourseError, match="no stage 'layer9'"):
        extract(model, task.train.x, "layer9")
    with pytest.raises(CourseError, match="takes pictures"):
        extract(model, np.array(["a", "b"]), device="cpu")


def test_an_untrained_network_has_its_statistics_from_the_first_pictures_it_is_given():
    model, x = small_net(), pictures()
    features = extract(model, x, "stem", device="cpu")
    assert model.has_statistics
    norm = model.stages["stem"][1]
    with torch.no_grad():
        h = model.stages["stem"][0](model.prepare(torch.from_numpy(x)))
    torch.testing.assert_close(norm.running_mean, h.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    before = norm.running_mean.clone()
    extract(model, pictures(seed=1), device="cpu")
    assert torch.equal(before, norm.running_mean)
    assert np.array_equal(features, extract(model, x, "stem", device="cpu"))


# --- the cache: never stale ------------------------------------------------------------------------------


def change_a_weight(model):
    model.stages["layer1"].conv1.weight.data[0, 0, 0, 0] += 1e-3


def change_a_statistic(model):
    model.stages["layer1"].bn2.running_var[1] += 1e-3


def change_the_preparation(model):
    model.mean += 0.01


def change_a_setting(model):
    model.stages["layer1"].bn1.eps = 0.1


def change_the_kind(model):
    model.stages["stem"][2] = torch.nn.SiLU()


@pytest.mark.parametrize(
    "change", [change_a_weight, change_a_statistic, change_the_preparation, change_a_setting, change_the_kind]
)
def test_a_changed_model_is_never_served_old_features(change):
    model, x = small_net(pretrained=True), pictures()
    old = extract(model, x, "layer2", device="cpu")
    change(model)
    counted = Counted(model)
    new = extract(model, x, "layer2", device="cpu")
    assert counted.pictures == 40
    assert not np.array_equal(old, new)


def test_changed_inputs_and_formats_are_computed_anew(monkeypatch):
    model, x = small_net(pretrained=True), pictures()
    counted = Counted(model)
    extract(model, x, device="cpu")
    x[0, 0, 0, 0] ^= 1
    extract(model, x, device="cpu")
    assert counted.pictures == 80
    extract(model, x, pooled=False, device="cpu")
    assert counted.pictures == 120
    monkeypatch.setenv("COURSE_PRECISION", "bf16")
    extract(model, x, device="cpu")
    assert counted.pictures == 160


def test_what_lies_after_the_stage_does_not_matter():
    model, x = small_net(pretrained=True), pictures()
    extract(model, x, "layer1", device="cpu")
    counted = Counted(model)
    model.stages["layer2"].conv1.weight.data += 1
    model.head.weight.data += 1
    freeze(model.stages)
    extract(model.train().to(memory_format=torch.channels_last), x, "layer1", device="cpu")
    assert counted.pictures == 0


def test_a_forward_hook_turns_the_cache_off():
    model, x = small_net(pretrained=True), pictures()
    old = extract(model, x, device="cpu")
    handle = model.stages["layer1"].register_forward_hook(lambda module, args, output: output * 0)
    assert not np.array_equal(old, extract(model, x, device="cpu"))
    handle.remove()
    assert np.array_equal(old, extract(model, x, device="cpu"))


# --- the cache: never broken -----------------------------------------------------------------------------


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"not an array"),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.rename(file.with_name("something_else.npy")),
        lambda file: np.save(file, np.ones(3)),
        lambda file: np.save(file, np.array([{}], dtype=object)),
        lambda file: file.with_name("sums.json").write_text("{}"),
        lambda file: file.with_name("sums.json").unlink(),
    ],
)
def test_a_damaged_file_is_made_again(own_cache, damage):
    model, x = small_net(pretrained=True), pictures()
    good = extract(model, x, device="cpu")
    (file,) = stored(own_cache)
    damage(file)
    counted = Counted(model)
    assert np.array_equal(good, extract(model, x, device="cpu"))
    assert counted.pictures == 40
    assert np.array_equal(good, extract(model, x, device="cpu"))
    assert counted.pictures == 40


NOTEBOOK = """
import sys
import numpy as np
from course_utils.data import cache
array = np.full((200, 64), float(sys.argv[1]), np.float32)
for _ in range(150):
    cache.remember("shared", array)
    got = cache.recall("shared")
    assert got is not None and got.shape == (200, 64) and len(np.unique(got)) == 1, got
"""


def test_two_processes_at_once_do_not_corrupt_a_file(own_cache):
    both = [subprocess.Popen([sys.executable, "-c", NOTEBOOK, value], cwd=ROOT) for value in "12"]
    assert [process.wait(60) for process in both] == [0, 0]
    assert cache.recall("shared") is not None
    assert [entry.name for entry in own_cache.iterdir()] == ["shared"]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_least_recently_used_go_first(own_cache, monkeypatch):
    array = np.zeros(10_000, np.float32)
    cache.remember("k0", array)
    size = sum(file.stat().st_size for file in (own_cache / "k0", *(own_cache / "k0").iterdir()))
    monkeypatch.setattr(cache, "LIMIT", 5 * size + 100)
    for i in range(4):
        cache.remember(f"k{i}", array)
        os.utime(own_cache / f"k{i}", (i, i))
    assert cache.recall("k0") is not None  # and so the newest
    cache.remember("k4", array)
    assert names(own_cache) == ["k0", "k1", "k2", "k3", "k4"]
    cache.remember("k5", array)
    assert names(own_cache) == ["k0", "k2", "k3", "k4", "k5"]
    cache.remember("huge", np.zeros(100_000, np.float32))
    assert len(names(own_cache)) == 5


def test_one_limit_holds_for_tasks_and_features_together(own_cache, monkeypatch):
    made = []

    def make(folder):
        made.append(folder)
        return {"x": np.zeros(10_000, np.float32)}

    cache.cached("task", "old", make)
    (old,) = (own_cache.parent / "tasks").iterdir()
    os.utime(old, (0, 0))
    monkeypatch.setattr(cache, "LIMIT", 8 * 45_000)
    for i in range(8):
        cache.remember(f"k{i}", np.zeros(10_000, np.float32))
    assert not old.exists() and names(own_cache) == [f"k{i}" for i in range(8)]
    os.utime(own_cache / "k3", (0, 0))
    cache.cached("task", "old", make)
    assert len(made) == 2 and old.exists() and "k3" not in names(own_cache)


def test_what_a_session_has_on_disk_stays_however_large(own_cache, monkeypatch):
    monkeypatch.setattr(cache, "LARGE", 1_000)
    x = cache.cached("task", "large", lambda folder: {"x": np.arange(10_000)})["x"]
    (entry,) = (own_cache.parent / "tasks").iterdir()
    os.utime(entry, (0, 0))
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    cache.remember("k0", np.zeros(100, np.float32))
    assert isinstance(x, np.memmap) and entry.exists() and names(own_cache) == ["k0"]
    monkeypatch.setattr(cache, "_mapped", set())  # as in another session
    cache.remember("k1", np.zeros(100, np.float32))
    assert not entry.exists() and np.array_equal(x, np.arange(10_000))  # what is open can still be read


def test_a_process_that_keeps_little_does_not_look_at_every_entry_each_time(own_cache, monkeypatch):
    looks, look = [], cache._prune
    monkeypatch.setattr(cache, "_prune", lambda spare: looks.append(spare.name) or look(spare))
    monkeypatch.setattr(cache, "LIMIT", 100 * 100_000)
    monkeypatch.setattr(cache, "_unseen", math.inf)
    for i in range(8):
        cache.remember(f"k{i}", np.zeros(10_000, np.float32))
    assert looks == ["k0", "k3", "k6"]


def test_what_killed_runs_left_behind_goes_a_day_later(own_cache, monkeypatch):
    monkeypatch.setattr(cache, "_unseen", math.inf)  # as in a new process
    for name, used in (("making-old", 0), ("making-new", None)):
        (own_cache / name).mkdir(parents=True)
        os.utime(own_cache / name, None if used is None else (used, used))
    cache.remember("k0", np.zeros(100, np.float32))
    assert names(own_cache) == ["k0", "making-new"]


def test_without_a_place_to_write_features_are_just_computed(monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    model, x = small_net(pretrained=True), pictures()
    assert extract(model, x, device="cpu").shape == (40, 16)


def test_a_hit_runs_nothing_and_gives_what_was_stored():
    model, x = small_net(pretrained=True), pictures(40)
    counted, stored = Counted(model), np.random.default_rng(0).random((40, 256))
    cache.remember(_keys(model, x, 1, torch.device("cpu"))["layer4"], stored)
    assert np.array_equal(extract(model, x, device="cpu"), stored) and counted.pictures == 0


# --- probes ----------------------------------------------------------------------------------------------


def test_a_probe_is_fitted_on_standardised_features():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    features = rng.normal(size=(300, 5)) + 2 * np.eye(3, 5)[y]
    plain = probe(features[:200], y[:200]).predict(features[200:])
    scaled = probe(features[:200] * 1e4 + 7, y[:200]).predict(features[200:] * 1e4 + 7)
    assert (plain == y[200:]).mean() > 0.8
    assert np.array_equal(plain, scaled)
    assert probe(features[:200], y[:200]).score(features[200:], y[200:]) == pytest.approx(
        (plain == y[200:]).mean()
    )


@pytest.mark.parametrize("C", [1e-4, 0.1, 10])
def test_with_more_features_than_examples_the_fit_in_principal_axes_is_the_plain_one(C, monkeypatch):
    exact = partial(LogisticRegression, tol=1e-9)  # as they come, both fits stop a little before the end
    monkeypatch.setattr("course_utils.features.LogisticRegression", exact)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 50)
    features = rng.normal(size=(250, 300)) + 2 * np.eye(3, 300)[np.resize(y, 250)]
    turned = probe(features[:50], y, C)
    plain = make_pipeline(StandardScaler(), exact(C=C, max_iter=2000)).fit(features[:50], y)
    assert turned[-1].coef_.shape == (3, 50) and plain[-1].coef_.shape == (3, 300)
    fitted = [way.predict_proba(features[50:]) for way in (turned, plain)]
    assert np.allclose(*fitted, atol=1e-4) and np.ptp(fitted[0]) > 0.01


@pytest.mark.parametrize(
    ("features", "y"),
    [(np.ones((4, 2, 2)), np.arange(4)), (np.ones((4, 2)), np.arange(3)), (np.ones((4, 2)), np.ones(4))],
)
def test_what_a_probe_does_not_take(features, y):
    with pytest.raises(CourseError, match="N x D features and N labels of two or more classes"):
        probe(features, y)
