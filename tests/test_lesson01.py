"""Lesson 01: channels taken apart, the best stage for a task, Yosinski's experiment, and the figures of all that."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from figures import (
    FigureTests,
    drawn,
    pictures,
    words,
)
from PIL import Image
from scipy import stats
from toys import same, small_net, state

from course_utils import load_model, paired_difference
from course_utils.data.splits import Split, Task
from course_utils.data.surfaces import PHOTOGRAPHS
from course_utils.errors import CourseError
from course_utils.evidence import results
from course_utils.evidence.claims import accuracy_of, mean_interval
from course_utils.evidence.items import chance_of
from course_utils.grids.frozen import PENALTIES
from course_utils.grids.transfer_grid import STAGES
from course_utils.lessons.lesson01 import figures, stages, yosinski
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
    for channels, asked in (([], "none"), ([1.5], "1.5"), (["1"], "'1'")):
        with pytest.raises(CourseError, match=f"asked for {asked}"):
            dream(net, "stem", channels)
    for settings in ({"steps": -1}, {"steps": "9"}, {"seed": -1}):
        with pytest.raises(CourseError, match="is not possible"):
            dream(net, "stem", [0], **settings)
    with pytest.raises(CourseError, match="there are none"):
        effective_field(net, pictures(0, 64), "layer4", 1)
    with pytest.raises(CourseError, match="count=-1"):
        most_exciting(net, [], [0], -1)
    with pytest.raises(CourseError, match="count=0"):
        figures.feature_maps(pictures(1, 64)[0], np.ones((3, 4, 4)), "stem", 0)
    with pytest.raises(CourseError, match=r"have 3 examples of each class.*\nThere are the sizes 2,"):
        stages.probed("stages", 3)
    with pytest.raises(CourseError, match="no rows to choose"):
        stages.best_stage(stages.probed("stages")[:0])
    other = Model("resnet", {"all": torch.nn.Conv2d(3, 4, 3)}, 4, ((0.5,) * 3, (0.2,) * 3))
    for wrong in (lambda: most_exciting(other, [], [0]), lambda: dream(other, "all", [0]), lambda: fields(other)):
        with pytest.raises(CourseError, match="Expected a PhotoNet"):
            wrong()


# --- the best stage, and Yosinski's experiment ---


def test_the_chosen_stage_is_the_best_of_the_tuning_rows_whatever_the_test_rows_say(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    at = [{"backbone": "photonet", "network": "pretrained", "task": "letters", "stage": s, "positions": p,
           "per_class": n, "seed": seed}
          for p in (1, 4) for n in (2, 10) for s in ("stem", "layer1") for seed in (0, 1)]  # fmt: skip
    best = {(1, 10): "layer1"}  # elsewhere the stem is
    tuned = [row | dict.fromkeys(PENALTIES, 0.2) | {"C=1": 0.9 if row["stage"] == best.get(
             (row["positions"], row["per_class"]), "stem") else 0.5} for row in at]  # fmt: skip
    pd.DataFrame(tuned).assign(**dict.fromkeys(results.MARKS, 1)).to_csv(tmp_path / "some_tuning.csv", index=False)
    tested = [row | {"accuracy": 1.0 if row["stage"] == "stem" else 0.0} for row in at]
    pd.DataFrame(tested).assign(**dict.fromkeys(results.MARKS, 1)).to_csv(tmp_path / "some.csv", index=False)
    found = stages.probed("some")
    assert set(found.chosen) == {"layer1"} and len(found) == 4 and found.attrs["stored"] == "some"
    assert set(stages.probed("some", 2).chosen) == set(stages.probed("some", 10, 4).chosen) == {"stem"}


def test_a_stage_leads_clearly_only_where_it_leads_every_other_one():
    assert stages.best_stage(probes(["letters"])).clear
    level = probes(["letters"])
    noise = np.random.default_rng(5).normal(0, 0.1, len(level))
    level["accuracy"] = np.where(level["stage"] == "stem", (0.9 + noise).clip(max=1), level["accuracy"])
    best = stages.best_stage(level)
    assert best.stage == "layer1" and not best.clear and sorted(best.leads) == ["layer2", "stem"]
    behind = probes(["letters"]).assign(chosen="stem")
    assert not stages.best_stage(behind).clear, "clearly behind is not ahead"


def test_tiles_are_compared_kind_by_kind():
    rows = probes(["tiles"]).assign(balanced_accuracy=0.5)
    rows.loc[rows["stage"] == "layer1", "balanced_accuracy"] = 0.4 + 0.001 * rows["seed"]
    assert not stages.best_stage(rows).clear and chance_of("tiles") == pytest.approx(1 / 6)


def test_of_equal_stages_one_is_called_ahead_of_all_in_one_case_of_twenty_at_most():
    rng = np.random.default_rng(0)
    two_far_behind = np.array([0, 0, 0.9, 0.9])
    filled = [stages.above_zero(mean_interval(lead) for lead in (rng.normal(0, 0.1, (10, 4)) + two_far_behind).T)
              for _ in range(2000)]  # fmt: skip
    assert np.mean(filled) <= 0.05


def test_holms_correction_asks_most_of_the_surest():
    def effect(p, mean=1.0):
        half = mean / stats.t.isf(p / 2, 9) * stats.t.isf(0.025, 9)
        return stages.Effect(mean, mean - half, mean + half, 10, 10, 0, np.ones(10))

    assert stages.above_zero([effect(0.016), effect(0.024), effect(0.049)])
    assert not stages.above_zero([effect(0.018), effect(0.024), effect(0.049)])
    assert not stages.above_zero([effect(0.001), effect(0.001), effect(0.051)])
    assert not stages.above_zero([effect(0.001), effect(0.001, -1.0)])


def test_what_training_adds_is_said_in_points_with_its_interval():
    rows = pd.concat([probes([task]) for task in stages.TASKS])
    table = stages.gains(pd.concat([rows, untrained(rows)]))
    assert list(table.index) == list(stages.TASKS.values()) and list(table.columns) == ["stem", "layer1", "layer2"]
    assert re.fullmatch(r"[+\N{MINUS SIGN}]\d+\.\d ± \d+\.\d", table.loc["letters", "stem"])
    assert table.loc["letters", "stem"].startswith("\N{MINUS SIGN}10.")
    assert table.loc["digits", "layer1"].startswith("+49.")


def test_the_lesson_says_what_is_stored():
    rows = stages.probed("stages").query("network == 'pretrained'")
    letters = rows.query("task == 'letters'")
    best, lead = stages.best_stage(letters), paired_difference(letters, "layer3", "layer4", on="stage")
    assert best.stage == "layer3" and best.clear and lead.low > 0 and lead.groups == 5
    text = (ROOT / "notebooks" / "source" / "01_layer_hierarchies.py").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{100 * lead.mean:.1f} points" in text and f"{100 * lead.mean:.1f} points" in readme
    lite0 = stages.probed("stages_lite0").query("network == 'pretrained'")
    found = {task: stages.best_stage(part) for task, part in lite0.groupby("task")}
    assert all(found[task].clear and found[task].stage == "layer3" for task in ("letters", "digits"))
    assert not found["tiles"].clear
    lead = found["letters"].leads["last"]
    assert f"{100 * lead.mean:.1f} points" in text and f"{100 * lead.mean:.1f} points" in readme
    others = rows[rows["task"].isin(stages.TASKS) & (rows["task"] != "letters")]
    assert not any(stages.best_stage(part).clear for _, part in others.groupby("task"))


def test_the_menu_of_the_lab_leads_to_each_section_and_to_nothing_else():
    text = (ROOT / "notebooks" / "source" / "01_lab.py").read_text(encoding="utf-8")
    menu = re.findall(r"^# - \[(.+?)\]\(#(\w+)\)", text, re.MULTILINE)
    sections = re.findall(r'^# <a id="(\w+)"></a>\n#\n# ## (.+?) · \d+ min$', text, re.MULTILINE)
    assert menu == [(title, anchor) for anchor, title in sections]
    assert len(menu) == len(re.findall(r"^# ## (?!Exercise)", text, re.MULTILINE))


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
    assert picture.shape == (3, 128, 128) and picture[0].min() > 190
    for which in (str(not_one), str(tmp_path / "gone.jpg"), str(tmp_path), 999, -1, 1.5, True, None):
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


def probes(tasks=("letters", "digits"), chosen="layer1"):
    """A trained network of three stages, ten seeds; the middle stage is best by far."""
    rng = np.random.default_rng(3)
    rows = [{"backbone": "photonet", "network": "pretrained", "task": task, "stage": stage, "positions": 1,
             "seed": seed, "accuracy": level / (1 + (task == "tiles")) + rng.normal(0, 0.02), "chosen": chosen}
            for task in tasks for stage, level in (("stem", 0.3), ("layer1", 0.9), ("layer2", 0.7))
            for seed in range(10)]  # fmt: skip
    return pd.DataFrame(rows).assign(balanced_accuracy=lambda table: table["accuracy"])


def untrained(table):
    """The control: level with the trained network at the stem, and no better at any other stage."""
    other = table.assign(network="untrained", accuracy=0.4 + 0.001 * table["seed"])
    return other.assign(balanced_accuracy=other["accuracy"])


def the_panels():
    sides = {"stem": 16, "layer1": 16, "layer2": 8, "layer3": 4, "layer4": 2}
    return figures.panels({stage: np.arange(n * n).reshape(n, n) for stage, n in sides.items()})


def the_stars():
    """Two backbones; on digits the second is nowhere clear, and it has no ants and bees."""
    first = probes(stages.TASKS)
    second = probes(["letters", "digits"]).assign(backbone="efficientnet_lite0")
    even = np.where(second["task"] == "digits", 0.6, second["accuracy"])
    second["accuracy"] = even + np.random.default_rng(6).normal(0, 0.02, len(second))
    return figures.best_stages(*(pd.concat([rows, untrained(rows)]) for rows in (first, second)))


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


def test_the_channels_that_vary_most_come_first_and_lift_the_fog_where_they_are_bright():
    maps = np.zeros((6, 4, 4))
    maps[:, 1, 2] = [3, 9, 1, 7, 0, 5]
    maps[4] = 20  # bright everywhere
    figure = figures.feature_maps(np.full((3, 8, 8), 255, np.uint8), maps, "layer2", count=4)
    assert "4 of the 6 maps of layer2, 4 x 4 each: channels 1, 3, 5, 0." in figure.words
    _, first, *_ = (a for ax in figure.axes if (a := ax.images[0].get_array()).ndim == 3)  # after the photograph
    assert first[3, 5].min() > 0.8 and np.allclose(first[7, 0], first[0, 0]) and first[0, 0].max() < 0.6


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


def test_a_star_is_filled_where_its_stage_clearly_leads_and_hollow_elsewhere():
    figure = drawn(the_stars)
    assert [ax.get_title(loc="left") for ax in figure.axes if ax.axison] == [
        *(f"{task}: layer1" for task in stages.TASKS.values()), "letters: layer1", "digits: not clear"]
    stars = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "*"]
    assert [star.get_markerfacecolor() != "#ffffff" for star in stars] == [True] * 5 + [False]
    assert {star.get_ydata()[0] for star in stars} == {1}, "where the tuning chose"
    assert "PhotoNet, letters: stem 30 %, layer1 90 %, layer2 71 %" in figure.words
    assert "EfficientNet-Lite0, digits" in figure.words and "EfficientNet-Lite0, tiles" not in figure.words


def test_chance_is_the_largest_class_and_bars_count_new_test_items():
    assert chance_of("letters") == pytest.approx(1 / 26) and chance_of("ants_bees") == pytest.approx(83 / 153)
    runs = probes(["digits"]).query("stage == 'stem'")
    seeds_alone = accuracy_of(runs)
    right = np.arange(359) < 108
    hits = runs.assign(accuracy=right.mean(), correct=results.pack(right))
    with_items = accuracy_of(hits)
    assert with_items.high - with_items.low > seeds_alone.high - seeds_alone.low
    assert with_items.high - with_items.mean == pytest.approx(1.96 * (0.3 * 0.7 / 359) ** 0.5, rel=0.02)


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
