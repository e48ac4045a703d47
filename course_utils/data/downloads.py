"""Where data lie on this machine: the learner's data folder, the cache folder, and checked downloads."""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import shutil
import stat
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path
from tqdm.auto import tqdm

from course_utils import ROOT
from course_utils.errors import DataUnavailable
from course_utils.files import replacing

TIMEOUT = 8.0  # seconds without an answer after which an address counts as out of reach
_silent: dict[str, str] = {}  # addresses that gave no answer in this process, so that no cell waits twice


def cache_dir() -> Path:
    """The folder for everything that can be made again: `COURSE_CACHE_DIR`, or the user's cache folder.

    A relative name counts from the repository root. Where the folder cannot be written (a read-only home),
    one among the system's temporary files takes its place.
    """
    tried = []
    for folder, mode in _cache_places():
        tried.append(str(folder))
        try:
            folder.mkdir(mode, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and (mode == 0o777 or _is_private(folder)):
            return folder
    raise DataUnavailable(
        f"No folder for the course's cache can be written ({' nor '.join(tried) or 'no home, nothing temporary'}).\n"
        "Name a folder of your own in the environment variable COURSE_CACHE_DIR and start again."
    )


def _cache_places() -> Iterator[tuple[Path, int]]:
    """The folders that may be the cache, and the rights to make them with; those that this machine can name."""
    with contextlib.suppress(RuntimeError):  # a user without a home, as in some containers
        yield _named("COURSE_CACHE_DIR") or user_cache_path("transfer-learning-course", False), 0o777
    with contextlib.suppress(FileNotFoundError):  # no temporary files can be written
        yield Path(tempfile.gettempdir()) / f"transfer-learning-course-{os.environ.get('USER', 'user')}", 0o700


def _named(variable: str) -> Path | None:
    """The path that a variable names, from the repository root if it is relative; None where it names none."""
    named = os.environ.get(variable)
    try:
        return ROOT / Path(named).expanduser() if named else None
    except RuntimeError as error:
        raise DataUnavailable(
            f"{variable} is {named!r}, and there is no such user on this machine.\nName a folder by its whole path."
        ) from error


def _is_private(folder: Path) -> bool:
    """Whether a folder among everybody's temporary files is ours alone to write in, and no link to elsewhere."""
    status = folder.lstat()
    ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return ours and stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def data_dir() -> Path | None:
    """The folder that `COURSE_DATA_DIR` names (a relative one counts from the repository root), or None."""
    path = _named("COURSE_DATA_DIR")
    return path if path and os.path.isdir(path) and os.access(path, os.X_OK) else None


def data_place() -> str:
    """Where a learner puts data, in words for messages; says so when `COURSE_DATA_DIR` names no folder."""
    named = os.environ.get("COURSE_DATA_DIR")
    wrong = f" (now {named}, which is no folder to be read)" if named and data_dir() is None else ""
    return f"the folder that COURSE_DATA_DIR names{wrong}"


def find_data(*names: str) -> Path | None:
    """The first of these files or folders that lies in `COURSE_DATA_DIR`, or None."""
    root = data_dir()
    return next((root / name for name in names if root and (root / name).exists()), None)


def ask(url: str, what: str) -> http.client.HTTPResponse:
    """An open answer from `url`, or `DataUnavailable` within ten seconds; an address is tried once a process.

    The request runs in a thread of its own, because looking up a name has no time limit of its own.
    """
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def request() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=TIMEOUT))
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers.put(error)

    if url not in _silent:
        threading.Thread(target=request, daemon=True).start()
        try:
            answer = answers.get(timeout=TIMEOUT + 2)
        except queue.Empty:
            answer = TimeoutError("no answer")
        if not isinstance(answer, Exception):
            return answer
        _silent[url] = " ".join(str(getattr(answer, "reason", answer)).split())[:90] or type(answer).__name__
        if isinstance(answer, urllib.error.HTTPError):  # an answer all the same, with a connection to give back
            answer.close()
    raise DataUnavailable(
        f"{what} is not on this machine, and {urllib.parse.urlsplit(url).netloc} did not send it "
        f"({_silent[url]}).\n"
        f"Connect to the network and restart the kernel, or put it into {data_place()}."
    )


def download(url: str, path: Path, what: str, check: Callable[[Path], None]) -> Path:
    """Fetch `url` to `path` unless it is there; written beside, and renamed once whole and checked.

    `check` is given the fetched file and raises `ValueError` unless it is the published one. Raises
    `DataUnavailable` when the address is out of reach, the file is cut off, or the check fails.
    """
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            with ask(url, what) as answer, open(beside, "wb") as file:
                total = int(answer.headers.get("Content-Length") or 0)
                with tqdm.wrapattr(answer, "read", total=total, desc=what, leave=False) as source:
                    shutil.copyfileobj(source, file)
            if total and beside.stat().st_size != total:
                raise ValueError(f"only {beside.stat().st_size:,} of {total:,} bytes arrived")
            check(beside)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataUnavailable(
            f"The download of {what} failed: {error}.\n"
            f"Expected {url} whole and unchanged.\n"
            "Run the cell again, or fetch the file yourself and name its folder in COURSE_DATA_DIR."
        ) from error
    return path
