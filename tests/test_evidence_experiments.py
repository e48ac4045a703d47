"""Stored experiments: resumed after a kill with nothing lost or doubled, stale rows refused, runs on a cluster."""

import os
import random
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from studies import GRID, SEEDS, toy

from course_utils import registry
from course_utils.data.tasks import load_task, pool_task
from course_utils.errors import CourseError
from course_utils.evidence import results as stored_rows
from course_utils.evidence.experiments import (
    load_results,
    missing_runs,
    run_grid,
    run_study,
)
from course_utils.evidence.results import pack, unpack

pytestmark = pytest.mark.usefixtures("at_once")


def whereabouts():
    """A run that says where it took place; workers get its text, so they need not import this file."""

    def run(seed: int) -> dict:
        import torch

        return {"accuracy": 0.5, "process": os.getpid(), "threads": torch.get_num_threads()}

    return run


def unlike(seed: int) -> dict:
    return {"accuracy": 0.5} | ({"more": 1} if seed else {})


ALL = registry.studies()


def same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns="seconds"), b.drop(columns="seconds"))


def test_a_grid_is_stored_whole_and_read_back(results):
    table = run_grid(toy, GRID, SEEDS, "toy")
    assert len(table) == len(GRID) * len(SEEDS)
    assert not table.duplicated(["seed", "strategy", "lr"]).any()
    assert np.allclose(table.accuracy, table.seed / 100 + table.lr)
    assert {"seconds", "version", "weights", "torch", "machine", "commit"} <= set(table.columns)
    same(table, load_results("toy"))


@pytest.mark.parametrize("cut", [0.01, 0.1, 0.5, 0.77, 0.99])
def test_a_file_cut_short_anywhere_is_completed(results, cut):
    whole = run_grid(toy, GRID, SEEDS, "toy")
    path = results / "toy.csv"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    same(whole, run_grid(toy, GRID, SEEDS, "toy"))


def test_a_row_whose_newline_an_editor_took_stays(results):
    run_grid(toy, GRID, SEEDS, "toy")
    path = results / "toy.csv"
    path.write_text(path.read_text().rstrip("\n"))
    fewer = run_grid(toy, GRID, [SEEDS[0], 90], "toy")
    assert len(fewer) == len(load_results("toy")) == len(GRID) * (len(SEEDS) + 1)


def test_finished_runs_are_not_run_again(results):
    run_grid(toy, GRID, SEEDS, "toy")
    before = (results / "toy.csv").read_bytes()
    run_grid(toy, GRID, SEEDS, "toy")
    assert (results / "toy.csv").read_bytes() == before


def test_a_grid_may_grow_and_its_names_may_change_their_order(results):
    run_grid(toy, GRID, range(2), "toy")
    turned = [dict(reversed(setting.items())) for setting in GRID]
    assert len(run_grid(toy, turned, SEEDS, "toy")) == len(GRID) * len(SEEDS)
    assert np.allclose((table := load_results("toy")).accuracy, table.seed / 100 + table.lr)


def test_runs_that_give_other_things_are_refused_and_nothing_is_lost(results):
    run_grid(unlike, [{}], [0], "toy")
    with pytest.raises(CourseError, match="more"):
        run_grid(unlike, [{}], [0, 1], "toy")
    assert len(load_results("toy")) == 1


def test_a_failing_run_leaves_the_finished_ones(results):
    def frail(seed):
        if seed == 3:
            raise ValueError("seed 3")
        return {"accuracy": seed / 10}

    with pytest.raises(ValueError, match="seed 3"), joblib.parallel_config(n_jobs=1, backend="sequential"):
        run_grid(frail, [{}], range(6), "frail")
    assert len(stored_rows.usable("frail", 1)) == 3


def test_rows_of_another_version_are_replaced(results, declared):
    run_study(declared(), "toy")
    study = declared(version=2)
    assert len(missing_runs(study, "toy")) == len(GRID) * len(SEEDS)
    assert set(run_study(study, "toy")["version"]) == {2}
    load_results("toy")


def test_rows_of_other_weights_are_stale(results, monkeypatch):
    run_grid(toy, GRID, SEEDS, "toy")
    monkeypatch.setattr("course_utils.evidence.results.weights_checksum", lambda backbone: "another")
    assert set(run_grid(toy, GRID, SEEDS, "toy")["weights"]) == {"another"}


