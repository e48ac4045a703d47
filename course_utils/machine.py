"""The machine that a call shares: its cores, the course's other calls, what other programs leave free, turns."""

import contextlib
import ctypes
import math
import os
import platform
import struct
import sys
import tempfile
import time
from pathlib import Path

GLANCE = 0.05  # seconds that a call looks at the machine before it starts
FRESH = 2.0  # seconds for which what an earlier call saw will do instead
PLACES = 16  # calls of the course that are told apart
TURN = 100  # ms, the longest that Linux grants
SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}  # the number of Linux's system call sched_setattr


class Register:
    """The course's calls that compute on this machine: each holds a file's lock until it, or its process, ends."""

    def __init__(self) -> None:
        from filelock import FileLock

        user = getattr(os, "getuid", int)()  # someone else's files could not be opened
        folder = Path(tempfile.gettempdir()) / f"transfer-learning-course-{user}"
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        self.places = [FileLock(folder / f"computes-{k}.lock") for k in range(min(PLACES, os.cpu_count() or 1))]
        self.mine = None

    def others(self) -> int:
        """How many other calls have a place; takes one for this call if it has none and one is free."""
        from filelock import Timeout

        count = 0
        for place in self.places:
            if place is self.mine:
                continue
            try:
                place.acquire(blocking=False)
            except Timeout:
                count += 1
            except OSError:  # nowhere to write: what others do shows in the cores that they leave free
                continue
            else:
                self.mine = self.mine or place
                if place is not self.mine:
                    place.release()
        return count

    def leave(self) -> None:
        """Give the place back."""
        if self.mine:
            self.mine.release()


class Meter:
    """How many cores this process has or could have, on average since the last reading."""

    def __init__(self) -> None:
        self.last, self.cores = (-math.inf, 0.0, 0.0, 0.0), math.inf

    def glance(self) -> None:
        """Before a call: look at the machine for a moment, unless an earlier one has done so just now."""
        if time.perf_counter() - self.last[0] > FRESH:
            self.last = _counters()
            time.sleep(GLANCE)

    def free(self) -> float:
        """Cores that are idle or busy for this process; infinite where the system does not tell."""
        now = _counters()
        seconds, idle, ours, everything = (b - a for a, b in zip(self.last, now, strict=True))
        if seconds >= GLANCE:
            self.last, self.cores = now, (idle + ours) / seconds if everything > 0 else math.inf
        return self.cores


def _counters() -> tuple[float, float, float, float]:
    """Seconds: on the clock, idle on the cores that we may use, of this process, and of everything on those cores."""
    import psutil

    try:
        each = psutil.cpu_times(percpu=True)
    except (OSError, ValueError, RuntimeError):
        each = []
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        each = [times for k, times in enumerate(each) if k in allowed]
    idle = sum(times.idle + getattr(times, "iowait", 0.0) for times in each)
    return time.perf_counter(), idle, time.process_time(), sum(map(sum, each))


def cores() -> int:
    """The cores that this process may use: those of the machine, its affinity, a container's quota (rounded up)."""
    import joblib

    return joblib.cpu_count()


def take_long_turns(long: bool) -> None:
    """Whether this thread, where it shares a core, computes for 100 ms at a time and not for Linux's usual 3.

    Eight runs on two cores took 1.35 times what as many one after the other take with short turns, since each turn
    finds the cache full of another's numbers, and 1.14 times with long ones. Who waits for something else than the
    processor, as a notebook's server, is let in as before. Without effect on other systems and before Linux 6.12.
    """
    number = SET_ATTRIBUTES.get(platform.machine())
    if sys.platform != "linux" or not number or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, nice, 0, TURN * 10**6 if long else 0, 0, 0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).syscall(number, 0, wanted, 0)
