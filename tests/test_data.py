"""The course's own tasks: what they hold, what they keep apart, and what happens when data are missing."""

import functools
import hashlib
import http.server
import io
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from course_utils.data import downloads, splits, surfaces
from course_utils.data import external as photographs
from course_utils.data import images as pictures
from course_utils.data import letters as rendering
from course_utils.data import tasks as data
from course_utils.data.images import matches, thumbnails
from course_utils.data.tasks import SHIPPED, all_task_images, available, load_task
from course_utils.errors import BadData, CourseError, DataUnavailable

ROOT = Path(__file__).resolve().parent.parent
HAS = {"ants_bees": photographs.find_ants_bees() is not None, "tiles": photographs.find_tiles() is not None}


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    """One cache folder for the tests of this file, so that each task is made once."""
    before = os.environ.get("COURSE_CACHE_DIR")
    os.environ["COURSE_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("COURSE_CACHE_DIR")
    if before is not None:
        os.environ["COURSE_CACHE_DIR"] = before


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine is refused, and counted."""
    tries = []

    def refuse(url, *args, **kwargs):
        tries.append(url)
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("a connection was opened"))
    monkeypatch.setattr(downloads, "_silent", {})
    return tries


@pytest.fixture
def bare(monkeypatch, tmp_path, no_network):
    """A machine with the installed packages only: no data folder, an empty cache, no network."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(splits, "_said", set())
    return no_network


@functools.cache
def whole(name):
    """The task with all its training pictures, loaded once."""
    return load_task(name)


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


# --- letters ---


def test_letters_are_tested_in_unseen_fonts():
    assert len(rendering.FONTS) == 21
    assert set(rendering.SEEN_FONTS) & set(rendering.UNSEEN_FONTS) == set()
    assert set(rendering.SEEN_FONTS) | set(rendering.UNSEEN_FONTS) == set(rendering.FONTS)
    seen = {re.match("DejaVuSansMono|DejaVuSans|DejaVuSerif|STIX|cm", f)[0] for f in rendering.SEEN_FONTS}
    unseen = {re.match("DejaVuSansMono|DejaVuSans|DejaVuSerif|STIX|cm", f)[0] for f in rendering.UNSEEN_FONTS}
    assert seen == {"DejaVuSans", "DejaVuSansMono", "STIX"} and unseen == {"DejaVuSerif", "cm"}


@pytest.mark.parametrize("label", ["letter", "font"])
def test_training_and_test_letters_are_drawn_from_what_is_kept_apart(label, monkeypatch):
    drawn, blank = {"train": set(), "test": set()}, np.zeros((8, 8), np.uint8)
    for part, pairs in drawn.items():
        with monkeypatch.context() as patch:
            patch.setattr(rendering, "_draw", lambda font, letter, *_, p=pairs: p.add((font, letter)) or blank)
            classes = len(rendering.letter_classes(label))
            rendering.draw_letters(label, part, np.arange(classes * rendering.COUNT[part]), 8)
    kept_apart = 0 if label == "letter" else 1  # fonts, or letters
    sides = [{pair[kept_apart] for pair in drawn[part]} for part in ("train", "test")]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    if label == "letter":
        assert sides[1] == set(rendering.UNSEEN_FONTS) and len({x for _, x in drawn["test"]}) == 26
    else:
        assert {font for font, _ in drawn["train"]} == {font for font, _ in drawn["test"]} == set(rendering.FONTS)


def test_every_font_has_every_capital():
    folder = Path(rendering.matplotlib.get_data_path(), "fonts", "ttf")
    for name in rendering.FONTS:
        face = ImageFont.truetype(str(folder / f"{name}.ttf"), 40)
        missing = bytes(face.getmask("\uffff"))
        shapes = [bytes(face.getmask(letter)) for letter in rendering.ascii_uppercase]
        assert len(set(shapes)) == 26 and missing not in shapes, name


def test_a_letter_is_the_same_whatever_else_is_drawn():
    some = rendering.draw_letters("letter", "train", np.array([7, 1_007, 25_999]), 32)
    alone = rendering.draw_letters("letter", "train", np.array([1_007]), 32)
    assert np.array_equal(some[1], alone[0])


def test_letters_stand_out_from_their_ground():
    x = rendering.draw_letters("letter", "train", np.arange(0, 26_000, 40), 32)[:, 0].astype(int)
    assert (np.ptp(x.reshape(len(x), -1), axis=1) > 45).all()
    corner = np.median(x[:, [0, 0, -1, -1], [0, -1, 0, -1]], axis=1)[:, None, None]
    ink = np.abs(x - corner) > 35
    share = ink.mean((1, 2))
    assert share.min() > 0.02 and share.max() < 0.5


def test_fonts_are_classes_too(warm_cache):
    task = load_task("letters", per_class=3, label="font")
    assert len(task.classes) == 21 and "DejaVu Sans Bold" in task.classes and len(task.test) == 2_100


# --- textures and defects ---


@pytest.mark.parametrize("make", [surfaces.textures, surfaces.defects])
def test_the_two_sides_of_a_photograph_share_no_column(make, monkeypatch):
    """Each photograph is replaced by one whose brightness is its column, with a little noise."""
    noise = np.random.default_rng(0).integers(-8, 9, (200, 500))
    ramp = Image.fromarray(np.clip(np.linspace(20, 230, 500)[None] + noise, 0, 255).astype(np.uint8)).convert("RGB")
    monkeypatch.setattr(surfaces, "photograph", lambda name: ramp)
    monkeypatch.setattr(surfaces, "TEXTURES_COUNT", {"train": 30, "test": 30})
    monkeypatch.setattr(surfaces, "DEFECTS_COUNT", {"train": (40, 0), "test": (40, 0)})
    crops = []
    original = surfaces._patch

    def remember(side, rng, length):
        crops.append(original(side, rng, length))
        return crops[-1]

    monkeypatch.setattr(surfaces, "_patch", remember)
    ends = {}
    for part in ("train", "test"):
        crops.clear()
        make(part, 16)
        columns = [np.asarray(crop.convert("L"), float).mean(0) for crop in crops]
        ends[part] = min(c.min() for c in columns), max(c.max() for c in columns)
    assert ends["train"][1] + 5 < ends["test"][0]


def test_all_fourteen_photographs_are_in_the_packages(monkeypatch):
    assert len(surfaces.PHOTOGRAPHS) == 14
    assert all(min(surfaces.photograph(name).size) >= 300 for name in surfaces.PHOTOGRAPHS)
    monkeypatch.setitem(surfaces.PHOTOGRAPHS, "brick", "no-such-file.png")
    surfaces.photograph.cache_clear()
    with pytest.raises(DataUnavailable, match="setup"):
        surfaces.photograph("brick")


def test_defects_are_twenty_to_one_and_can_be_seen(warm_cache):
    task = whole("defects")
    for split in (task.train, task.test):
        counts = np.bincount(split.y)
        assert (counts[0] / counts[1:] == 20).all()
    for name, draw in surfaces._DRAW.items():
        changes = np.stack([draw(np.random.default_rng(k), 64) for k in range(60)])
        visible = (np.abs(changes) > 25).mean((1, 2))
        assert np.median(visible) > 0.006 and visible.max() < 0.25, name


# --- drawing and holding out ---


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=80), st.integers(0, 10**6), st.integers(1, 30))
def test_draws_are_nested_sorted_and_as_large_as_asked(labels, seed, n):
    y, classes = np.array(labels), list("abcd")
    n = min(n, int(np.bincount(y).max()))
    large, notice = splits.draw(y, n, seed, classes)
    small, _ = splits.draw(y, max(1, n // 2), seed, classes)
    assert set(small) <= set(large) and (np.diff(large) > 0).all()
    counts = np.bincount(y, minlength=4)
    assert np.bincount(y[large], minlength=4).tolist() == np.minimum(counts, n).tolist()
    assert bool(notice) == bool((counts < n).any())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=5, max_size=120), st.booleans())