def test_each_run_has_one_thread_and_afterwards_all_is_as_before(results, monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "bf16")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(run_grid(whereabouts(), [{}], range(2), "where")["threads"]) == {1}
        assert torch.get_num_threads() == 2 and os.environ["COURSE_PRECISION"] == "bf16"
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_each_run_has_one_thread_and_another_process(results):
    with joblib.parallel_config(backend="loky"):
        table = run_grid(whereabouts(), [{}], range(4), "where")
    assert set(table["threads"]) == {1} and os.getpid() not in set(table["process"])


@pytest.mark.slow
def test_a_grid_runs_on_a_dask_cluster(results):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        workers = set(client.run(os.getpid).values())
        table = run_grid(whereabouts(), [{}], range(8), "where")
    assert len(table) == 8 and set(table["process"]) <= workers and set(table["threads"]) == {1}


KILLED = """
import os, signal, sys, time
import joblib
from pathlib import Path
from course_utils.tools import recompute
from course_utils.evidence import results
from course_utils.evidence.experiments import Study, grid_of
from course_utils import registry
from course_utils.grids.studies import STUDIES

def slow(seed, lr):
    time.sleep(0.04)
    return {"accuracy": seed / 100 + lr}

results.RESULTS = Path(sys.argv[1])
STUDIES["toy"] = Study(slow, grid_of(lr=[k / 1000 for k in range(int(sys.argv[2]))]), range(10), minutes=1)
for word in sys.stdin:  # the imports are done once; each word starts a run of its own
    pid = os.fork()
    if pid == 0:
        os.close(0)
        with joblib.parallel_config(backend="threading"):  # whose workers start at once
            os._exit(recompute.main(["toy"]))
    os.setpgid(pid, pid)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_and_double_nothing(results, kills=20, rates=40):
    chance, path, whole_one = random.Random(0), results / "toy.part", results / "toy.csv"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(results), str(rates)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    survivors = set()

    def start():
        child.stdin.write("\n")
        child.stdin.flush()
        return int(child.stdout.readline())

    for kill in range(kills):
        pid, before = start(), _size(path)
        deadline = time.monotonic() + 60
        while kill % 4 and _size(path) <= before and time.monotonic() < deadline:
            time.sleep(0.001)  # three of four kills fall into the writing, the others anywhere before
        time.sleep(chance.uniform(0, 0.1) if kill % 4 else chance.uniform(0, 0.8))
        os.killpg(pid, signal.SIGKILL)
        child.stdout.readline()
        whole = set(_lines(path))
        assert survivors <= whole, "a finished row was lost"
        survivors = whole
    start()
    assert f"{10 * rates} rows" in child.stdout.readline() and child.stdout.readline() == "0\n"
    child.stdin.close()
    child.wait()
    table = load_results("toy")
    assert survivors <= set(_lines(whole_one)) and 0 < len(survivors) < 10 * rates and not path.exists()
    assert len(table) == 10 * rates and not table.duplicated(["lr", "seed"]).any()
    assert np.allclose(table.accuracy, table.seed / 100 + table.lr)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _lines(path):
    """The whole lines of a file; its header apart."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")][1:]


# --- what ships ---


def test_packed_answers_come_back():
    right = np.random.default_rng(0).random((3, 153)) < 0.7
    assert (unpack(map(pack, right), 153) == right).all()


# What waits to be measured, or measured again, for the second edition of lesson 02: this list only becomes shorter.
WAITING = ("transfer_lite0",)


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_to_be_measured_is_not_measured_yet(name):
    assert missing_runs(ALL[name], name)


@pytest.mark.parametrize("name", [name for name in ALL if name not in WAITING])
def test_shipped_results_are_whole_and_current(name):
    study, table = ALL[name], load_results(name)
    names = [*study.grid[0], "seed"]
    wanted = pd.DataFrame([setting | {"seed": seed} for setting in study.grid for seed in study.seeds])[names]
    stored = table[names].sort_values(names, ignore_index=True)
    pd.testing.assert_frame_equal(stored, wanted.sort_values(names, ignore_index=True), check_dtype=False)
    assert list(table) == [*study.grid[0], "seed", *study.measures, *stored_rows.MARKS]
    networks = set(table["backbone"]) if "backbone" in table else {"photonet"}
    assert set(table["weights"]) == {stored_rows.weights_checksum(network) for network in networks}
    assert not missing_runs(study, name) and stored_rows.settled(name, study.version)


def test_tuning_never_sees_the_test_split():
    whole = load_task("digits")
    task = pool_task(whole, per_class=5, seed=100)
    real = {picture.tobytes() for picture in whole.test.x}
    assert not real & {picture.tobytes() for split in (task.train, task.test) for picture in split.x}
    assert not {p.tobytes() for p in task.train.x} & {p.tobytes() for p in task.test.x}
