"""Settings, labels and models that make no sense: each gets a message, and nothing is silently wrong."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import digits_task, quick, refused, small_net

from course_utils import (
    Strategy,
    add_lora,
    assert_frozen,
    cka,
    evaluate,
    extract,
    feature_extraction,
    fine_tuning,
    fit,
    load_model,
    lora_parameters,
    paired_difference,
    partial_fine_tuning,
    probe,
)
from course_utils.data import Split
from course_utils.errors import CourseError, NotFrozen, TrainingDiverged
from course_utils.models.backbones import BasicBlock, Model

WRONG = {
    "lr": ["1e-3", math.nan, math.inf, 0, -1e-3, True],
    "steps": ["10", math.nan, math.inf, 2.5, 40.0, 0, -3, True],
    "epochs": ["1", math.nan, math.inf, 0],
    "batch_size": ["8", None, math.nan, math.inf, 0, 1.5],
    "validation": ["0.2", math.nan, math.inf, 0, 1, -0.1],
    "seed": ["0", None, -1, 0.5, math.nan, math.inf, 2**70],
    "device": ["gpu9", "cuda:99", 3.5, math.nan, math.inf, "nothing here", "meta"],
    "augment": ["yes", 3],
    "callbacks": [print, [None], None, "look"],
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


@pytest.mark.parametrize("value", ["10", math.nan, math.inf, 1, 0, -3, 2.5, 10.0, True])
def test_a_head_has_a_whole_number_of_classes(value):
    assert f"num_classes={value!r}" in said(lambda: load_model("photonet", num_classes=value))


SWITCHES = {
    "pretrained": lambda value: load_model("photonet", 10, pretrained=value),
    "pooled": lambda value: extract(small_net(), digits_task(20).train.x, pooled=value),
    "progress": lambda value: fit(small_net(), digits_task(20), steps=1, progress=value),
    "augment": lambda value: quick(small_net(), digits_task(20), augment=value, steps=1),
    "update_statistics": lambda value: fine_tuning(update_statistics=value),
    "debiased": lambda value: cka(np.eye(9), np.eye(9), debiased=value),
    "items": lambda value: paired_difference(None, "a", "b", items=value),
}


@pytest.mark.parametrize("value", ["no", "", 1, np.array([True, False])], ids=repr)
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_on_or_off_and_no_text_counts_as_true(name, value):
    assert f"{name}={value!r} is not possible.\nGive True or False." in said(lambda: SWITCHES[name](value))


def test_a_switch_of_numpy_is_one():
    assert not load_model("photonet", 10, pretrained=np.bool_(False)).pretrained


def look_at_the_step(step):
    raise AssertionError("it is not called")


def test_a_callback_takes_what_it_is_given():
    refused(lambda: quick(small_net(), digits_task(20), callbacks=[look_at_the_step]),
            r"callback=.*look_at_the_step.*too many positional.*\n.*def look\(step, model, row\)")  # fmt: skip
    quick(small_net(), digits_task(20), steps=1, callbacks=[print, lambda *all_of_it: None])


def no_model():
    return []


NO_STRATEGIES = {  # what a strategy cannot be made of: what is said
    "a share without a setup": ({"phases": [0.5]}, r"phases=\[0.5\] is not.*\n.*\n.*phases=\[\(0.5, setup\)\]"),
    "a share that is a text": ({"phases": [("half", len)]}, "phases=.*'half'"),
    "a phase without a setup": ({"phases": [(0.5, None)]}, "setup or penalty=None .*not a callable.*\n.*def setup"),
    "no setup": ({"setup": None}, "setup or penalty=None is not possible"),
    "a setup of no model": ({"setup": no_model}, "setup or penalty=.*too many positional"),
    "a number as penalty": ({"penalty": 0.1}, "setup or penalty=0.1 is not possible"),
}


@pytest.mark.parametrize("what", NO_STRATEGIES)
def test_a_strategy_is_made_of_functions_and_shares(what):
    given, words = NO_STRATEGIES[what]
    refused(lambda: Strategy(**{"setup": len, "steps": 2, "lr": 0.1} | given), words)


@pytest.mark.parametrize("value", ["0", -1, None, 0.5, 2**70])
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


def no_numbers():
    model = small_net()
    torch.nn.init.constant_(model.stages["layer1"].conv1.weight, math.nan)
    return model


def test_weights_that_are_not_numbers_are_no_matter_of_the_rate():
    model = no_numbers()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert "before the first step" in said(lambda: fit(model, digits_task(20), steps=1, progress=False))
    assert all(torch.equal(tensor, before[name]) or tensor.isnan().any() for name, tensor in model.state_dict().items())
    assert "nothing to score" in said(lambda: evaluate(model, digits_task(20).test))
    model.pretrained = model.has_statistics = True
    assert "gives features that are not finite" in said(lambda: extract(model, digits_task(20).train.x, "all"))
    assert np.isfinite(extract(model, digits_task(20).train.x, "stem")).all()  # which lies before the damage


NO_PICTURES = {
    "texts": (np.array(["a text", "another"]), "these are texts"),
    "texts as objects": (np.array(["a text", "another"], object), "these are texts"),
    "a list of texts": (["a text", "another"], "these are texts"),
    "nothing": (None, "this is object ()"),
    "objects": (np.array([None, {}], object), "this is object (2,)"),
    "no pixels": (np.zeros((2, 3, 0, 0), np.uint8), "(2, 3, 0, 0)"),
    "no width": (np.zeros((2, 3, 32, 0), np.uint8), "(2, 3, 32, 0)"),
    "one picture": (np.zeros((3, 32, 32), np.uint8), "x[None]"),
    "grey": (np.zeros((2, 1, 32, 32), np.uint8), "three channels"),
    "channels last": (np.zeros((2, 32, 32, 3), np.uint8), "(2, 32, 32, 3)"),
    "floats": (np.zeros((2, 3, 32, 32), np.float32), "float32"),
    "complex": (np.zeros((2, 3, 32, 32), complex), "complex128"),
}


@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_are_no_pictures_is_said_by_whoever_takes_pictures(what):
    x, words = NO_PICTURES[what]
    model, split = small_net(), Split(x, np.zeros(2, int))
    assert words in said(lambda: extract(model, x))
    if x is not None and len(x) == 2:
        assert words in said(lambda: evaluate(model, split))
        assert words in said(lambda: fit(model, replace(digits_task(20), train=split), steps=1, progress=False))


NOT_FOR_A_PROBE = {
    "one-hot labels": (np.eye(4), np.eye(2)[[0, 0, 1, 1]]),
    "labels like 3.7": (np.eye(4), [0, 1, 3.7, 1]),
    "a label that is not a number": (np.eye(4), [0, 1, math.nan, 1]),
    "a label that is nothing": (np.eye(4), [0, 1, None, 1]),
    "no labels": (np.eye(4), None),
    "too few labels": (np.eye(4), [0, 1, 1]),
    "one class": (np.eye(4), [1, 1, 1, 1]),
    "maps": (np.zeros((4, 2, 3, 3)), [0, 1, 0, 1]),
    "texts": (np.array([["a"], ["b"]]), [0, 1]),
    "nothing at all": (np.zeros((0, 3)), []),
    "no columns": (np.zeros((4, 0)), [0, 1, 0, 1]),
}


@pytest.mark.parametrize("what", NOT_FOR_A_PROBE)
def test_a_probe_takes_numbers_and_a_label_each(what):
    features, y = NOT_FOR_A_PROBE[what]
    assert "probe takes N x D features" in said(lambda: probe(features, y))


def test_a_probe_takes_names_too():
    for kind in (str, object):  # a column of pandas is of the second kind
        y = np.array(["ant", "bee", "ant", "bee"], kind)
        assert probe(np.eye(4), y).predict(np.eye(4)).tolist() == y.tolist()


@pytest.mark.parametrize("stages", ["2", 0, -1, 1.5, math.nan, None])
def test_whole_stages_train(stages):
    assert f"stages={stages!r}" in said(lambda: partial_fine_tuning(stages))


def test_features_that_are_not_numbers_are_refused():
    features = np.ones((4, 3))
    for value in (np.nan, -np.inf, 1e300, -1e200):  # the squares of the last two are too large for a number
        features[1, 2] = value
        assert "1 of the features are no numbers up to 1e+100" in said(lambda: probe(features, [0, 0, 1, 1]))
    features[:, 2] = [1e99, 0, -1e99, -1e99]
    assert probe(features, [0, 0, 1, 1]).score(features, [0, 0, 1, 1]) == 1


GROUPS = {
    "a rate below zero": ({"lr": -1.0}, "lr=-1.0"),
    "a rate that is no number": ({"lr": math.nan}, "lr=nan"),
    "a rate that is a text": ({"lr": "1e-3"}, "lr='1e-3'"),
    "a share that is a text": ({"lr_scale": "half"}, "lr_scale='half'"),
    "a decay below zero": ({"weight_decay": -0.1}, "weight_decay=-0.1"),
    "no parameters": ({"params": []}, "Nothing would train"),
    "nothing as parameters": ({"params": None}, "Nothing would train"),
    "a number as parameters": ({"params": 3}, "gives a int"),
    "a key that nobody reads": ({"learning_rate": 1e-4}, "has the key learning_rate"),
}


@pytest.mark.parametrize("what", GROUPS)
def test_groups_of_a_strategy_of_ones_own_are_looked_at(what):
    more, words = GROUPS[what]

    def strategy(model):
        return [{"params": model.parameters(), **more}]

    assert words in said(lambda: fit(small_net(), digits_task(20), strategy, steps=1, progress=False))


def test_a_group_with_a_key_that_nobody_reads_is_said():
    assert "has the key parameters" in said(
        lambda: fit(small_net(), digits_task(20), lambda model: [{"parameters": model.head}], steps=1, progress=False)
    )


GIVEN = {  # what a strategy of one's own gives: what is said, or None where it is what was meant
    "a layer": (lambda model: model.head, "gives a Linear"),
    "the model": (lambda model: model, "gives a PhotoNet"),
    "layers": (lambda model: list(model.stages.values()), "gives a Sequential"),
    "names": (lambda model: model.named_parameters(), "gives a tuple"),
    "a number": (lambda model: 5, "gives a int"),
    "one twice": (lambda model: [model.head.weight] * 2, "comes twice"),
    "one in two groups": (lambda model: [{"params": model.head.weight}, {"params": model.parameters()}], "comes twice"),
    "one parameter": (lambda model: model.head.weight, None),
    "one group": (lambda model: {"params": model.head.parameters()}, None),
    "a group and a parameter": (lambda model: [{"params": model.head.weight}, model.head.bias], None),
}


@pytest.mark.parametrize("what", GIVEN)
def test_what_a_strategy_of_ones_own_gives(what):
    strategy, words = GIVEN[what]
    model, before = small_net(), small_net().head.weight
    if words:
        assert words in said(lambda: quick(model, digits_task(20), strategy))
    else:
        quick(model, digits_task(20), strategy)
        assert not torch.equal(model.head.weight, before)


PENALTIES = {
    "nothing": lambda model: None,
    "a vector": lambda model: model.head.bias,
    "a vector of one": lambda model: model.head.bias.sum()[None],
    "a text": lambda model: "0.1",
}


@pytest.mark.parametrize("what", PENALTIES)
def test_a_penalty_is_one_number(what):
    plan = replace(fine_tuning(), penalty=PENALTIES[what])
    assert "expected one number" in said(lambda: quick(small_net(), digits_task(20), plan))
    history = quick(small_net(), digits_task(20), replace(fine_tuning(), penalty=lambda model: 0.5))
    assert history.rows[0]["loss"] > 0.5


def test_what_is_rehearsed_is_a_split_of_pictures_alike():
    task = digits_task(20)
    large = Split(np.zeros((4, 3, 64, 64), np.uint8), task.train.y[:4])
    for extra, words in ((task, "this is a Task"), (large, "load both alike")):
        assert words in said(lambda extra=extra: quick(small_net(), task, replace(fine_tuning(), extra_data=extra)))


@pytest.mark.parametrize("steps", [-3, 0, "10"])
def test_a_strategy_makes_steps(steps):
    plan = replace(fine_tuning(), steps=steps)
    assert f"steps={steps!r}" in said(lambda: fit(small_net(), digits_task(20), plan, progress=False))


def test_torch_that_was_interrupted_while_it_was_loaded_asks_for_a_new_kernel(monkeypatch):
    def half_loaded(*_, **__):
        raise RuntimeError("This is not allowed since there's already a kernel registered from python")

    monkeypatch.setattr(torch.optim, "AdamW", half_loaded)
    assert "Restart the kernel" in said(lambda: quick(small_net(), digits_task(20)))


def test_numbers_of_numpy_are_numbers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = {"lr": np.float32(1e-3), "steps": np.int64(2), "seed": np.int64(3), "batch_size": np.int64(4)}
        model = load_model("photonet", num_classes=10, seed=np.int64(3))
        assert len(fit(model, digits_task(20), progress=False, **numbers).rows) == 2


class Pair(torch.nn.Module):
    def forward(self, x):
        return x, x


NONSENSE = {
    "a stage that gives two things": lambda model: model.stages["layer4"].register_module("bn2", Pair()),
    "a stage for one dimension": lambda model: model.stages.__setitem__("layer4", torch.nn.Conv1d(8, 16, 3)),
    "a head that gives two things": lambda model: setattr(model, "head", Pair()),
    "a head for other features": lambda model: setattr(model, "head", torch.nn.Linear(5, 10)),
    "a head without classes": lambda model: setattr(model, "head", torch.nn.Flatten(0)),
    "half precision": lambda model: model.half(),
    "double precision": lambda model: model.double(),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_model_that_cannot_run_says_so_before_it_is_trained(what):
    model = small_net()
    NONSENSE[what](model)
    words = "expected float32" if "precision" in what else "does not run on these pictures"
    assert words in said(lambda: quick(model, digits_task(20)))
    assert words in said(lambda: evaluate(model, digits_task(20).test))
    if "precision" in what:
        assert words in said(lambda: extract(model, digits_task(20).train.x, device="cpu"))


def test_stages_are_run_in_their_order_and_on_what_was_prepared():
    model, x = small_net(), torch.zeros(2, 3, 32, 32)
    assert "layer1 before layer3" in said(lambda: model.run(x, "layer3", "layer1"))
    for raw in (x.byte(), x.numpy()):
        assert "takes a batch from prepare" in said(lambda raw=raw: model(raw))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_fit_trains_where_gradients_are_switched_off(context):
    model, before = small_net(), small_net().head.weight
    with context():
        quick(model, digits_task(20))
    assert not torch.equal(model.head.weight, before)


def test_a_model_that_was_made_without_gradients_cannot_learn():
    with torch.inference_mode():
        model = small_net()
    refused(lambda: quick(model, digits_task(20)), r"made inside of torch\.inference_mode\(\).*\n.*outside")
    assert evaluate(model, digits_task(20).test).correct.shape == (200,)


def test_after_a_divergence_the_old_head_reads_what_it_read():
    model, task = small_net(), digits_task(20)
    quick(model, task)
    before, head = evaluate(model, task.test).probabilities, model.head
    with pytest.raises(TrainingDiverged):
        quick(model, task, feature_extraction("layer2"), lr=1e30)
    assert model.head is head and (model.last, model.width) == (None, 16)
    np.testing.assert_array_equal(evaluate(model, task.test).probabilities, before)


def test_a_stage_takes_the_place_of_any_head():
    model = small_net()
    model.head = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(16, 10))
    quick(model, digits_task(20), feature_extraction("layer2"))
    assert model.head.in_features == 8


def test_what_stays_nan_has_not_changed():
    layer = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(layer.bias, math.nan)
    with assert_frozen(layer):
        pass
    with pytest.raises(NotFrozen, match="bias"), assert_frozen(layer):
        torch.nn.init.zeros_(layer.bias)


def test_no_pictures_give_no_statistics():
    model = small_net()
    extract(model, digits_task(20).train.x[:0])
    assert not model.has_statistics
    assert "no stage ''" in said(lambda: extract(model, digits_task(20).train.x, ""))


def test_parameters_of_another_model_are_refused():
    other = small_net()
    said_so = said(lambda: fit(small_net(), digits_task(20), lambda model: other.parameters(), steps=1, progress=False))
    assert "not this model's" in said_so


def test_training_below_an_adapter_is_said():
    model = add_lora(small_net(pretrained=True), targets=["conv1"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(model, digits_task(20), lora_parameters)
        quick(model, digits_task(20), "feature_extraction")
    with pytest.warns(UserWarning, match="strategy=lora_parameters"):
        quick(model, digits_task(20))


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


def upside_down(x, weight, bias):
    return torch.nn.functional.conv2d(x.flip(2), weight, bias, 2, 3)


CHANGES = {
    "a class attribute": lambda model: setattr(Brightness, "factor", 2.0),
    "a list": lambda model: model.stages["stem"][-1].factors.__setitem__(0, 2.0),
    "its forward": lambda model: setattr(model.stages["layer1"], "forward", lambda x: 0 * x),
    "prepare": lambda model: setattr(model, "prepare", lambda batch: batch.float()),
    "pool": lambda model: setattr(model, "pool", lambda x, positions=1: x.amax((2, 3))),
    "its inner work": lambda model: setattr(model.stages["stem"][0], "_conv_forward", upside_down),
    "forward of its class": lambda model: setattr(BasicBlock, "forward", lambda block, x: block.shortcut(x)),
    "prepare of its class": lambda model: setattr(Model, "prepare", lambda model, batch: batch.float()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_features_are_never_stale_after_a_change_of_ones_own(change, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Brightness, "factor", 1.0)
    for kind, method in ((BasicBlock, "forward"), (Model, "prepare")):
        monkeypatch.setattr(kind, method, getattr(kind, method))  # back to it afterwards
    model, x = small_net(pretrained=True), digits_task(20).train.x
    if change in ("a class attribute", "a list"):
        model.stages["stem"].append(Brightness())
    before = extract(model, x)
    CHANGES[change](model)
    after = extract(model, x)
    assert not np.allclose(before, after)


def test_features_are_never_stale_under_a_hook_on_all_layers(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    model, x = small_net(pretrained=True), digits_task(20).train.x
    before = extract(model, x)
    with torch.nn.modules.module.register_module_forward_hook(lambda layer, inputs, output: output * 0.9):
        assert not np.allclose(before, extract(model, x))
    assert np.array_equal(before, extract(model, x))
