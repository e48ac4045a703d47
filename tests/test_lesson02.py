"""Lesson 02: neighbours, ways compared, how epochs and stages are chosen, the leak, maps, and their figures."""

import io
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from figures import FigureTests, drawn, pictures, widest_names, words
from matplotlib.offsetbox import AnnotationBbox
from PIL import Image
from torch import nn
from toys import digits_task, refused, small_net

from course_utils import check, claim, paired_difference
from course_utils.data.downloads import find_data
from course_utils.data.tasks import Split, Task, load_task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.claims import Effect, mean_interval
from course_utils.evidence.experiments import load_results
from course_utils.evidence.results import pack, unpack
from course_utils.lessons.lesson02 import compared, epoch_selection, figures, leakage
from course_utils.lessons.lesson02.epoch_selection import DRAWS, EPOCHS, OTHERS, PHOTOGRAPHS, SAME
from course_utils.lessons.lesson02.exercises.copies import copies, planted
from course_utils.lessons.lesson02.exercises.core import _tried, freeze
from course_utils.lessons.lesson02.figures import embeddings, epochs, leaked_and_clean
from course_utils.lessons.lesson02.figures.by_task import _leader
from course_utils.lessons.lesson02.neighbourhood import COUNT, Neighbours, most_ordinary, neighbour_share, neighbours_of
from course_utils.pretraining import recipe, tiny_imagenet
from course_utils.tools.run import ROOT
from course_utils.training.evaluation import evaluate

needs_source = pytest.mark.skipif(
    find_data(tiny_imagenet.ZIP) is None, reason=f"{tiny_imagenet.ZIP} is not in COURSE_DATA_DIR"
)
SOURCE_IMAGES = np.random.default_rng(0).integers(0, 256, (30, 3, 64, 64), dtype=np.uint8)
CLASSES = ["brick", "cat", "rocket"]


# --- choosing an epoch or a stage ---


def runs_of(hits):
    """Rows as the study stores them: hits are runs x epochs x photographs."""
    rows = [{"strategy": "fine_tuning", "per_class": 40, "seed": seed, "accuracy": right[-1].mean(),
             "correct": pack(right.reshape(-1))} for seed, right in enumerate(hits)]  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["stored"] = "toy"
    return table


def by_luck(runs=3, seed=0):
    """Every epoch right on each photograph with the same probability."""
    return np.random.default_rng(seed).random((runs, EPOCHS, PHOTOGRAPHS)) < 0.75


def test_what_was_right_comes_back():
    assert (epoch_selection.hits(runs_of(by_luck())) == by_luck()).all()


@pytest.mark.parametrize("count", [1, 10, 76, 152])
def test_reported_is_the_loop_over_all_draws(count):
    hits = by_luck(2)
    table = epoch_selection.reported(runs_of(hits), [count])
    rng, found = np.random.default_rng(count), {SAME: [], OTHERS: []}
    for _ in range(DRAWS):
        choose = rng.permutation(PHOTOGRAPHS) < count
        for right in hits:
            best = right[:, choose].sum(1).tolist().index(right[:, choose].sum(1).max())  # the first of equals
            found[SAME].append(right[best, choose].mean())
            found[OTHERS].append(right[best, ~choose].mean())
    for where, values in found.items():
        each = np.reshape(values, (DRAWS, 2)).mean(0)
        assert table.loc[table["reported_on"] == where, "accuracy"].to_numpy() == pytest.approx(each)
    assert table["last"].to_numpy() == pytest.approx(np.tile(hits[:, -1].mean(1), 2))
    assert table.attrs["stored"] == "toy" and list(table["chosen_by"]) == [count] * 4


def test_epochs_that_are_equally_good_give_no_advantage_on_other_photographs():
    table = epoch_selection.reported(runs_of(by_luck(30)), [76])
    table = table.pivot(index="seed", columns="reported_on", values="accuracy")
    assert mean_interval(table[SAME] - 0.75).low > 0.04
    assert abs(table[OTHERS].mean() - 0.75) < 0.03


