"""Pictures from elsewhere: the data folder, the official download, torchvision; and what happens without them."""

import functools
import hashlib
import http.server
import io
import re
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from machines import ants_bees_files, jpeg, write_zip
from PIL import Image

from course_utils.data import downloads, external, tasks
from course_utils.data.images import matches, thumbnails
from course_utils.data.tasks import all_task_images, available, load_task
from course_utils.errors import DataUnavailable

HAS = {"ants_bees": external.find_ants_bees() is not None, "tiles": external.find_tiles() is not None}


# --- ants and bees, and where they come from ---


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
    monkeypatch.setattr(tasks, "SHIPPED", ())
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
    assert time.perf_counter() - start < 20  # the address is silent for 30


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
    monkeypatch.setattr(external, "ANTS_BEES_URL", f"{server.address}/hymenoptera_data.zip")
    monkeypatch.setattr(external, "ANTS_BEES_SUMS", tmp_path / "list.sha256")
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
    lines = external.ANTS_BEES_SUMS.read_text().splitlines()
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

    monkeypatch.setattr(torchvision.datasets, external.OXFORD[name][0], Fake)
    with pytest.raises(DataUnavailable, match=r"ox\.ac\.uk"):
        load_task(name)
    assert available()[name].startswith("not here") and len(bare) == 1
    monkeypatch.setattr(external, "ask", lambda url, what: io.BytesIO())
    task = load_task(name, image_size=16)
    trained = len(external.OXFORD[name][1])
    assert task.classes == ["rose", "lily", "iris"] and len(task.test) == 6 and len(task.train) == 6 * trained
    made.clear()
    assert np.array_equal(load_task(name, image_size=16).test.x, task.test.x) and made == []