def test_held_out_is_a_fifth_and_no_group_is_torn(rows, grouped):
    y, groups = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    keys = [f"file {k}" for k in range(len(rows))]
    test = splits.hold_out(y, keys, groups if grouped else None)
    totals, tested = np.bincount(y), np.bincount(y[test], minlength=y.max() + 1)
    assert (tested[totals > 0] < totals[totals > 0]).all()  # every class trains
    if grouped:
        assert not set(groups[test]) & set(groups[~test])
    else:
        wanted = np.where(totals > 1, np.maximum(1, np.round(totals / 5)), 0)
        assert tested.tolist() == wanted.tolist()
        order = np.random.default_rng(0).permutation(len(y))
        assert np.array_equal(splits.hold_out(y[order], [keys[k] for k in order]), test[order])


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 30), ends=st.lists(st.integers(0, 29), max_size=60))
def test_groups_are_what_pairs_join(n, ends):
    pairs = [(i % n, j % n) for i, j in zip(ends[::2], ends[1::2], strict=False)]
    groups = splits.group_pairs(n, pairs)
    assert all(groups[i] == groups[j] for i, j in pairs) and len(groups) == n
    sets = [{k} for k in range(n)]
    for i, j in pairs:  # joined one after the other
        one, other = (next(s for s in sets if k in s) for k in (i, j))
        if one is not other:
            sets.remove(other)
            one |= other
    assert len(np.unique(groups)) == len(sets)


