"""Lesson 01: channels taken apart, probes of every stage, Yosinski's experiment, and the figures of all that."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from course_utils.lessons.lesson01.probes import HELD_OUT
from figures import (
    FigureTests,
    drawn,
    pictures,
    words,
)
from PIL import Image
from toys import same, small_net, state

from course_utils import load_model, load_results, paired_difference
from course_utils.data.splits import Split, Task
from course_utils.data.surfaces import PHOTOGRAPHS
from course_utils.errors import CourseError
from course_utils.grids.transfer_grid import STAGES
from course_utils.lessons.lesson01 import figures, probes, yosinski
from course_utils.lessons.lesson01.dissection import (
    Field,
    Heat,
    Patch,
    Scene,
    before_relu,
    effective_field,
    fields,
    most_exciting,
    receptive_field,
    scenes,
)
from course_utils.lessons.lesson01.feature_visualization import Dream, dream
from course_utils.lessons.lesson01.figures.stages import best_stage
from course_utils.lessons.lesson01.views import as_seen, photograph_of
from course_utils.models.backbones import Model
from course_utils.tools.run import ROOT
from course_utils.training.evaluation import inference

SIZES = {"stem": 7, "layer1": 15, "layer2": 27, "layer3": 51, "layer4": 99}


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


# --- probes of every stage, and Yosinski's experiment ---


@pytest.mark.parametrize("task", ["digits", "letters"])
def test_the_images_apart_are_always_the_same_and_no_probe_learns_from_them(task):
    y = probes._task(task).train.y
    aparts = []
    for seed in (0, 1):
        before = set()
        for size in probes.SIZES[task]:
            train, apart = probes._rows(task, size, seed)
            assert not set(train) & set(apart) and before <= set(train)
            assert set(np.bincount(y[train])) == {size}
            before = set(train)
            aparts.append(tuple(apart))
    assert len(set(aparts)) == 1 and len(aparts[0]) <= HELD_OUT
    assert len(set(np.bincount(y[list(aparts[0])]))) == 1


def test_the_second_control_has_as_many_features_at_every_stage_and_sees_no_label():
    shapes = {probes._features("digits", "pretrained", 0, stage, 32)[0].shape for stage in STAGES}
    assert shapes == {(len(probes._task("digits").train), 32)}


def test_stored_probes_cover_every_setting_ten_times():
    runs = load_results("probes")
    assert len(runs) == 10 * len(probes.probes_grid())
    assert set(runs.seed) == set(range(10)) and set(runs.stage) == set(STAGES)


def test_a_stored_probe_comes_out_again(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")  # as all stored runs
    setting = {"task": "digits", "network": "pretrained", "stage": "layer3", "dimensions": 0, "per_class": 5}
    arm = " and ".join(f"{name} == {value!r}" for name, value in setting.items())
    stored = load_results("probes").query(f"{arm} and seed == 0").iloc[0]
    again = probes.probes(0, **setting)
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
        assert stated.replace("-", "\N{MINUS SIGN}") in readme
    assert letters.low > 0 > insects.low
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


# --- figures ---


def kernels():
    ramp = np.linspace(-1, 1, 7)
    smooth = [np.multiply.outer((1, k % 3 - 1, 1), np.add.outer(ramp, ramp * (-1) ** k)) for k in range(12)]
    return np.array(smooth), np.random.default_rng(0).normal(size=(12, 3, 7, 7))


def the_maps():
    return figures.feature_maps(pictures(1)[0], np.random.default_rng(1).random((12, 4, 4)), "layer1", count=4)


def the_exciting_patches(many=3):
    """Two stages: a field that fits into a picture of 16 px, and one that does not."""
    scene = Scene("coins", 1.0, pictures(1, 16)[0])
    share = np.exp(-(np.hypot(*np.mgrid[-8:8, -8:8]) ** 2) / 10)
    rows = {"stem": (Field(7, 2), Heat(share, 8, 5)), "layer1": (Field(21, 4), Heat(share, 8, 9))}
    return figures.exciting_patches(
        {stage: (field, heat, [Patch(1.0, scene, 7, 7, 7)] * many) for stage, (field, heat) in rows.items()}, 3
    )


def the_dreams():
    made = [Dream(pictures(3, 8), np.full(3, 0.5), np.full(3, last)) for last in (4.0, 1.0)]
    return figures.dreams(*({"stem": dream, "layer4": dream} for dream in made))


def probed(stages=("stem", "layer1", "layer2")):
    """Three stages, two tasks, ten seeds; on the letters the middle stage is best, and the images apart know it."""
    rng = np.random.default_rng(3)
    best = {"photos": (0.5, 0.6, 0.8), "letters": (0.2, 0.9, 0.7)}
    return pd.DataFrame([
        {"task": task, "stage": stage, "per_class": n, "seed": seed, "accuracy": level - 0.3 / n + rng.normal(0, 0.02),
         "apart": level - 0.3 / n}
        for task, levels in best.items() for stage, level in zip(stages, levels, strict=True)
        for n in (2, 20) for seed in range(10)
    ])  # fmt: skip


def seen(sides=(8, 4, 2)):
    stages = ("stem", "layer1", "layer2")
    return {stage: np.arange(n * n).reshape(n, n) for stage, n in zip(stages, sides, strict=True)}


def the_panels():
    sides = {"stem": 16, "layer1": 16, "layer2": 8, "layer3": 4, "layer4": 2}
    return figures.panels({stage: np.arange(n * n).reshape(n, n) for stage, n in sides.items()})


def the_stars():
    twin = probed().assign(accuracy=0.4)
    return figures.best_stages(probed(), {"photos": "photographs", "letters": "letters"}, twin,
                             {"photos": seen(), "letters": seen()}, {"photos": 0.5, "letters": 0.1})


def the_borrowed():
    rng = np.random.default_rng(4)
    level = {"AnB": -0.03, "BnB": -0.01, "random": -0.06, "AnB+": 0.01, "BnB+": 0.0}
    rows = [{"condition": c, "depth": n, "seed": seed, "accuracy": 0.3 + slope * n + rng.normal(0, 0.004)}
            for c, slope in level.items() for n in (1, 2, 3) for seed in range(3)]
    return figures.borrowed_stages(pd.DataFrame(rows), pd.Series([0.29, 0.3, 0.32]))


def the_similarities():
    """Two maps of three stages; likeness falls with the distance of the stages, by the second map below zero."""
    stages = ["stem", "layer1", "layer2"]
    apart = np.abs(np.subtract.outer(range(3), range(3)))
    tables = [pd.DataFrame(1 - slope * apart, stages, stages) for slope in (0.2, 0.502)]
    return figures.similarity_maps({"One pair": tables[0].rename_axis(index="seed 0", columns="seed 1"),
                                  "Another": tables[1].rename_axis(index="before", columns="after")})


FIGURES = {
    "filters": lambda: figures.filters(*kernels()),
    "feature_maps": the_maps,
    "best_stages": the_stars,
    "borrowed_stages": the_borrowed,
    "panels": the_panels,
    "exciting_patches": the_exciting_patches,
    "dreams": the_dreams,
    "similarity_maps": the_similarities,
}


class TestFigures(FigureTests):
    figures, rooms, folder = FIGURES, (figures,), "lesson01"


def test_filters_tell_smooth_kernels_from_noise():
    figure = drawn(FIGURES["filters"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["trained", "untrained"]
    assert "12 kernels of 7 x 7 weights" in figure.words
    learned, untrained = map(float, re.search(r"by ([\d.-]+), untrained ([\d.-]+):", figure.words).groups())
    assert learned > 0.5 > 0.2 > abs(untrained)


def test_filters_take_the_weights_of_a_network():
    assert "8 kernels of 3 x 3" in figures.filters(torch.nn.Conv2d(3, 8, 3).weight).words
    with pytest.raises(CourseError, match="O x 3 x H x W; these are 8 x 4 x 3 x 3"):
        figures.filters(torch.nn.Conv2d(4, 8, 3).weight)


def test_the_strongest_channels_come_first():
    maps = np.zeros((6, 4, 4)) + np.array([3, 9, 1, 7, 0, 5])[:, None, None]
    figure = figures.feature_maps(pictures(1)[0], maps, "layer2", count=4)
    assert "channels 1, 3, 5, 0, with means from 9.00 to 3.00" in figure.words and "4 of the 6 maps" in figure.words


def frames(ax):
    """Side -> line style of the frames, the areas left out."""
    boxes = [part for part in ax.patches if not part.get_fill()]
    return {box.get_width(): "dashed" if box.get_linestyle() in ("--", "dashed") else "whole" for box in boxes}


def test_exciting_patches_stand_beside_both_receptive_fields():
    figure = drawn(the_exciting_patches)
    said = words(figure)
    assert "21 px (dashed)\nhalf in 9 (box)" in said and "channel 3" in said
    assert "layer1: a field of 21 px, half of the gradient in 9; coins" in figure.words
    heats = [ax for ax in figure.axes if ax.patches]
    assert [sorted(frames(ax)) for ax in heats] == [[5, 7], [9, 21]]
    assert all(box.get_x() + box.get_width() / 2 == 8 for ax in heats for box in ax.patches)


def test_dreams_stand_beside_those_of_the_untrained_network():
    figure = drawn(the_dreams)
    assert sum(bool(ax.images) for ax in figure.axes) == 2 * 2 * 3
    assert all(name in words(figure) for name in ("trained", "untrained", "stem", "layer4"))
    assert "layer4 from 0.5 to 4.0; in the untrained one in stem to 1.0" in figure.words


def test_a_star_stands_where_the_images_apart_say_and_not_on_the_best_test_accuracy():
    figure = drawn(the_stars)
    assert figure.words.count("layer2 (0") == 2 and figure.words.count("layer1 (0") == 2
    table = probed()
    table.loc[table["stage"] == "stem", "apart"] = 1.0
    figure = figures.best_stages(table, {"photos": "x"}, table, {"photos": seen()}, {"photos": 0.5})
    assert "layer" not in figure.words


def test_a_star_is_hollow_where_no_stage_is_clearly_better():
    table = probed()
    noise = np.random.default_rng(5).normal(0, 0.1, len(table))
    table["apart"] = np.where(table["per_class"] == 2, 0.5 + noise, table["apart"])
    figure = figures.best_stages(table, {"photos": "x"}, table, {"photos": seen()}, {"photos": 0.5})
    assert figure.words.count("not clear") == 1 and "with 20 of each, layer2 (0.7" in figure.words


def test_panels_hide_the_names_of_the_stages():
    figure = drawn(FIGURES["panels"])
    assert set("ABCDE") <= set(words(figure)) and "layer" not in words(figure) + figure.words
    assert "Squares along a side: A 8, B 16, C 2, D 16, E 4." in figure.words


def test_borrowed_stages_stand_beside_random_ones_and_beside_nothing_borrowed():
    figure = drawn(the_borrowed)
    assert "Borrowing nothing gives 0.29 to 0.32." in figure.words
    assert "borrowed stages frozen, random: 0.24 with one stage, 0.12 with 3." in figure.words
    points = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in points] == [9] * 5, "a point a run"


def test_similarity_maps_name_networks_and_say_the_values():
    figure = drawn(the_similarities)
    said = words(figure)
    assert all(name in said for name in ("One pair", "seed 0", "seed 1", "before", "after", "layer1", ".80", "1.0"))
    assert "-" not in said and said.count(".00") == 2, "a hair below zero is written as zero"
    assert "One pair: the same stages have stem 1.0, layer1 1.0, layer2 1.0; least alike" in figure.words
    assert "Another: " in figure.words and "least alike are stem and layer2 with .00." in figure.words
    negative = pd.DataFrame([[-0.31]], ["stem"], ["layer4"])
    assert "least alike are stem and layer4 with −.31" in figures.similarity_maps({"x": negative}).words
    assert "the same stages" not in figures.similarity_maps({"x": negative}).words


@pytest.mark.parametrize("maps", [{}, {"x": np.eye(3)}])
def test_similarity_maps_of_what_is_no_table_are_an_error(maps):
    with pytest.raises(CourseError, match="title -> a table of pandas"):
        figures.similarity_maps(maps)


def alike(rng, seeds):
    return rng.normal(0, 0.1, (seeds, 5))


def two_ahead(rng, seeds):
    return rng.normal(0, 0.1, (seeds, 5)) + [0, 0.9, 0.9, 0, 0]


def alike_by_seed(rng, seeds):
    return rng.normal(0, 0.3, (seeds, 1)) + rng.normal(0, 0.1, (seeds, 5)) * [1, 2, 3, 4, 5]


@pytest.mark.parametrize("draw", [alike, two_ahead, alike_by_seed])
def test_of_equal_stages_one_is_called_the_best_in_one_case_of_twenty_at_most(draw):
    rng = np.random.default_rng(0)
    filled = np.mean([best_stage(draw(rng, 10))[1] for _ in range(2000)])
    assert filled <= 0.062, "a share of .05, drawn 2,000 times, stays below this in 99 of 100 cases"


def test_a_stage_ahead_of_all_others_is_called_the_best():
    rng = np.random.default_rng(0)
    found = [best_stage(alike(rng, 10) + [0, 0, 0.3, 0, 0]) for _ in range(100)]
    assert all(stage == 2 for stage, _ in found) and np.mean([clear for _, clear in found]) > 0.9
