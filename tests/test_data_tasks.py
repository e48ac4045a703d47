"""The course's own tasks: what they hold, what they keep apart, and what happens when data are missing."""

import os
from pathlib import Path

import numpy as np
import pytest
from machines import whole

from course_utils.data import downloads, splits, surfaces, tasks
from course_utils.data.images import matches, thumbnails
from course_utils.data.tasks import SHIPPED, all_task_images, available, load_task
from course_utils.errors import BadData, CourseError, DataUnavailable

ROOT = Path(__file__).resolve().parent.parent


def as_bytes(split):
    return [x.tobytes() for x in split.x]


# --- every task that ships ---
EXPECTED = {  # classes, training pictures, test pictures, side
    "digits": (10, 1_438, 359, 32),
    "faces": (2, 157, 40, 32),
    "textures": (14, 2_800, 840, 64),
    "letters": (26, 26_000, 2_600, 32),
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
    assert task.photographs == (name in ("faces", "textures", "defects"))
    assert no_network == []


@pytest.mark.parametrize("name", SHIPPED)
def test_no_picture_is_there_twice(name, warm_cache):
    task = whole(name)
    train, test = as_bytes(task.train), as_bytes(task.test)
    assert len(set(train)) == len(train) and len(set(test)) == len(test) and not set(train) & set(test)


@pytest.mark.parametrize("name", ["faces", "textures", "defects"])
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


# --- arguments and places ---


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"name": "ants_and_bees"}, "Did you mean 'ants_bees'?"),
        ({"name": "zebras"}, "The tasks are: digits, faces"),
        ({"name": "faces", "fallback": "texture"}, "Did you mean 'textures'?"),
        ({"name": "faces", "label": "font"}, "Only letters"),
        ({"name": "letters", "label": "colour"}, 'label="letter"'),
        ({"name": "faces", "per_class": 500}, "Choose 77 or fewer"),
        ({"name": "faces", "per_class": 2.5}, "whole number"),
        ({"name": "faces", "per_class": True}, "whole number"),
        ({"name": "faces", "seed": -1}, "whole number"),
        ({"name": "faces", "image_size": 4}, "from 8 to 1024"),
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


def test_pretraining_sees_every_image_of_every_task_that_ships(warm_cache, no_network, monkeypatch):
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    sizes = {}
    for name, x in all_task_images():
        sizes[name] = sizes.get(name, 0) + len(x)
        assert x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] == 3
    want = {name: EXPECTED[name][1] + EXPECTED[name][2] for name in SHIPPED}
    want["letters"] += 23_100  # those with fonts as classes
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
    assert repr(load_task("faces", 5)) == "Task 'faces': 2 classes, 10 to train and 40 to test (3 x 32 x 32)"
    assert issubclass(BadData, CourseError) and issubclass(DataUnavailable, CourseError)


def test_the_readme_of_the_data_names_every_task_and_source():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name in tasks.NAMES:
        assert f"`{name}`" in text, name
    for file in surfaces.PHOTOGRAPHS.values():
        assert f"`{file}`" in text, file
    for path in (ROOT / "data").glob("*.sha256"):
        assert path.name in text
