"""Bad folders, zips and paths: each gets a message that says what to do; nothing hangs or is silently wrong."""

import contextlib
import functools
import io
import os
import sys
import tempfile
import threading
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from toys import refused

import course_utils
from course_utils.data import (
    Task,
    archives,
    cache,
    decoding,
    downloads,
    external,
    images,
    letters,
    load_task,
    splits,
    surfaces,
    task_from_csv,
    task_from_folder,
)
from course_utils.data.archives import Archive
from course_utils.errors import BadData, CourseError, DataUnavailable


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))


def picture(value: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(value).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def fill(folder: Path, count: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        picture(hash((folder.name, k)) % 2**31).save(folder / f"{k}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    for name in ("ants", "bees"):
        fill(tmp_path / "photos" / name)
    return tmp_path / "photos"


def load(path, **more):
    """The task, and what was said of it in warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = task_from_folder(path, image_size=16, **more)
    return task, " ".join(str(w.message) for w in caught)


# --- where caches may lie ---


@pytest.fixture
def no_home(monkeypatch, tmp_path):
    """No cache folder of one's own can be made; the place of the spare one among temporary files."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("USER", "ada")
    return tmp_path / "transfer-learning-course-ada"


def test_the_spare_cache_is_ours_alone(no_home):
    assert downloads.cache_dir() == no_home
    if os.name == "posix":
        assert no_home.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are told apart on other systems")
@pytest.mark.parametrize("trouble", ["another owner", "everybody writes", "a link"])
def test_somebody_elses_folder_is_no_spare_cache(no_home, tmp_path, monkeypatch, trouble):
    if trouble == "a link":
        (tmp_path / "elsewhere").mkdir(0o700)
        no_home.symlink_to(tmp_path / "elsewhere")
    else:
        no_home.mkdir()
        no_home.chmod(0o777 if trouble == "everybody writes" else 0o700)
    if trouble == "another owner":
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(DataUnavailable, match="COURSE_CACHE_DIR"):
        downloads.cache_dir()


@pytest.mark.parametrize("lacking", ["a home", "a home and temporary files"])
def test_a_user_without_a_home_has_a_cache_or_is_told(no_home, monkeypatch, lacking):
    def nowhere(*_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("COURSE_CACHE_DIR")
    monkeypatch.setattr(downloads, "user_cache_path", nowhere)
    if lacking == "a home":
        assert downloads.cache_dir() == no_home
        return
    monkeypatch.setattr("tempfile.gettempdir", lambda: os.readlink("/no/such/folder"))
    with pytest.raises(DataUnavailable, match="COURSE_CACHE_DIR"):
        downloads.cache_dir()


@pytest.mark.parametrize("name", ["COURSE_CACHE_DIR", "COURSE_DATA_DIR"])
def test_a_folder_of_nobody_is_said(monkeypatch, name):
    monkeypatch.setenv(name, "~nobody-has-this-name/course")
    with pytest.raises(DataUnavailable, match=f"{name} is '~nobody-has-this-name/course'"):
        load_task("ants_bees", per_class=2)


# --- known data sets that are not whole ---


@pytest.mark.skipif(os.name != "posix", reason="rights are others on other systems")
def test_a_data_folder_that_may_not_be_entered_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root, who may run this, may enter all
    assert downloads.data_dir() is None and "which is no folder to be read" in downloads.data_place()


def test_where_nothing_can_be_fetched_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataUnavailable, match="The download of set failed") as caught:
        downloads.download("http://localhost", tmp_path / "file" / "set.zip", "set", lambda path: None)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("what", ["font", "photograph"])
def test_a_damaged_file_of_a_package_is_said(tmp_path, monkeypatch, what):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_bytes(b"\x89PNG and no more")
    monkeypatch.setattr(letters, "_file", lambda font: tmp_path / "data" / "x")
    monkeypatch.setitem(surfaces.PHOTOGRAPHS, "brick", "x")
    monkeypatch.setattr(surfaces.skimage, "__file__", str(tmp_path / "__init__.py"))
    call = surfaces.photograph.__wrapped__ if what == "photograph" else letters._glyph.__wrapped__
    with pytest.raises(DataUnavailable, match=r"x is damaged .*\nRun: python3 -m course_utils setup"):
        call(*(["brick"] if what == "photograph" else ["font", "A", 20]))


@pytest.mark.parametrize("content", [b"<html>Not found</html>", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize(("task", "file", "fallback"), [
    ("ants_bees", "hymenoptera_data.zip", "textures"), ("tiles", "magnetic-tile-defects.zip", "defects"),
])  # fmt: skip
def test_a_zip_that_is_none_counts_as_missing(tmp_path, monkeypatch, content, task, file, fallback):
    (tmp_path / file).write_bytes(content)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataUnavailable, match="fresh copy") as caught:
        load_task(task, per_class=2)
    assert len(str(caught.value).splitlines()) <= 3
    assert load_task(task, per_class=2, fallback=fallback).name == fallback


@pytest.mark.parametrize(("name", "kind", "folder"), [
    ("flowers102", "Flowers102", "flowers-102"), ("pets", "OxfordIIITPet", "oxford-iiit-pet"),
])  # fmt: skip
def test_flowers_and_pets_are_found_where_the_message_says(tmp_path, monkeypatch, name, kind, folder):
    asked = []
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(f"torchvision.datasets.{kind}", lambda root, split: asked.append(root) or "set")
    assert external._torchvision(name, "test") == "set" and asked == [tmp_path]
    assert not external.has_oxford(name)
    (tmp_path / folder).mkdir()
    assert external.has_oxford(name)


# --- paths that are none ---

PATHS = {
    "None": (None, "is no path, but a NoneType"),
    "nothing": ("", "'' is no path"),
    "an array": (np.arange(9000), "is no path, but a ndarray"),
    "a number": (7, "is no path, but a int"),
    "bytes": (b"photos", "is no path, but a bytes"),
    "no such user": ("~nobody-has-this-name/photos", "cannot be a path"),
    "far too long": ("x" * 5000, "cannot be a path"),
    "a zero byte": ("photos\0", "cannot be a path"),
    "a link to nowhere": ("LINK", "It is a link that leads nowhere"),
    "from a folder that is gone": ("photos", "the working folder is gone"),
    "an address": ("https://example.org/a.zip", r"https://example.org/a.zip is a web address.*\n.*\nDownload"),
    "an address of a store": (Path("s3://mine/photos"), "is a web address"),
}


@pytest.mark.parametrize("what", PATHS)
def test_what_cannot_be_a_path_is_said(what, tmp_path, monkeypatch):
    path, words = PATHS[what]
    if isinstance(path, str) and path == "LINK":
        if sys.platform == "win32":
            pytest.skip("links need special rights there")
        path = tmp_path / "LINK"
        path.symlink_to("nowhere")
    if "gone" in words:
        monkeypatch.setattr(os, "getcwd", lambda: os.readlink("/no/such/folder"))
    for read in (task_from_folder, task_from_csv):
        with pytest.raises(BadData, match=words) as caught:
            read(path)
        assert len(str(caught.value).splitlines()) <= 3 and len(str(caught.value)) < 400


# --- what lies in a folder and is no picture ---


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices are files on other systems alone")
@pytest.mark.parametrize("what", ["pipe", "link to a pipe", "device"])
def test_what_is_no_regular_file_is_left_out_and_never_waited_for(photos, tmp_path, what):
    if what == "device":
        (photos / "ants" / "zero.png").symlink_to("/dev/zero")
    else:
        place = photos / "ants" / "pipe.png" if what == "pipe" else tmp_path / "pipe"
        os.mkfifo(place)
        if what != "pipe":
            (photos / "ants" / "pipe.png").symlink_to(place)
    done = []
    thread = threading.Thread(target=lambda: done.append(load(photos)), daemon=True)
    thread.start()
    thread.join(20)
    assert done, "it hangs"
    task, said = done[0]
    assert len(task.train) + len(task.test) == 10 and "not a regular file" in said


@pytest.mark.skipif(sys.platform == "win32", reason="links need special rights there")
@pytest.mark.parametrize("up", ["..", "../..", "/"])
def test_a_link_to_a_folder_around_is_not_walked(photos, up):
    fill(photos.parent / "others")
    (photos / "ants" / "up").symlink_to(up)
    task, said = load(photos)
    assert len(task.train) + len(task.test) == 10 and "left out: ants/up." in said


def test_a_file_that_promises_more_than_any_memory_is_left_out(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 100_000)
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for one in sorted(photos.rglob("*.png")):
            file.write(one, one.relative_to(tmp_path))
        file.writestr("photos/ants/bomb.png", bytes(2_000_000))
    (photos / "ants" / "bomb.png").write_bytes(bytes(2_000_000))
    for where in (path, photos):
        task, said = load(where)
        assert len(task.train) + len(task.test) == 10 and "larger than" in said


def test_a_program_in_the_dress_of_a_picture_is_never_started(photos, monkeypatch):
    started = []
    monkeypatch.setattr("subprocess.check_call", lambda *words, **more: started.append(words))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    (photos / "ants" / "drawing.jpg").write_bytes(eps)
    _, said = load(photos)
    assert not started and "drawing.jpg (not a picture that the course reads)" in said


def test_no_picture_is_opened_without_saying_which_formats_it_may_have():
    for path in Path(course_utils.__file__).parent.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "Image.open(" not in line or "formats=" in line, (path.name, line)


def test_a_picture_of_no_numbers_is_left_out_and_not_black(photos):
    values = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    Image.fromarray(values).save(photos / "ants" / "fine.tif")
    values[3, 4] = np.nan
    Image.fromarray(values).save(photos / "ants" / "broken.tif")
    task, said = load(photos)
    assert len(task.train) + len(task.test) == 11
    assert "broken.tif (holds values that are not numbers)" in said and "fine.tif" not in said


@pytest.mark.parametrize(("bits", "ending"), [(10, "png"), (12, "png"), (12, "tif"), (16, "png"), (8, "png")])
def test_pictures_that_come_out_nearly_black_are_said(photos, bits, ending):
    kind = np.uint8 if bits == 8 else np.uint16
    for k in range(3):
        values = np.random.default_rng(k).integers(0, 2**bits, (20, 20)).astype(kind)
        Image.fromarray(values).save(photos / "ants" / f"microscope {k}.{ending}")
    said = " ".join(load(photos)[1] for _ in range(2))
    assert said.count("3 pictures are nearly black (no value above 31 of 255)") == (2 if bits in (10, 12) else 0)
    assert ("ants/microscope 0" in said and "all alike" in said) is (bits in (10, 12))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_names_that_are_no_text_are_shown_and_read(photos):
    odd = os.fsencode(photos / "ants") + b"/caf\xe9.png"
    picture(99).save(photos / "ants" / "plain.png")
    os.rename(photos / "ants" / "plain.png", odd)
    with open(os.fsencode(photos / "bees") + b"/b\xfcchse.png", "wb") as file:
        file.write(b"not a picture")
    task, said = load(photos)
    assert len(task.train) + len(task.test) == 11
    assert r"b\udcfcchse.png" in said
    said.encode("utf-8")


def test_a_folder_without_the_right_to_read_it_is_named(photos, monkeypatch):
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("bees"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(BadData, match=r"bees cannot be opened \(Permission denied\)"):
        task_from_folder(photos)


UNREADABLE = {
    "HEIC": (".heic", b"\0\0\0\x18ftypheic", "HEIC, save it as JPEG"),
    "corrupt": (".jpg", b"\xff\xd8\xff\xe0 and no more", "damaged or cut off"),
    "no right to read": (".png", b"", "cannot be opened"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_class_that_cannot_be_read_is_not_called_missing(tmp_path, monkeypatch, kind):
    ending, content, words = UNREADABLE[kind]
    fill(tmp_path / "photos" / "ants")
    (tmp_path / "photos" / "bees").mkdir()
    (tmp_path / "photos" / "bees" / f"one{ending}").write_bytes(content)
    if kind == "no right to read":
        checked = archives.check_regular

        def refuse(path):
            checked(path)
            if path.parent.name == "bees":
                raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(archives, "check_regular", refuse)
    with pytest.raises(BadData, match=rf"one class with pictures, ants\. Unreadable: bees/one{ending} \({words}\)"):
        load(tmp_path / "photos")


def zip_of(path, names: dict, **more) -> Path:
    """A zip of pictures, of these names in it."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in names.items():
            file.writestr(name, content)
    return path


def png(value: int) -> bytes:
    file = io.BytesIO()
    picture(value).save(file, "PNG")
    return file.getvalue()


def test_a_zip_with_backslashes_is_read(tmp_path):
    names = {f"photos\\{name}\\{k}.png": png(10 * ord(name) + k) for name in "ab" for k in range(3)}
    assert load(zip_of(tmp_path / "windows.zip", names))[0].classes == ["a", "b"]


def test_a_zip_with_paths_from_the_root_is_read(tmp_path):
    names = {f"/{name}/{k}.png": png(10 * ord(name) + k) for name in "ab" for k in range(3)}
    assert load(zip_of(tmp_path / "root.zip", names))[0].classes == ["a", "b"]


def test_a_zip_whose_names_all_point_outside_is_not_called_empty(tmp_path):
    names = {f"../../{name}/{k}.png": png(10 * ord(name) + k) for name in "ab" for k in range(3)}
    path = zip_of(tmp_path / "out.zip", names)
    refused(lambda: load(path), r"it has \.\./\.\./a/0\.png.*\n.*\n.*names that point outside, are not followed")


def test_names_with_accents_are_read_from_zips_of_macs(tmp_path):
    decomposed = "Ka\u0308fer"  # as a Mac writes ä: two signs
    names = {f"{name}/{k}.png": png(100 * len(name) + k) for name in (decomposed, "Bienen") for k in range(3)}
    path = zip_of(tmp_path / "mac.zip", names)
    raw = path.read_bytes()
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # a Mac does not say that names are UTF-8
        parts = raw.split(mark)
        raw = mark.join([parts[0], *(p[: at - 3] + bytes([p[at - 3] & ~8]) + p[at - 2 :] for p in parts[1:])])
    path.write_bytes(raw)
    assert load(path)[0].classes == ["Bienen", "Käfer"]


@pytest.mark.skipif(sys.platform == "darwin", reason="one folder there")
def test_a_class_written_in_two_ways_is_one(photos):
    fill(photos / "K\u00e4fer"), fill(photos / "Ka\u0308fer", 4)
    for k in range(4):
        picture(hash(("more", k)) % 2**31).save(photos / "Ka\u0308fer" / f"{k}.png")
    task, _ = load(photos)
    assert task.classes == ["K\u00e4fer", "ants", "bees"] and len(task.train) + len(task.test) == 19


@pytest.mark.parametrize("what", ["version", "method", "pipe"])
def test_a_zip_that_cannot_be_read_says_why(tmp_path, what):
    path = zip_of(tmp_path / "photos.zip", {f"{name}/{k}.png": png(k) for name in "ab" for k in range(2)})
    raw = path.read_bytes()
    if what == "pipe":
        if sys.platform == "win32":
            pytest.skip("there are none")
        path.unlink()
        os.mkfifo(path)
    else:
        at, value = (6, 99) if what == "version" else (10, 9)  # Deflate64, as Windows packs large files
        path.write_bytes(b"PK\1\2".join(p if not k else p[: at - 4] + bytes([value]) + p[at - 3 :]
                                        for k, p in enumerate(raw.split(b"PK\1\2"))))
    words = {"version": "zip file version 9.9", "method": "compression method", "pipe": "not a regular file"}[what]
    with pytest.raises(BadData, match=words) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) <= 3


# --- splits that would become classes ---


@pytest.mark.parametrize(("train", "test"), [
    ("training_set", "test_set"), ("train", "dev"), ("Training", "Testing"), ("train_images", "val_images"),
    ("trainset", "testset"), ("train-set", "validation-set"), ("train_data", "development"),
    ("train", "eval"), ("train", "holdout"), ("train", "hold-out_set"), ("TRAINING", "evaluation"),
])  # fmt: skip
def test_splits_are_known_by_their_usual_names(tmp_path, train, test):
    for split, count in ((train, 6), (test, 3)):
        for name in ("ants", "bees"):
            fill(tmp_path / "photos" / split / name, count)
            for k in range(count):
                picture(hash((split, name, k)) % 2**31).save(tmp_path / "photos" / split / name / f"{k}.png")
    task, _ = load(tmp_path / "photos")
    assert task.classes == ["ants", "bees"] and (len(task.train), len(task.test)) == (12, 6)


@pytest.mark.parametrize("splits", [
    ("val", "test"), ("dev", "test"), ("validation", "testing"), ("train1", "test1"), ("fold1", "fold2"),
    ("fold_0", "Fold-1", "test"), ("split 1", "split 2"), ("train", "train2"),
])  # fmt: skip
def test_splits_of_which_it_cannot_be_told_who_trains_are_no_classes(tmp_path, splits):
    for split in splits:
        for name in ("ants", "bees"):
            fill(tmp_path / "photos" / split / name)
    refused(lambda: load(tmp_path / "photos"), r"has the splits .*, and not one train/ with a test/ or val/")


def test_classes_called_like_splits_are_said(tmp_path):
    for name in ("test", "train", "val1"):
        fill(tmp_path / "photos" / name)
    task, said = load(tmp_path / "photos")
    assert task.classes == ["test", "train", "val1"]
    assert "No class folders lie in test, train, val1, so these are taken for the classes." in said


@pytest.mark.parametrize(("tree", "words"), [
    (("prueba/ants", "prueba/bees", "tren/ants", "tren/bees"), r"same names (ants, bees), which count for nothing"),
    (("train/ants/x", "train/bees/x", "test/ants", "test/bees"), "same names (x)"),
    (("ants/indoors", "bees"), ""),
])  # fmt: skip
def test_folders_that_may_be_the_classes_are_said(tmp_path, tree, words):
    for name in tree:
        fill(tmp_path / "photos" / name, 3)
        for k in range(3):
            picture(hash((name, k)) % 2**31).save(tmp_path / "photos" / name / f"{k}.png")
    said = load(tmp_path / "photos")[1]
    assert words in said and ("same names" in said) is bool(words)


def test_one_class_to_train_on_is_said_whatever_the_test_split_has(tmp_path):
    for name in ("train/ants", "test/ants", "test/bees"):
        fill(tmp_path / "photos" / name)
    with pytest.raises(BadData, match=r"one class with training pictures, ants\.\n.*\nSort"):
        load(tmp_path / "photos")


# --- failures that pass ---


def damaged(whole: bytes) -> bytes:
    """A zip with other bytes in its first picture."""
    at = whole.index(b"IDAT") + 8
    return whole[:at] + b"\0\0\0\0" + whole[at + 4 :]


def locked(whole: bytes) -> bytes:
    """A zip whose every file says that it needs a password."""
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        parts = whole.split(mark)
        flagged = [part[: at - 4] + bytes([part[at - 4] | 1]) + part[at - 3 :] for part in parts[1:]]
        whole = mark.join([parts[0], *flagged])
    return whole


@pytest.mark.parametrize(("spoil", "words"), [(damaged, "damaged"), (locked, "password")])
def test_a_zip_that_was_mended_is_read_again(photos, tmp_path, spoil, words):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(photos.rglob("*.png")):
            file.write(one, one.relative_to(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    try:
        said = load(path)[1]
    except BadData as error:  # all of them are locked
        said = str(error)
    assert words in said
    path.write_bytes(whole)
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))
    assert load(path)[1] == ""


def test_short_memory_is_no_property_of_a_picture(photos, monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr(decoding, "read_picture", short)
    with pytest.raises(DataUnavailable, match="memory is too short"):
        load(photos)
    assert not list((photos.parent / "cache").rglob("making-*"))
    monkeypatch.undo()
    os.environ["COURSE_CACHE_DIR"] = str(photos.parent / "cache")
    try:
        assert load(photos)[1] == ""
    finally:
        del os.environ["COURSE_CACHE_DIR"]


@pytest.mark.parametrize("where", ["digits", "drawing"])
def test_short_memory_is_said_wherever_pictures_are_copied(monkeypatch, where):
    def short(*_):
        raise MemoryError

    if where == "digits":
        monkeypatch.setattr("course_utils.data.tasks.to_square", short)
        call = functools.partial(load_task, "digits", image_size=9)
    else:
        call = functools.partial(splits.assemble, "mine", ["a", "b"], (short, np.arange(4) % 2), (None, []), True, 1, 0)
    with pytest.raises(DataUnavailable, match="memory is too short"):
        call()


def test_large_pictures_are_looked_at_a_few_at_a_time():
    x = np.zeros((300, 3, 256, 256), np.uint8)
    tracemalloc.start()
    try:
        images.thumbnails(x)
        assert tracemalloc.get_traced_memory()[1] < 3 * x.nbytes  # as floats they are four times as many bytes
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space is taken in another way on this system")
def test_a_full_disk_is_an_error_before_anything_is_read(photos, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataUnavailable, match="disk is full"):
        load(photos)
    assert not list((tmp_path / "cache").rglob("making-*"))


@pytest.mark.parametrize(("error", "words"), [
    (OSError(28, "no"), "The disk is full: textures"), (OSError(5, "no"), "[Errno 5] no: textures"),
    (OSError(13, "no"), "\nMake it writable, or name"), (OSError(30, "no"), "\nMake it writable, or name"),
    (OSError("Not enough free space to write 9 bytes"), "Not enough free space to write 9 bytes: textures"),  # numpy's
])  # fmt: skip
def test_what_cannot_be_stored_is_an_error_that_names_another_place(tmp_path, monkeypatch, error, words):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(np, "save", refuse)
    with pytest.raises(DataUnavailable, match="COURSE_CACHE_DIR") as caught:
        cache.cached("textures", "any key", lambda _: {"x": np.ones(3)})
    assert words in str(caught.value) and len(str(caught.value).splitlines()) <= 3
    assert ("Free some space" in str(caught.value)) is (error.errno not in (13, 30))
    assert not list((tmp_path / "cache").rglob("making-*"))


def test_a_damaged_entry_is_made_again_whatever_numpy_makes_of_it(tmp_path):
    made = [cache.cached("x", "key", lambda _: {"x": np.ones(3)})]
    (path,) = (tmp_path / "cache").rglob("x.npy")
    for damage in (b"\x93NUMPY\1\0\x08\0{'descr'", b"\x93NUMPY\1\0\x0c\0{'a':(((((((\n", b"\x93NUMPY\1\0\x06\0[0]+1\n"):
        path.write_bytes(damage)
        made.append(cache.cached("x", "key", lambda _: {"x": np.ones(3)}))
    assert all(np.array_equal(one["x"], np.ones(3)) for one in made)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_format_that_is_promised_is_read(kind):
    file = io.BytesIO()
    picture(1).save(file, kind)
    file.seek(0)
    assert images.read_picture(file, 16).shape == (3, 16, 16)


def test_an_archive_lists_what_it_can_open(photos):
    archive = Archive(photos)
    assert all(archive.open(name).read(4) == b"\x89PNG" for name in archive.names)


# --- whatever lies in a folder or a zip ---


@functools.cache
def content(kind: str) -> bytes:
    if kind in ("PNG", "JPEG", "other PNG", "cut off"):
        file = io.BytesIO()
        picture(len(kind)).save(file, "JPEG" if kind == "JPEG" else "PNG")
        return file.getvalue()[: 60 if kind == "cut off" else None]
    return {"empty": b"", "text": b"no picture", "zeros": bytes(64)}[kind]


PARTS = st.sampled_from(
    ["a", "b", "c", "train", "test", "val", "Test_Set", "x.png", "y.JPG", "z.heic", ".hidden", "__MACOSX", "Thumbs.db",
     "ä ö", "..", "", "new\nline", "a\\b", "c:", "$5-$10", "%s", "{0}"]
)  # fmt: skip
KINDS = st.sampled_from(["PNG", "PNG", "JPEG", "other PNG", "cut off", "empty", "text", "zeros"])
TREES = st.lists(st.tuples(st.lists(PARTS, min_size=1, max_size=4), KINDS), max_size=14)
SOUND = st.lists(st.tuples(st.tuples(st.sampled_from("ab"), st.sampled_from(["1.png", "2.png"])), KINDS), max_size=6)
OPTIONS = st.fixed_dictionaries({"per_class": st.sampled_from([None, None, 1, 2]), "seed": st.integers(0, 3)})


def lay(tree: list, place: Path, packed: bool) -> Path:
    """The files of `tree` in a folder or, whatever their names, in a zip."""
    if packed:
        path = place.with_suffix(".zip")
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
            warnings.simplefilter("ignore")  # two of one name
            for parts, kind in tree:
                file.writestr("/".join(parts) or "/", content(kind))
        return path
    place.mkdir()
    for parts, kind in tree:
        path = place.joinpath(*(part for part in parts if part not in ("", "..")))
        with contextlib.suppress(OSError):  # a folder where a file shall be
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(kind))
    return place


@given(st.builds(lambda a, b: [*a, *b], TREES, SOUND), st.booleans(), OPTIONS)
def test_whatever_lies_in_a_folder_it_is_a_task_or_a_clear_error(tree, packed, options):
    with tempfile.TemporaryDirectory() as folder:
        try:
            task, _ = load(lay(tree, Path(folder) / "photos", packed), **options)
        except CourseError as error:
            assert len(str(error).splitlines()) <= 3
            return
        assert isinstance(task, Task) and len(task.classes) >= 2 and set(task.train.y) == set(range(len(task.classes)))
        assert len(task.train.x) == len(task.train.y) and len(task.test.x) == len(task.test.y)
