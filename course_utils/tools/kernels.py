"""Notebooks in fresh kernels: executed cell by cell in memory, timed, and weighed while they run."""

import logging
import os
import re
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Self

import nbformat
import psutil
from jupyter_client import KernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from course_utils.errors import CourseError

CELL_TIMEOUT = 600  # seconds; a whole notebook may take 90, so a cell this slow hangs
BUSY_TIMEOUT = 120  # seconds that a busy machine may take to start a kernel or to hand over an output


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped: `cell` of `cells` (counted from 1), its first line, the error in few lines."""

    cell: int
    cells: int
    line: str
    message: str

    def __str__(self) -> str:
        return f"cell {self.cell} of {self.cells}: {self.line}\n{self.message}"


@dataclass
class Execution:
    """What one run of a notebook took.

    `seconds` counts from the start of the kernel, `cell_seconds` has one number a cell (0 for text), `peak`
    is in bytes, `failure` is None when every cell ran.
    """

    seconds: float = 0.0
    peak: int = 0
    cell_seconds: list[float] = field(default_factory=list)
    failure: Failure | None = None


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at `path`; `CourseError` when the file is none, or holds no code, so that a run would tell nothing.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        problem = "" if any(cell.cell_type == "code" for cell in notebook.cells) else "it has no cell of code"
    except Exception as error:  # nbformat raises almost anything for JSON of another shape
        problem = " ".join(str(error).split())[:160] or type(error).__name__
    if problem:
        raise CourseError(f"{path.name} is not a notebook of this course: {problem}.\n"
                          "Fetch it again, or build it from its text: "
                          f"python3 -m course_utils build {path.name[:2]} --force")
    return notebook


class MemoryWatch:
    """The peak memory of a process and everything it started.

    What the process itself had at most is the system's own count, where there is one (Linux): no peak is too
    short for it. Children come and go, so they are looked at every `interval` seconds, with the process beside
    them; then shared pages count once (proportional set sizes) where the system tells, else the sum errs upwards.
    """

    def __init__(self, pid: int, interval: float = 0.05):
        self.peak = 0
        self._root = psutil.Process(pid)
        self._seen: set[psutil.Process] = set()
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._look()

    def _look(self) -> None:
        try:
            children = self._root.children(recursive=True)
        except psutil.NoSuchProcess:
            return  # it has died, which the caller learns from the kernel's silence
        self._seen.update(children)
        together = [_size(process) for process in [self._root, *children]] if children else []
        self.peak = max(self.peak, _own_peak(self._root), sum(together))

    def end_children(self) -> None:
        """Kill what the process started and left running."""
        _, alive = psutil.wait_procs(self._seen, timeout=0.5)
        for process in alive:
            with suppress(psutil.NoSuchProcess):  # it may have ended by itself just now
                process.kill()
        psutil.wait_procs(alive, timeout=2)


def _own_peak(process: psutil.Process) -> int:
    """The most bytes that a process has had by the system's count, else those that it has now."""
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        memory = process.memory_info()
        return getattr(memory, "peak_wset", memory.rss)  # the first on Windows
    return 0


def _size(process: psutil.Process) -> int:
    """Bytes of memory of one process among several; 0 when it has just ended or is not ours to look at."""
    try:
        info = process.memory_full_info()
        return getattr(info, "pss", info.rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def execute(notebook: NotebookNode, folder: Path, env: dict[str, str] | None = None) -> Execution:
    """Run all cells in a fresh kernel with `folder` as its working directory.

    Outputs go into `notebook` in memory; no file is written. A failing cell is no exception here: it ends
    the run and is described in `Execution.failure`. An interrupt kills the kernel and all it started.
    """
    outcome = Execution()
    try:
        with ExitStack() as afterwards:
            profile = afterwards.enter_context(TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True))
            client = _client(notebook)
            # The client's own clean-up does not cover an interrupt while the kernel starts.
            afterwards.callback(_end_kernel, client.create_kernel_manager())
            started = monotonic()
            with client.setup_kernel(cwd=str(folder), env=_environment(profile, env or {})):
                watch = MemoryWatch(client.km.provisioner.pid)
                afterwards.callback(watch.end_children)
                _run_cells(client, watch, outcome)
                outcome.seconds = monotonic() - started  # before the kernel takes its time to shut down
    except (RuntimeError, OSError, ValueError, KeyError) as error:  # no space, no such Python, a kernel's JSON damaged
        message = f"The kernel did not start: {error}"
        outcome.failure = outcome.failure or Failure(0, len(notebook.cells), "no cell yet", message)
    return outcome


def _client(notebook: NotebookNode) -> NotebookClient:
    quiet = logging.getLogger(f"{__name__}.client")
    quiet.setLevel(logging.CRITICAL + 1)  # what goes wrong is reported once, by the caller
    return NotebookClient(notebook, kernel_name="python3", timeout=CELL_TIMEOUT, record_timing=False,
                          startup_timeout=BUSY_TIMEOUT, iopub_timeout=BUSY_TIMEOUT, log=quiet,
                          extra_arguments=["--log-level=CRITICAL"])  # a kernel that is ended may call that an error


def _environment(profile: str, extra: dict[str, str]) -> dict[str, str]:
    """This process's variables, less what would make the result depend on whose machine it is."""
    env = {**os.environ, "IPYTHONDIR": profile, **extra}
    env.pop("MPLBACKEND", None)  # the kernel's own backend is what puts figures into the notebook
    return env


def _end_kernel(manager: KernelManager) -> None:
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)
    run_sync(manager.cleanup_resources)()


def _run_cells(client: NotebookClient, watch: MemoryWatch, outcome: Execution) -> None:
    cells = client.nb.cells
    try:
        with watch:
            for index, cell in enumerate(cells):
                started = monotonic()
                client.execute_cell(cell, index)
                outcome.cell_seconds.append(monotonic() - started)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        outcome.failure = _failure(error, index, cells)
    except (KeyboardInterrupt, SystemExit):
        client.shutdown_kernel = "immediate"
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)  # the abandoned cell would still complain
        raise
    finally:
        outcome.peak = watch.peak


def _failure(error: Exception, index: int, cells: list[NotebookNode]) -> Failure:
    line = next((line for line in cells[index].source.splitlines() if line.strip()), "")
    if isinstance(error, CellExecutionError):
        message = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        message = f"The cell was stopped after {CELL_TIMEOUT} seconds."
    else:
        message = "The kernel died: out of memory, or a crash in compiled code."
    return Failure(index + 1, len(cells), line.strip(), "\n".join(message.splitlines()[:3]))
