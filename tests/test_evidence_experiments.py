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

from course_utils import registry
from course_utils.data.tasks import load_task, pool_task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.experiments import (
    Study,
    grid_of,
    load_results,
    missing_runs,
    run_grid,
    run_study,
    spot_check,
)
from course_utils.evidence.results import pack, unpack, weights_checksum
from course_utils.evidence.studies import STUDIES
from course_utils.tools import recompute


def toy(seed: int, strategy: str, lr: float) -> dict:
    return {"accuracy": round(seed / 100 + lr, 6), "correct": pack(np.arange(12) < seed)}


def whereabouts(seed: int) -> dict:
    import torch

    return {"accuracy": 0.5, "process": os.getpid(), "threads": torch.get_num_threads()}


def unlike(seed: int) -> dict:
    return {"accuracy": 0.5} | ({"more": 1} if seed else {})


ALL = registry.studies()
GRID, SEEDS = grid_of(strategy=("a", "b"), lr=(1e-4, 0.03)), range(6)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.evidence.results.RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def declared(results, monkeypatch):
    """A declared study of the toy, whose version a test may raise."""

    def declare(**changes):
        study = Study(toy, GRID, SEEDS, minutes=12)._replace(**changes)
        monkeypatch.setitem(STUDIES, "toy", study)
        return study

    return declare


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
    assert len(load_results("frail")) >= 1


def test_rows_of_another_version_are_replaced(results, declared):
    run_study(declared(), "toy")
    study = declared(version=2)
    assert len(missing_runs(study, "toy")) == len(GRID) * len(SEEDS)
    assert set(run_study(study, "toy")["version"]) == {2}
    load_results("toy")


def test_rows_of_other_weights_are_stale(results, monkeypatch):
    run_grid(toy, GRID, SEEDS, "toy")
    monkeypatch.setattr("course_utils.evidence.results.weights_checksum", lambda: "another")
    assert set(run_grid(toy, GRID, SEEDS, "toy")["weights"]) == {"another"}


def test_each_run_has_one_thread_and_another_process(results):
    table = run_grid(whereabouts, [{}], range(4), "where")
    assert set(table["threads"]) == {1} and os.getpid() not in set(table["process"])


def test_a_grid_runs_on_a_dask_cluster(results):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        workers = set(client.run(os.getpid).values())
        table = run_grid(whereabouts, [{}], range(8), "where")
    assert len(table) == 8 and set(table["process"]) <= workers and set(table["threads"]) == {1}


KILLED = """
import os, signal, sys, time
import joblib
from pathlib import Path
from course_utils.tools import recompute
from course_utils.evidence import results
from course_utils.evidence.experiments import Study, grid_of
from course_utils import registry
from course_utils.evidence.studies import STUDIES

def slow(seed, lr):
    time.sleep(0.04)
    return {"accuracy": seed / 100 + lr}

results.RESULTS = Path(sys.argv[1])
STUDIES["toy"] = Study(slow, grid_of(lr=[k / 1000 for k in range(40)]), range(10), minutes=1)
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
def test_twenty_kills_at_random_moments_lose_and_double_nothing(results):
    chance, path = random.Random(0), results / "toy.csv"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(results)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    survivors = set()

    def start():
        child.stdin.write("\n")
        child.stdin.flush()
        return int(child.stdout.readline())

    for kill in range(20):
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
    assert "400 rows" in child.stdout.readline() and child.stdout.readline() == "0\n"
    child.stdin.close()
    child.wait()
    table = load_results("toy")
    assert survivors <= set(_lines(path)) and 0 < len(survivors) < 400
    assert len(table) == 400 and not table.duplicated(["lr", "seed"]).any()
    assert np.allclose(table.accuracy, table.seed / 100 + table.lr)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _lines(path):
    """The whole lines of a file; its header apart."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")][1:]


# --- recompute ---


def test_the_list_says_what_is_missing_and_stale_and_what_it_costs(results, declared, capsys):
    study = declared()
    run_grid(toy, GRID, range(3), "toy")
    assert len(missing_runs(study, "toy")) == 12
    assert recompute.main(["toy", "--list"]) == 0
    said = capsys.readouterr().out
    assert "12 missing" in said and " 6 min" in said and " 12 min" in said
    declared(version=2)
    recompute.main(["toy", "--list"])
    assert "24 missing, 12 stale" in capsys.readouterr().out


