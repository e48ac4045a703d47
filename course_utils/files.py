"""Files that are never half-written, nor written by two at once."""

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from course_utils.__main__ import take

DAY = 86_400  # seconds after which what lies beside a file is what a kill left behind


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """`with replacing(path) as beside:` make the file `beside`; it then takes the place of `path`, all at once.

    After an error or an interruption inside, `path` is as it was and nothing lies beside it. What a killed process
    left there goes at a later call, a day on.
    """
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - old.stat().st_mtime > DAY:
                old.unlink()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(lock: Path, waiting: str) -> Iterator[None]:
    """Hold the file `lock`; while another process has it, print `waiting` once and wait.

    The system lets go of it when a process ends, even by a kill, so the file may stay where it is.
    """
    with open(lock, "w") as file:
        if not take(file):
            print(waiting, flush=True)
            while not take(file):
                time.sleep(0.2)
        yield