def test_a_clear_best_epoch_is_found_by_few_photographs_and_is_as_good_on_others():
    hits = np.zeros((2, EPOCHS, PHOTOGRAPHS), bool)
    hits[:, 7] = True
    table = epoch_selection.reported(runs_of(hits), [5, 76])
    assert set(table["accuracy"]) == {1.0} and set(table["last"]) == {0.0}


@pytest.mark.parametrize("counts", [[0], [76, 153], [], [1.5], ["76"]])
def test_some_photographs_must_choose_and_some_must_be_left(counts):
    with pytest.raises(CourseError, match="from 1 to 152") as error:
        epoch_selection.reported(runs_of(by_luck(1)), counts)
    assert len(str(error.value).splitlines()) <= 3


def test_a_run_looks_after_each_epoch_and_reports_the_last(monkeypatch):
    task, model = digits_task(n=80), small_net(pretrained=True)
    monkeypatch.setattr(epoch_selection, "load_task", lambda *args, **settings: task)
    monkeypatch.setattr(epoch_selection, "load_model", lambda *args, seed: model)
    monkeypatch.setattr(epoch_selection, "tuned_knobs", lambda *arm: {"lr": 1e-2, "share": 0.1, "decay": 0.01})
    monkeypatch.setattr(epoch_selection, "EPOCHS", 3)
    monkeypatch.setattr(epoch_selection, "PHOTOGRAPHS", len(task.test))
    row = epoch_selection.optimism(0, "fine_tuning", 8)
    looks = epoch_selection.hits(pd.DataFrame([row]))[0]
    last = evaluate(model, task.test)
    assert looks.shape == (3, 200) and (looks[-1] == last.correct).all()
    assert row["accuracy"] == pytest.approx(last.accuracy, abs=1e-4)
    assert (looks[0] != looks[1]).any()


def test_the_stored_rows_hold_every_epoch():
    runs = load_results("optimism")
    assert len(runs) == 40 and set(runs.seed) == set(range(10))
    assert epoch_selection.hits(runs)[:, -1].mean(1) == pytest.approx(runs["accuracy"].to_numpy(), abs=1e-4)


def test_the_lesson_says_of_epochs_what_is_stored():
    runs = load_results("optimism")
    halves = epoch_selection.reported(runs, [76]).query("strategy == 'fine_tuning' and per_class == 40")
    gap = paired_difference(halves, SAME, OTHERS, on="reported_on")
    assert claim("{effect}", gap).verdict == "holds" and gap.stored == "optimism" and 0.03 < gap.mean < 0.04
    table = epoch_selection.reported(runs.query("per_class == 40"), [10, 20, 40, 76, 120])
    ahead = (table["accuracy"] - table["last"]).groupby([table["reported_on"], table["chosen_by"]]).mean()
    assert (ahead[SAME] > 0).all() and (ahead[OTHERS] < 0).all()
    assert ahead[SAME].is_monotonic_decreasing and ahead[OTHERS].is_monotonic_increasing  # the wedge


def test_the_wedge_says_its_means():
    table = epoch_selection.reported(runs_of(by_luck()), [10, 76])
    figure = epochs.chosen_epochs(table)
    rows = table.query("reported_on == @SAME and chosen_by == 76")
    assert f"76 {100 * (rows['accuracy'] - rows['last']).mean():+.1f}" in figure.words
    assert "on other photographs" in words(figure) and "fine-tuning" in words(figure)


def test_splits_and_folds_count_how_often_a_stage_is_the_best():
    scores = {"stem": np.array([[0.5, 0.9], [0.5, 0.5]]), "layer1": np.array([[0.8, 0.8], [0.7, 0.5]])}
    figure = epochs.splits_and_folds(scores, {"stem": 0.4, "layer1": 0.6})
    assert "stem\none split: 50%\n2 folds: 0%" in words(figure)
    assert "layer1\none split: 50%\n2 folds: 100%" in words(figure)
    dots = sorted(len(marks.get_offsets()) for marks in figure.axes[0].collections if len(marks.get_offsets()) > 1)
    assert dots == [2, 2, 4, 4]
    assert "on the test split stem 0.40, layer1 0.60" in figure.words


def test_equal_estimates_stand_beside_each_other():
    shifts = epochs._swarm(np.array([0.9, 0.8, 0.9, 0.9]))
    assert sorted(shifts[[0, 2, 3]]) == [-1, 0, 1] and shifts[1] == 0


