"""Stored rows are never at risk: drafts, two runs at once, kills, damage; and what a run may return."""

import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest
from studies import GRID, SEEDS, toy

from course_utils.__main__ import take
from course_utils.errors import CourseError
from course_utils.evidence import results as stored_rows
from course_utils.evidence.experiments import (
    HITS,
    load_results,
    run_grid,
    run_study,
)
from course_utils.evidence.results import pack
from course_utils.grids.studies import STUDIES
from course_utils.tools import recompute

pytestmark = pytest.mark.usefixtures("at_once")


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
    assert sorted(file.name for file in results.iterdir()) == [".toy.lock", "toy.before1", "toy.csv"]
    assert (results / "toy.before1").read_bytes() == before


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
    (results / "toy.part").write_text(before.replace(",0.0001,0,0.0001,", ",0.0001,0,0.9,"))  # as on another machine
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
    stored_rows.weights_checksum.cache_clear()  # as in another process
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
import joblib
from pathlib import Path
from course_utils.evidence import results
from course_utils.evidence.experiments import run_grid

def slow(seed):
    Path(sys.argv[1], f"seed {seed}").touch()
    time.sleep(30)

results.RESULTS = Path(sys.argv[1])
with joblib.parallel_config(backend=sys.argv[2]):
    run_grid(slow, [{}], range(6), "toy")
"""


@pytest.mark.parametrize("backend", ["sequential", pytest.param("loky", marks=pytest.mark.slow)])
def test_a_killed_run_leaves_no_lock(results, backend, capsys):
    first = subprocess.Popen([sys.executable, "-c", LOCKED, str(results), backend], stderr=subprocess.DEVNULL)
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
