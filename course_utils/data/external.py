"""Data sets that the course may not ship: from `COURSE_DATA_DIR`, or from their official addresses."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from course_utils import ROOT
from course_utils.data.archives import Archive
from course_utils.data.cache import Arrays, cached
from course_utils.data.decoding import decode
from course_utils.data.downloads import ask, cache_dir, data_dir, data_place, download, find_data
from course_utils.data.images import matches, to_square
from course_utils.data.splits import Examples, group_pairs, hold_out
from course_utils.errors import BadData, DataUnavailable

ANTS_BEES = ["ants", "bees"]
ANTS_BEES_URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
ANTS_BEES_SUMS = ROOT / "data" / "hymenoptera_data.sha256"
TILES = ["blowhole", "break", "crack", "fray", "free", "uneven"]
TILES_URL = "https://github.com/abin24/Magnetic-tile-defect-datasets."
TILE_GAP = 600  # numbers: the pictures of one tile were taken one after another
TILE_MATCH = 0.92  # correlation of the fine detail above which two pictures show one tile
OXFORD = {  # name: torchvision's class, its splits to train on, the address that has to answer
    "flowers102": ("Flowers102", ("train", "val"), "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/setid.mat"),
    "pets": ("OxfordIIITPet", ("trainval",), "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz"),
}
HOW_TO_GET = {
    "ants_bees": "load_task downloads it (47 MB)",
    "tiles": "put magnetic-tile-defects.zip into the folder that COURSE_DATA_DIR names",
    "flowers102": "load_task downloads it (350 MB)",
    "pets": "load_task downloads it (810 MB)",
}


def find_ants_bees() -> Path | None:
    """The zip or folder of ants and bees on this machine: the learner's own, else one downloaded before."""
    fetched = _fetched_ants_bees()
    return find_data("hymenoptera_data.zip", "hymenoptera_data") or (fetched if fetched.exists() else None)


def ants_bees(size: int, crop: str = "centre") -> tuple[Examples, Examples]:
    """The training pictures, and for testing the data set's own `val/`: (x, y) each, classes `ANTS_BEES`."""
    path = find_ants_bees() or download(ANTS_BEES_URL, _fetched_ants_bees(), "ants_bees", _check_ants_bees)
    archive = _archive(path)
    pattern = re.compile(r"(train|val)/(ants|bees)/(?!imageNotFound\.gif$)[^/]+")  # a placeholder, not a photograph
    found = {name: match for name in archive.names if (match := pattern.fullmatch(name))}
    y = np.array([ANTS_BEES.index(match[2]) for match in found.values()], np.int64)
    test = np.array([match[1] == "val" for match in found.values()], bool)
    if len(set(zip(y.tolist(), test.tolist(), strict=True))) < 4:
        raise _not_as_expected(path, "train/ants, train/bees, val/ants and val/bees with pictures")
    x = _decode_all(archive, list(found), size, crop)
    return (x[~test], y[~test]), (x[test], y[test])


def _fetched_ants_bees() -> Path:
    return cache_dir() / "downloads" / "hymenoptera_data.zip"


def _check_ants_bees(path: Path) -> None:
    """`ValueError` unless the zip holds every file of the official download, unchanged."""
    sums = dict(reversed(line.split(maxsplit=1)) for line in ANTS_BEES_SUMS.read_text().splitlines())
    try:
        archive = Archive(path)
        wrong = [name for name, sum_ in sums.items() if archive.sha256(name.partition("/")[2]) != sum_]
    except BadData as error:
        raise ValueError("what arrived is no zip file") from error
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"a file is missing or damaged ({error})") from error
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(sums)} files differ from the published ones, {wrong[0]} first")


def find_tiles() -> Path | None:
    """The zip or folder of magnetic tiles in `COURSE_DATA_DIR`, or None."""
    return find_data("magnetic-tile-defects.zip", "magnetic-tile-defects", "Magnetic-tile-defect-datasets.-master")


def tiles(size: int, crop: str = "squash") -> tuple[Examples, Examples]:
    """Magnetic tiles, classes `TILES`: (x, y) for training and for testing, no tile in both.

    Each tile was photographed under up to six lightings, some again later, and the pictures were numbered in
    passing. Pictures with close numbers, or the same fine detail, are one group and stay on one side. A tile
    is squashed to a square rather than cut, because its defect may be anywhere.
    """
    path = find_tiles()
    if path is None:
        raise DataUnavailable(
            "tiles is not on this machine, and the course may not ship it.\n"
            f"Fetch it from {TILES_URL} into {data_place()},\n"
            'as magnetic-tile-defects.zip, or go on with load_task("tiles", fallback="defects").'
        )
    archive = _archive(path)
    pattern = re.compile(r"MT_(\w+)/(?:Imgs/)?exp\d_num_(\d+)\.jpg")  # the masks beside them are .png
    found = {name: match for name in archive.names if (match := pattern.fullmatch(name))}
    y = np.array([TILES.index(match[1].lower()) for match in found.values()], np.int64)
    if len(np.unique(y)) < len(TILES):
        raise _not_as_expected(path, "folders MT_Blowhole, MT_Break, MT_Crack, MT_Fray, MT_Free and MT_Uneven")
    groups = _tile_groups(archive, list(found), np.array([int(match[2]) for match in found.values()]))
    test = hold_out(y, list(found), groups)
    x = _decode_all(archive, list(found), size, crop)
    return (x[~test], y[~test], groups[~test]), (x[test], y[test], groups[test])


