"""The course's own tasks: what they hold, what they keep apart, and what happens when data are missing."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import whole

from course_utils.data import downloads, external, splits, surfaces, tasks
from course_utils.data.images import matches, thumbnails
from course_utils.data.letters import _PACKAGES, FAMILIES
from course_utils.data.tasks import SHIPPED, all_task_images, available, load_task, pool_task
from course_utils.errors import BadData, CourseError, DataUnavailable

ROOT = Path(__file__).resolve().parent.parent


def as_bytes(split):
    return [x.tobytes() for x in split.x]


# --- every task that ships ---
EXPECTED = {  # classes, training pictures, test pictures, side
    "digits": (10, 1_438, 359, 32),
    "textures": (14, 2_800, 840, 64),
    "letters": (26, 5_200, 2_600, 32),  # 200 of each class; there are 2,500 to draw from
    "defects": (4, 1_380, 920, 64),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tasks_need_no_network_and_hold_what_they_should(name, warm_cache, no_network):
    task = whole(name)
    classes, train, test, side = EXPECTED[name]
    assert (len(task.classes), len(task.train), len(task.test)) == (classes, train, test)
    assert len(set(task.classes)) == classes and task.name == name and task.notice == ""
    for split in (task.train, task.test):
        assert split.x.dtype == np.uint8 and split.x.shape == (len(split), 3, side, side)
        assert split.y.dtype == np.int64 and set(split.y.tolist()) == set(range(classes))
    assert task.photographs == (name in ("textures", "defects"))
    assert no_network == []


@pytest.mark.parametrize("name", SHIPPED)
def test_no_picture_is_there_twice(name, warm_cache):
    task = whole(name)
    train, test = as_bytes(task.train), as_bytes(task.test)
    assert len(set(train)) == len(train) and len(set(test)) == len(test) and not set(train) & set(test)


@pytest.mark.parametrize("name", ["textures", "defects"])
def test_no_test_photograph_looks_like_a_training_one(name, warm_cache):
    task = whole(name)
    assert matches(thumbnails(task.test.x), thumbnails(task.train.x)) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_test_split_never_moves_and_draws_are_nested(name, warm_cache):
    few, more, other = load_task(name, 5, seed=3), load_task(name, 20, seed=3), load_task(name, 5, seed=4)
    assert np.array_equal(few.test.x, more.test.x) and np.array_equal(few.test.x, other.test.x)
    assert np.array_equal(few.test.y, other.test.y)
    assert np.bincount(few.train.y).tolist() == [5] * len(few.classes)
    assert set(as_bytes(few.train)) < set(as_bytes(more.train))
    assert set(as_bytes(few.train)) != set(as_bytes(other.train))
    again = load_task(name, 5, seed=3)
    assert np.array_equal(few.train.x, again.train.x) and np.array_equal(few.train.y, again.train.y)


@pytest.mark.parametrize("name", SHIPPED)
def test_any_size_can_be_asked_for(name, warm_cache):
    task = load_task(name, 1, image_size=20)
    assert task.train.x.shape[1:] == (3, 20, 20) and task.test.x.shape[1:] == (3, 20, 20)
    assert np.array_equal(task.test.y, load_task(name, 1).test.y)


def test_many_large_digits_are_said_beforehand_and_only_those_chosen_are_drawn(monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(tasks, "LARGE", 10**6)
    monkeypatch.setattr(splits, "_said", set())
    monkeypatch.setattr(tasks, "to_square", lambda one, size: drawn.append(capsys.readouterr().out) or 0)
    load_task("digits", 2, image_size=40)
    assert len(drawn) == 20 + 359
    assert "".join(drawn) == drawn[0] == "Drawing 359 digits of 40 px, 0.0017 GB; smaller ones take less.\n"


# --- what examples share, and a pool to tune on ---


def test_examples_know_what_they_share(warm_cache):
    letters, textures = load_task("letters", 20, seed=1), load_task("textures", 5, seed=1)
    assert set(letters.train.groups) == set(FAMILIES["train"]) and set(letters.test.groups) == set(FAMILIES["test"])
    assert all(len(split.groups) == len(split) for split in (letters.train, letters.test))
    assert all(np.array_equal(split.groups, split.y) for split in (textures.train, textures.test))  # photographs
    assert load_task("digits", 5).train.groups is None and load_task("letters", 5, label="font").train.groups is None


def test_a_draw_keeps_the_groups_of_its_letters(warm_cache):
    few, more = load_task("letters", 5, seed=3).train, load_task("letters", 20, seed=3).train
    known = dict(zip(as_bytes(more), more.groups, strict=True))
    assert [known[one] for one in as_bytes(few)] == few.groups.tolist()


@pytest.mark.skipif(external.find_tiles() is None, reason="the magnetic tiles are not on this machine")
def test_tiles_of_one_group_stay_on_one_side_in_the_pool_too(warm_cache):
    task = load_task("tiles", image_size=32)
    assert len(task.train.groups) == len(task.train) and not set(task.train.groups) & set(task.test.groups)
    for seed in range(20):
        within = pool_task(task, 10, seed)
        assert not set(within.train.groups) & set(within.test.groups)
        assert np.bincount(within.train.y).tolist() == [10] * 6 and set(within.test.y.tolist()) == set(range(6))
    with pytest.raises(BadData, match="the smallest has 20"):
        pool_task(task, 20, 0)


@pytest.mark.parametrize("per_class", [10, 110])
def test_a_pool_of_letters_is_scored_in_a_family_that_it_does_not_train_on(per_class, warm_cache):
    task = whole("letters")
    for seed in (0, 1):
        within = pool_task(task, per_class, seed)
        assert len(set(within.test.groups)) == 1 and len(set(within.train.groups)) == 2
        assert not set(within.train.groups) & set(within.test.groups)
        assert np.bincount(within.train.y).tolist() == [per_class] * 26
        assert len(within.test) == 1_000 and set(within.test.y.tolist()) == set(range(26))
        assert set(as_bytes(within.test)) <= set(as_bytes(task.train))  # the real test letters stay unseen


def grouped(y, groups):
    split = splits.Split(np.arange(len(y)), np.array(y), None if groups is None else np.array(groups))
    return splits.Task("toy", [str(k) for k in range(max(y) + 1)], split, split, False)


@settings(deadline=None, max_examples=80)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=6, max_size=80),
    shared=st.booleans(), per_class=st.integers(1, 12), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_pool_trains_on_as_many_as_asked_and_scores_some_of_each_class(rows, shared, per_class, seed):
    task = grouped([y for y, _ in rows], [g for _, g in rows] if shared else None)
    y, groups = task.train.y, task.train.groups
    counts, present = np.bincount(y), np.unique(y)
    several = {k for k in present if shared and len(set(groups[y == k])) > 1}
    try:
        within = pool_task(task, per_class, seed)
    except BadData as error:
        assert several or per_class >= counts[present].min()
        assert "Choose fewer" in str(error) and len(str(error).splitlines()) == 2
        return
    train, test = within.train, within.test
    assert np.bincount(train.y)[present].tolist() == [per_class] * len(present)
    assert not set(train.x) & set(test.x) and len(test)
    tested = np.bincount(test.y, minlength=len(counts))[present]
    if several:
        assert not set(train.groups) & set(test.groups)
        assert (tested <= 0.4 * counts[present]).all() and several <= set(test.y.tolist())
    else:
        assert (tested == counts[present] - per_class).all()


def test_a_photograph_that_is_a_whole_class_cannot_be_held_out(warm_cache):
    within = pool_task(load_task("textures", 20, image_size=20), 19, 0)
    assert np.bincount(within.train.y).tolist() == [19] * 14 and np.bincount(within.test.y).tolist() == [1] * 14
    with pytest.raises(BadData, match="per_class=20 leaves nothing"):
        pool_task(load_task("textures", 20, image_size=20), 20, 0)


@pytest.mark.parametrize("seed", ["0", None, -1, 0.5, float("nan"), float("inf")])
def test_a_pool_is_drawn_by_a_whole_number(seed):
    with pytest.raises(BadData, match=f"seed={seed!r} is not possible"):
        pool_task(grouped([0, 0, 1, 1], None), 1, seed)


# --- arguments and places ---


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"name": "ants_and_bees"}, "Did you mean 'ants_bees'?"),
        ({"name": "faces"}, "There is no task 'faces'"),  # it was one
        ({"name": "zebras"}, "The tasks are: digits, textures"),
        ({"name": "digits", "fallback": "texture"}, "Did you mean 'textures'?"),
        ({"name": "digits", "label": "font"}, "Only letters"),
        ({"name": "letters", "label": "colour"}, 'label="letter"'),
        ({"name": "digits", "per_class": 500}, "Choose 139 or fewer"),
        ({"name": "letters", "per_class": 2_501}, "Choose 2500 or fewer"),
        ({"name": "digits", "per_class": 2.5}, "whole number"),
        ({"name": "digits", "per_class": True}, "whole number"),
        ({"name": "digits", "seed": -1}, "whole number"),
        ({"name": "digits", "image_size": 4}, "from 8 to 1024"),
    ],
)
def test_impossible_arguments_are_clear_errors(arguments, part, warm_cache):
    with pytest.raises(BadData) as caught:
        load_task(**arguments)
    assert part in str(caught.value) and len(str(caught.value).splitlines()) <= 3


def test_unbalanced_classes_give_what_they_have_and_a_notice_says_so(warm_cache, capsys):
    splits._said.clear()
    task = load_task("defects", per_class=100)
    assert np.bincount(task.train.y).tolist() == [100, 60, 60, 60]
    assert "crack (60)" in task.notice and task.notice in capsys.readouterr().out


def test_available_names_every_task_and_downloads_nothing(bare):
    places = available()
    assert set(places) == set(tasks.NAMES) and bare == []
    assert all(places[name] == "in the installed packages" for name in SHIPPED)
    assert all(places[name].startswith("not here: ") for name in set(tasks.NAMES) - set(SHIPPED))


def test_pretraining_sees_every_task_that_ships_and_every_image_of_most(warm_cache, no_network, monkeypatch):
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    sizes = {}
    for name, x in all_task_images():
        sizes[name] = sizes.get(name, 0) + len(x)
        assert x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] == 3
    want = {name: EXPECTED[name][1] + EXPECTED[name][2] for name in SHIPPED}
    want["letters"] += 21 * (200 + 100)  # those with fonts as classes
    assert sizes == want and no_network == []


def test_relative_folders_count_from_the_repository(monkeypatch, tmp_path):
    relative = os.path.relpath(tmp_path, ROOT)
    monkeypatch.setenv("COURSE_DATA_DIR", relative)
    monkeypatch.setenv("COURSE_CACHE_DIR", relative)
    monkeypatch.chdir("/")
    assert downloads.data_dir().resolve() == tmp_path.resolve() == downloads.cache_dir().resolve()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "nowhere"))
    assert downloads.data_dir() is None


def test_errors_and_tasks_show_themselves_in_a_line(warm_cache):
    assert repr(load_task("digits", 5)) == "Task 'digits': 10 classes, 50 to train and 359 to test (3 x 32 x 32)"
    assert issubclass(BadData, CourseError) and issubclass(DataUnavailable, CourseError)


def test_the_readme_of_the_data_names_every_task_and_source():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name in tasks.NAMES:
        assert f"`{name}`" in text, name
    for file in surfaces.PHOTOGRAPHS.values():
        assert f"`{file}`" in text, file
    for part, word in (("train", "trains"), ("test", "tests")):
        for family, fonts in FAMILIES[part].items():
            packages = {_PACKAGES.get(font.split("-")[0], "matplotlib").replace("_", "-") for font in fonts}
            (row,) = [line for line in text.splitlines() if line.startswith(f"| {family} ") and f"| {word} |" in line]
            assert f"| {len(fonts)} |" in row and all(package in row for package in packages), family
    for path in (ROOT / "data").glob("*.sha256"):
        assert path.name in text