# --- the leak ---


@pytest.fixture
def small_source(tmp_path, monkeypatch):
    """A source of three classes beside the bees, six pictures each, one of them on the list of dropped ones."""
    with zipfile.ZipFile(tmp_path / tiny_imagenet.ZIP, "w") as archive:
        for c, wnid in enumerate(("n01", "n02", "n03", tiny_imagenet.LEFT_OUT)):
            for k in range(6):
                stream = io.BytesIO()
                Image.fromarray(SOURCE_IMAGES[6 * c + k].transpose(1, 2, 0)).save(stream, "png")
                archive.writestr(f"t/train/{wnid}/images/{wnid}_{k}.png", stream.getvalue())
        archive.writestr("t/words.txt", "".join(f"{w}\tthing\n" for w in ("n01", "n02", "n03")))
    dropped = tmp_path / "dropped.csv"
    dropped.write_text("image,class,task,correlation\nn02_3,n02,ants_bees,0.97\n")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    for name, value in {"CLASSES": 3, "DROPPED": dropped, "WIDTHS": (2, 2, 2, 4), "EPOCHS": 4}.items():
        monkeypatch.setattr(leakage, name, value)
    monkeypatch.setattr(recipe, "BATCH", 8)


def test_a_pair_shares_all_classes_but_one_and_no_other_picture_of_a_task(small_source):
    (with_bees, y), (without, other_y) = (leakage._source(0, source) for source in leakage.SOURCES)
    shared, other = int((y < 2).sum()), int((other_y < 2).sum())
    assert shared == other and np.array_equal(with_bees[:shared], without[:shared])
    assert np.array_equal(with_bees[shared:], SOURCE_IMAGES[18:24]) and set(y) == set(other_y) == {0, 1, 2}
    assert len(without) == 17 and not (without == SOURCE_IMAGES[9]).all((1, 2, 3)).any()
    assert not any((without == bee).all((1, 2, 3)).any() for bee in SOURCE_IMAGES[18:24])


def test_other_pairs_draw_other_classes(small_source):
    firsts = {leakage._arrays(pair)["other_x"].tobytes() for pair in range(6)}
    assert len(firsts) > 1


def test_a_photograph_is_leaked_however_the_source_cut_it(small_source, monkeypatch):
    ours = {"centre": SOURCE_IMAGES[[24, 18, 25]], "squash": SOURCE_IMAGES[[26, 27, 20]]}
    monkeypatch.setattr(leakage.external, "ants_bees", lambda size, crop: (None, (ours[crop], None)))
    assert leakage.leaked_bees().tolist() == [False, True, True]


def test_networks_of_a_pair_start_alike_and_are_trained_once(small_source, monkeypatch):
    twins = zip(leakage._new(1).parameters(), leakage._new(1).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in twins)
    first = leakage.pretrained(0, "bee")
    assert not torch.equal(first.head.weight, leakage._new(0).head.weight) and first.has_statistics
    monkeypatch.setattr(leakage, "train", None)
    again = leakage.pretrained(0, "bee")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_shares_are_taken_over_the_right_photographs(monkeypatch):
    """Features that tell ants from clean bees, and call leaked bees ants."""
    y = np.repeat([0, 1], 90)
    train, test = Split(np.zeros(180), y), Split(np.ones(10), np.repeat([0, 1], 5))
    leaked = np.arange(10) >= 7
    sign = np.where((test.y == 1) & ~leaked, 1.0, -1.0)[:, None]
    monkeypatch.setattr(leakage, "extract", lambda _, x: sign if x[0] else 2.0 * y[:, None] - 1)
    found = leakage.rights(None, Task("toy", ["ants", "bees"], train, test, True), leaked)
    assert found == {"accuracy": 0.7, "leaked_bees": 0.0, "clean_bees": 1.0, "ants": 1.0}


def test_the_draw_that_stored_pairs_rest_on_keeps_its_order(monkeypatch):
    monkeypatch.setattr(leakage, "EACH", 2)
    y = np.array([1, 0, 0, 1, 1, 0, 0, 1])
    assert np.random.default_rng(2).permutation(8).tolist() == [6, 5, 7, 2, 3, 4, 0, 1]
    assert leakage._draw(y, 2).tolist() == [6, 5, 7, 3]


