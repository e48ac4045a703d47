"""Many pictures of a folder or a zip as one array on disk, whatever some of them turn out to be."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from course_utils.data.archives import Archive, NotAFile
from course_utils.data.cache import Arrays, cached
from course_utils.data.images import NotNumbers, read_picture
from course_utils.files import replacing

_VERSION = 3  # raise it when a picture, or what an `arrange` gives, comes out differently than before
Arrange = Callable[[np.ndarray, np.ndarray], Arrays]


def decode(
    archive: Archive, names: Sequence[str], size: int, crop: str = "centre", arrange: Arrange | None = None
) -> Arrays:
    """The pictures `names` of `archive`: `x` uint8 N x 3 x size x size, and `why`, N texts, "" where read.

    `arrange(x, why)` may give further arrays to keep, among them `order`: `x` then holds those pictures in
    that order, so that each split is one slice of it, on disk or in memory. Everything is kept on disk by
    the content of the files, so that the second time takes no longer than reading the array.
    """
    if not names:
        return {"x": np.zeros((0, 3, size, size), np.uint8), "why": np.zeros(0, "U1")}
    files = "\n".join(f"{name} {archive.digest(name)}" for name in names)
    key = f"{_VERSION} {size} {crop} {arrange and arrange.__name__} {Image.MAX_IMAGE_PIXELS}\n{files}"
    return cached("pictures", key, lambda folder: _decode(archive, names, size, crop, arrange, folder))


def _decode(
    archive: Archive, names: Sequence[str], size: int, crop: str, arrange: Arrange | None, folder: Path
) -> Arrays:
    path = folder / "x.npy"
    _reserve(path, len(names) * 3 * size * size)
    x = np.lib.format.open_memmap(path, "w+", np.uint8, (len(names), 3, size, size))
    why = np.array(_read_all(archive, names, size, crop, x))
    x.flush()
    del x  # what was written need not stay in memory
    if arrange is None:
        return {"why": why}
    arrays = arrange(np.load(path, mmap_mode="r"), why)
    _reorder(path, arrays["order"])
    return {"why": why, **arrays}


def _reserve(path: Path, count: int) -> None:
    """Take the space of an array of `count` bytes now: a full disk is then an error, and not a dead process later."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, count + 4096)
            return
        for start in range(0, count + 4096, 1 << 24):
            file.write(bytes(min(1 << 24, count + 4096 - start)))


def _read_all(archive: Archive, names: Sequence[str], size: int, crop: str, out: np.ndarray) -> list[str]:
    def read(k: int) -> str:
        try:
            with archive.open(names[k]) as file:
                out[k] = read_picture(file, size, crop)
        except MemoryError:  # which says nothing of the picture
            raise
        except Exception as error:  # a damaged file can raise almost anything inside Pillow's many readers
            return _reason(error, names[k])
        return ""

    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # about odd metadata; read_picture keeps the pixel limit
        work = pool.map(read, range(len(names)))
        try:
            return list(tqdm(work, "reading pictures", len(names), leave=False, disable=len(names) < 2_000))
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupted cell does not wait for the rest


def _reason(error: Exception, name: str) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow's limit"
    if isinstance(error, UnidentifiedImageError):
        heic = name.lower().endswith((".heic", ".heif"))
        return "HEIC, save it as JPEG" if heic else "not a picture that the course reads"
    if isinstance(error, (NotAFile, NotNumbers)):
        return str(error)
    if isinstance(error, RuntimeError) and "password" in str(error):
        return "locked with a password"
    if isinstance(error, (PermissionError, FileNotFoundError)):
        return "cannot be opened"
    cut = isinstance(error, (OSError, SyntaxError, zipfile.BadZipFile))
    return "damaged or cut off" if cut else f"cannot be decoded: {' '.join(str(error).split())[:60]}"


def _reorder(path: Path, order: np.ndarray) -> None:
    """Put the pictures of an .npy file in another order, a thousand at a time so that memory stays free."""
    x = np.load(path, mmap_mode="r")
    header = {"descr": np.lib.format.dtype_to_descr(x.dtype), "fortran_order": False}
    with replacing(path) as beside:
        with beside.open("wb") as file:
            np.lib.format.write_array_header_2_0(file, {**header, "shape": (len(order), *x.shape[1:])})
            for start in range(0, len(order), 1_000):
                file.write(x[order[start : start + 1_000]].tobytes())
        del x  # Windows replaces no file that is mapped