@settings(deadline=None, max_examples=60)
@given(y=st.lists(st.integers(0, 3), min_size=4, max_size=60), per_class=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_draw_of_stored_studies_keeps_its_order(y, per_class, seed):
    y = np.array(y)
    order = np.random.default_rng(seed).permutation(len(y))
    chosen, rest = splits.draw_in_one_order(y, per_class, seed)
    assert chosen.tolist() == [i for k in np.unique(y) for i in order[y[order] == k][:per_class]]
    assert rest.tolist() == [i for i in order if i not in set(chosen)]
    some = np.flatnonzero(y != y[0])
    if some.size:
        chosen, rest = splits.draw_in_one_order(y, per_class, seed, some)
        assert sorted([*chosen, *rest]) == some.tolist()
        assert np.bincount(y[chosen]).max() <= per_class


def test_chains_of_pairs_are_one_group():
    groups = splits.group_pairs(6, [(0, 1), (4, 1), (2, 3)])
    assert groups[0] == groups[1] == groups[4] and groups[2] == groups[3] and len(set(groups.tolist())) == 3


# --- which pictures are the same ---


def noisy(count, side, seed=0):
    """Smooth random pictures, each unlike the others, as photographs are."""
    rng = np.random.default_rng(seed)
    out = [Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)).resize((side, side), 3) for _ in range(count)]
    return np.stack([np.asarray(one).transpose(2, 0, 1) for one in out])


@pytest.mark.parametrize("side", [25, 32, 48, 100])
def test_copies_of_any_size_brightness_and_contrast_match(side):
    big, rng = noisy(30, 64), np.random.default_rng(1)
    copies = [Image.fromarray(one.transpose(1, 2, 0)).resize((side, side), 3) for one in big]
    other = np.stack([np.asarray(c).transpose(2, 0, 1) for c in copies]) * 0.5 + 40 + rng.normal(0, 4, (30, 1, 1, 1))
    found = matches(thumbnails(big), thumbnails(other.astype(np.uint8)))
    assert {(i, j) for i, j, _ in found} == {(k, k) for k in range(30)} and min(r for *_, r in found) > 0.97


def test_thumbnails_are_area_means_with_mean_0_and_length_1():
    x = noisy(3, 64)
    grey = x.astype(float).transpose(0, 2, 3, 1) @ [0.299, 0.587, 0.114]
    want = grey.reshape(3, 16, 4, 16, 4).mean((2, 4)).reshape(3, -1)
    want -= want.mean(1, keepdims=True)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    assert np.abs(thumbnails(x) - want).max() < 1e-4 and thumbnails(x).dtype == np.float32
    tiny = thumbnails(np.random.default_rng(0).integers(0, 256, (5, 3, 8, 11), np.uint8))
    assert np.allclose(np.linalg.norm(tiny, axis=1), 1, atol=1e-5)


