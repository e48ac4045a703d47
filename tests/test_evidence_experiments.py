"""Stored experiments: resumed after a kill with nothing lost or doubled, stale rows refused, runs on a cluster."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from course_utils import registry
from course_utils.__main__ import take
from course_utils.data.tasks import load_task, pool_task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence import results as stored_rows
from course_utils.evidence.experiments import (
    HITS,
    Study,
    grid_of,
    load_results,
    missing_runs,
    run_grid,
    run_study,
)
from course_utils.evidence.results import pack, unpack
from course_utils.evidence.spot_checks import spot_check
from course_utils.evidence.studies import STUDIES
from course_utils.tools import recompute


def toy(seed: int, strategy: str, lr: float) -> dict:
    return {"accuracy": round(seed / 100 + lr, 6), "correct": pack(np.arange(12) < seed)}


def whereabouts():
    """A run that says where it took place; workers get its text, so they need not import this file."""

    def run(seed: int) -> dict:
        import torch

        return {"accuracy": 0.5, "process": os.getpid(), "threads": torch.get_num_threads()}

    return run


def unlike(seed: int) -> dict:
    return {"accuracy": 0.5} | ({"more": 1} if seed else {})


ALL = registry.studies()
GRID, SEEDS = grid_of(strategy=("a", "b"), lr=(1e-4, 0.03)), range(6)


@pytest.fixture(autouse=True)
def at_once():
    """Runs take place in this process; that they get workers of their own has a test, and those take long to start."""
    with joblib.parallel_config(backend="sequential"):
        yield


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.evidence.results.RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def declared(results, monkeypatch):
    """A declared study of the toy, whose version a test may raise."""

    def declare(**changes):
        study = Study(toy, GRID, SEEDS, minutes=12, measures=HITS)._replace(**changes)
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
    assert len(stored_rows.usable("frail", 1)) == 3


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
from course_utils.evidence.studies import STUDIES

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
@pytest.mark.parametrize(("kills", "rates"), [(4, 10), pytest.param(20, 40, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_and_double_nothing(results, kills, rates):
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


# --- stored rows are never at risk ---


def halts(seed: int, strategy: str, lr: float) -> dict:
    """The toy study, killed in its fourth run, as far as a test can be."""
    if seed == 1:
        raise KeyboardInterrupt
    return toy(seed, strategy, lr)


def one_process():
    return joblib.parallel_config(n_jobs=1, backend="sequential")


def test_stale_rows_stay_until_the_new_ones_are_whole(results, declared):
    run_study(declared(), "toy")
    before = (results / "toy.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt), one_process():
        run_study(declared(version=2, function=halts), "toy")
    assert (results / "toy.csv").read_bytes() == before
    assert len(load_results("toy")) == len(GRID) * len(SEEDS)  # the old ones can still be read
    study = declared(version=2, function=(counted := Counting()))
    with one_process():
        assert set(run_study(study, "toy")["version"]) == {2}
    assert len(counted.seeds) == len(GRID) * len(SEEDS) - 1  # the finished run was not run again
    assert sorted(file.name for file in results.iterdir()) == [".toy.lock", "toy.csv"]


class Counting:
    """The toy study, with a note of each run."""

    def __init__(self):
        self.seeds = []

    def __call__(self, seed: int, strategy: str, lr: float) -> dict:
        self.seeds.append(seed)
        return toy(seed, strategy, lr)


def test_a_study_that_grows_keeps_its_rows_as_they_were(results, declared):
    run_study(declared(seeds=range(1)), "toy")
    before = (results / "toy.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt), one_process():
        run_study(declared(function=halts), "toy")
    assert (results / "toy.csv").read_bytes() == before
    run_study(declared(), "toy")
    assert (results / "toy.csv").read_bytes().startswith(before)
    assert len(load_results("toy")) == len(GRID) * len(SEEDS)


def test_a_kill_between_the_last_row_and_the_end_costs_no_run(results, declared, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), one_process():
        patch.setattr(stored_rows.Writer, "finish", halts_now)
        run_study(declared(), "toy")
    monkeypatch.setitem(STUDIES, "next", declared()._replace(needs=("toy",)))
    assert recompute.main(["next"]) == 1 and "not put in place" in capsys.readouterr().err
    study = declared(function=(counted := Counting()))
    with one_process():
        assert len(run_study(study, "toy")) == len(GRID) * len(SEEDS) and not counted.seeds
    assert not (results / "toy.part").exists()


def halts_now(*_):
    raise KeyboardInterrupt


def test_a_stored_row_goes_before_a_draft_of_it(results, declared):
    run_study(declared(), "toy")
    before = (results / "toy.csv").read_text()
    (results / "toy.part").write_text(before.replace(",0.0001,0,", ",0.0001,0,9"))  # as if run on another machine
    run_study(declared(), "toy")
    assert (results / "toy.csv").read_text() == before and not (results / "toy.part").exists()


def test_a_draft_of_another_version_waits_for_its_time(results, declared):
    run_study(declared(), "toy")
    with pytest.raises(KeyboardInterrupt), one_process():
        run_study(declared(version=2, function=halts), "toy")
    before = (results / "toy.part").read_bytes()
    assert set(run_study(declared(), "toy")["version"]) == {1}  # as on another branch
    assert (results / "toy.part").read_bytes() == before


def test_damaged_weights_are_refused(results, declared, tmp_path_factory, monkeypatch, capsys):
    from course_utils.models import loading

    run_study(declared(), "toy")
    before = {file.name: file.read_bytes() for file in results.iterdir()}
    folder = tmp_path_factory.mktemp("weights")
    content = bytearray(loading.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "README.md").write_bytes(loading.WEIGHTS.with_name("README.md").read_bytes())
    (folder / loading.WEIGHTS.name).write_bytes(content)
    monkeypatch.setattr(loading, "WEIGHTS", folder / loading.WEIGHTS.name)
    capsys.readouterr()
    for words in (["toy"], ["toy", "--list"]):
        assert recompute.main(words) == 1
        said = capsys.readouterr().err
        assert "sha256" in said and "git checkout" in said and said.count("\n") <= 3
    assert {file.name: file.read_bytes() for file in results.iterdir()} == before


DOUBLED = {
    "the same": (lambda line: line, "all alike"),
    "conflicting": (lambda line: line.replace(",fff", ",000"), "differ in correct"),
    "another version": (lambda line: line.replace(",1,94ed", ",2,94ed"), "differ in version"),
    "written otherwise": (lambda line: line.replace("0.0001", "1e-04"), "differ in lr"),
}


@pytest.mark.parametrize("kind", DOUBLED)
def test_two_rows_of_one_run_are_an_error_that_names_them(results, declared, kind, capsys):
    change, named = DOUBLED[kind]
    run_study(declared(function=right), "toy")
    path = results / "toy.csv"
    lines = path.read_text().splitlines(keepends=True)
    row = next(k for k, line in enumerate(lines) if line.startswith("a,0.0001,3,"))
    path.write_text("".join([*lines, change(lines[row])]))
    with pytest.raises(CourseError) as error:
        load_results("toy")
    messages = [str(error.value) + "\n"]
    capsys.readouterr()
    for words in (["toy", "--list"], ["toy"]):
        assert recompute.main(words) == 1
        messages.append(capsys.readouterr().err)
    for said in messages:
        assert "strategy a, lr 0.0001, seed 3" in said and f"lines {row + 1}, {len(lines) + 1}" in said
        assert said.count("\n") <= 3
    assert named in messages[-1] and (named in messages[0] or kind == "written otherwise")  # read as numbers
    assert path.read_text().endswith(change(lines[row]))


def right(seed: int, strategy: str, lr: float) -> dict:
    return {"accuracy": 1.0, "correct": pack(np.ones(12))}


def test_a_second_run_at_once_is_told_and_waits(results, capsys):
    with one_process():
        run_grid(toy, GRID, SEEDS, "toy")
    (results / "toy.csv").rename(results / "kept")
    done, counted = [], Counting()
    second = threading.Thread(target=lambda: done.append(len(run_grid(counted, GRID, SEEDS, "toy"))))
    with stored_rows.writing("toy"):
        second.start()
        until(lambda: "Another process computes toy" in capsys.readouterr().out)
        assert not done and not (results / "toy.part").exists()
        (results / "kept").rename(results / "toy.csv")  # the first one ends
    second.join(60)
    assert done == [len(GRID) * len(SEEDS)] and not counted.seeds


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


LOCKED = """
import sys, time
from pathlib import Path
from course_utils.evidence import results as storage
from course_utils.evidence.experiments import run_grid

