"""Strategies: groups, rates, phases, penalties and further data."""

from dataclasses import replace

import pytest
from toys import digits_task, quick, same, small_net, state

from course_utils.data.splits import Split
from course_utils.errors import CourseError
from course_utils.training.evaluation import evaluate
from course_utils.training.freezing import freeze
from course_utils.training.strategies import Strategy, from_scratch, parameter_groups


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")


def test_groups_carry_rates_and_spare_norms_and_biases_the_decay():
    model = small_net()
    bias, weight = model.head.bias, model.head.weight
    stem, layer1 = model.stages["stem"], model.stages["layer1"]

    def setup(model):
        return [
            {"params": model.head.parameters()},
            {"params": list(stem.parameters()), "lr_scale": 0.1},
            {"params": layer1.conv1.weight, "lr": 0.7, "weight_decay": 0.5},
        ]

    groups = parameter_groups(model, setup, lr=1e-2, weight_decay=0.01)
    rows = [(len(g["params"]), round(g["lr"], 6), g["weight_decay"]) for g in groups]
    assert rows == [(1, 0.01, 0.01), (1, 0.01, 0.0), (1, 0.001, 0.01), (2, 0.001, 0.0), (1, 0.7, 0.5)]
    assert groups[0]["params"][0] is weight and groups[1]["params"][0] is bias


@pytest.mark.parametrize(
    "strategy",
    [
        lambda model: model.head.parameters(),
        lambda model: [model.head.weight, model.head.bias],
        lambda model: [{"params": model.head.parameters(), "lr_scale": 2.0}],
        from_scratch,  # its brackets forgotten
        from_scratch(),
    ],
)
def test_a_bare_function_is_a_strategy(strategy):
    model = small_net()
    before = state(model.head)
    assert len(quick(model, digits_task(), strategy).table) == 6
    assert not same(before, state(model.head))


@pytest.mark.parametrize("phases", [[(0.0, len)], [(1.0, len)], [(0.6, len), (0.5, len)]])
def test_phases_leave_steps_for_the_first_setup(phases):
    with pytest.raises(CourseError, match="share"):
        Strategy(len, 10, 0.1, phases=phases)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
def test_the_phases_steps_add_up(steps):
    schedule = Strategy(len, 10, 0.1, phases=[(0.3, len), (0.3, len)]).schedule(steps)
    assert sum(count for count, _ in schedule) == steps
    assert all(
        abs(count - share * steps) <= 1 for (count, _), share in zip(schedule, (0.4, 0.3, 0.3), strict=True)
    )


def test_nothing_to_train():
    def everything_frozen(model):
        freeze(model)
        return model.parameters()

    with pytest.raises(CourseError, match="Nothing would train"):
        quick(small_net(), digits_task(), everything_frozen)


def distance_to(start, model):
    return sum(((p - start[name]) ** 2).sum() for name, p in model.stages.named_parameters())


def test_a_penalty_pulls_the_weights_back():
    moved = []
    for strength in (0.0, 10.0):
        model = small_net()
        start = {name: p.detach().clone() for name, p in model.stages.named_parameters()}
        l2_sp = Strategy(
            from_scratch().setup, 40, 3e-3, penalty=lambda m, s=strength, w=start: s * distance_to(w, m)
        )
        quick(model, digits_task(), l2_sp, steps=40)
        moved.append(distance_to(start, model).item())
    assert moved[1] < 0.1 * moved[0]


def test_extra_data_join_each_step():
    task = digits_task(300)
    x, y = task.train.x, task.train.y
    rehearsed, task = Split(x[y < 5], y[y < 5]), replace(task, train=Split(x[y >= 5], y[y >= 5]))
    recall = []
    for extra in (None, rehearsed):
        model = small_net()
        quick(model, task, Strategy(from_scratch().setup, 60, 1e-2, extra_data=extra), steps=60)
        recall.append(evaluate(model, task.test, device="cpu").per_class.recall[:5].mean())
    assert recall[0] < 0.05  # five classes never seen
    assert recall[1] > 0.4  # .7 or so, as the chip rounds
