"""Freezing: what is said to be frozen stays bit-equal, statistics included, under every strategy."""

import copy

import pytest
import torch
from toys import digits_task, quick, same, small_net, state

from course_utils.errors import CourseError, NotFrozen
from course_utils.training.freezing import (
    assert_frozen,
    count_parameters,
    freeze,
    freeze_batch_norm,
    is_frozen,
    unfreeze,
)
from course_utils.training.strategies import STRATEGIES, fine_tuning, partial_fine_tuning


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")


def pictures():
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def moved(before, module):
    """The names of what has changed since."""
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def is_statistic(name):
    return "running" in name or "num_batches" in name


# --- the tools -------------------------------------------------------------------------------------------


def test_requires_grad_alone_does_not_freeze_batch_norm():
    stages = small_net().train().stages
    stages.requires_grad_(False)
    assert not is_frozen(stages)
    with (
        pytest.raises(NotFrozen, match=r"running statistics of stem\.1\.running_mean"),
        assert_frozen(stages),
    ):
        stages["stem"](pictures())


def test_frozen_holds_in_training_mode_and_again_after_train():
    model = small_net()
    freeze(model.stages)
    with assert_frozen(model.stages):
        for _ in range(2):
            model.train()
            model(pictures()).sum().backward()
    assert is_frozen(model.stages)
    assert all(p.grad is None for p in model.stages.parameters())
    assert model.head.weight.grad is not None


def test_dropout_in_a_frozen_part_is_off():
    part = freeze(torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 4))).train()
    x = torch.ones(3, 4)
    assert torch.equal(part(x), part(x))


def test_assert_frozen_names_parameters_and_buffers():
    model = small_net()
    with pytest.raises(NotFrozen, match=r"values of head\.bias changed"), assert_frozen(model):
        model.head.bias.data[0] += 1e-6
    with pytest.raises(NotFrozen, match="running_var"), assert_frozen(model.stages):
        model.stages["layer2"].bn1.running_var[0] += 1e-6
    with assert_frozen(model):
        pass


def test_freeze_batch_norm_leaves_scale_and_shift_trainable():
    model = small_net(pretrained=True).train()
    freeze_batch_norm(model.stages)
    before = state(model.stages)
    model(pictures()).sum().backward()
    assert moved(before, model.stages) == set()
    assert all(p.grad is not None for p in model.stages.parameters())
    assert not is_frozen(model.stages["stem"])


def test_unfreeze_undoes_both():
    model = small_net()
    unfreeze(freeze_batch_norm(freeze(model)))
    assert count_parameters(model).frozen == 0
    before = state(model)
    model.train()(pictures())
    assert any("running_mean" in name for name in moved(before, model))


def test_a_copy_of_a_frozen_model_is_frozen():
    model = small_net()
    freeze(model.stages)
    copied = copy.deepcopy(model).train()
    assert is_frozen(copied.stages)
    with assert_frozen(copied.stages):
        copied(pictures())
    unfreeze(copied)
    assert is_frozen(model.stages) and not is_frozen(copied.stages)


def test_parameters_are_counted():
    model = small_net()
    total = sum(p.numel() for p in model.parameters())
    freeze(model.stages)
    counted = count_parameters(model)
    assert (counted.total, counted.trainable) == (total, 16 * 10 + 10)
    assert counted.frozen == total - 170
    assert str(counted).startswith(f"170 of {total:,} parameters train")


# --- the strategies --------------------------------------------------------------------------------------


def test_feature_extraction_leaves_the_backbone_bit_equal():
    model = small_net(pretrained=True)
    head = state(model.head)
    with assert_frozen(model.stages):
        quick(model, digits_task(), "feature_extraction", validation=0.2)
    assert not same(head, state(model.head))
    assert is_frozen(model.stages)


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_partial_fine_tuning_moves_the_last_stages_only(stages):
    model = small_net(pretrained=True)
    before = state(model.stages)
    quick(model, digits_task(), partial_fine_tuning(stages))
    changed = moved(before, model.stages)
    assert {name.split(".")[0] for name in changed} == set(list(model.stages)[-stages:])
    assert not any(is_statistic(name) for name in changed)


