"""Threads: how many a call may use, so that kernels which share a machine do not stand in each other's way.

Two runs with two threads each on two cores slow each other 10 to 20 times: some hundred times a step, a thread
waits for another that is not scheduled. With one thread each they get all that the machine has. So a call counts
the course's other calls, each of which holds the lock of a file, and the cores that other programs leave free; it
looks again while it runs. The last bits of a sum depend on the threads, whose number `COURSE_THREADS` fixes.
"""

import contextlib
import functools
import os
import statistics
import time
from collections.abc import Iterator

import torch

from course_utils.errors import CourseError
from course_utils.machine import Meter, Register, cores, take_long_turns

LOOK = 0.3  # seconds between two looks at the machine
PATIENCE = 0.6  # seconds of more free cores before a call takes more threads; twice as long each time
FIRST, FAR, OFTEN = 5, 4, 3  # three steps in a row that take four times what a phase's first five did are far too slow


_meter = Meter()


def _fixed() -> int | None:
    wanted = os.environ.get("COURSE_THREADS", "")
    if wanted and not (wanted.isdecimal() and 1 <= int(wanted[:9]) <= 1024):
        raise CourseError(f"COURSE_THREADS is {wanted!r}; it may be a whole number from 1 to 1024, or unset.")
    return int(wanted) if wanted else None


class Share:
    """The threads of one call: decided at its start, and again when the machine says otherwise.

    Never more than torch is set to (`OMP_NUM_THREADS`, `torch.set_num_threads`), unless `COURSE_THREADS` says so.
    """

    def __init__(self) -> None:
        self.fixed, self.cores, self.before = _fixed(), cores(), torch.get_num_threads()
        self.most = self.fixed or min(self.before, self.cores)
        self.register, self.patience, self.others = Register(), PATIENCE, 0
        self.register.others()  # takes a place before anything is counted: who starts in this moment sees it
        if not self.fixed and self.most > 1:
            _meter.glance()
        self.threads = self.most
        self.use(self._fair())
        self.looked = self.enough = time.perf_counter()  # the last look; the last with no core for a thread more

    def _fair(self) -> int:
        """An equal part of the cores, as far as they are free; a thread more needs a core nearly for itself."""
        if self.fixed or self.most == 1:
            return self.most
        free, self.others = _meter.free(), self.register.others()
        equal = self.cores // (self.others + 1)
        low, high = (int(min(self.most, equal, free + part)) for part in (0.25, 0.5))
        return max(1, high if high <= self.threads else max(self.threads, low))

    def why(self) -> str:
        """What the number of threads rests on, in words."""
        if self.fixed:
            return "COURSE_THREADS says so"
        if self.threads < self.most:
            calls = f"{self.others} other call{'s' * (self.others > 1)} of the course" if self.others else ""
            return f"of {self.cores} cores; {calls or 'other programs'} compute{'s' * (self.others == 1)}"
        return f"of {self.cores} cores" + " that are free" * (self.most == self.cores)

    def use(self, threads: int) -> None:
        """Compute with so many threads from now on; one, which may have to share a core, takes long turns on it."""
        self.threads = threads
        take_long_turns(threads == 1)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def look(self) -> None:
        """Fewer threads at once where others compute; more when for a while there was room for them."""
        now = time.perf_counter()
        if now - self.looked < LOOK:
            return
        self.looked, fair = now, self._fair()
        if fair <= self.threads:
            self.enough = now
        elif now - self.enough >= self.patience:  # torch prepares anew for another number of threads: not too often
            self.patience *= 2
            self.enough = now
        else:
            return
        self.use(fair)


_share: Share | None = None


@contextlib.contextmanager
def share_of_processor(device: str = "cpu") -> Iterator[Share | None]:
    """Inside, torch uses as many threads as are free; outside, as before. A call inside a call is part of it.

    A call on a GPU leaves everything as it is.

    Raises:
        CourseError: `COURSE_THREADS` is no number of threads.
    """
    global _share
    if _share or device != "cpu":
        yield _share
        return
    share = _share = Share()
    try:
        yield share
    finally:
        _share = None
        torch.set_num_threads(share.before)
        take_long_turns(False)
        share.register.leave()


@contextlib.contextmanager
def share_for_numpy() -> Iterator[None]:
    """`share_of_processor` for NumPy and scikit-learn, whose libraries have threads of their own."""
    with share_of_processor() as share, _libraries().limit(limits=share.threads):
        yield


@functools.cache
def _libraries():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def look_again() -> None:
    """Between two pieces of work: does the number of threads still fit?"""
    if _share:
        _share.look()


class Pace:
    """The steps of one phase of a run. Where they become far slower than its first ones, whatever the system
    tells of free cores, half of the threads go, for the rest of the call."""

    def __init__(self) -> None:
        self.first, self.slow, self.threads = [], 0, None

    def step(self, seconds: float) -> None:
        """A step took so long: look whether the threads still fit."""
        if not _share:
            return
        _share.look()
        if self.threads != _share.threads:
            self.first, self.slow, self.threads = [], 0, _share.threads
        if len(self.first) < FIRST:
            self.first.append(seconds)
        elif seconds > FAR * statistics.median(self.first):
            self.slow += 1
        else:
            self.slow = 0
        if self.slow == OFTEN and not _share.fixed:
            _share.most = max(1, _share.threads // 2)
            _share.use(_share.most)
