"""Tiny-ImageNet read straight from its zip, less one class and every image that a task also holds."""

import csv
import io
import os
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from course_utils.data import images, tasks
from course_utils.data.downloads import find_data
from course_utils.errors import DataUnavailable
from course_utils.files import replacing

ZIP = "tiny-imagenet-200.zip"
ALIKE = 0.93  # correlation of thumbnails from which an image is dropped; .95 is the rule, the rest is margin
LEFT_OUT = "n02206856"  # "bee": about 50 of the ants-and-bees photographs are in it
FORMATS = ("JPEG", "PNG", "WEBP")
MEMBER = re.compile(r"(?:^|/)(train|val)/(n\d+)/images/([^/]+)\.(?:webp|jpe?g|png)$", re.IGNORECASE)


class Source(NamedTuple):
    """The pretraining data: uint8 N x 3 x 64 x 64 pictures, int64 labels, file names, and the class names."""

    x: np.ndarray
    y: np.ndarray
    names: list[str]
    wnids: list[str]
    classes: list[str]


def find_zip(otherwise: str) -> Path:
    """The archive under COURSE_DATA_DIR; else `DataUnavailable`, which ends with what one can do `otherwise`."""
    path = find_data(ZIP)
    if path is None:
        raise DataUnavailable(f"{ZIP} is not in COURSE_DATA_DIR, and its pictures are needed here.\n{otherwise}")
    return path


def read_zip(path: Path, split: str) -> Source:
    """All pictures of one split ("train" or "val") of the kept classes.

    Raises:
        DataUnavailable: no such file, or not Tiny-ImageNet with a folder a class in both splits.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for name in archive.namelist() if (m := MEMBER.search(name)) and m[1] == split]
            members = [m for m in members if m[2] != LEFT_OUT]
            words = dict(line.split("\t") for line in _lines(archive, "words.txt"))
            raw = [archive.read(m.string) for m in members]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataUnavailable(
            f"{path} cannot be read as Tiny-ImageNet ({type(error).__name__}: {error}).\n"
            "Give the path of tiny-imagenet-200.zip, with train/<class>/images and val/<class>/images inside."
        ) from error
    if not members:
        raise DataUnavailable(f"{path} holds no {split}/<class>/images/; give tiny-imagenet-200.zip.")
    wnids = sorted({m[2] for m in members})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        x = np.stack(list(pool.map(_decode, raw)))
    y = np.array([wnids.index(m[2]) for m in members])
    return Source(x, y, [m[3] for m in members], wnids, [words[w].split(",")[0] for w in wnids])


def _lines(archive: zipfile.ZipFile, ending: str) -> list[str]:
    name = next((n for n in archive.namelist() if n.endswith(ending)), ending)
    return archive.read(name).decode().splitlines()


def _decode(raw: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(raw), formats=FORMATS).convert("RGB")).transpose(2, 0, 1)


def matching(source: Source) -> list[dict]:
    """The pictures that a task which ships, or lies in `COURSE_DATA_DIR`, also holds: a row each."""
    ours, found = images.thumbnails(source.x), {}
    for task, x in tasks.all_task_images():
        for i, _, r in images.matches(ours, images.thumbnails(x), ALIKE):
            if r > found.get(i, {"correlation": 0})["correlation"]:
                found[i] = {
                    "image": source.names[i],
                    "class": source.wnids[source.y[i]],
                    "task": task,
                    "correlation": round(float(r), 4),
                }
    return [found[i] for i in sorted(found)]


def without(source: Source, rows: list[dict]) -> Source:
    """`source` without the images that `rows` name."""
    gone = {row["image"] for row in rows}
    keep = [i for i, name in enumerate(source.names) if name not in gone]
    return source._replace(x=source.x[keep], y=source.y[keep], names=[source.names[i] for i in keep])


def write_rows(rows: list[dict], path: Path) -> None:
    """The list of dropped images as a CSV, written beside and renamed."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", "class", "task", "correlation"])
        writer.writeheader()
        writer.writerows(rows)