@pytest.mark.parametrize("stages", [0, 6])
def test_partial_fine_tuning_of_a_number_of_stages_that_is_not_there(stages):
    with pytest.raises(CourseError, match="stages"):
        quick(small_net(), digits_task(), partial_fine_tuning(stages))


def test_fine_tuning_moves_the_weights_and_holds_the_statistics():
    model = small_net(pretrained=True)
    before = state(model.stages)
    quick(model, digits_task(), "fine_tuning")
    changed = moved(before, model.stages)
    assert {name for name, _ in model.stages.named_parameters()} <= changed
    assert not any(is_statistic(name) for name in changed)


def test_fine_tuning_updates_the_statistics_when_asked_or_when_there_are_none():
    for model, strategy in (
        (small_net(pretrained=True), fine_tuning(update_statistics=True)),
        (small_net(pretrained=False), "fine_tuning"),
    ):
        before = state(model.stages)
        quick(model, digits_task(), strategy)
        assert {name for name in before if is_statistic(name)} <= moved(before, model.stages)


def test_the_backbone_learns_at_a_lower_rate_than_the_head():
    model = small_net(pretrained=True)
    before = state(model)
    quick(model, digits_task(), "fine_tuning", steps=1)  # Adam's first step is as long as the rate
    step = {name: (model.state_dict()[name] - before[name]).abs().median().item() for name in before}
    assert step["stages.layer4.conv2.weight"] < 0.5 * step["head.weight"]


def test_head_first_moves_the_backbone_in_its_second_phase_only():
    model = small_net(pretrained=True)
    before, seen = state(model.stages), {}

    def callback(step, model, row):
        seen[step] = (row["phase"], bool(moved(before, model.stages)))

    quick(model, digits_task(), "head_first", steps=8, callbacks=[callback])
    assert [seen[step] for step in range(1, 9)] == [(1, False)] * 4 + [(2, True)] * 4


def test_from_scratch_warns_on_a_pretrained_model_only():
    with pytest.warns(UserWarning, match="no control"):
        quick(small_net(pretrained=True), digits_task(), "from_scratch")


@pytest.mark.filterwarnings("error")
def test_from_scratch_trains_everything_and_its_batch_norm():
    model = small_net()
    before = state(model)
    quick(model, digits_task(), "from_scratch")
    assert moved(before, model) == set(before)


@pytest.mark.filterwarnings("ignore:from_scratch starts")
@pytest.mark.parametrize("first", STRATEGIES)
def test_each_strategy_undoes_the_freezing_of_the_one_before(first):
    for second in STRATEGIES:
        fresh, used = small_net(pretrained=True), small_net(pretrained=True)
        start = state(used)
        quick(used, digits_task(), first, steps=2)
        used.load_state_dict(start)
        quick(used, digits_task(), second, steps=2)
        quick(fresh, digits_task(), second, steps=2)
        assert same(state(fresh), state(used)), f"{second} after {first}"
        assert count_parameters(used) == count_parameters(fresh)


# --- untrained networks that are kept frozen -------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["feature_extraction", "partial_fine_tuning"])
def test_a_frozen_untrained_network_gets_statistics_from_the_training_pictures(strategy):
    model, task = small_net(), digits_task()
    weights = {name: p.clone() for name, p in model.stages["layer2"].named_parameters()}
    quick(model, task, strategy)
    with torch.no_grad():
        h = model.stages["stem"][0](model.prepare(model.encode(task.train.x)))
    norm = model.stages["stem"][1]
    torch.testing.assert_close(norm.running_mean, h.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, h.var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert norm.momentum == 0.1
    assert all(torch.equal(p, weights[name]) for name, p in model.stages["layer2"].named_parameters())
    assert model.has_statistics


def test_statistics_that_mean_something_are_not_replaced():
    model = small_net()
    quick(model, digits_task(), "from_scratch")
    assert model.has_statistics
    with assert_frozen(model.stages):
        quick(model, digits_task(n=60), "feature_extraction")
