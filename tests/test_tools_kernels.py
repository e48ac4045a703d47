"""Notebooks in fresh kernels and the `run` command, tried on notebooks of a few cells."""

import importlib
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

from course_utils.tools import doctor, handout, kernels, run
from course_utils.tools.kernels import Execution, Failure, MemoryWatch, execute
from course_utils.tools.run import ROOT, lessons, main, summary


def snapshot(folder):
    """Every file below a folder with its content: what must be the same afterwards."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def course(tmp_path):
    """A course without notebooks: `add` gives it some."""
    (tmp_path / "course" / "notebooks").mkdir(parents=True)
    return tmp_path / "course"


def add(root, name, *cells):
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


def test_run_reports_each_notebook_and_writes_nothing(course, capsys):
    add(course, "01_fine", "from pathlib import Path\nassert Path('01_fine.ipynb').exists()")
    add(course, "01_lab", "x = 1", "# divide\nx / 0", "print('never')")
    (course / "notebooks" / "02_merge.ipynb").write_text("<<<<<<< HEAD", encoding="utf-8")
    before = snapshot(course)
    assert main(["run"], course) == 1
    fine, lab, where, why, merge, *what = capsys.readouterr().out.splitlines()
    assert fine.startswith("01_fine ") and fine.endswith("ok")
    assert lab.startswith("01_lab ") and lab.endswith("FAILED")
    assert (where, why) == ("    cell 2 of 3: # divide", "    ZeroDivisionError: division by zero")
    assert merge.startswith("02_merge ") and "not a notebook" in "".join(what)
    assert snapshot(course) == before


NO_NOTEBOOKS = {
    "a list": b"[]",
    "no cells": b'{"cells": []}',
    "no code": b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "a number": b"7",
    "nothing": b"",
    "nothing but null": b"null",
    "cut off": b'{"cells": [{"cell_type": "code", "sou',
    "bytes": bytes(range(256)),
    "a cell that is none": b'{"cells": [7], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "a cell of nothing": b'{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "of the future": b'{"cells": [], "metadata": {}, "nbformat": 9, "nbformat_minor": 0}',
}


def test_what_is_no_notebook_is_never_ok(course, capsys, tmp_path):
    for number, content in enumerate(NO_NOTEBOOKS.values()):
        (course / "notebooks" / f"{number:02}_x.ipynb").write_bytes(content)
    (course / "notebooks" / "80_folder.ipynb").mkdir()
    before = snapshot(course)
    assert main(["run"], course) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED") == len(NO_NOTEBOOKS) + 1 and "ok" not in said.split()
    assert said.count("is not a notebook of this course: ") == len(NO_NOTEBOOKS) + 1
    assert "build 80 --force" in said and len(said.splitlines()) == 4 * (len(NO_NOTEBOOKS) + 1)
    assert handout.main([str(tmp_path / "copies")], course) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 3 and snapshot(course) == before


@pytest.fixture
def torn(tmp_path, monkeypatch):
    """An environment in which the package nbformat has lost files."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # whose stamp the doctor takes away
    monkeypatch.setattr(doctor, "damaged", lambda file: {"nbformat": None})


def test_a_run_that_meets_a_package_without_its_files_says_what_mends_it(course, torn, monkeypatch, capsys):
    errors = iter(["AttributeError: module 'torch' has no attribute 'device'", "ZeroDivisionError: division by zero"])
    for name in ("01_torn", "02_broken"):
        add(course, name, "x = 1")
    monkeypatch.setattr(run, "run_notebook", lambda path: Execution(failure=Failure(1, 1, "x = 1", next(errors))))
    assert main(["run"], course) == 1
    _, _, error, what, mend, *other = capsys.readouterr().out.splitlines()
    assert "has no attribute 'device'" in error and what == "    files are gone of: nbformat"
    assert mend == "    To do: python3 -m course_utils setup" and len(other) == 3


