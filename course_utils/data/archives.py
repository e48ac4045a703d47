"""The files of a folder or of a zip, read in place: nothing is unpacked, so no path can lead outside."""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import BinaryIO

from course_utils.errors import BadData

_SMALL = 1 << 20  # bytes; larger files are told apart by both ends, size and time
_END = 1 << 16


class Archive:
    """A folder or a zip as a sorted list of relative `names` (forward slashes), without hidden files.

    A folder that holds nothing but one other folder is passed through, as zip programs make them. `folders`
    are all folders, empty ones included. Raises `BadData` when the path is neither a folder nor a zip.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip = None if self.path.is_dir() else _open_zip(self.path)
        found = self._zip.namelist() if self._zip else _walk(self.path)
        found = sorted({name for name in found if not _is_clutter(name)})
        self._prefix = _wrapping(found)
        found = [name.removeprefix(self._prefix) for name in found if name.startswith(self._prefix)]
        self.names = [name for name in found if name and not name.endswith("/")]
        self.folders = sorted({parent for name in found for parent in _parents(name)})

    def open(self, name: str) -> BinaryIO:
        """The file `name`, opened for reading bytes (from a zip it is read into memory first)."""
        full = self._prefix + name
        return io.BytesIO(self._zip.read(full)) if self._zip else open(self.path / full, "rb")

    def digest(self, name: str) -> str:
        """A short text that changes when the file does: the zip's checksum, or a hash of the bytes."""
        full = self._prefix + name
        if self._zip:
            info = self._zip.getinfo(full)
            return f"{info.CRC:08x}-{info.file_size}"
        try:
            return _digest(self.path / full)
        except OSError as error:  # a broken link, or no right to read: listed later among the unreadable
            return f"unreadable-{error.errno}"

    def sha256(self, name: str) -> str:
        """The SHA-256 of the file `name`, as hexadecimal digits."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def existing(path: str | Path, what: str) -> Path:
    """`path` with `~` expanded, or `BadData` that names the nearest existing name beside it."""
    path = Path(path).expanduser()
    if path.exists():
        return path
    parent = path.parent
    if not parent.is_dir():
        hint = f"The folder {parent} does not exist either."
    else:
        near = difflib.get_close_matches(path.name, [p.name for p in parent.iterdir()], n=3, cutoff=0.6)
        hint = f"Did you mean {' or '.join(near)}?" if near else "Nothing there has a similar name."
    raise BadData(
        f"{path} does not exist. {hint}\nExpected {what}.\n"
        f"Check the spelling; a relative path counts from {Path.cwd()}."
    )


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadData(
            f"{path} is neither a folder nor a zip that can be read ({error}).\n"
            "Expected a folder with a folder for each class, or such a folder as a zip.\n"
            "Give the folder, not a file in it; fetch the zip again if it was cut off."
        ) from error


def _walk(root: Path) -> list[str]:
    """Relative names of all files, and of folders with a slash at the end.

    Links to folders are followed, but never in a circle.
    """
    seen, found = set(), []
    for folder, subfolders, files in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        here = Path(folder).relative_to(root)
        found += [(here / file).as_posix() for file in files]
        found += [f"{(here / subfolder).as_posix()}/" for subfolder in subfolders]
    return found


def _wrapping(names: list[str]) -> str:
    """The folders around everything else, as "a/b/"; one with files right in it is a class, not wrapping."""
    prefix = ""
    while True:
        rest = [name.removeprefix(prefix) for name in names if name != prefix]
        files = [name for name in rest if not name.endswith("/")]
        tops = {name.split("/")[0] for name in rest}
        if len(tops) != 1 or not files or any(name.count("/") < 2 for name in files):
            return prefix
        prefix += f"{tops.pop()}/"
        names = [name for name in names if name.startswith(prefix)]


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _is_clutter(name: str) -> bool:
    parts = name.rstrip("/").split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in ("thumbs.db", "desktop.ini")


def _digest(path: Path) -> str:
    status = path.stat()
    with open(path, "rb") as file:
        if status.st_size <= _SMALL:
            content = file.read()
        else:
            content = file.read(_END) + str(status.st_mtime_ns).encode()
            file.seek(-_END, os.SEEK_END)
            content += file.read()
    return f"{hashlib.blake2b(content, digest_size=16).hexdigest()}-{status.st_size}"
