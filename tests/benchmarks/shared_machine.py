"""What it costs when kernels that train share a machine: simultaneous runs, and a run alone.

Run it by itself, on a machine that does nothing else: `python tests/benchmarks/shared_machine.py`. Each run is a
process of its own that has already trained a little, as a kernel in which someone runs a cell. With `--before DIR`,
another checkout of the course, the run alone is compared with that one, else with as many threads as there are cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STEPS = 200  # about 5 s with one thread
MOST_TOGETHER, MOST_ALONE = 1.3, 1.05
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # a learner sets none of these


def work(steps: int) -> None:
    """In a process of its own: load, train a little, say so; then a run for each line that comes, and its seconds."""
    from course_utils import fit, load_model, load_task

    task = load_task("digits", per_class=20)
    fit(load_model("photonet", 10), task, "fine_tuning", steps=3, progress=False)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        fit(load_model("photonet", 10), task, "fine_tuning", steps=steps, progress=False)
        print(time.perf_counter() - began, flush=True)


class Kernel:
    """One such process."""

    def __init__(self, steps: int, threads: int | None = None, folder: Path = ROOT) -> None:
        set_here = {"PYTHONPATH": str(folder)} | ({"COURSE_THREADS": str(threads)} if threads else {})
        plain = {name: value for name, value in os.environ.items() if name not in {*LIMITS, "COURSE_THREADS"}}
        command = [sys.executable, __file__, "--work", "--steps", str(steps)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes, env=plain | set_here, cwd=folder)
        self.answer()

    def start(self) -> None:
        """Begin a run."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait until the run is over; its seconds."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("A run failed; its own message stands above.")
        return line

    def run(self) -> float:
        """A run from beginning to end; its seconds."""
        self.start()
        return float(self.answer())

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def together(count: int, steps: int) -> tuple[float, list[float]]:
    """So many runs that begin at once: seconds until the last is over, and each one's own."""
    kernels = [Kernel(steps) for _ in range(count)]
    began = time.perf_counter()
    for kernel in kernels:
        kernel.start()
    each = [float(kernel.answer()) for kernel in kernels]
    seconds = time.perf_counter() - began
    for kernel in kernels:
        kernel.__exit__()
    return seconds, each


def in_a_row(count: int, steps: int) -> float:
    """Seconds of so many runs one after the other, each with one thread."""
    with Kernel(steps, threads=1) as kernel:
        return sum(kernel.run() for _ in range(count))


def verdict(ratio: float, most: float) -> str:
    """The ratio, and whether it is within what it may be."""
    return f"{ratio:.2f} ({'within' if ratio <= most else 'ABOVE'} {most})"


def alone(pairs: int, steps: int, before: Path | None) -> None:
    """A run alone, in pairs with one as before, which of them first in turn."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with Kernel(steps) as new, Kernel(steps, None, before) if before else Kernel(steps, cores) as old:
        ratios = []
        for k in range(pairs):
            order = [new, old] if k % 2 else [old, new]
            seconds = {kernel: kernel.run() for kernel in order}
            ratios.append(seconds[new] / seconds[old])
            print(f"alone: {seconds[new]:.2f} s, before: {seconds[old]:.2f} s {load()}", flush=True)
    print(f"alone / before, median of {pairs}: {verdict(statistics.median(ratios), MOST_ALONE)}", flush=True)


def load() -> str:
    """How busy the machine is, where it tells."""
    return f"(load {os.getloadavg()[0]:.1f})" if hasattr(os, "getloadavg") else ""


def main() -> None:
    """Measure, and say what follows."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--counts", type=int, nargs="*", default=[2, 4, 8], help="simultaneous runs")
    options.add_argument("--pairs", type=int, default=5, help="of runs alone")
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--before", type=Path, help="another checkout of the course")
    options.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        work(chosen.steps)
        return
    for count in chosen.counts:
        seconds, each = together(count, chosen.steps)
        row = in_a_row(count, chosen.steps)
        ratio = seconds / (row / os.cpu_count())
        print(
            f"{count} at once: {seconds:.1f} s ({min(each):.1f} to {max(each):.1f} each), in a row: {row:.1f} s; "
            f"{verdict(ratio, MOST_TOGETHER)} {load()}",
            flush=True,
        )
    if chosen.pairs:
        alone(chosen.pairs, chosen.steps, chosen.before)


if __name__ == "__main__":
    main()