def test_without_the_source_one_is_sent_to_the_stored_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataUnavailable, match="load_results") as caught:
        leakage._zip()
    assert isinstance(caught.value, CourseError) and len(str(caught.value).splitlines()) <= 3


def test_stored_rows_are_whole_and_the_lab_quotes_them():
    runs = load_results("leak")
    assert sorted(zip(runs.seed, runs.pretrained_with, strict=True)) == sorted(
        (pair, source) for pair in leakage.PAIRS for source in leakage.SOURCES
    )
    leaked = unpack(runs["copies"], 153)
    assert set(leaked.sum(1)) == {25} and not leaked[:, :70].any()  # the first 70 test photographs are ants
    total = (70 * runs.ants + 25 * runs.leaked_bees + 58 * runs.clean_bees) / 153
    assert np.allclose(total, runs.accuracy, atol=2e-4)
    assert leaked_and_clean(runs).words.count(" to ") == 1 + 2 * len(leakage.PAIRS)
    lab = ROOT / "notebooks" / "source" / "02_lab.py"
    assert "25 of the 83" in " ".join(lab.read_text(encoding="utf-8").replace("\n# ", " ").split())


@needs_source
def test_the_leaked_bees_are_found_again():
    stored = unpack(load_results("leak")["copies"][:1], 153)[0]
    assert np.array_equal(leakage.leaked_bees(), stored)


# --- maps of pictures ---


def places(apart=10.0, seed=0):
    """Sixty points of three classes, half of them from the right side: `apart` says how far classes lie apart."""
    y, right = np.repeat([0, 1, 2], 20), np.tile([False, True], 30)
    return np.random.default_rng(seed).normal(size=(60, 2)) + apart * y[:, None], y, right


def sixty_pictures():
    return np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)


def laid(figure):
    """How many pictures lie on each map."""
    return [sum(isinstance(part, AnnotationBbox) for part in ax.get_children()) for ax in figure.axes]


def test_neighbours_are_counted_among_the_other_side_alone():
    found, y, right = places(100.0)
    assert neighbour_share(found, y, right) == 1.0
    moved = found + np.where(right & (y == 0), 100.0, 0.0)[:, None]  # the right bricks now lie among the cats
    assert neighbour_share(moved, y, right) == pytest.approx(2 / 3)
    moved = found + np.where(~right & (y == 0), 1000.0, 0.0)[:, None]  # bricks only among left and right themselves
    assert neighbour_share(moved, y, right) == pytest.approx(2 / 3)


def test_the_share_is_that_of_a_loop():
    found, y, right = places(1.0)
    same = []
    for k in np.flatnonzero(right):
        left = np.flatnonzero(~right)
        near = left[np.argsort(np.linalg.norm(found[left] - found[k], axis=1))[:5]]
        same += list(y[near] == y[k])
    assert neighbour_share(found, y, right) == pytest.approx(np.mean(same))


def test_one_picture_of_each_class_and_side_stands_in_its_middle():
    found, y, right = places()
    chosen = embeddings._middles(found, y, right)
    assert sorted(zip(y[chosen], right[chosen], strict=True)) == [(k, s) for k in range(3) for s in (False, True)]
    for k in chosen:
        group = (y == y[k]) & (right == right[k])
        centre = np.median(found[group], axis=0)
        assert np.linalg.norm(found[k] - centre) < 1.0


def test_a_class_that_is_asked_for_is_shown_with_all_its_pictures():
    found, y, right = places()
    every = {"one": found, "two": found[::-1].copy(), "three": found}
    x = sixty_pictures()
    whole, cats = (embeddings.picture_maps(every, x, y, right, CLASSES, shown) for shown in (None, "cat"))
    assert laid(whole)[:3] == [6, 6, 6] and laid(cats)[:3] == [20, 20, 20]
    assert "all patches of cat" in cats.words and "one 1.00" in cats.words


