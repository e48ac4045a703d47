"""Labs that need not run again: when one is left out, what makes it run, and when it gets its stamp."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from green_labs import GreenLabs

ROOT = Path(__file__).resolve().parent.parent
FILES = ("notebooks/source/01_lab.py", "requirements.txt", "tests/requirements.txt", "data/results/stages.csv",
         "data/weights/small.safetensors", "course_utils/features.py", "course_utils/lessons/lesson01/stages.py")
OTHERS = ("course_utils/lessons/lesson02/leakage.py", "notebooks/01_layers.ipynb", "tests/test_features.py")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A course with one lab of two code cells, and a cache of its own."""
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "course"
    for name in (*FILES, *OTHERS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("print(1)\n\n# %%\nprint(2)\n" if name.endswith("lab.py") else "a = 1\n")
    notebook = jupytext.read(root / "notebooks" / "source" / "01_lab.py", fmt="py:percent")
    nbformat.write(notebook, root / "notebooks" / "01_lab.ipynb")
    return root


def session(root, **more):
    return GreenLabs(root, [str(root / "notebooks")], **more)


def ran(root, *outcomes, **more):
    """A session in which the lab's cells ended so."""
    labs = session(root, **more)
    for number, outcome in enumerate(outcomes):
        labs.pytest_runtest_logreport(SimpleNamespace(
            nodeid=f"notebooks/01_lab.ipynb::Cell {number}", when="call", passed=outcome == "passed",
            failed=outcome == "failed"))
    labs.pytest_sessionfinish()
    return labs


def test_a_green_lab_is_left_out_and_a_first_clone_and_all_run_it(clone):
    assert session(clone).left_out == [] and ran(clone, "passed", "passed").left_out == []
    assert session(clone).left_out == ["01_lab"]
    assert session(clone, run_all=True).left_out == []
    assert GreenLabs(clone, [str(clone / "notebooks" / "01_lab.ipynb")]).left_out == []  # asked for by name


def test_the_sliders_of_a_lab_are_a_test_more(clone):
    ran(clone, "passed", "passed", "passed")
    assert session(clone).left_out == ["01_lab"]


@pytest.mark.parametrize("outcomes", [
    (), ("passed",), ("passed", "failed"), ("passed", "skipped"), ("passed", "passed", "failed"),
])  # fmt: skip
def test_only_a_whole_green_run_counts(clone, outcomes):
    ran(clone, *outcomes)
    assert session(clone).left_out == []


@pytest.mark.parametrize("name", [*FILES, "notebooks/01_lab.ipynb"])
def test_whatever_it_rests_on_makes_it_run_again(clone, name):
    ran(clone, "passed", "passed")
    with (clone / name).open("a") as file:
        file.write("\n")
    assert session(clone).left_out == []


def test_other_lessons_and_settings(clone, tmp_path, monkeypatch):
    ran(clone, "passed", "passed")
    for name in OTHERS:
        (clone / name).write_text("a = 2\n")
    assert session(clone).left_out == ["01_lab"]
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "elsewhere"))
    assert session(clone).left_out == []


def test_an_edit_during_the_run_leaves_no_stamp(clone):
    labs = session(clone)
    labs.passed["01_lab"] = 2
    (clone / "requirements.txt").write_text("a = 2\n")
    labs.pytest_sessionfinish()
    assert session(clone).left_out == []


@pytest.mark.slow
def test_two_processes_leave_out_the_same_and_say_so(clone):
    shutil.copytree(ROOT / "tests", clone / "tests", dirs_exist_ok=True, ignore=shutil.ignore_patterns("test_*"))
    (clone / "tests" / "test_one.py").write_text("def test_one(): pass\n")
    shutil.copy(ROOT / "pyproject.toml", clone)
    words = [sys.executable, "-m", "pytest", "-n2", "--dist=loadfile", "-p", "no:cacheprovider", f"--rootdir={clone}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    shutil.rmtree(clone / "course_utils")
    for passed, said in ((3, False), (1, True)):
        done = subprocess.run(words, cwd=clone, env=env, capture_output=True, text=True)
        assert f"{passed} passed" in done.stdout.splitlines()[-1], done.stdout + done.stderr
        assert ("green here: 01_lab. (test --all" in done.stdout) == said