def test_recompute_runs_what_is_missing(results, declared, capsys):
    declared()
    run_grid(toy, GRID, range(3), "toy")
    assert recompute.main(["toy"]) == 0 and "24 rows" in capsys.readouterr().out
    recompute.main(["toy", "--list"])
    assert "current" in capsys.readouterr().out


def test_recompute_asks_first_for_what_a_study_needs(results, declared, monkeypatch, capsys):
    monkeypatch.setitem(STUDIES, "first", declared())
    declared(needs=("first",))
    assert recompute.main(["toy"]) == 1
    assert "recompute first" in capsys.readouterr().err
    run_study(STUDIES["first"], "first")
    assert recompute.main(["toy"]) == 0


def test_stopping_by_hand_says_that_it_goes_on(results, declared, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    declared()
    monkeypatch.setattr(recompute, "run_study", stop)
    assert recompute.main(["toy"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_unknown_names_say_what_there_is(results, capsys):
    with pytest.raises(CourseError, match="recompute nothing"):
        load_results("nothing")
    assert recompute.main(["nothing"]) == 1
    assert "lesson00" in capsys.readouterr().err


def test_every_needed_study_is_declared_before():
    names = list(ALL)
    for name, study in ALL.items():
        assert all(names.index(needed) < names.index(name) for needed in study.needs)


# --- spot checks ---


def noisy(seed: int, strategy: str) -> dict:
    return {"accuracy": round(0.7 + 0.01 * np.random.default_rng(seed).standard_normal(), 4)}


@pytest.fixture
def noisy_study(results, monkeypatch):
    study = Study(noisy, [{"strategy": "a"}], range(10), minutes=1)
    monkeypatch.setitem(STUDIES, "noisy", study)
    run_study(study, "noisy")
    return study


def test_a_spot_check_of_the_same_code_falls_inside(noisy_study):
    check = spot_check("noisy")
    assert check.inside and check.accuracy == check.stored
    assert "inside" in str(check) and check.low < 0.7 < check.high


def test_a_spot_check_of_changed_code_falls_outside(noisy_study, monkeypatch):
    worse = noisy_study._replace(function=lambda seed, strategy: {"accuracy": 0.6})
    monkeypatch.setitem(STUDIES, "noisy", worse)
    check = spot_check("noisy")
    assert not check.inside and "OUTSIDE" in str(check)


def test_a_spot_check_without_the_data_says_so(noisy_study, monkeypatch):
    def nowhere(seed, strategy):
        raise DataUnavailable("ants_bees is not here.\nDo this.")

    monkeypatch.setitem(STUDIES, "noisy", noisy_study._replace(function=nowhere))
    check = spot_check("noisy")
    assert not check.inside and "unchecked" in str(check) and "not here" in str(check)


def test_the_prediction_interval_holds_99_of_100_further_runs():
    from course_utils.evidence.experiments import _prediction_interval

    draw = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        *stored, further = draw.normal(0.7, 0.02, 11)
        low, high = _prediction_interval(pd.Series(stored))
        inside.append(low <= further <= high)
    assert 0.985 <= np.mean(inside) <= 0.995


def test_a_spot_check_needs_spread(results, monkeypatch):
    monkeypatch.setitem(STUDIES, "toy", Study(toy, GRID, range(3), minutes=1))
    run_study(STUDIES["toy"], "toy")
    with pytest.raises(CourseError, match="five seeds"):
        spot_check("toy")
    with pytest.raises(CourseError, match="no experiment"):
        spot_check("nothing")


# --- what ships ---


def test_packed_answers_come_back():
    right = np.random.default_rng(0).random((3, 153)) < 0.7
    assert (unpack(map(pack, right), 153) == right).all()


@pytest.mark.parametrize("name", list(ALL))
def test_shipped_results_are_whole_and_current(name):
    study, table = ALL[name], load_results(name)
    names = [*study.grid[0], "seed"]
    wanted = pd.DataFrame([setting | {"seed": seed} for setting in study.grid for seed in study.seeds])[names]
    stored = table[names].sort_values(names, ignore_index=True)
    pd.testing.assert_frame_equal(stored, wanted.sort_values(names, ignore_index=True), check_dtype=False)
    assert set(table["weights"]) == {weights_checksum()}
    assert not missing_runs(study, name)


def test_tuning_never_sees_the_test_split():
    whole = load_task("digits")
    task = pool_task(whole, per_class=5, seed=100)
    real = {picture.tobytes() for picture in whole.test.x}
    assert not real & {picture.tobytes() for split in (task.train, task.test) for picture in split.x}
    assert not {p.tobytes() for p in task.train.x} & {p.tobytes() for p in task.test.x}
