"""Training: what fit reads, repeats, reports and survives."""

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import digits_task, quick, refused, same, small_net, state

from course_utils.data.splits import Split
from course_utils.errors import CourseError, TrainingDiverged
from course_utils.models import raw_pixels
from course_utils.training.batches import hold_out, load
from course_utils.training.evaluation import evaluate
from course_utils.training.loop import one_cycle

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")


class TrainOnly:
    """A task whose test split must not be touched."""

    def __init__(self, task):
        self.name, self.classes, self.train, self.photographs = task.name, task.classes, task.train, True

    @property
    def test(self):
        raise AssertionError("fit looked at the test split")


@pytest.mark.parametrize("validation", [None, 0.2])
def test_only_the_training_split_is_read(validation):
    history = quick(small_net(), TrainOnly(digits_task()), validation=validation)
    assert len(history.table) == 6


@pytest.mark.parametrize("strategy", ["from_scratch", "feature_extraction", "head_first"])
def test_a_seed_gives_the_same_weights_bit_by_bit(strategy):
    def run(seed):
        model = small_net()
        model.head = torch.nn.Sequential(torch.nn.Dropout(0.5), model.head)
        quick(model, digits_task(photographs=True), strategy, seed=seed)
        return state(model)

    first = run(0)
    torch.rand(7)
    assert same(first, run(0))
    assert not same(first, run(1))


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    quick(small_net(), digits_task(), "from_scratch")
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 5, "epochs": 2}, "steps=5 and epochs=2"),
        ({"steps": 0}, "steps=0"),
        ({"steps": None, "epochs": 0}, "epochs=0"),
        ({"lr": 0.0}, "lr=0"),
        ({"lr": math.nan}, "lr=nan"),
        ({"lr": -1e-3}, "lr=-0.001"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"validation": 1.5}, "validation=1.5"),
        ({"strategy": "finetuning"}, "Near it: fine_tuning"),
        ({"strategy": 3}, "no strategy 3"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    model = small_net()
    before = state(model)
    with pytest.raises(CourseError, match=message):
        quick(model, digits_task(), **settings)
    assert same(before, state(model))


def no_head(model):
    model.head = None


def wrong_head(model):
    model.head = torch.nn.Linear(16, 7)


def wrong_width(model):
    model.head = torch.nn.Linear(5, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [(no_head, "no head yet"), (wrong_head, "7 outputs, the task 10"), (wrong_width, "16 features")],
)
def test_a_head_that_does_not_fit(change, message):
    model = small_net()
    change(model)
    with pytest.raises(CourseError, match=message) as caught:
        quick(model, digits_task())
    assert 'load_model("photonet", num_classes=10)' in str(caught.value)


def test_what_is_no_task_no_model_or_no_picture():
    task = digits_task()
    with pytest.raises(CourseError, match="whole task"):
        quick(small_net(), task.train)
    with pytest.raises(CourseError, match="model of load_model"):
        quick(torch.nn.Linear(3, 3), task)
    task = replace(task, train=Split(np.array(["a", "b"]), np.array([0, 1])))
    with pytest.raises(CourseError, match="takes pictures"):
        quick(small_net(), task)


@pytest.mark.parametrize("y", [np.full(80, 10), np.full(80, -1), np.zeros(79, int)])
def test_labels_that_do_not_fit(y):
    task = digits_task()
    task = replace(task, train=SimpleNamespace(x=task.train.x, y=y))
    with pytest.raises(CourseError, match="labels"):
        quick(small_net(), task)


@pytest.mark.parametrize(("settings", "steps"), [({"epochs": 3}, 8), ({"epochs": 0.1}, 1), ({}, 200)])
def test_epochs_are_turned_into_steps(settings, steps):
    history = quick(small_net(), digits_task(80), "feature_extraction", **({"steps": None} | settings))
    assert (history.steps, len(history.table), history.batch_size) == (steps, steps, 32)


def test_one_cycle_rises_to_the_top_and_falls_to_nothing():
    rates = [one_cycle((step + 0.5) / 100) for step in range(100)]
    top = int(np.argmax(rates))
    assert 0.1 < top / 100 < 0.4
    assert rates[0] < 0.1
    assert rates[top] > 0.99
    assert rates[-1] < 1e-3
    assert np.all(np.diff(rates[: top + 1]) > 0) and np.all(np.diff(rates[top:]) < 0)


def test_a_single_step_moves_the_weights():
    model = small_net()
    before = state(model.head)
    assert quick(model, digits_task(), steps=1).table.lr[0] > 0
    assert not same(before, state(model.head))


def test_validation_keeps_the_best_weights():
    task, model = digits_task(200), small_net()
    at_best = {}

    def spoil_late(step, model, row):
        at_best[step] = state(model)
        if step >= 45:
            torch.nn.init.zeros_(model.head.weight)

    history = quick(model, task, "from_scratch", lr=1e-2, steps=60, validation=0.2, callbacks=[spoil_late])
    looks = history.table.validation_accuracy.dropna()
    assert len(looks) == 10
    best = history.table.step[looks.idxmax()]
    assert history.best_step < 50 and looks.max() == history.table.validation_accuracy[history.best_step - 1]
    assert best <= 50
    assert same(state(model), at_best[history.best_step])
    _, held = hold_out(load(model, task.train, 10, CPU), 0.2, 0)
    assert evaluate(model, Split(held.x.numpy(), held.y.numpy()), device="cpu").accuracy == pytest.approx(
        looks.max()
    )
    assert f"step {history.best_step}" in repr(history)


def test_callbacks_see_each_step_and_may_evaluate():
    task, rows = digits_task(), []

    def callback(step, model, row):
        evaluate(model, task.train, device="cpu")
        model.eval()  # a careless one
        rows.append((step, row["loss"]))

    with_callback, without = small_net(), small_net()
    history = quick(with_callback, task, "from_scratch", callbacks=[callback])
    quick(without, task, "from_scratch")
    assert rows == list(zip(history.table.step, history.table.loss, strict=True))
    assert same(state(with_callback), state(without))


def test_an_interruption_leaves_a_usable_model(capsys):
    def stop(step, model, row):
        if step == 4:
            raise KeyboardInterrupt

    model, task = small_net(), digits_task()
    history = quick(model, task, "from_scratch", steps=50, callbacks=[stop])
    assert history.interrupted and len(history.table) == 4 and history.steps == 50
    assert capsys.readouterr().out == "Interrupted after 4 of 50 steps: the model can be used as it is.\n"
    assert not any(module.training for module in model.modules())
    assert all(t.isfinite().all() for t in model.state_dict().values())
    assert evaluate(model, task.test, device="cpu").loss > 0
    assert "interrupted" in repr(history)
    assert not quick(model, task, "from_scratch").interrupted


@pytest.mark.parametrize("strategy", ["from_scratch", "fine_tuning"])
def test_a_rate_that_is_far_too_high_is_named(strategy):
    model = small_net()
    before = state(model)
    with pytest.raises(TrainingDiverged, match=r"at step \d+, with the rate lr=1e\+12") as caught:
        quick(model, digits_task(), strategy, lr=1e12, steps=50)
    assert len(str(caught.value).splitlines()) <= 3
    assert "weights that it came with" in str(caught.value)
    assert same(before, state(model))
    assert not model.training and not model.has_statistics


def test_weights_spoilt_by_the_very_last_update_are_noticed():
    def spoil(step, model, row):
        with torch.no_grad():
            model.head.bias[0] = math.nan

    with pytest.raises(TrainingDiverged, match="last update"):
        quick(small_net(), digits_task(), steps=1, callbacks=[spoil])


class Cramped(torch.nn.Module):
    """A layer for which more than eight pictures are too many."""

    def forward(self, x):
        if len(x) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a toy")
        return x


@pytest.mark.parametrize("strategy", ["from_scratch", "feature_extraction"])
def test_out_of_memory_halves_the_batch_and_starts_again(strategy, capsys):
    task = digits_task()
    cramped, roomy = small_net(pretrained=True), small_net(pretrained=True)
    cramped.stages["layer4"] = torch.nn.Sequential(Cramped(), cramped.stages["layer4"])
    if strategy == "from_scratch":
        cramped.pretrained = roomy.pretrained = False
        history = quick(cramped, task, strategy)
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 2 and "batches of 16: starting again with batches of 8" in said[1]
        assert history.batch_size == 8 and len(history.table) == 6
        quick(roomy, task, strategy, batch_size=8)
    else:
        assert (
            quick(cramped, task, strategy).batch_size == 32
        )  # only the pass through the frozen stages shrinks
        quick(roomy, task, strategy)
    expected = list(state(roomy).values())
    for got, wanted in zip(state(cramped).values(), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=2e-5)
    assert (
        evaluate(cramped, task.test, device="cpu").accuracy
        == evaluate(roomy, task.test, device="cpu").accuracy
    )


def test_one_picture_too_many_is_no_endless_loop():
    class Full(torch.nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = small_net()
    model.stages["layer4"] = Full()
    with pytest.raises(torch.OutOfMemoryError):
        quick(model, digits_task(), "from_scratch")


@pytest.mark.parametrize("strategy", ["from_scratch", "fine_tuning", "feature_extraction"])
def test_batches_of_one_picture(strategy):
    model = small_net()
    model.stages["layer4"] = torch.nn.Sequential(
        model.stages["layer4"], torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(16)
    )
    model.has_statistics = True
    task = digits_task()
    quick(model, task, strategy, batch_size=1)
    quick(model, task, "from_scratch", batch_size=1)
    task = replace(task, train=Split(task.train.x[:1], task.train.y[:1]))
    assert quick(copy.deepcopy(model), task, strategy).batch_size == 1


def test_an_untrained_network_takes_no_batches_of_one_picture():
    """Its batch norm would stay where it began, at statistics that are nobody's."""
    task, alone = digits_task(), Split(digits_task().train.x[:1], digits_task().train.y[:1])
    for settings in ({"task": task, "batch_size": 1}, {"task": replace(task, train=alone)}):
        for strategy in ("from_scratch", "fine_tuning"):
            refused(lambda each=settings | {"strategy": strategy}: quick(small_net(), **each), "batch_size=2 or more")
    quick(small_net(), task, "feature_extraction", batch_size=1)  # which takes the statistics of all pictures
    plain = raw_pixels(32, 10)
    plain.has_statistics = plain.pretrained = False
    assert quick(plain, task, "from_scratch", batch_size=1).batch_size == 1  # it has no batch norm


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.filterwarnings("error")
def test_short_number_formats_learn(monkeypatch, precision):
    monkeypatch.setenv("COURSE_PRECISION", precision)
    model, task = small_net(), digits_task()
    losses = quick(model, task, "from_scratch", steps=25, lr=1e-2).table.loss
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert evaluate(model, task.train, device="cpu").probabilities.dtype == np.float32


def test_the_bar_is_silent_or_one_line(capsys, monkeypatch):
    quick(small_net(), digits_task())
    assert capsys.readouterr() == ("", "")
    quick(small_net(), digits_task(), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.count("\r") <= 2
    assert "6/6" in err and "loss" in err and "accuracy" in err
    monkeypatch.setenv("TQDM_DISABLE", "1")  # for notebooks that are stored
    quick(small_net(), digits_task(), progress=True)
    assert capsys.readouterr() == ("", "")


def test_the_history_is_a_tidy_table():
    history = quick(small_net(), digits_task(), "head_first", steps=20)
    table = history.table
    assert list(table) == ["step", "phase", "loss", "accuracy", "lr", "seconds"]
    assert list(table.step) == list(range(1, 21))
    assert list(table.phase) == [1] * 10 + [2] * 10
    assert table.seconds.is_monotonic_increasing and history.seconds == table.seconds.iloc[-1]
    assert table.accuracy.between(0, 1).all()
    assert repr(history).startswith("20 steps of 32 in ") and len(repr(history)) < 150
    assert "<table" in history._repr_html_() and history._repr_html_().count("<tr") <= 8
