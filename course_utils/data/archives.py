"""The files of a folder or of a zip, read in place: nothing is unpacked, so no path can lead outside."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

from course_utils.errors import BadData

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_SMALL = 1 << 20  # bytes; larger files are told apart by both ends, size and time
_END = 1 << 16
LARGEST = 500 << 20  # bytes of one file; a picture has far fewer, and a zip can promise what no memory holds


class Archive:
    """A folder or a zip as a sorted list of relative `names` (forward slashes), without hidden files.

    A folder that holds nothing but one other folder is passed through, as zip programs make them. `folders` are all
    folders, empty ones included; `links` are what is not followed: links to folders, which may lead to a whole disk (a
    link to a file is that file), and names in a zip that point outside. A name that is no text on this system shows odd
    bytes as \\xNN. `BadData` when the path is neither a folder nor a zip, or a folder may not be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._zip = None if self.path.is_dir() else _open_zip(self.path)
        found, links = (_zipped(self._zip), []) if self._zip else _walk(self.path)
        self.links = sorted(map(_shown, [*links, *(name for name in found if ".." in name.split("/"))]))
        self._real = {_shown(name): real for name, real in found.items() if not _is_clutter(name)}
        found = sorted(self._real)
        self._prefix = _wrapping(found)
        found = [name.removeprefix(self._prefix) for name in found if name.startswith(self._prefix)]
        self.names = [name for name in found if name and not name.endswith("/")]
        self.folders = sorted({parent for name in found for parent in _parents(name)})

    def open(self, name: str) -> BinaryIO:
        """The file `name`, opened for reading bytes (from a zip it is read into memory first).

        Raises `NotAFile` for what is no regular file (a pipe would wait for ever, a device never end) or too large.
        """
        full = self._real[self._prefix + name]
        if self._zip:
            if self._zip.getinfo(full).file_size > LARGEST:
                raise NotAFile(f"larger than {LARGEST >> 20} MB")
            return io.BytesIO(self._zip.read(full))
        check_regular(self.path / full)
        return open(self.path / full, "rb")

    def digest(self, name: str) -> str:
        """A short text that changes when the file does: the zip's checksum, or a hash of the bytes."""
        full = self._real[self._prefix + name]
        if self._zip:  # a zip that was mended or lost its password has another time
            info = self._zip.getinfo(full)
            return f"{info.CRC:08x}-{info.file_size}-{info.flag_bits}-{self.path.stat().st_mtime_ns}"
        try:
            check_regular(self.path / full)
            return _digest(self.path / full)
        except OSError as error:  # a broken link, or no right to read: listed later among the unreadable
            return f"unreadable-{error.errno}"

    def sha256(self, name: str) -> str:
        """The SHA-256 of the file `name`, as hexadecimal digits."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class NotAFile(OSError):
    """A name in a folder that is no regular file, or a file that is too large to be a picture."""


def check_regular(path: Path) -> None:
    """`NotAFile` for a pipe or a device, which has no end, and for a file that is too large."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise NotAFile("not a regular file")
    if status.st_size > LARGEST:
        raise NotAFile(f"larger than {LARGEST >> 20} MB")


def _shown(name: str) -> str:
    """A file name as text in one line; bytes that are no text, and line breaks, are written out."""
    name = name.encode("utf-8", "backslashreplace").decode()
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def existing(path: str | Path, what: str) -> Path:
    """`path` with `~` expanded, or `BadData` that names the nearest existing name beside it."""
    if not isinstance(path, (str, os.PathLike)) or path == "":
        shown = " ".join(repr(path).split())[:60]
        raise BadData(f"{shown} is no path, but a {type(path).__name__}.\nExpected {what}: give its path as a text.")
    given, path = str(path), Path(path)
    if re.match(r"\w\w+:[/\\]", given):  # one letter is a disk
        raise BadData(f"{given[:99]} is a web address.\nExpected {what}.\nDownload it and give its path here.")
    try:
        if "\0" in given:
            raise ValueError("it holds a zero byte")
        path = path.expanduser()
        here = "" if path.is_absolute() else f"; a relative path counts from {os.getcwd()}"
        if path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:  # far too long, no such user, a zero byte
        said, why = given if len(given) < 80 else f"{given[:76]} …", getattr(error, "strerror", None) or error
        why = "the working folder is gone" if isinstance(error, FileNotFoundError) else why
        raise BadData(f"{said!r} cannot be a path ({why}).\nExpected {what}.") from error
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=3, cutoff=0.6)
        hint = f"Did you mean {' or '.join(near)}?" if near else "Nothing there has a similar name."
        hint = "It is a link that leads nowhere." if path.is_symlink() else hint
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        hint = f"The folder {path.parent} {'does not exist either' if missing else 'cannot be opened'}."
    raise BadData(f"{path} does not exist. {hint}\nExpected {what}.\nCheck the spelling{here}.")


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        if not path.is_file():  # a pipe would wait for ever, a device never end
            raise NotAFile("not a regular file")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadData(
            f"{path} is neither a folder nor a zip that can be read ({error}).\n"
            "Expected a folder with a folder for each class, or such a folder as a zip.\n"
            "Give the folder, not a file in it; fetch the zip again if it was cut off."
        ) from error


def _zipped(file: zipfile.ZipFile) -> dict[str, str]:
    """Names as they were meant: as `zipfile` has them. Some Windows programs write backslashes, macOS hides UTF-8."""
    meant = {}
    for info in file.infolist():
        name = info.filename
        with contextlib.suppress(UnicodeError):
            name = name if info.flag_bits & 0x800 else name.encode("cp437").decode()
        meant[name.replace("\\", "/").lstrip("/")] = info.filename
    return meant


def _walk(root: Path) -> tuple[dict[str, str], list[str]]:
    """Relative names of files, and of folders with a slash at the end, twice as in `_zipped`; and links to folders."""

    def refuse(error: OSError) -> None:
        raise BadData(f"The folder {error.filename} cannot be opened ({error.strerror}).\n"
                      "Give yourself the right to read it, or move it out of the way.") from error  # fmt: skip

    found, links = [], []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        here = Path(folder).relative_to(root)
        found += [(here / file).as_posix() for file in files]
        for subfolder in subfolders:
            linked = os.path.islink(os.path.join(folder, subfolder))
            (links if linked else found).append((here / subfolder).as_posix() + "/" * (not linked))
    return {name: name for name in found}, links


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