def test_a_run_that_cannot_even_start_says_what_mends_it(torn, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat", types.ModuleType("nbformat"))
    for name in ("build", "kernels", "run"):
        monkeypatch.delitem(sys.modules, f"course_utils.tools.{name}", raising=False)
    with pytest.raises(SystemExit, match="files are gone of: nbformat\nTo do: python3 -m course_utils setup"):
        importlib.import_module("course_utils.tools.run")
    monkeypatch.setattr(doctor, "damaged", lambda file: {})
    with pytest.raises(ImportError, match="nbformat"):  # a fault of another kind shows itself
        importlib.import_module("course_utils.tools.run")


def test_a_lesson_that_is_no_text_is_not_built(course, capsys):
    (course / "notebooks" / "source").mkdir()
    (course / "notebooks" / "source" / "01_x.py").write_bytes(b"# %%\n\xff\xfe\0")
    assert main(["build"], course) == 1
    said = capsys.readouterr().out
    assert "01_x.py cannot be read" in said and "git checkout --" in said


def test_a_lesson_that_cannot_be_built_for_want_of_room_is_named(course, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "01_x.ipynb")

    (course / "notebooks" / "source").mkdir()
    (course / "notebooks" / "source" / "01_x.py").write_text("# %%\nx = 1\n")
    monkeypatch.setattr(run, "build", full)
    assert main(["build"], course) == 1
    assert "No space left on device: '01_x.ipynb'" in capsys.readouterr().out


def test_run_with_a_number_runs_only_that_lesson_and_shows_its_memory(course, capsys):
    add(course, "01_big", "block = b'x' * 300_000_000\nimport time; time.sleep(1); del block")
    add(course, "02_broken", "x / 0")
    assert main(["run", "1"], course) == 0
    name, seconds, _, gigabytes, *_ = capsys.readouterr().out.split()
    assert name == "01_big" and 1 < float(seconds) < 600 and 0.3 < float(gigabytes) < 0.5


def test_an_unknown_lesson_is_one_clear_error(course, capsys):
    add(course, "01_fine", "x = 1")
    assert main(["run", "01", "7"], course) != 0
    said = capsys.readouterr()
    assert said.err == "There is no lesson 07.\nChoose from: 01.\n" and not said.out


@pytest.mark.parametrize("given", ["", " ", "abc", "-"])
def test_what_is_no_number_is_no_lesson(course, capsys, given):
    add(course, "00_fine", "x = 1")
    for words in (["run", "--", given], ["build", "--", given]):
        assert main(words, course) == 2
        assert capsys.readouterr().err.startswith(f"There is no lesson {given!r}.\nChoose from: ")


def test_a_course_without_lessons_says_so(course, capsys):
    assert main(["run"], course) != 0
    assert "No lesson was found" in capsys.readouterr().err


def test_lessons_are_grouped_by_number_and_checkpoints_are_no_lessons(course):
    for name in ("02_b", "01_lab", "01_topic", "notes"):
        add(course, name)
    (course / "notebooks" / ".ipynb_checkpoints").mkdir()
    add(course, ".ipynb_checkpoints/03_c")
    found = {number: [path.stem for path in paths] for number, paths in lessons(course).items()}
    assert found == {"01": ["01_topic", "01_lab"], "02": ["02_b"]}


def test_over_budget_is_shown():
    assert summary(Execution(seconds=89, peak=1_499_000_000)).endswith("ok")
    assert summary(Execution(seconds=91, peak=1_501_000_000)).endswith("budget: over 90 s, over 1.5 GB")


def is_alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system keeps no count of its own")
def test_no_peak_of_the_process_itself_is_too_short_to_be_seen():
    code = "block = b'x' * 300_000_000; del block; print('done', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"done\n"
    with MemoryWatch(process.pid, interval=60) as watch:
        pass
    process.communicate(b"\n")
    assert watch.peak > 300e6


def test_memory_of_the_children_is_counted_and_none_survives(tmp_path):
    child = "import time; block = b'x' * 200_000_000; print('ready', flush=True); time.sleep(600)"
    cells = (f"import subprocess, sys, time\ncode = {child!r}",
             "child = subprocess.Popen([sys.executable, '-c', code], stdout=-1, start_new_session=True)",
             "child.stdout.readline()\nblock = b'x' * 300_000_000",
             "print(child.pid)")
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    outcome = execute(notebook, tmp_path)
    assert outcome.failure is None and 0.5e9 < outcome.peak < 0.8e9
    assert not is_alive(int(notebook.cells[3].outputs[0].text))


def test_a_kernel_that_dies_is_a_failure(tmp_path):
    outcome = execute(v4.new_notebook(cells=[v4.new_code_cell("import os\nos._exit(1)")]), tmp_path)
    assert outcome.failure.cell == 1 and "died" in outcome.failure.message


def test_a_kernel_that_cannot_start_is_a_failure(tmp_path):
    outcome = execute(v4.new_notebook(), tmp_path, {"PYTHONHOME": str(tmp_path)})
    assert "did not start" in outcome.failure.message


def test_a_kernel_without_room_is_a_failure(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernels, "TemporaryDirectory", full)
    outcome = execute(v4.new_notebook(), tmp_path)
    assert outcome.failure.message == "The kernel did not start: [Errno 28] No space left on device"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_ends_the_kernel_and_leaves_nothing(course, tmp_path):
    marker, temporary = tmp_path / "pid", tmp_path / "temporary"
    temporary.mkdir()
    add(course, "01_long", f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))",
        "time.sleep(600)")
    before = snapshot(course)
    code = ("import sys, pathlib; from course_utils.tools.run import heed_signals, main; heed_signals(); "
            "sys.exit(main(['run'], pathlib.Path(sys.argv[1])))")
    process = subprocess.Popen([sys.executable, "-c", code, str(course)], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)})
    while not (marker.exists() and marker.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read() == "\nStopped; every kernel is closed.\n"
    assert not is_alive(int(marker.read_text()))
    assert snapshot(course) == before and not list(temporary.iterdir())
