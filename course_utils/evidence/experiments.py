"""Grids of settings and seeds: a row a run, stored as it finishes, resumed after a kill."""

import errno
import itertools
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import cache
from numbers import Real
from typing import Any, NamedTuple

import joblib
import pandas as pd
from tqdm.auto import tqdm

from course_utils import ROOT
from course_utils.errors import CourseError
from course_utils.evidence import results
from course_utils.evidence.results import load_results

HITS = ("accuracy", "correct")  # what a run measures that also keeps which test items were right
TUNING_SEEDS = range(100, 103)  # rates are chosen on these; 0 to 19 are for reporting


class Study(NamedTuple):
    """A declared experiment: its one primary claim is in the docstring of `function`, written before it ran.

    `function(seed, **setting)` does one run and returns a dict of results, `accuracy` among them. All settings
    of the `grid` name the same things. Raise `version` when the set-up changes: rows of another one are stale.
    `minutes` is what all of it costs on two plain cores; `needs` names the studies that must be stored first;
    `measures` are the results of a run, all of them, in the order of the columns. `headline` is the run, setting and
    seed, that `spot_check` does again (None: a cheap one).
    """

    function: Callable[..., dict]
    grid: list[dict]
    seeds: Sequence[int]
    minutes: float
    version: int = 1
    needs: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("accuracy",)
    headline: dict | None = None


def grid_of(**choices: Iterable) -> list[dict]:
    """Every combination of the named choices, as a list of settings; a text or a number is the only choice."""
    several = [[choice] if isinstance(choice, (str, Real)) else choice for choice in choices.values()]
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*several)]