def _tile_groups(archive: Archive, names: list[str], numbers: np.ndarray) -> np.ndarray:
    key = "\n".join(f"{name} {archive.digest(name)}" for name in names)

    def work_out(_: Path) -> Arrays:
        grey = decode(archive, names, 64, "squash")["x"][:, 0].astype(np.float32)
        detail = np.stack([gaussian_filter(one, 1) - gaussian_filter(one, 5) for one in grey]).reshape(len(names), -1)
        detail -= detail.mean(1, keepdims=True)
        detail /= np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 1e-6)
        order = np.argsort(numbers)
        near = np.diff(numbers[order]) <= TILE_GAP
        pairs = list(zip(order[:-1][near].tolist(), order[1:][near].tolist(), strict=True))
        pairs += [(i, j) for i, j, _ in matches(detail, detail, TILE_MATCH) if i < j]
        return {"groups": group_pairs(len(names), pairs)}

    return cached("tile-groups", f"1 {TILE_GAP} {TILE_MATCH}\n{key}", work_out)["groups"]


def _archive(path: Path) -> Archive:
    """A known data set as it lies here; what is no folder and no zip (cut off, an error page) is as good as missing."""
    try:
        return Archive(path)
    except BadData as error:
        raise _not_as_expected(path, f"a folder or a whole zip ({str(error).splitlines()[0]})") from error


def _decode_all(archive: Archive, names: list[str], size: int, crop: str) -> np.ndarray:
    """All pictures of a known data set; one that cannot be read means a damaged copy."""
    arrays = decode(archive, names, size, crop)
    if (wrong := np.flatnonzero(arrays["why"] != "")).size:
        raise _not_as_expected(archive.path, f"every picture readable; {names[wrong[0]]} is not")
    return arrays["x"]


def _not_as_expected(path: Path, expected: str) -> DataUnavailable:
    return DataUnavailable(
        f"{path} is not the data set that its name says.\nExpected {expected}.\nReplace it with a fresh copy."
    )


def has_oxford(name: str) -> bool:
    """Whether `flowers102` or `pets`, as torchvision unpacks them, lie in `COURSE_DATA_DIR` or in the cache folder."""
    folder = {"flowers102": "flowers-102", "pets": "oxford-iiit-pet"}[name]
    return any((place / folder).is_dir() for place in filter(None, (data_dir(), cache_dir() / "downloads")))


def oxford(name: str, size: int) -> tuple[list[str], Examples, Examples]:
    """`flowers102` or `pets` through torchvision: class names, and (x, y) for training and for testing."""

    def fetch(_: Path) -> Arrays:
        parts = {"train": [_torchvision(name, split) for split in OXFORD[name][1]]}
        parts["test"] = [_torchvision(name, "test")]
        arrays = {"classes": np.array(parts["test"][0].classes)}
        for part, sets in parts.items():
            rows = [(to_square(p.convert("RGB"), size), y) for s in sets for p, y in tqdm(s, name, leave=False)]
            arrays[f"{part}_x"] = np.stack([x for x, _ in rows])
            arrays[f"{part}_y"] = np.array([y for _, y in rows], np.int64)
        return arrays

    got = cached(name, f"1 {size}", fetch)
    return got["classes"].tolist(), (got["train_x"], got["train_y"]), (got["test_x"], got["test_y"])


def _torchvision(name: str, split: str):
    import torchvision.datasets

    kind, _, url = OXFORD[name]
    make, root = getattr(torchvision.datasets, kind), cache_dir() / "downloads"
    for place in filter(None, (data_dir(), root)):
        try:
            return make(place, split=split)
        except RuntimeError:  # not here, or not whole
            continue
    ask(url, name).close()
    try:
        return make(root, split=split, download=True)
    except (OSError, RuntimeError) as error:
        raise DataUnavailable(
            f"The download of {name} failed: {error}.\nExpected the archives of {url}, unchanged.\n"
            "Run the cell again when the network is steady."
        ) from error
