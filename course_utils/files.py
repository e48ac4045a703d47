"""Files that are never half-written: made beside their place, and renamed once they are whole."""

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

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