def test_flat_pictures_match_nothing():
    flat = np.full((4, 3, 32, 32), 120, np.uint8)
    flat[1, :, :, 16:] = 122  # a step too faint to see
    assert matches(thumbnails(flat), thumbnails(flat)) == []


def test_blocks_change_nothing_and_a_limit_stops_the_search(monkeypatch):
    a = thumbnails(noisy(40, 32))
    b = np.concatenate([a] * 5)
    all_of_them = matches(a, b)
    monkeypatch.setattr(pictures, "BLOCK", 3 * len(b))
    in_blocks = matches(a, b)
    assert len(all_of_them) == 200 and [m[:2] for m in in_blocks] == [m[:2] for m in all_of_them]
    assert np.allclose([r for *_, r in in_blocks], [r for *_, r in all_of_them], atol=1e-5)
    assert matches(a, b, limit=50) == in_blocks[:60]  # three pictures a block, five matches each


# --- ants and bees, and where they come from ---


def jpeg(number, ending="jpg"):
    buffer = io.BytesIO()
    blocks = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(blocks).resize((60, 50), 0).save(buffer, {"jpg": "JPEG", "jpeg": "JPEG"}.get(ending, ending))
    return buffer.getvalue()


def ants_bees_files():
    files, number = {}, 0
    for folder, count in (("train/ants", 4), ("train/bees", 3), ("val/ants", 2), ("val/bees", 2)):
        for k in range(count):
            number += 1
            ending = ("jpg", "jpeg", "png", "webp")[k]
            files[f"hymenoptera_data/{folder}/{k}.{ending}"] = jpeg(number, ending)
    files["hymenoptera_data/train/ants/imageNotFound.gif"] = jpeg(99, "gif")
    return files


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_ants_and_bees_from_the_data_folder(bare, tmp_path, monkeypatch, kind):
    home = tmp_path / "mine"
    monkeypatch.setenv("COURSE_DATA_DIR", str(home))
    if kind == "zip":
        write_zip(home / "hymenoptera_data.zip", ants_bees_files())
    else:
        for name, content in ants_bees_files().items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(content)
    task = load_task("ants_bees")
    assert task.classes == ["ants", "bees"] and task.photographs and task.notice == ""
    assert np.bincount(task.train.y).tolist() == [4, 3] and np.bincount(task.test.y).tolist() == [2, 2]
    assert task.train.x.shape[1:] == (3, 64, 64) and bare == []
    assert available()["ants_bees"].startswith("COURSE_DATA_DIR: hymenoptera_data")
    monkeypatch.setattr(data, "SHIPPED", ())
    assert [name for name, _ in all_task_images()] == ["ants_bees"] * 4  # two splits, each cut and squashed


