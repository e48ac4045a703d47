"""Machines to try data on: without network, without any data; and made-up downloads.

The fixtures reach the tests through conftest.py.
"""

import functools
import io
import os
import socket
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image

from course_utils.data import downloads, splits
from course_utils.data.tasks import load_task


@pytest.fixture(scope="session")
def one_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def warm_cache(one_cache):
    """One cache folder for the tests of all files that ask for it, so that each task is made once."""
    before = os.environ.get("COURSE_CACHE_DIR")
    os.environ["COURSE_CACHE_DIR"] = str(one_cache)
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


def photo(number, size=(40, 30)):
    """A picture unlike the others: random blocks, the same for the same number."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def jpeg(number, ending="jpg"):
    buffer = io.BytesIO()
    blocks = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(blocks).resize((60, 50), 0).save(buffer, {"jpg": "JPEG", "jpeg": "JPEG"}.get(ending, ending))
    return buffer.getvalue()


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def ants_bees_files():
    files, number = {}, 0
    for folder, count in (("train/ants", 4), ("train/bees", 3), ("val/ants", 2), ("val/bees", 2)):
        for k in range(count):
            number += 1
            ending = ("jpg", "jpeg", "png", "webp")[k]
            files[f"hymenoptera_data/{folder}/{k}.{ending}"] = jpeg(number, ending)
    files["hymenoptera_data/train/ants/imageNotFound.gif"] = jpeg(99, "gif")
    return files


@functools.cache
def whole(name):
    """The task with all its training pictures, loaded once; of the letters 200 of each class, to be quick."""
    return load_task(name, per_class=200 if name == "letters" else None)