MISTAKES = {  # call, what is said of it
    "no maps": (lambda: embeddings.picture_maps({}, sixty_pictures(), *places()[1:], CLASSES), "give some"),
    "no places": (
        lambda: embeddings.picture_maps({"a": np.full((60, 2), np.nan)}, sixty_pictures(), *places()[1:], CLASSES),
        "finite numbers",
    ),
    "no left side": (
        lambda: embeddings.picture_maps(
            {"a": places()[0]}, sixty_pictures(), places()[1], np.ones(60, bool), CLASSES
        ),
        "Fewer than 5 pictures",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_learners_mistake_is_said(what):
    refused(*MISTAKES[what])


def test_a_network_that_was_emptied_is_not_a_frozen_one():
    assert check("02-freeze", lambda network: network._modules.clear()).state == "Not yet"


@pytest.mark.parametrize(("shown", "count", "said"), [("dog", 60, "no class 'dog'"), (None, 59, "60 x 2")])
def test_what_cannot_be_shown_gets_a_short_error(shown, count, said):
    found, y, right = places()
    with pytest.raises(CourseError, match=said) as error:
        embeddings.picture_maps({"one": found[:count]}, sixty_pictures(), y, right, CLASSES, shown)
    assert len(str(error.value).splitlines()) <= 3


# --- neighbours ---


def placed(offsets):
    """Twelve pictures of two classes that differ in brightness alone, and a test of four between them."""
    def grey(levels):
        return np.repeat(np.array(levels, np.uint8), 3 * 8 * 8).reshape(-1, 3, 8, 8)

    train = Split(grey(range(0, 240, 20)), np.repeat([0, 1], 6))
    return Task("toy", ["ant", "bee"], train, Split(grey([20, 60, 170, 230]), np.array(offsets)), False)


def test_neighbours_are_the_five_nearest_training_pictures():
    found = neighbours_of(placed([0, 0, 1, 1]))
    assert sorted(found.rows[0]) == [0, 1, 2, 3, 4] and found.right[0].all() and found.right[3].all()
    by_features = neighbours_of(digits_task(), small_net())
    assert by_features.rows.shape == by_features.right.shape == (len(digits_task().test), COUNT)


def test_the_most_ordinary_picture_has_counts_next_to_the_averages():
    right = np.zeros((4, 5), bool)
    right[0, :5], right[1, :3], right[2, :2] = True, True, True  # 5, 3, 2 and 0: 2.5 on average
    found = {"pixels": Neighbours(np.zeros((4, 5), int), right), "network": Neighbours(np.zeros((4, 5), int), right)}
    assert most_ordinary(found) == 1  # the first of two that are equally close


# --- ways to use a backbone ---


def grid_rows(gains, task="letters", sizes=(2, 10, 40), backbone="photonet"):
    """Runs of five arms over ten seeds; `gains` says by how much fine-tuning leads freezing at each size."""
    rng, rows = np.random.default_rng(3), []
    levels = {"feature_extraction": 0.5, "from_scratch": 0.3, "untrained_frozen": 0.2, "raw_pixels": 0.35}
    for n, gain in zip(sizes, gains, strict=True):
        for seed in range(10):
            shared = rng.normal(0, 0.01)
            for arm, level in {**levels, "fine_tuning": 0.5 + gain}.items():
                accuracy = level + 0.002 * n + shared + rng.normal(0, 0.004)
                rows.append({"backbone": backbone, "task": task, "strategy": arm, "per_class": n, "seed": seed,
                             "accuracy": accuracy, "balanced_accuracy": accuracy})
    return pd.DataFrame(rows)


def test_a_gap_is_fine_tuning_minus_freezing():
    rows = grid_rows((0.1, 0.05, 0.0))
    assert compared.gap(rows, "letters", 2).mean == pytest.approx(0.1, abs=0.01)
    tiles = grid_rows((-0.1,), "tiles", (10,)).assign(accuracy=0.9)  # where each class counts alike
    assert compared.gap(tiles, "tiles", 10).high < 0


def test_each_network_has_its_own_arms_and_the_one_head_on_pixels(monkeypatch):
    def rows(*settings):
        return pd.DataFrame(settings, columns=["backbone", "network", "task", "steps"])

    both = [(f"photonet-{k}", "pretrained", "letters", k) for k in (1, 2)]
    stored = {
        "heads": rows(*(("photonet", *rest, 0) for rest in (
            ("pretrained", "letters"), ("pixels", "letters"), ("pixels", "ants_bees")))),
        "heads_photonets": rows(*both),
        "transfer_photonets": rows(*both).assign(steps=400, strategy="fine_tuning"),
    }  # fmt: skip
    monkeypatch.setattr(compared, "load_results", stored.__getitem__)
    found = compared.ways_to_use("photonet-2")
    assert list(found["strategy"]) == ["feature_extraction", "raw_pixels", "fine_tuning"]
    assert list(found["steps"]) == [2, 0, 400] and set(found["backbone"]) == {"photonet-2"}


def test_three_photonets_agree_on_ten_letters():
    networks = map(compared.ways_to_use, ("photonet", *compared.OTHER_PHOTONETS))
    found = [compared.gap(rows, "letters", 10) for rows in networks]
    assert all(effect.low > 0.05 and effect.agree == 10 for effect in found)


# --- the exercises: what is planted, and what `freeze` is judged by ---


def test_two_copies_of_each_kind_are_planted_and_nothing_else_is_alike():
    for seed in range(20):
        train, test = planted(seed)
        found = copies(train, test)
        rows = test.reshape(len(test), -1).astype(float)
        table = np.corrcoef(rows, train.reshape(len(train), -1))[: len(test), len(test) :]
        gaps = [np.ptp(test[row].astype(int) - train[table[row].argmax()]) for row in found]
        assert len(found) == 6 and np.delete(table.max(axis=1), found).max() < 0.9
        assert sum(gap == 0 for gap in gaps) >= 2 and sum(gap > 20 for gap in gaps) >= 2
        assert sum(np.array_equal(test[row], train[table[row].argmax()]) for row in found) == 2


def test_a_loose_network_is_seen_to_move_and_a_frozen_one_not():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    loose = _tried(chain)
    freeze(chain)
    held = _tried(chain)
    assert len(loose["parameters that train"]) == 4 and "1.running_mean" in loose["run as a whole, it moves"]
    assert held.pop("numbers in it") == 129
    assert list(held.values()) == [[], [], True, [], True, True]


# --- figures ---


def the_neighbours(task=None):
    task = task or placed([1, 0, 1, 1])
    return figures.neighbours(task, 0, {"pixels": neighbours_of(task), "features": neighbours_of(task)})


def the_letters():
    task = load_task("letters", per_class=1, image_size=16)
    return figures.letters_shown(task)


def the_chosen_epochs():
    """Two strategies, three numbers that choose, six seeds: the more choose, the less is gained and lost."""
    rng = np.random.default_rng(5)
    rows = [{"strategy": strategy, "seed": seed, "chosen_by": n, "reported_on": where, "last": 0.75,
             "accuracy": 0.75 + sign * 0.2 / np.sqrt(n) + rng.normal(0, 0.01)}
            for strategy in ("feature_extraction", "fine_tuning") for seed in range(6) for n in (10, 40, 120)
            for where, sign in (("the same photographs", 1), ("other photographs", -1))]  # fmt: skip
    return figures.chosen_epochs(pd.DataFrame(rows))


def the_splits_and_folds():
    """Three stages, ten ways to cut fifty pictures into five folds."""
    rng = np.random.default_rng(6)
    levels = {"stem": 0.6, "layer1": 0.75, "layer2": 0.8}
    return figures.splits_and_folds({stage: rng.binomial(10, p, (10, 5)) / 10 for stage, p in levels.items()}, levels)


def the_picture_maps():
    """Forty-two pictures of three classes on two maps; the classes lie apart on the first alone."""
    rng, y = np.random.default_rng(7), np.repeat([0, 1, 2], 14)
    places = rng.normal(size=(42, 2))
    apart = places + np.array([[0, 0], [9, 2], [3, 9]])[y]
    classes = ["brick", "cat", "rocket"]
    right = np.arange(42) % 2 == 1
    return figures.picture_maps({"apart": apart, "mixed": places}, pictures(42, 16), y, right, classes)


def the_leak():
    """Three pairs; bees in the source help with the clean bees a little, with the leaked ones a lot."""
    gain = {"no bee": (0.0, 0.0), "bee": (0.05, 0.2)}
    return figures.leaked_and_clean(pd.DataFrame([
        {"seed": pair, "pretrained_with": source, "clean_bees": 0.6 + 0.03 * pair + clean,
         "leaked_bees": 0.65 - 0.02 * pair + leaked}
        for pair in range(3) for source, (clean, leaked) in gain.items()
    ]))  # fmt: skip


def two_backbones():
    """Fine-tuning leads on letters, freezing on digits, nobody on tiles; ants and bees are PhotoNet's alone."""
    ours = [grid_rows((0.1, 0.08, 0.05)), grid_rows((0.0, 0.001, -0.001), "tiles", (2, 5, 10)),
            grid_rows((-0.1, -0.05, -0.05), "digits"), grid_rows((0.0, 0.0, 0.0), "ants_bees")]  # fmt: skip
    table = pd.concat(ours, ignore_index=True)
    return table, table[table["task"] != "ants_bees"].assign(backbone="efficientnet_lite0")


def the_tasks():
    return figures.accuracy_by_task(two_backbones()[0])


def the_differences():
    return figures.differences_by_task(*two_backbones())


FIGURES = {
    "chosen_epochs": the_chosen_epochs,
    "splits_and_folds": the_splits_and_folds,
    "picture_maps": the_picture_maps,
    "leaked_and_clean": the_leak,
    "neighbours": the_neighbours,
    "letters_shown": the_letters,
    "accuracy_by_task": the_tasks,
    "differences_by_task": the_differences,
}


class TestFigures(FigureTests):
    figures, rooms, folder = FIGURES, (figures,), "lesson02"
    dark = ("neighbours",)


def test_the_class_names_of_every_task_that_ships_have_room():
    for label in ("astronaut", *widest_names(2)):
        task = replace(placed([0, 0, 1, 1]), classes=[label, widest_names(1)[0]])
        figure = drawn(partial(the_neighbours, task))
        assert label[:7] in words(figure) and label in figure.words


def test_the_titles_say_what_transfer_adds_and_who_leads():
    figure = drawn(lambda: figures.accuracy_by_task(*two_backbones()))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:4] == ["letters: +23 points", "digits: +15 points", "tiles: +15 points", "ants and bees: −2 points"]
    assert titles[4:7] == titles[:3] and not figure.axes[7].axison
    assert "PhotoNet, letters: fine-tuning 60 to 63 %" in figure.words
    leaders = [ax.get_title(loc="left") for ax in drawn(the_differences).axes]
    assert leaders == ["letters: fine-tuning", "digits: freezing", "tiles: not clear", "ants and bees: not clear"]


def test_a_leader_on_one_network_alone_bears_its_sign():
    level, ahead, behind = (Effect(mean, mean - 0.02, mean + 0.02, 10, 9, 0, np.zeros(10)) for mean in (0, 0.05, -0.05))
    said = [_leader({"photonet": one, "efficientnet_lite0": other}) for one, other in
            ((ahead, ahead), (ahead, level), (level, behind), (ahead, behind), (level, level))]  # fmt: skip
    assert said == ["fine-tuning", "fine-tuning ●", "freezing ■", "fine-tuning ●, freezing ■", "not clear"]


def test_a_difference_that_may_be_none_is_hollow():
    letters, tiles = (drawn(the_differences).axes[k].lines for k in (0, 2))
    fills = [{line.get_markerfacecolor() for line in lines if line.get_marker() == "o" and len(line.get_xdata()) == 1}
             for lines in (letters, tiles)]
    assert "#ffffff" not in fills[0] and fills[1] == {"#ffffff"}


def test_neighbours_are_marked_by_sign_and_frame():
    figure = drawn(the_neighbours)
    said = words(figure)
    assert said.count("✗ ant") == 10 and "75% of the neighbours are of the same class" in said
    frames = {ax.get_xlabel(): ax.spines["left"].get_linestyle() for ax in figure.axes if ax.get_xlabel()}
    assert frames["✗ ant"] != "-"
    right = drawn(partial(the_neighbours, placed([0, 0, 1, 1])))
    assert {ax.spines["left"].get_linestyle() for ax in right.axes if ax.get_xlabel() == "✓ ant"} == {"-"}
    assert "by pixels 0 of 5 here and 75% over all" in figure.words
