"""Arrays on disk by key, for features: nothing half-written, nothing damaged, never more than a set size."""

import contextlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from course_utils.data.downloads import cache_dir
from course_utils.errors import CourseError

LIMIT_BYTES = 2_000_000_000  # of all files together; the least recently used go first
DAMAGE = (zipfile.BadZipFile, zlib.error)


def read(key: str) -> np.ndarray | None:
    """The array stored under `key`; None where there is none or where its file is damaged."""
    try:
        file = _folder() / f"{key}.npz"
        with np.load(file, allow_pickle=False) as stored:
            array = stored["features"]  # its CRC is checked here
    except (OSError, CourseError, ValueError, LookupError, EOFError, NotImplementedError, *DAMAGE):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # used just now
    return array


def write(key: str, array: np.ndarray) -> None:
    """Store `array` under `key`: written beside and renamed. A full or read-only disk only means no cache."""
    if array.nbytes > LIMIT_BYTES // 4:
        return
    with contextlib.suppress(OSError, CourseError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
        try:
            with temporary.open("wb") as file:
                np.savez(file, features=array)
            os.replace(temporary, folder / f"{key}.npz")
        finally:
            temporary.unlink(missing_ok=True)
        _prune(folder)


def _prune(folder: Path) -> None:
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it
            files.append((file.stat().st_mtime, file.stat().st_size, file))
    excess = sum(size for _, size, _ in files) - LIMIT_BYTES
    for _, size, file in sorted(files, key=lambda entry: entry[0]):
        if excess <= 0:
            return
        with contextlib.suppress(OSError):  # Windows keeps open files
            file.unlink()
            excess -= size


def _folder() -> Path:
    return cache_dir() / "features"