def slow(seed):
    Path(sys.argv[1], f"seed {seed}").touch()
    time.sleep(30)

storage.RESULTS = Path(sys.argv[1])
run_grid(slow, [{}], range(6), "toy")
"""


def test_a_killed_run_leaves_no_lock(results, capsys):
    first = subprocess.Popen([sys.executable, "-c", LOCKED, str(results)], stderr=subprocess.DEVNULL)
    until(lambda: any(results.glob("seed *")))
    with open(results / ".toy.lock") as file:
        assert not take(file)
    first.kill()  # its workers may live on for a while
    first.wait()
    with one_process():
        assert len(run_grid(toy, GRID, SEEDS, "toy")) == len(GRID) * len(SEEDS)
    assert "waiting" not in capsys.readouterr().out


# --- what a run returns ---


@pytest.mark.parametrize(
    ("result", "named"),
    [
        ({"accuracy": 1.0}, "They differ in correct:"),
        ({"accuracy": 1.0, "correct": "ff", "loss": 2.0}, "They differ in loss:"),
        ({"accuracy": 1.0, "correct": "ff", "seed": 9}, "returns seed:"),
        ({"accuracy": 1.0, "correct": "ff", "lr": 9}, "returns lr:"),
        ({"accuracy": 1.0, "correct": "ff", "weights": "mine"}, "returns weights:"),
    ],
)
def test_a_run_that_returns_other_things_than_declared_is_an_error_that_names_them(results, declared, result, named):
    study = declared(function=lambda seed, strategy, lr: result)
    with pytest.raises(CourseError) as error, one_process():
        run_study(study, "toy")
    assert named in str(error.value) and "strategy a, lr 0.0001, seed 0" in str(error.value)
    assert not (results / "toy.csv").exists() and not len(stored_rows.usable("toy", 1))


def test_what_is_measured_stands_in_the_order_declared(results, declared):
    study = declared(function=lambda seed, strategy, lr: dict(reversed(toy(seed, strategy, lr).items())))
    with one_process():
        run_study(study, "toy")
    header = (results / "toy.csv").read_text().splitlines()[0]
    assert header == ",".join(["strategy", "lr", "seed", *HITS, *stored_rows.MARKS])


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
    from course_utils.evidence.spot_checks import _prediction_interval

    draw = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        *stored, further = draw.normal(0.7, 0.02, 11)
        low, high = _prediction_interval(pd.Series(stored))
        inside.append(low <= further <= high)
    assert 0.985 <= np.mean(inside) <= 0.995


def test_a_spot_check_needs_spread(results, monkeypatch):
    monkeypatch.setitem(STUDIES, "toy", Study(toy, GRID, range(3), minutes=1, measures=HITS))
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
    assert list(table) == [*study.grid[0], "seed", *study.measures, *stored_rows.MARKS]
    assert set(table["weights"]) == {stored_rows.weights_checksum()}
    assert not missing_runs(study, name) and stored_rows.settled(name, study.version)


def test_tuning_never_sees_the_test_split():
    whole = load_task("digits")
    task = pool_task(whole, per_class=5, seed=100)
    real = {picture.tobytes() for picture in whole.test.x}
    assert not real & {picture.tobytes() for split in (task.train, task.test) for picture in split.x}
    assert not {p.tobytes() for p in task.train.x} & {p.tobytes() for p in task.test.x}
