"""Batches: their order, their mirror images, and frozen stages that are run only once."""

import pytest
import torch
from toys import digits_task, quick, small_net, state

from course_utils import device
from course_utils.errors import CourseError
from course_utils.training import batches
from course_utils.training.batches import Feed, batch_order, hold_out, load
from course_utils.training.freezing import freeze

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")


def test_batches_are_whole_distinct_and_cover_an_epoch():
    order = batch_order(70, 16, seed=3)
    epoch = [next(order)[0] for _ in range(4)]
    assert [len(batch) for batch in epoch] == [16] * 4
    assert len(torch.cat(epoch).unique()) == 64
    assert len(next(batch_order(5, 16, seed=3))[0].unique()) == 5  # the whole set where it is smaller
    seen = torch.cat([next(order)[0] for _ in range(40)]).bincount(minlength=70)
    assert seen.min() > 0  # what an epoch leaves out comes in a later one


def indices_of(monkeypatch, strategy, **settings):
    """The batches that a strategy is given, as lists of indices."""
    drawn, original = [], Feed.batch

    def spy(self, indices, mirrored=None):
        drawn.append(indices.tolist())
        return original(self, indices, mirrored)

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "batch", spy)
        quick(small_net(), digits_task(), strategy, **settings)
    return drawn


def test_all_strategies_get_the_same_batches(monkeypatch):
    expected = indices_of(monkeypatch, "from_scratch")
    assert len(expected) == 6
    for strategy in ("feature_extraction", "partial_fine_tuning", "head_first"):
        assert indices_of(monkeypatch, strategy) == expected
    assert indices_of(monkeypatch, "from_scratch", augment=True) == expected
    assert indices_of(monkeypatch, "from_scratch", seed=1) != expected


def pictures_through(stage):
    """A list that collects how many pictures each forward pass of `stage` sees."""
    seen = []
    stage.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    return seen


@pytest.mark.parametrize(
    ("strategy", "steps", "most"), [("feature_extraction", 40, 162), ("from_scratch", 40, 1281)]
)
def test_the_frozen_prefix_is_run_once(strategy, steps, most):
    model = small_net(pretrained=strategy != "from_scratch")
    seen = pictures_through(model.stages["layer4"])
    quick(model, digits_task(80, photographs=True), strategy, steps=steps)
    assert sum(seen) <= most  # both mirror images of 80 pictures, one to try the model, one for its size
    assert (sum(seen) >= 160) if strategy == "feature_extraction" else (sum(seen) == most)


def test_few_steps_do_not_run_the_prefix_on_everything():
    model = small_net(pretrained=True)
    seen = pictures_through(model.stages["layer4"])
    quick(model, digits_task(400), "feature_extraction", steps=2)
    assert sum(seen) == 65  # one of them to try the model


@pytest.mark.parametrize("strategy", ["feature_extraction", "partial_fine_tuning"])
@pytest.mark.parametrize("photographs", [False, True])
def test_weights_are_the_same_without_the_cache(monkeypatch, strategy, photographs):
    task, results = digits_task(photographs=photographs), []
    for limit in (batches.CACHE_BYTES, 0):
        monkeypatch.setattr(batches, "CACHE_BYTES", limit)
        model = small_net(pretrained=True)
        seen = pictures_through(model.stages["stem"])
        quick(model, task, strategy, steps=20)
        results.append((state(model), sum(seen)))
    (kept, few), (computed, many) = results
    assert many > 3 * few
    for name in kept:
        torch.testing.assert_close(kept[name], computed[name], rtol=1e-3, atol=2e-5)


def test_mirroring_is_of_marked_pictures_only():
    model, task = small_net(pretrained=True).eval(), digits_task()
    x = load(model, task.train, 10, CPU).x
    indices, mirrored = torch.tensor([3, 1, 4]), torch.tensor([True, False, True])
    expected = x[indices].clone()
    expected[[0, 2]] = expected[[0, 2]].flip(-1)
    torch.testing.assert_close(Feed(model, x, True, 1000).batch(indices, mirrored), model.prepare(expected))
    torch.testing.assert_close(
        Feed(model, x, False, 1000).batch(indices, mirrored), model.prepare(x[indices])
    )
    freeze(model.stages)
    kept = Feed(model, x, True, 1000)
    assert kept.kept.shape == (160, 16)
    with torch.no_grad():
        features = model.pool(model.run(model.prepare(expected)))
    torch.testing.assert_close(kept.batch(indices, mirrored), features, rtol=1e-4, atol=1e-5)


def test_only_photographs_are_mirrored_unless_told_otherwise(monkeypatch):
    mirrors = []
    original = Feed.__init__
    monkeypatch.setattr(
        Feed,
        "__init__",
        lambda self, m, x, mirror, u: mirrors.append(mirror) or original(self, m, x, mirror, u),
    )
    for photographs, augment in ((True, None), (False, None), (True, False)):
        quick(small_net(), digits_task(photographs=photographs), augment=augment, steps=1)
    assert mirrors == [True, False, False]


def test_the_held_out_part_is_a_share_of_each_class():
    y = torch.tensor([0] * 20 + [1] * 10 + [2] * 2 + [3])
    data = batches.Data(torch.arange(33), y)
    kept, held = hold_out(data, 0.2, seed=0)
    assert held.y.bincount(minlength=4).tolist() == [4, 2, 1, 0]
    assert sorted(torch.cat([kept.x, held.x]).tolist()) == list(range(33))
    assert not torch.equal(held.x, hold_out(data, 0.2, seed=1)[1].x)
    assert torch.equal(held.x, hold_out(data, 0.2, seed=0)[1].x)
    with pytest.raises(CourseError, match="two or more examples"):
        hold_out(batches.Data(torch.arange(2), torch.tensor([0, 1])), 0.2, 0)


@pytest.mark.parametrize(("shape", "size"), [((900, 3, 32, 32), 256), ((9, 3, 224, 224), 10), ((9, 40), 256)])
def test_large_pictures_go_through_in_smaller_parts(shape, size):
    assert device.chunk_size(torch.empty(shape, device="meta")) == size
    assert device.chunk_size(torch.empty(1, 3, 5000, 5000, device="meta")) == 1
