"""Arrays kept on disk between sessions: plain .npy files with their checksums, never a pickle."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils.data.downloads import cache_dir
from course_utils.errors import DataUnavailable

LARGE = 256 << 20  # bytes; a larger file stays on disk and is memory-mapped
Arrays = dict[str, np.ndarray]


def cached(name: str, key: str, make: Callable[[Path], Arrays]) -> Arrays:
    """The arrays of `make(folder)`, stored under `name` and a digest of `key`, and read back next time.

    `make` may write arrays itself, as `<field>.npy` in the folder it is given; these need not be returned.
    Files above 256 MB come back memory-mapped (changes stay in memory); smaller ones are checked against
    their CRC-32. A damaged entry is made again. Two processes at once each make it, and the first one's is
    kept.
    """
    home = cache_dir() / "tasks"
    entry = home / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
    if (arrays := _read(entry)) is not None:
        return arrays
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        with tempfile.TemporaryDirectory(prefix="making-", dir=home, ignore_cleanup_errors=True) as folder:
            _keep(Path(folder), make(Path(folder)), entry)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DataUnavailable(
            f"The disk is full: {name} could not be prepared in {home}.\n"
            "Free some space, or name a folder on another disk in COURSE_CACHE_DIR; then run the cell again."
        ) from error
    if (arrays := _read(entry)) is None:
        raise DataUnavailable(f"{entry} cannot be read back after writing.\nDelete that folder and try again.")
    return arrays


def _read(entry: Path) -> Arrays | None:
    try:
        sums = json.loads((entry / "sums.json").read_text())
        return {field: _read_array(entry / f"{field}.npy", crc) for field, crc in sums.items()}
    except (OSError, ValueError, EOFError, AttributeError):
        return None


def _read_array(path: Path, crc: int) -> np.ndarray:
    large = path.stat().st_size > LARGE
    array = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
    if not large and _crc(array) != crc:
        raise ValueError(f"{path.name} is damaged")
    return array


def _crc(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))


def _keep(folder: Path, arrays: Arrays, entry: Path) -> None:
    fresh = folder / "entry"
    fresh.mkdir()
    for path in folder.glob("*.npy"):
        os.replace(path, fresh / path.name)
    for field, array in arrays.items():
        np.save(fresh / f"{field}.npy", array, allow_pickle=False)
    sums = {}
    for path in sorted(fresh.glob("*.npy")):
        large = path.stat().st_size > LARGE
        sums[path.stem] = 0 if large else _crc(np.load(path, allow_pickle=False))
    (fresh / "sums.json").write_text(json.dumps(sums))
    if _read(entry) is None:  # nothing there, or something damaged
        shutil.rmtree(entry, ignore_errors=True)
    try:
        os.replace(fresh, entry)
    except OSError:  # another process was faster
        if not entry.exists():
            raise


def _sweep(home: Path) -> None:
    """Remove what runs killed more than a day ago left behind."""
    for path in home.glob("making-*"):
        if time.time() - path.stat().st_mtime > 86_400:
            shutil.rmtree(path, ignore_errors=True)
