"""Grids of settings and seeds: a row a run, stored as it finishes, resumed after a kill."""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from course_utils import registry
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence import results

CHEAP = 2  # seconds of a run that a lesson may do again
HITS = ("accuracy", "correct")  # what a run measures that also keeps which test items were right
TUNING_SEEDS = range(100, 103)  # rates are chosen on these; 0 to 19 are for reporting


class Study(NamedTuple):
    """A declared experiment: its one primary claim is in the docstring of `function`, written before it ran.

    `function(seed, **setting)` does one run and returns a dict of results, `accuracy` among them. All settings
    of the `grid` name the same things. Raise `version` when the set-up changes: rows of another one are stale.
    `minutes` is what all of it costs on two plain cores; `needs` names the studies that must be stored first;
    `measures` are the results of a run, in the order of the columns.
    """

    function: Callable[..., dict]
    grid: list[dict]
    seeds: Sequence[int]
    minutes: float
    version: int = 1
    needs: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("accuracy",)


class SpotCheck(NamedTuple):
    """One stored run done again: its `setting`, both accuracies, and the 99 % prediction interval of the stored.

    Where the data cannot be had, `accuracy` is nan and `hindrance` says why.
    """

    setting: dict
    stored: float
    accuracy: float
    low: float
    high: float
    seconds: float
    hindrance: str = ""

    @property
    def inside(self) -> bool:
        """Whether the new run could be one of the stored ones."""
        return self.low <= self.accuracy <= self.high

    def __str__(self) -> str:
        """What was run, what came, and whether that fits."""
        what = ", ".join(f"{name} {value}" for name, value in self.setting.items())
        if self.hindrance:
            return f"Not run again here ({what}), so the stored {self.stored:.3f} stands unchecked:\n{self.hindrance}"
        verdict = "inside" if self.inside else "OUTSIDE"
        return (
            f"Run again here ({what}): accuracy {self.accuracy:.3f}; stored: {self.stored:.3f}.\n"
            f"That is {verdict} the 99 % prediction interval of the stored runs, {self.low:.3f} to {self.high:.3f}."
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self).replace("_", r"\_").replace("\n", "\n\n")


def grid_of(**choices: Iterable) -> list[dict]:
    """Every combination of the named choices, as a list of settings."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def run_grid(
    function: Callable[..., dict], grid: list[dict], seeds: Sequence[int], name: str, version: int = 1
) -> pd.DataFrame:
    """Run what is missing and append each row to `data/results/NAME.csv` as it finishes.

    Runs go side by side through joblib, each with one thread and float32; inside
    `joblib.parallel_config(backend="dask")` they go to that cluster. Only this process writes. A line that a
    kill cut short is dropped, and rows of another version or of other weights are replaced.

    Args:
        function: `function(seed, **setting)` does one run and returns a dict, `accuracy` among it.
        grid: settings, all of the same names, as from `grid_of`.
        seeds: each setting is run with each of them.
    Returns:
        One row a run, sorted: the setting, the seed, the results, seconds, and what they were made with.
    """
    rows = results.usable(name, version)
    missing = _missing(rows, grid, seeds)
    if missing:
        writer, marks = results.Writer(name, rows), results.marks(version)
        work = joblib.Parallel(n_jobs=-1, return_as="generator_unordered")
        finished = work(joblib.delayed(_one)(function, run) for run in missing)
        for row in tqdm(finished, total=len(missing), desc=name):
            writer.add({**row, **marks})
    return results.read(name)


def run_study(study: Study, name: str) -> pd.DataFrame:
    """`run_grid` of a declared study."""
    return run_grid(study.function, study.grid, study.seeds, name, study.version)


def missing_runs(study: Study, name: str) -> list[dict]:
    """The runs of a study that are not stored, or only in another version or with other weights."""
    return _missing(results.usable(name, study.version), study.grid, study.seeds)


def load_results(name: str) -> pd.DataFrame:
    """The stored rows of an experiment, sorted.

    Raises:
        CourseError: nothing is stored under that name.
    """
    return results.read(name)


@cache
def tuned(name: str, *wanted: str, **arm: object) -> Any:
    """The value of the column `wanted` (values, where there are several) with the best mean accuracy.

    Args:
        name: a stored experiment in which settings were tried on tuning seeds.
        arm: column -> the value that its rows have, or a tuple of several.
    """
    rows = load_results(name)
    for column, value in arm.items():
        rows = rows[rows[column].isin(value if isinstance(value, tuple) else (value,))]
    return rows.groupby(list(wanted))["accuracy"].mean().idxmax()


def spot_check(name: str) -> SpotCheck:
    """Do a cheap stored run again, with its seed, and compare it with the runs of the same setting.

    Of the settings that take two seconds at most (or as little as any does), it is the one that spreads least.

    The 99 % prediction interval is Student's for one more run: mean ± t · s · √(1 + 1/n).

    Raises:
        CourseError: no such study, or no setting with five seeds or more whose accuracies differ.
    """
    study, table = registry.study(name), load_results(name)
    keys = list(study.grid[0])
    groups = table.groupby(keys)["accuracy"]
    spread = groups.transform("std")
    enough = table[(groups.transform("count") >= 5) & (spread > 0)]
    if enough.empty:
        raise CourseError(f"{name} has no setting with five seeds or more whose accuracies differ: nothing to check.")
    cheap = enough[enough["seconds"] <= max(CHEAP, enough["seconds"].min())]
    row = table.loc[spread[cheap.index].idxmin()]
    run = {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in [*keys, "seed"]}
    values = table.loc[(table[keys] == row[keys]).all(axis=1), "accuracy"]
    low, high = _prediction_interval(values)
    try:
        again = _one(study.function, run)
    except DataUnavailable as error:
        reason = str(error).splitlines()[0]
        return SpotCheck(run, float(row["accuracy"]), float("nan"), low, high, 0.0, reason)
    return SpotCheck(run, float(row["accuracy"]), again["accuracy"], low, high, again["seconds"])


def _prediction_interval(values: pd.Series) -> tuple[float, float]:
    n = len(values)
    half = stats.t.ppf(0.995, n - 1) * values.std() * np.sqrt(1 + 1 / n)
    return float(values.mean() - half), float(values.mean() + half)


def _missing(rows: pd.DataFrame, grid: list[dict], seeds: Sequence[int]) -> list[dict]:
    runs = [{**setting, "seed": seed} for setting in grid for seed in seeds]
    done = {_key(row, runs[0]) for row in rows.to_dict("records")}
    return [run for run in runs if _key(run, runs[0]) not in done]


def _key(row: dict, names: Iterable[str]) -> tuple:
    """What identifies a run: its setting and its seed, as numbers where they are numbers."""
    return tuple(_number(row.get(name)) for name in names)


def _number(value: object) -> object:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


@contextmanager
def _plain_processor() -> Iterator[None]:
    """Inside, one thread and float32, as in every stored run; outside, everything as before."""
    import torch

    plain = {"COURSE_PRECISION": "fp32", "COURSE_THREADS": "1"}
    threads, before = torch.get_num_threads(), {name: os.environ.get(name) for name in plain}
    torch.set_num_threads(1)
    os.environ |= plain
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _one(function: Callable[..., dict], run: dict) -> dict:
    """One run in a worker, and its seconds."""
    with _plain_processor():
        start = time.perf_counter()
        result = function(**run)
        return {**run, **result, "seconds": round(time.perf_counter() - start, 2)}