def test_a_data_folder_with_something_else_in_it_is_a_clear_error(bare, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    write_zip(tmp_path / "hymenoptera_data.zip", {"readme.txt": b"hello"})
    with pytest.raises(DataUnavailable, match="train/ants"):
        load_task("ants_bees")
    files = ants_bees_files() | {"hymenoptera_data/val/bees/0.jpg": b"cut off"}
    write_zip(tmp_path / "hymenoptera_data.zip", files)
    with pytest.raises(DataUnavailable, match=r"val/bees/0.jpg is not"):
        load_task("ants_bees")


def test_without_data_and_network_the_error_says_what_to_do(bare):
    with pytest.raises(DataUnavailable) as caught:
        load_task("ants_bees")
    text = str(caught.value)
    assert "download.pytorch.org" in text and "COURSE_DATA_DIR" in text and len(text.splitlines()) <= 3
    with pytest.raises(DataUnavailable):
        load_task("ants_bees")
    assert len(bare) == 1  # an address that did not answer is not asked again


@pytest.mark.parametrize(("name", "fallback"), [("ants_bees", "textures"), ("tiles", "defects")])
def test_a_fallback_goes_on_with_a_visible_notice(bare, capsys, name, fallback):
    task = load_task(name, per_class=5, fallback=fallback)
    assert task.name == fallback and np.bincount(task.train.y).max() == 5
    load_task(name, per_class=7, fallback=fallback)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [task.notice] and name in printed[0] and f"this is {fallback} instead" in printed[0]


def test_a_silent_address_is_given_up_soon(bare, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", -1.9)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: time.sleep(30))
    start = time.perf_counter()
    with pytest.raises(DataUnavailable, match="no answer"):
        load_task("ants_bees")
    assert time.perf_counter() - start < 5


class Server:
    """A file server on this machine that stands in for the official address."""

    def __init__(self, folder):
        quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
        handler = functools.partial(quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def official(tmp_path, monkeypatch):
    """The official download from a local server, with a checksum list of its own."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "_silent", {})
    path = write_zip(tmp_path / "www" / "hymenoptera_data.zip", ants_bees_files())
    sums = "".join(f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in ants_bees_files().items())
    (tmp_path / "list.sha256").write_text(sums)
    server = Server(path.parent)
    monkeypatch.setattr(photographs, "ANTS_BEES_URL", f"{server.address}/hymenoptera_data.zip")
    monkeypatch.setattr(photographs, "ANTS_BEES_SUMS", tmp_path / "list.sha256")
    yield path
    server.server.shutdown()
    server.server.server_close()


def left_over(tmp_path):
    return [p.name for p in (tmp_path / "cache" / "downloads").rglob("*")]


def test_a_download_is_checked_and_kept(official, tmp_path):
    assert len(load_task("ants_bees").train) == 7
    assert left_over(tmp_path) == ["hymenoptera_data.zip"] and available()["ants_bees"] == "downloaded"
    official.unlink()
    assert len(load_task("ants_bees").train) == 7


@pytest.mark.parametrize("damage", ["changed", "missing", "cut", "no zip", "no file"])
def test_a_bad_download_is_refused_and_leaves_nothing(official, tmp_path, damage):
    files = ants_bees_files()
    first = next(iter(files))
    if damage == "changed":
        write_zip(official, files | {first: jpeg(12345)})
    elif damage == "missing":
        write_zip(official, {name: content for name, content in files.items() if name != first})
    elif damage == "cut":
        official.write_bytes(official.read_bytes()[:-400])
    elif damage == "no zip":
        official.write_bytes(b"<html>Log in to the hotel's network</html>")
    else:
        official.unlink()
    with pytest.raises(DataUnavailable) as caught:
        load_task("ants_bees")
    assert len(str(caught.value).splitlines()) <= 3 and left_over(tmp_path) == []


def test_a_download_cut_off_half_way_is_refused(official, tmp_path, monkeypatch):
    whole = official.stat().st_size
    monkeypatch.setattr(downloads.shutil, "copyfileobj", lambda source, file: file.write(source.read(whole // 2)))
    with pytest.raises(DataUnavailable, match="bytes arrived"):
        load_task("ants_bees")
    assert left_over(tmp_path) == []


def test_the_shipped_list_names_every_file_of_the_download():
    lines = photographs.ANTS_BEES_SUMS.read_text().splitlines()
    assert len(lines) == 398 and all(re.fullmatch(r"[0-9a-f]{64}  hymenoptera_data/.+", line) for line in lines)


@pytest.mark.skipif(not HAS["ants_bees"], reason="the ants-and-bees photographs are not on this machine")
def test_the_real_ants_and_bees_share_no_photograph(warm_cache):
    task = load_task("ants_bees")
    assert np.bincount(task.train.y).tolist() == [123, 121] and np.bincount(task.test.y).tolist() == [70, 83]
    train, test = thumbnails(task.train.x), thumbnails(task.test.x)
    assert matches(test, train) == [] and matches(test, thumbnails(task.train.x[..., ::-1])) == []


# --- tiles ---


def tile_files():
    """Nine tiles a class, each under three lightings; tile 0 of each class was taken again much later."""
    files, number = {}, 100
    for c, name in enumerate(("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven")):
        for tile in range(9):
            number += 2_000
            for light in range(1, 4):
                files[f"magnetic-tile-defects/MT_{name}/exp{light}_num_{number + light * 20}.jpg"] = (
                    c,
                    tile,
                    light,
                )
            if tile == 0:
                files[f"magnetic-tile-defects/MT_{name}/exp5_num_{number + 500_000}.jpg"] = (c, tile, 4)
    return files


def tile_picture(c, tile, light):
    rng = np.random.default_rng([c, tile])
    grey = rng.normal(0, 25, (60, 50)) + 90 + 15 * light
    buffer = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_no_tile_is_in_both_splits(bare, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    files = tile_files()
    write_zip(tmp_path / "magnetic-tile-defects.zip", {n: tile_picture(*k) for n, k in files.items()})
    task = load_task("tiles", image_size=32)
    assert task.classes == ["blowhole", "break", "crack", "fray", "free", "uneven"]
    assert len(task.train) + len(task.test) == len(files) and set(task.test.y) == set(range(6))
    train, test = thumbnails(task.train.x), thumbnails(task.test.x)
    assert max((r for *_, r in matches(test, train, 0.5)), default=0) < 0.9
    assert max(r for *_, r in matches(train, train, 0.5)) > 0.98  # lightings of one tile do look the same


def test_a_mistyped_data_folder_is_named(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "dtaa"))
    for name in ("ants_bees", "tiles"):
        with pytest.raises(DataUnavailable, match="dtaa, which is no folder"):
            load_task(name)


def test_without_tiles_the_error_names_their_address(bare):
    with pytest.raises(DataUnavailable, match="Magnetic-tile-defect-datasets") as caught:
        load_task("tiles")
    assert "fallback=" in str(caught.value) and len(str(caught.value).splitlines()) <= 3 and bare == []


@pytest.mark.skipif(not HAS["tiles"], reason="the magnetic tiles are not on this machine")
def test_the_real_tiles_are_split_by_tile(warm_cache):
    task = load_task("tiles")
    assert len(task.train) + len(task.test) == 1_344
    tested, all_of_them = np.bincount(task.test.y), np.bincount(np.r_[task.test.y, task.train.y])
    assert (tested / all_of_them > 0.15).all() and (tested / all_of_them < 0.4).all()


# --- flowers and pets ---


@pytest.mark.parametrize("name", ["flowers102", "pets"])
def test_flowers_and_pets_go_through_torchvision(bare, monkeypatch, name):
    import torchvision.datasets

    made = []

    class Fake:
        """Answers as torchvision's data sets do: nothing on disk until it is told to download."""

        classes = ("rose", "lily", "iris")

        def __init__(self, root, split, download=False):
            made.append((split, download))
            if not download:
                raise RuntimeError("Dataset not found or corrupted.")
            self.rows = [(Image.open(io.BytesIO(jpeg(hash((split, k)) % 999))), k % 3) for k in range(6)]

        def __len__(self):
            return 6

        def __getitem__(self, k):
            return self.rows[k]

    monkeypatch.setattr(torchvision.datasets, photographs.OXFORD[name][0], Fake)
    with pytest.raises(DataUnavailable, match=r"ox\.ac\.uk"):
        load_task(name)
    assert available()[name].startswith("not here") and len(bare) == 1
    monkeypatch.setattr(photographs, "ask", lambda url, what: io.BytesIO())
    task = load_task(name, image_size=16)
    trained = len(photographs.OXFORD[name][1])
    assert task.classes == ["rose", "lily", "iris"] and len(task.test) == 6 and len(task.train) == 6 * trained
    made.clear()
    assert np.array_equal(load_task(name, image_size=16).test.x, task.test.x) and made == []


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
    assert set(places) == set(data.NAMES) and bare == []
    assert all(places[name] == "in the installed packages" for name in SHIPPED)
    assert all(places[name].startswith("not here: ") for name in set(data.NAMES) - set(SHIPPED))


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
    for name in data.NAMES:
        assert f"`{name}`" in text, name
    for file in surfaces.PHOTOGRAPHS.values():
        assert f"`{file}`" in text, file
    for path in (ROOT / "data").glob("*.sha256"):
        assert path.name in text
