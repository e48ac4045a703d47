"""Arrays kept on disk between sessions: plain .npy files with checksums, never a pickle, hardly above a set size."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils.data.downloads import cache_dir
from course_utils.data.splits import enough_memory
from course_utils.errors import CourseError, DataUnavailable
from course_utils.files import DAY

LARGE = 256 << 20  # bytes; a larger file stays on disk and is memory-mapped
LIMIT = 4_000_000_000  # bytes of all entries together; the least recently used go first
UNSEEN = 100  # a process may keep the hundredth part of it before it looks at all entries again, which takes long
KINDS = ("tasks", "features")  # a folder each
Arrays = dict[str, np.ndarray]
_mapped: set[Path] = set()  # entries whose arrays this process has on disk: they stay
_unseen = math.inf  # bytes that this process has kept since it last looked at all entries


def cached(name: str, key: str, make: Callable[[Path], Arrays]) -> Arrays:
    """The arrays of `make(folder)`, stored under `name` and a digest of `key`, and read back next time.

    `make` may write arrays itself, as `<field>.npy` in the folder it is given; these need not be returned.
    Files above 256 MB come back memory-mapped (changes stay in memory); smaller ones are checked against
    their CRC-32. A damaged entry is made again. Two processes at once each make it, and the first one's is
    kept.
    """
    entry = cache_dir() / "tasks" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
    if (arrays := _read(entry)) is not None:
        return arrays
    try:
        _prune(spare=entry)  # perhaps what it removes is the room that is needed
        with enough_memory(name):
            _keep(entry, make)
    except OSError as error:
        what = "The disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
        mend = "Make it writable" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "Free some space"
        raise DataUnavailable(
            f"{what}: {name} could not be prepared in {entry.parent}.\n"
            f"{mend}, or name a folder on another disk in COURSE_CACHE_DIR; then run the cell again."
        ) from error
    if (arrays := _read(entry)) is None:
        raise DataUnavailable(f"{entry} cannot be read back after writing.\nDelete that folder and try again.")
    return arrays


def recall(key: str) -> np.ndarray | None:
    """The features stored under `key`; None where there are none or where they are damaged."""
    with contextlib.suppress(CourseError):
        return (_read(cache_dir() / "features" / key) or {}).get("features")
    return None


def remember(key: str, features: np.ndarray) -> None:
    """Store `features` under `key`, unless they are huge. A full or read-only disk only means no cache."""
    if features.nbytes <= LIMIT // 4:
        with contextlib.suppress(OSError, CourseError):
            _keep(cache_dir() / "features" / key, lambda folder: {"features": features})


def _read(entry: Path) -> Arrays | None:
    try:
        sums = json.loads((entry / "sums.json").read_text())
        arrays = {field: _read_array(entry / f"{field}.npy", crc) for field, crc in sums.items()}
    except Exception:  # NumPy reads a damaged header as Python, and raises anything
        return None
    if not arrays:
        return None
    if any(isinstance(array, np.memmap) for array in arrays.values()):
        _mapped.add(entry)
    with contextlib.suppress(OSError):
        os.utime(entry)  # used just now
    return arrays


def _read_array(path: Path, crc: int) -> np.ndarray:
    large = path.stat().st_size > LARGE
    array = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
    if not large and _crc(array) != crc:
        raise ValueError(f"{path.name} is damaged")
    return array


def _crc(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))


def _keep(entry: Path, make: Callable[[Path], Arrays]) -> None:
    """Make an entry in a folder beside it, which then takes its place, whole; and remove what is too much."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=entry.parent, ignore_cleanup_errors=True) as folder:
        fresh = _filled(Path(folder), make(Path(folder)))
        try:
            os.replace(fresh, entry)
        except OSError:  # something is there already
            if _read(entry) is None:  # and is damaged: not the work of another process that was faster
                with contextlib.suppress(OSError):
                    _remove(entry)
                os.replace(fresh, entry)
    global _unseen
    _unseen += _size(entry)
    if _unseen * UNSEEN > LIMIT:
        _prune(spare=entry)


def _filled(folder: Path, arrays: Arrays) -> Path:
    """A folder within `folder` with the arrays given, those that lie in `folder`, and their checksums."""
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
    return fresh


def _remove(entry: Path) -> None:
    """Take an entry away as a whole: nobody finds half of one, and what Windows holds open stays where it is."""
    gone = Path(tempfile.mkdtemp(prefix="making-", dir=entry.parent))
    try:
        os.replace(entry, gone / "entry")
    finally:
        shutil.rmtree(gone, ignore_errors=True)


def _size(entry: Path) -> int:
    return sum(file.stat().st_size for file in (entry, *entry.glob("*")))


def _prune(spare: Path) -> None:
    """Remove what was used least recently, above the limit, and what runs killed more than a day ago left behind.

    `spare`, which was made just now, stays, and so does what this process has memory-mapped.
    """
    global _unseen
    _unseen, entries, now = 0, [], time.time()
    for path in (path for kind in KINDS for path in (cache_dir() / kind).glob("*")):
        with contextlib.suppress(OSError):  # another process may have removed it
            used, making = path.stat().st_mtime, path.name.startswith("making-")
            if making and now - used > DAY:
                shutil.rmtree(path, ignore_errors=True)
            elif not making:
                entries.append((used, _size(path), path))
    excess = sum(size for _, size, _ in entries) - LIMIT
    for _, size, path in sorted(entries):
        if excess > 0 and path != spare and path not in _mapped:
            with contextlib.suppress(OSError):
                _remove(path)
                excess -= size