def run_grid(
    function: Callable[..., dict],
    grid: list[dict],
    seeds: Sequence[int],
    name: str,
    version: int = 1,
    measures: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Run what is missing of `data/results/NAME.csv`, each row kept as it finishes.

    New rows gather in `NAME.part`, which takes the file's place once all are there: after a kill the same call goes
    on from it, and what was stored is as it was. A line that a kill cut short is dropped; rows of another version or
    of other weights make room and are kept in `NAME.before1`. Runs go side by side through joblib, each with one
    thread and float32; inside `joblib.parallel_config(backend="dask")` they go to that cluster. Only this process
    writes; a second one waits.

    Args:
        function: `function(seed, **setting)` does one run and returns a dict, `accuracy` among it.
        grid: settings, all of the same names, as from `grid_of`: texts and numbers.
        seeds: each setting is run with each of them.
        measures: what a run returns, in the order of the columns; None for whatever the first one does.
    Returns:
        One row a run, sorted: the setting, the seed, the results, seconds, and what they were made with.
    Raises:
        CourseError: a run returns other things than `measures`, or a thing that is called like a setting; the
            weights are not the ones on their card; a file has two rows of one run; nothing more can be written.
    """
    grid, seeds = list(grid), list(seeds)
    if not isinstance(name, str):
        raise CourseError(f"{name!r} is no name for an experiment.\nGive a text, such as 'my_run', for its rows.")

    def left() -> list[dict]:
        return _missing(results.usable(name, version), grid, seeds)

    if left() or not results.settled(name, version):
        try:
            with results.writing(name):  # whoever had to wait looks again
                if left() or not results.settled(name, version):
                    _complete(function, left(), name, version, measures)
        except OSError as error:
            full, where = error.errno in (errno.ENOSPC, errno.EDQUOT), str(error.filename)
            if not full and not where.startswith(str(results.RESULTS)):
                raise
            what = "The disk is full" if full else f"{where}: {error.strerror}"
            raise CourseError(
                f"{what}: not all rows of {name} could be kept in {results.RESULTS}.\nThose that are finished were. "
                f"{'Free some space' if full else 'Mend that'}, then run this again: it goes on from there."
            ) from error
    return load_results(name)


def _complete(
    function: Callable[..., dict], missing: list[dict], name: str, version: int, measures: Sequence[str] | None
) -> None:
    from course_utils.models.loading import PHOTONETS

    known = (*PHOTONETS, "efficientnet_lite0")
    if strange := [run["backbone"] for run in missing if run.get("backbone", known[0]) not in known]:
        raise CourseError(f"Rows of the backbone {strange[0]!r} cannot be kept: nobody knows its weights' checksum.\n"
                          f"Take {', '.join(known)}; or call the setting otherwise, such as network.")  # fmt: skip
    writer, marks = results.Writer(name, results.usable(name, version)), _marks(version)
    work = joblib.Parallel(n_jobs=-1, return_as="generator_unordered")
    finished = work(joblib.delayed(one_run)(function, run, measures) for run in missing)
    try:
        for row in tqdm(finished, total=len(missing), desc=name):
            weights = results.weights_checksum(row.get("backbone", "photonet"))
            writer.add({**row, **marks, "weights": weights})
    except BrokenExecutor as error:
        raise CourseError("The system ended a run, mostly for want of memory. The rows that were done are kept.\n"
                          "Close other programs and run the same again: it goes on from them.") from error  # fmt: skip
    _keep_what_makes_room(name, version)
    writer.finish()


def _keep_what_makes_room(name: str, version: int) -> None:
    """Copy a file beside if some of its rows are of another version or of other weights: somebody may need them."""
    if gone := results.stale(name, version):
        path = results.path_of(name)
        free = (path.with_suffix(f".before{k}") for k in itertools.count(1))
        beside = next(one for one in free if not one.exists())
        shutil.copyfile(path, beside)
        print(f"{gone} rows of {path.name} are of another version or other weights; they are kept in {beside.name}.")


def _marks(version: int) -> dict:
    """What every row of a version carries besides its result, its seconds and its weights: see `results.MARKS`."""
    import torch

    git = ["git", "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    torch_version = ".".join(torch.__version__.split(".")[:2])
    machine = f"{platform.machine()} {os.cpu_count()} cores"
    values = (version, "", torch_version, machine, answer.stdout.strip())
    return dict(zip(results.MARKS[1:], values, strict=True))


def run_study(study: Study, name: str) -> pd.DataFrame:
    """`run_grid` of a declared study."""
    return run_grid(study.function, study.grid, study.seeds, name, study.version, study.measures)


def missing_runs(study: Study, name: str) -> list[dict]:
    """The runs of a study that are not stored, or only in another version or with other weights."""
    return _missing(results.usable(name, study.version), study.grid, study.seeds)


@cache
def tuned(name: str, *wanted: str, **arm: object) -> Any:
    """The value of the column `wanted` (values, where there are several) with the best mean accuracy.

    Args:
        name: a stored experiment in which settings were tried on tuning seeds.
        arm: column -> the value that its rows have, or a tuple of several.
    """
    rows = load_results(name)
    if unknown := [column for column in (*(wanted or [""]), *arm, "accuracy") if column not in rows]:
        raise CourseError(f"The rows of {name} have no column {unknown[0]!r}.\nTake some of {', '.join(rows)}.")
    for column, value in arm.items():
        rows = rows[rows[column].isin(value if isinstance(value, tuple) else (value,))]
    if rows.empty:
        raise CourseError(f"Nothing was tuned for {arm} in {name}.\n{results.remedy(name)}")
    return rows.groupby(list(wanted))["accuracy"].mean().idxmax()


def _missing(rows: pd.DataFrame, grid: list[dict], seeds: Sequence[int]) -> list[dict]:
    runs = [{**setting, "seed": seed} for setting in grid for seed in seeds]
    names = list(pd.DataFrame(runs))
    if len(rows) and (unlike := set(results.settings_of(rows)) ^ set(names)) and runs:
        raise CourseError(f"Stored rows of this name differ in their settings, by {', '.join(map(str, unlike))}.\n"
                          "Take another name for other settings, or raise the version.")  # fmt: skip
    done = set(results.keys_of(rows.reindex(columns=names), names).itertuples(index=False, name=None))
    keys = list(results.keys_of(pd.DataFrame(runs), names).itertuples(index=False, name=None))
    numbers = all(isinstance(seed, Real) and not isinstance(seed, bool) and seed == seed for seed in seeds)
    if not runs or len(set(keys)) < len(keys) or not numbers:
        raise CourseError(f"There are {len(grid)} settings, and the seeds {seeds}.\nGive some, numbers, each once.")
    for name, value in itertools.chain(*(setting.items() for setting in grid)):
        if not isinstance(name, str) or name in ("", "seed", *results.MARKS):
            raise CourseError(f"No setting can be called {name!r}: rows have that, or it is no name.\nChoose another.")
        if callable(value) or " at 0x" in str(value):
            raise CourseError(f"{name}={value!r} is no setting: the next kernel has another such thing.\n"
                              "Give a text or a number, by which your function looks it up.")  # fmt: skip
    return [run for run, key in zip(runs, keys, strict=True) if key not in done]


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


def one_run(function: Callable[..., dict], run: dict, measures: Sequence[str] | None) -> dict:
    """One run in a worker, and its seconds."""
    with _plain_processor():
        start = time.perf_counter()
        result = function(**run)
        seconds = round(time.perf_counter() - start, 2)
    return {**run, **_measured(result, run, measures), "seconds": seconds}


def _measured(result: dict, run: dict, measures: Sequence[str] | None) -> dict:
    """The results of a run in the order of `measures`; CourseError where they are others, or cannot be stored."""
    which = ", ".join(f"{name} {value}" for name, value in run.items())
    if not isinstance(result, dict) or not any(map(results.SCORE.fullmatch, map(str, result))):
        raise CourseError(f"The run {which} returns {result!r}.\nExpected a dict, such as {{'accuracy': 0.5}}.")
    if taken := [name for name in result if name in run or name in ("backbone", *results.MARKS)]:
        raise CourseError(f"The run {which} returns {', '.join(taken)}: a setting or a mark of the row has that name.\n"
                          "It would be overwritten. Return the result under another name.")  # fmt: skip
    if wide := [name for name, value in result.items() if not pd.api.types.is_scalar(value)]:
        raise CourseError(f"The run {which} returns {wide[0]} as a {type(result[wide[0]]).__name__}.\n"
                          "A row keeps numbers and texts: give some, such as float(value).")  # fmt: skip
    for name in set(results.SHARES) & set(result):
        value = result[name]
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
            raise CourseError(f"The run {which} returns {name} {value!r}.\nExpected a plain number from 0 to 1.")
    measures = list(result) if measures is None else measures
    if unlike := sorted(set(result) ^ set(measures)):
        raise CourseError(
            f"The run {which} returns {', '.join(result)}; declared are {', '.join(measures)}.\n"
            f"They differ in {', '.join(unlike)}: mend the run, or `measures` of its study, and raise its version."
        )
    return {name: result[name] for name in measures}
