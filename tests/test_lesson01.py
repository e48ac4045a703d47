"""Channels taken apart: how far units see, what excites them, and what they dream."""

import numpy as np
import pytest
import torch
from toys import same, small_net, state

from course_utils.data.splits import Split, Task
from course_utils.data.surfaces import PHOTOGRAPHS
from course_utils.errors import CourseError
from course_utils.lessons.lesson01.dissection import (
    Patch,
    Scene,
    before_relu,
    effective_field,
    fields,
    most_exciting,
    receptive_field,
    scenes,
)
from course_utils.lessons.lesson01.feature_visualization import dream
from course_utils.models.backbones import Model

SIZES = {"stem": 7, "layer1": 15, "layer2": 27, "layer3": 51, "layer4": 99}


def pictures(n, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


@pytest.fixture(scope="module")
def net():
    return small_net(pretrained=True).eval()


# --- how far a unit sees ---


def test_theoretical_fields_of_photonet(net):
    assert {stage: field.size for stage, field in fields(net).items()} == SIZES
    assert [field.jump for field in fields(net).values()] == [2, 2, 4, 8, 16]
    assert receptive_field([]) == 1 and receptive_field([(3, 2), (3, 1)]) == 7


@pytest.mark.parametrize("stage", SIZES)
def test_the_gradient_reaches_to_the_edge_of_the_theoretical_field_and_no_further(net, stage):
    heat = effective_field(net, pictures(16, 160), stage, 1)
    reach = SIZES[stage] // 2
    for axis in (0, 1):
        (seen,) = np.flatnonzero(heat.share.any(axis))[[0, -1]][None]
        assert seen.tolist() == [heat.centre - reach, heat.centre + reach]
    assert heat.share.sum() == pytest.approx(1) and (heat.share >= 0).all()


@pytest.mark.parametrize("stage", ["layer2", "layer3", "layer4"])
def test_half_of_the_gradient_lies_in_a_smaller_square_than_if_it_were_even(net, stage):
    heat = effective_field(net, pictures(8, 160), stage, 0)
    low, high = heat.centre - heat.half // 2, heat.centre + heat.half // 2 + 1
    assert heat.share[low:high, low:high].sum() >= 0.5 > heat.share[low + 1 : high - 1, low + 1 : high - 1].sum()
    assert 1 < heat.half < SIZES[stage] * 0.5**0.5


def test_units_that_are_off_count_too(net):
    off = small_net(pretrained=True)
    with torch.no_grad():
        off.stages["layer1"].bn2.bias.fill_(-1e3)
    heat = effective_field(off, pictures(2, 64), "layer1", 0)
    assert heat.share.sum() == pytest.approx(1) and heat.half > 1


@pytest.mark.parametrize("stage", SIZES)
def test_the_last_relu_is_all_that_is_left_out(net, stage):
    x = net.prepare(torch.as_tensor(pictures(2, 64)))
    before = before_relu(net, x, stage)
    assert before.min() < 0 and torch.allclose(before.relu(), net.run(x, stop=stage), atol=1e-5)


# --- what excites a channel ---


def red_detector():
    """A network whose channel 2 in the stem sees red pixels, and nothing else."""
    model = small_net(pretrained=True)
    with torch.no_grad():
        weight = model.stages["stem"][0].weight
        weight[2] = 0
        weight[2, :, 3, 3] = torch.tensor([1.0, -1.0, -1.0])
    return model


def scene(name, red=None, scale=1.0, size=64, strength=255):
    """Grey, with one red dot, 1 px large, at (row, column)."""
    x = np.full((3, size, size), 128, np.uint8)
    if red:
        x[:, red[0], red[1]] = strength, 0, 0
    return Scene(name, scale, x)


def strongest(places, count=7, channel=2):
    return most_exciting(red_detector(), places, [channel], count)["stem"][channel]


def test_the_place_of_a_planted_detector_is_found():
    best = strongest([scene("empty"), scene("one", (20, 40)), scene("other", (50, 10), strength=220)], count=2)
    assert [(patch.scene.photograph, patch.row, patch.column) for patch in best] == [("one", 20, 40), ("other", 50, 10)]
    assert best[0].activation > best[1].activation
    assert best[0].pixels.shape == (3, 7, 7) and best[0].pixels[:, 3, 3].tolist() == [255, 0, 0]


def test_a_place_comes_once_whatever_its_scale():
    views = [scene("one", (20, 40)), scene("one", (10, 20), scale=2.0, size=32), scene("one", (20, 8), strength=200)]
    best = [patch for patch in strongest(views) if patch.pixels[0, 3, 3] > 150]
    assert [(patch.row, patch.column) for patch in best] == [(20, 40), (20, 8)]


def test_patches_lie_within_their_picture():
    best = strongest([scene("edge", (2, 30)), scene("inside", (4, 30), strength=150)])
    assert best[0].scene.photograph == "inside" and all(patch.pixels.shape == (3, 7, 7) for patch in best)


def test_a_patch_is_as_large_as_the_field_and_at_most_63_px(net):
    found = most_exciting(net, [Scene("noise", 1.0, x) for x in pictures(3, 96)], [0, 3], count=4)
    assert {patch.side for patch in found["layer2"][0]} == {27} and {patch.side for patch in found["layer4"][3]} == {63}
    for of in found.values():
        for patches in of.values():
            strengths = [patch.activation for patch in patches]
            assert 1 <= len(patches) <= 4 and strengths == sorted(strengths, reverse=True) and min(strengths) > 0
            assert all(patch.pixels.shape == (3, patch.side, patch.side) for patch in patches)


def test_the_activation_of_a_patch_is_that_of_its_unit(net):
    (patch,) = most_exciting(net, [Scene("noise", 1.0, pictures(1, 96)[0])], [1], count=1)["layer3"][1]
    maps = net.run(net.prepare(torch.as_tensor(patch.scene.pixels[None])), stop="layer3")[0, 1]
    assert maps[patch.row // 8, patch.column // 8].item() == pytest.approx(patch.activation, rel=1e-4)


def test_a_picture_too_small_for_a_patch_has_none(net):
    found = most_exciting(net, [Scene("small", 1.0, pictures(1, 48)[0])], [0], count=3)
    assert found["layer3"][0] == [] and found["stem"][0]


def test_overlap_is_that_of_places_in_the_photograph():
    big, half = Scene("one", 1.0, pictures(1, 64)[0]), Scene("one", 2.0, pictures(1, 32)[0])
    patch = Patch(1.0, big, 20, 20, 7)
    assert patch.overlaps(Patch(1.0, half, 14, 10, 7)) and not patch.overlaps(Patch(1.0, half, 16, 10, 7))
    assert patch.overlaps(Patch(1.0, big, 26, 20, 7)) and not patch.overlaps(Patch(1.0, big, 27, 20, 7))
    assert not patch.overlaps(Patch(1.0, big._replace(photograph="two"), 20, 20, 7))


def test_scenes_are_photographs_at_three_scales_and_the_task_at_two():
    own = Split(pictures(2, 64), np.array([0, 1]))
    task = Task("own", ["ant", "bee"], own, own, False, "")
    found = scenes(task)
    assert len(found) == 3 * len(PHOTOGRAPHS) + 4 and len({one.photograph for one in found}) == len(PHOTOGRAPHS) + 2
    coffee = [one for one in found if one.photograph == "coffee"]
    assert [one.pixels.shape for one in coffee] == [(3, 64, 96), (3, 128, 192), (3, 256, 384)]
    assert coffee[0].scale == 400 / 64 and found[-1].scale == 2 and found[-1].pixels.shape == (3, 32, 32)
    assert found[-2].photograph == found[-1].photograph == "bee 1"
    cut = Task("textures", ["a", "b"], own, own, False, "")
    assert len(scenes(cut)) == 3 * len(PHOTOGRAPHS)


# --- dreaming ---


@pytest.mark.parametrize("stage", ["stem", "layer2", "layer4"])
def test_a_dream_excites_its_channel(net, stage):
    found = dream(net, stage, [0, 3], steps=24)
    assert found.pictures.shape == (2, 3, 64, 64) and found.pictures.dtype == np.uint8
    assert (found.last > 1.3 * found.first).all() and (found.last > 0).all()
    maps = net.run(net.prepare(torch.as_tensor(found.pictures)), stop=stage)
    own = [maps[number, channel].mean().item() for number, channel in enumerate((0, 3))]
    assert own == pytest.approx(found.last, rel=0.05)  # pictures are rounded to whole grey levels


def test_a_channel_that_is_off_everywhere_at_first_is_brought_to_life():
    model = small_net(pretrained=True).eval()
    start = model.prepare(torch.as_tensor(dream(model, "layer4", [0], steps=0).pictures))
    with torch.no_grad():
        model.stages["layer4"].bn2.bias[0] -= before_relu(model, start, "layer4")[:, 0].max() + 0.3
    found = dream(model, "layer4", [0])
    assert found.first[0] == 0 < found.last[0]


def test_a_dream_has_the_contrast_of_photographs(net):
    for steps in (0, 24):
        spread = dream(net, "layer1", [0, 1], steps=steps).pictures.std((1, 2, 3)) / 255
        assert (spread > 0.15).all() and (spread < 0.35).all()


def test_dreams_depend_on_the_seed_alone_and_leave_the_network_as_it_was():
    model = small_net(pretrained=True).train()
    before = state(model)
    first, again, other = (dream(model, "layer1", [2], steps=3, seed=seed).pictures for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert same(before, state(model)) and all(part.training for part in model.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


# --- mistakes ---


def test_mistakes_are_explained(net):
    with pytest.raises(CourseError, match="stem has the channels 0 to 3; asked for 2, 4"):
        dream(net, "stem", [2, 4])
    with pytest.raises(CourseError, match="layer4 has the channels 0 to 15; asked for -1"):
        effective_field(net, pictures(1, 64), "layer4", -1)
    with pytest.raises(CourseError, match="no stage 'layer9'"):
        dream(net, "layer9", [0])
    other = Model("resnet", {"all": torch.nn.Conv2d(3, 4, 3)}, 4, ((0.5,) * 3, (0.2,) * 3))
    for wrong in (lambda: most_exciting(other, [], [0]), lambda: dream(other, "all", [0]), lambda: fields(other)):
        with pytest.raises(CourseError, match="Expected a PhotoNet"):
            wrong()
