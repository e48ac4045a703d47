"""Your own pictures: any format, any layout, and what is said about what cannot be used."""

import os
import shutil
import sys
import warnings
import zipfile

import numpy as np
import pytest
from machines import photo
from PIL import Image

from course_utils.data import cache, decoding
from course_utils.data.tasks import task_from_folder
from course_utils.errors import BadData


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))


def make_folder(root, counts, start=0):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            start += 1
            photo(start).save(root / name / f"{k:03}.png")
    return root


def quiet(path, **options):
    """The task, having made sure that no warning was given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return task_from_folder(path, **options)


def split_bytes(split):
    return {x.tobytes() for x in split.x}


# --- folders: layout and split ---


def test_a_fifth_of_each_class_tests_whatever_the_seed(tmp_path):
    root = make_folder(tmp_path / "photos", {"cats": 20, "dogs": 10, "emus": 1 + 1})
    a, b = quiet(root), quiet(root, seed=7, per_class=1)
    assert a.classes == ["cats", "dogs", "emus"] and a.name == "photos"
    assert np.bincount(a.test.y).tolist() == [4, 2, 1] and np.bincount(a.train.y).tolist() == [16, 8, 1]
    assert np.array_equal(a.test.x, b.test.x) and np.array_equal(a.test.y, b.test.y)
    assert not split_bytes(a.train) & split_bytes(a.test)
    assert a.train.x.dtype == np.uint8 and a.train.x.shape == (25, 3, 64, 64)


def test_the_test_pictures_stay_when_pictures_are_added(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 50, "b": 50})
    before = split_bytes(quiet(root, image_size=16).test)
    photo(900).save(root / "a" / "zz.png")
    assert len(before & split_bytes(quiet(root, image_size=16).test)) >= 18


def test_per_class_is_nested_and_drawn_by_seed(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 30, "b": 30})
    few, more, other = (quiet(root, per_class=n, seed=s, image_size=16) for n, s in ((3, 1), (9, 1), (3, 2)))
    assert split_bytes(few.train) < split_bytes(more.train)
    assert split_bytes(few.train) != split_bytes(other.train)
    assert np.bincount(more.train.y).tolist() == [9, 9]


def test_train_and_test_folders_are_the_split_and_val_joins_training(tmp_path, capsys):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "Test", {"a": 2, "b": 3}, start=100)
    task = quiet(root, image_size=16)
    assert np.bincount(task.train.y).tolist() == [4, 4] and np.bincount(task.test.y).tolist() == [2, 3]
    assert task.notice == ""
    make_folder(root / "val", {"a": 1, "b": 1}, start=200)
    task = quiet(root, image_size=16)
    assert np.bincount(task.train.y).tolist() == [5, 5] and np.bincount(task.test.y).tolist() == [2, 3]
    assert "val/ joins the training pictures" in task.notice and task.notice in capsys.readouterr().out


def test_val_alone_is_the_test_split_and_a_notice_says_so(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "valid", {"a": 2, "b": 2}, start=100)
    task = quiet(root, image_size=16)
    assert len(task.test) == 4 and "val/ is the test split" in task.notice


def test_classes_may_be_called_train_and_bus(tmp_path):
    root = make_folder(tmp_path / "vehicles", {"train": 6, "bus": 6})
    assert quiet(root, image_size=16).classes == ["bus", "train"]


def test_a_zip_reads_like_the_folder_and_nothing_is_unpacked(tmp_path):
    root = make_folder(tmp_path / "in" / "photos", {"a": 6, "b": 6})
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for path in sorted(root.rglob("*.png")):
            file.write(path, path.relative_to(root.parent))
        file.write(root / "a" / "000.png", "photos/a/../../../outside.png")
        file.writestr("__MACOSX/photos/a/._000.png", b"x")
    with pytest.warns(UserWarning, match=r"names that point outside, are not followed.*: \.\./outside"):
        zipped, folder = task_from_folder(tmp_path / "photos.zip", image_size=16), quiet(root, image_size=16)
    assert np.array_equal(zipped.train.y[:4], folder.train.y[:4]) and zipped.classes == folder.classes
    assert not list(tmp_path.parent.glob("outside.png")) and not list(tmp_path.rglob("outside.png"))


def test_folders_around_the_class_folders_are_passed_through(tmp_path):
    make_folder(tmp_path / "download" / "photos" / "set", {"a": 5, "b": 5})
    assert quiet(tmp_path / "download", image_size=16).classes == ["a", "b"]


def test_hidden_files_are_no_pictures(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5})
    for name in (
        ".DS_Store",
        "a/._000.png",
        "a/Thumbs.db",
        ".ipynb_checkpoints/000.png",
        "b/.ipynb_checkpoints/x",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not a picture")
    assert quiet(root, image_size=16).classes == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights there")
def test_links_to_pictures_are_pictures_and_links_to_folders_are_not_followed(tmp_path):
    elsewhere = make_folder(tmp_path / "elsewhere", {"b": 5})
    root = make_folder(tmp_path / "photos", {"a": 5}, start=50)
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (root / "b").symlink_to(elsewhere / "b")
    (tmp_path / "link").symlink_to(root)  # the folder that is given may itself be one
    with pytest.raises(BadData, match=r"one class with pictures, a.*\n.*\nLinks to folders.*\(a/loop, b\)"):
        task_from_folder(tmp_path / "link", image_size=16)
    (root / "b").unlink()
    (root / "b").mkdir()
    for picture in (elsewhere / "b").iterdir():
        (root / "b" / picture.name).symlink_to(picture)
    with (
        pytest.warns(UserWarning, match="Links to folders, .* are not followed, so these are left out: a/loop"),
        pytest.warns(UserWarning, match=r"1 of 11 files .*a/broken.png \(cannot be opened\)"),
    ):
        task = task_from_folder(tmp_path / "link", image_size=16)
    assert np.bincount(task.test.y).tolist() == [1, 1]


def test_links_to_folders_alone_are_named(tmp_path):
    make_folder(tmp_path / "elsewhere", {"a": 2, "b": 2})
    (tmp_path / "photos").mkdir()
    for name in "ab":
        (tmp_path / "photos" / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(BadData, match=r"it has a, b\..*\n.*\nLinks to folders, .* are not followed \(a, b\)"):
        task_from_folder(tmp_path / "photos", image_size=16)


def test_unreadable_files_are_left_out_in_one_warning(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    photo(99, (100, 100)).save(root / "a" / "huge.png")
    whole = (root / "a" / "000.png").read_bytes()
    (root / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "notes.txt").write_text("hello")
    (root / "b" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (root / "readme.md").write_text("hello")
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = [str(w.message) for w in caught]
    assert sum("cannot be read" in text for text in texts) == 1 and len(texts) == 2
    for part in (
        "4 of 16",
        "a/huge.png (more pixels than Pillow's limit)",
        "b/cut.png (damaged or cut off)",
        "b/notes.txt (not a picture that the course reads)",
        "b/phone.heic (HEIC, save it as JPEG)",
    ):
        assert part in texts[0]
    assert "readme.md" in texts[1] and texts[0] in task.notice
    assert len(task.train) + len(task.test) == 12


# --- folders: what is wrong with them ---


def test_an_empty_class_is_named(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5, "nothing": 0})
    (root / "broken").mkdir()
    (root / "broken" / "x.jpg").write_bytes(b"no")
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = [str(w.message) for w in caught]
    assert len(texts) == 2 and texts[1].endswith("left out: class broken, nothing.")
    assert {w.filename for w in caught} == {__file__}  # they point at the learner's own line
    assert task.classes == ["a", "b"] and set(task.train.y) == {0, 1}


def test_classes_missing_on_one_side_are_named(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4, "onlytrain": 2}).parent
    make_folder(root / "test", {"a": 2, "b": 2, "atest": 2}, start=100)
    with pytest.warns(UserWarning) as caught:
        task = task_from_folder(root, image_size=16)
    texts = " ".join(str(w.message) for w in caught)
    assert "left out: class atest" in texts and "stays unknown: class onlytrain" in texts
    assert task.classes == ["a", "b", "onlytrain"] and sorted(task.test.y.tolist()) == [0, 0, 1, 1]


def test_copies_across_a_given_split_are_named(tmp_path):
    root = make_folder(tmp_path / "photos" / "train", {"a": 4, "b": 4}).parent
    make_folder(root / "test", {"a": 2, "b": 2}, start=100)
    shutil.copy(root / "train" / "a" / "001.png", root / "test" / "a" / "copy.png")
    smaller = Image.open(root / "train" / "b" / "002.png").resize((32, 24), Image.Resampling.BICUBIC)
    smaller.save(root / "test" / "b" / "smaller.jpg", quality=85)
    with pytest.warns(UserWarning, match="2 pictures are in the training and in the test split") as caught:
        task_from_folder(root)
    text = str(caught[0].message)
    assert "test/a/copy.png = train/a/001.png" in text and "test/b/smaller.jpg = train/b/002.png" in text


def test_copies_stay_on_one_side_and_copies_in_two_classes_are_named(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 10})
    for k in range(10):
        shutil.copy(root / "a" / f"{k:03}.png", root / "a" / f"copy{k}.png")
    task = quiet(root, image_size=16)
    assert not split_bytes(task.train) & split_bytes(task.test)
    assert np.bincount(task.test.y).tolist() == [4, 2] and "20 pictures look the same" in task.notice
    shutil.copy(root / "a" / "000.png", root / "b" / "wrong.png")
    with pytest.warns(UserWarning, match=r"in two classes: .*b/wrong.png = a/000.png"):
        task_from_folder(root, image_size=16)


def test_pictures_that_are_alike_by_nature_can_still_be_split(tmp_path):
    root = tmp_path / "xrays"
    base = np.asarray(photo(5, (64, 64)).convert("L")).astype(int)
    for k in range(40):
        (root / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(-6, 7, base.shape)
        Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8)).save(root / "ab"[k % 2] / f"{k}.png")
    task = quiet(root)
    assert np.bincount(task.test.y).tolist() == [4, 4] and "only identical ones" in task.notice


def bad(path, *parts, **options):
    with pytest.raises(BadData) as caught:
        task_from_folder(path, **options)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    for part in parts:
        assert part in message, message


def test_impossible_folders_are_clear_errors(tmp_path):
    root = make_folder(tmp_path / "photos", {"cats": 3})
    bad(root, "one class with pictures, cats", "two folders")
    bad(tmp_path / "fotos", "fotos does not exist", "Did you mean photos?")
    bad(tmp_path / "no" / "where", "does not exist either")
    bad(root / "cats" / "000.png", "neither a folder nor a zip")
    bad(root / "cats", "no class folders", "000.png")
    (tmp_path / "empty").mkdir()
    bad(tmp_path / "empty", "is empty")
    for name in ("x", "y"):
        (tmp_path / "junk" / name).mkdir(parents=True)
        (tmp_path / "junk" / name / "a.jpg").write_bytes(b"no")
    bad(tmp_path / "junk", "None of the 2 files", "x/a.jpg (not a picture that the course reads)")
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    (tmp_path / "hollow" / "b").mkdir(parents=True)
    bad(tmp_path / "hollow", "no class folders with files", "a, b")


def test_the_folder_one_level_down_is_suggested(tmp_path):
    make_folder(tmp_path / "project" / "photos", {"a": 3, "b": 3})
    (tmp_path / "project" / "readme.md").write_text("hello")
    bad(tmp_path / "project", f"Did you mean {tmp_path / 'project' / 'photos'}?")


@pytest.mark.parametrize("options", [{"image_size": 0}, {"image_size": 64.5}, {"seed": -1}, {"per_class": 0}])
def test_impossible_numbers_are_clear_errors(tmp_path, options):
    root = make_folder(tmp_path / "photos", {"a": 5, "b": 5})
    bad(root, f"{next(iter(options))}=", "whole number", **options)


def test_more_than_there_is_names_the_largest_possible(tmp_path):
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 20})
    bad(root, "largest class has 16", "Choose 8 or fewer", per_class=17, image_size=16)
    task = quiet(root, per_class=9, image_size=16)
    assert np.bincount(task.train.y).tolist() == [8, 9] and "a (8)" in task.notice


# --- folders: size and cache ---


def test_large_sets_are_mapped_in_the_order_of_the_split(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 20, "b": 20})
    plain = quiet(root)
    monkeypatch.setattr(cache, "LARGE", 1_000)
    mapped = quiet(root)
    for split in ("train", "test"):
        x = getattr(mapped, split).x
        assert isinstance(x, np.memmap) and np.array_equal(x, getattr(plain, split).x)
        assert np.array_equal(getattr(mapped, split).y, getattr(plain, split).y)


def test_the_second_load_decodes_nothing_and_a_change_is_seen(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    first = quiet(root, image_size=16)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_picture", lambda *a: pytest.fail("decoded again"))
        assert np.array_equal(quiet(root, image_size=16).train.x, first.train.x)
    before = (root / "a" / "000.png").stat()
    photo(777).save(root / "a" / "000.png")
    os.utime(root / "a" / "000.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    both = split_bytes(quiet(root, image_size=16).train) | split_bytes(quiet(root, image_size=16).test)
    assert len(both - split_bytes(first.train) - split_bytes(first.test)) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "junk", "gone"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})
    first = quiet(root, image_size=16)
    (entry,) = (tmp_path / "cache" / "tasks").glob("pictures-*/x.npy")
    raw = bytearray(entry.read_bytes())
    raw[-10] ^= 255
    contents = {"cut": raw[: len(raw) // 2], "flip": raw, "junk": b"x" * 50}
    entry.write_bytes(contents[damage]) if damage != "gone" else entry.unlink()
    again = quiet(root, image_size=16)
    assert np.array_equal(again.train.x, first.train.x) and np.array_equal(again.test.x, first.test.x)
    assert not list((tmp_path / "cache" / "tasks").glob("making-*"))


def test_an_interrupted_load_leaves_nothing_behind(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", {"a": 6, "b": 6})

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_read_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            task_from_folder(root)
    assert not any((tmp_path / "cache" / "tasks").iterdir())
    assert len(quiet(root).train) == 10
