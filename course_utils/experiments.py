"""Grids of settings and seeds: a row a run, stored as it finishes, resumed after a kill."""

import argparse
import csv
import hashlib
import itertools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from course_utils.errors import CourseError
from course_utils.models import WEIGHTS

RESULTS = WEIGHTS.parent.parent / "results"


class Study(NamedTuple):
    """A declared experiment: its one primary claim is in the docstring of `function`, written before it ran.

    `function(**run)` does one run, seed included, and returns a dict of results, `accuracy` among them. All
    `runs` name the same settings. Change `version` when the set-up changes: rows of another one are stale.
    """

    function: Callable[..., dict]
    runs: list[dict]
    version: int = 1


def grid_of(**choices: Iterable) -> list[dict]:
    """Every combination of the named choices, as a list of settings."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def pack(correct: np.ndarray) -> str:
    """Which test items were right, a bit each, as hexadecimal text."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def run_grid(study: Study, name: str) -> pd.DataFrame:
    """Run what is missing of `study` and append each row to `data/results/NAME.csv` as it finishes.

    Workers use one thread and float32; only this process writes. A line that a kill cut short is dropped, and
    rows of another version are replaced.
    """
    path = RESULTS / f"{name}.csv"
    rows, names = _stored(path, study.version), list(study.runs[0])
    done = {_key(row, names) for row in rows.to_dict("records")}
    missing = [run for run in study.runs if _key(run, names) not in done]
    if missing:
        _rewrite(path, rows)
        marks = _marks(study.version)
        work = joblib.Parallel(n_jobs=os.cpu_count(), return_as="generator_unordered")
        finished = work(joblib.delayed(_one)(study.function, run) for run in missing)
        for row in tqdm(finished, total=len(missing), desc=name):
            _append(path, {**row, **marks})
    return load_results(name, study.version)


def load_results(name: str, version: int | None = None) -> pd.DataFrame:
    """The stored rows of an experiment, sorted.

    Raises:
        CourseError: nothing is stored under that name, or rows of another version than the declared one.
    """
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in RESULTS.glob("*.csv"))) or "nothing yet"
        raise CourseError(f"No stored results {name!r}; there is {known}.\n{_remedy(name)}")
    table = pd.read_csv(path)
    if version is not None and set(table["version"]) != {version}:
        raise CourseError(
            f"data/results/{name}.csv holds version {sorted(set(table['version']))}, "
            f"and version {version} is needed.\n{_remedy(name)}"
        )
    keys = [c for c in table.columns if c not in ("accuracy", "seconds", "correct", "commit", "machine")]
    return table.sort_values(keys, kind="stable", ignore_index=True)


def _remedy(name: str) -> str:
    return f"Run: python3 -m course_utils recompute {name}"


def _key(row: dict, names: list[str]) -> tuple:
    """What identifies a run: its setting and its seed, as the CSV writes them."""
    return tuple(f"{v:g}" if isinstance(v := row[name], int | float) else str(v) for name in names)


def _one(function: Callable[..., dict], setting: dict) -> dict:
    """One run in a worker: a thread, float32, its seconds."""
    import torch

    torch.set_num_threads(1)
    os.environ["COURSE_PRECISION"] = "fp32"
    start = time.perf_counter()
    result = function(**setting)
    return {**setting, **result, "seconds": round(time.perf_counter() - start, 2)}


def _marks(version: int) -> dict:
    """What every row carries besides its result: declared version, weights, library, machine, commit."""
    import torch

    git = ["git", "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(git, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return {
        "version": version,
        "weights": _weights(),
        "torch": ".".join(torch.__version__.split(".")[:2]),
        "machine": f"{platform.machine()} {os.cpu_count()} cores",
        "commit": answer.stdout.strip(),
    }


def _weights() -> str:
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]


def _stored(path: Path, version: int) -> pd.DataFrame:
    """The whole rows of this version that are stored so far."""
    if not path.exists():
        return pd.DataFrame()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n") and line.count(",") == lines[0].count(",")]
    rows = list(csv.DictReader(whole))
    return pd.DataFrame([r for r in rows if (r["version"], r["weights"]) == (str(version), _weights())])


def _rewrite(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(rows):
        beside = path.with_suffix(".part")
        rows.to_csv(beside, index=False, lineterminator="\n")
        os.replace(beside, path)
    else:
        path.unlink(missing_ok=True)


def _append(path: Path, row: dict) -> None:
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _named(names: list[str]) -> Iterator[tuple[str, Study]]:
    from course_utils.studies import STUDIES

    for name in names or STUDIES:
        if name not in STUDIES:
            raise CourseError(f"There is no experiment {name!r}; there is {', '.join(STUDIES)}.")
        yield name, STUDIES[name]


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils recompute", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which experiments (default: all)")
    options = parser.parse_args(words)
    try:
        for name, study in _named(options.names):
            print(f"{name}: {len(run_grid(study, name))} rows stored.")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
