"""The launcher as a new user meets it: an empty folder, and an index that may be slow, failing or held up."""

import ast
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import (
    LAUNCHER,
    NO_SERVER,
    PINS,
    ROOT,
    SET,
    assert_one_message,
    choice,
    course_python,
    finish,
    give_uv,
    launch,
    site_packages,
    variables,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops processes by POSIX signals")


def test_an_empty_folder_becomes_an_environment_and_only_a_change_installs_again(course, index):
    code, out, err = finish(launch(course, index, "setup"))
    assert code == 0, err
    assert "Making the environment" in out
    assert "Collecting alpha==1.0" in out  # progress is shown
    found = course_python(course, "import alpha, course_utils as c; print(alpha.VERSION, c.__file__)")
    assert found == f"1.0 {course / 'course_utils' / '__init__.py'}"

    code, out, err = finish(launch(course, None, "setup"))  # no index at all, and none is asked
    assert (code, out.splitlines()[0][:24], err) == (0, "The environment is ready", "")
    assert "Installing" not in out

    requirements = course / "requirements.txt"
    requirements.write_text(PINS.replace("alpha==1.0", "alpha==1.1"))
    assert finish(launch(course, index, "setup"))[0] == 0
    assert course_python(course, "import alpha; print(alpha.VERSION)") == "1.1"


@pytest.mark.slow
def test_progress_is_visible_while_a_slow_index_answers(with_pip, index):
    index.delay = 0.1
    gate = index.hold(index.add("alpha", "1.0"))
    process = launch(with_pip, index, "setup")
    lines = iter(process.stdout.readline, "")
    assert any("alpha" in line for line in lines)  # shown, while the wheel is still held back
    assert process.poll() is None
    gate.set()
    assert finish(process)[0] == 0


def test_an_index_out_of_reach_is_said_in_one_message_and_set_up_goes_on_later(with_pip, index):
    index.broken = True
    for failing in (index, None):  # one answers 500, the other is not there at all
        result = finish(launch(with_pip, failing, "setup"))
        assert_one_message(result, "package index cannot be reached", "again: python3 -m course_utils setup")
    index.broken = False
    assert finish(launch(with_pip, index, "setup"))[0] == 0


def test_a_version_that_the_index_lacks_is_named(with_pip, index):
    (with_pip / "requirements.txt").write_text("alpha==7.0\n")
    result = finish(launch(with_pip, index, "lab"))
    assert_one_message(result, "alpha==7.0", "again: python3 -m course_utils lab")


def test_ctrl_c_ends_quietly_and_the_next_start_completes(with_uv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    process = launch(with_uv, index, "setup")
    index.wait_for(wheel)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the launcher and to pip
    code, out, err = finish(process)
    assert code == 130, out + err
    assert "To go on: python3 -m course_utils setup" in out
    assert "Traceback" not in err
    gate.set()
    assert finish(launch(with_uv, index, "setup"))[0] == 0


def test_a_killed_launcher_leaves_its_installer_alone_with_the_environment(with_uv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    killed = launch(with_uv, index, "setup")
    index.wait_for(wheel)
    killed.kill()  # its pip goes on, and keeps the lock
    second = launch(with_uv, index, "setup")
    assert "Another set-up is at work" in second.stdout.readline()
    gate.set()
    code, _, err = finish(second)
    assert code == 0, err
    assert course_python(with_uv, "import alpha, torch") == ""
    finish(killed)


@pytest.mark.slow
def test_a_set_up_killed_at_any_moment_is_completed_by_the_next(course, index):
    """Kills fall into the making of the environment, into pip, and into the writing of packages."""
    chance, ended = random.Random(0), 0
    for kill in range(20):
        (course / "requirements.txt").write_text(PINS.replace("alpha==1.0", f"alpha==1.{kill % 2}"))
        process = launch(course, index, "setup")
        time.sleep(chance.uniform(0, 1 if (course / ".venv" / "course.stamp").exists() else 4))
        ended += process.poll() is not None
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert ended < 15, "hardly any was killed"
    (course / "requirements.txt").write_text(PINS)
    code, out, err = finish(launch(course, index, "setup"))
    assert code == 0, out + err
    assert course_python(course, TRACES) == "1.0 1.0"


def test_an_environment_that_was_cut_short_is_made_again(bare_venv):
    subprocess.run([bare_venv / "bin" / "python", "-m", "pip", "--version"], check=True)
    assert (bare_venv / "pyvenv.cfg").exists()


def test_two_at_once_install_once(with_uv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    first = launch(with_uv, index, "setup")
    index.wait_for(wheel)
    second = launch(with_uv, index, "setup")
    assert "Another set-up is at work" in second.stdout.readline()
    gate.set()
    (code, out, _), (code_2, out_2, _) = finish(first), finish(second)
    assert (code, code_2) == (0, 0)
    assert "Installing" in out
    assert "Installing" not in out_2


def test_a_missing_venv_module_names_debians_package(course, index):
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: n != 'ensurepip' and f(n)"
    result = finish(launch(course, index, "lab", before=hide))
    package = f"sudo apt install python3.{sys.version_info[1]}-venv"
    assert_one_message(result, package, "again: python3 -m course_utils lab")
    assert not (course / ".venv").exists()


@pytest.mark.parametrize(
    ("name", "ends_with", "advice"),
    [
        (None, 0, "Install Python 3.12, then run: python3.12 -m course_utils lab"),
        ("python3.13", 0, "Run: python3.13 -m course_utils lab"),
        ("python3.12", 127, "Install Python 3.12, then run: python3.12 -m course_utils lab"),  # a dead shim
    ],
)
def test_another_python_is_refused_and_one_that_will_do_is_named(course, index, name, ends_with, advice):
    env = variables(course, index)
    if name:
        shim = Path(env["PATH"]) / name
        shim.write_text(f"#!/bin/sh\nexit {ends_with}\n")
        shim.chmod(0o755)
    old = "sys.version_info, sys.version = (3, 9, 6, 'final', 0), '3.9.6 (default)'"
    assert_one_message(finish(launch(course, index, "lab", before=old)), "This is Python 3.9.6", advice)
    assert not (course / ".venv").exists()


@pytest.mark.parametrize("module", LAUNCHER[:-1])
def test_old_pythons_can_read_the_launcher(module):
    source = (ROOT / "course_utils" / module).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "course_utils"}
    assert len(source.splitlines()) <= 250


# What Python 2.7 cannot read, by the names of its syntax and of the fields in which it stands.
TOO_NEW = (ast.JoinedStr, ast.AnnAssign, ast.Nonlocal, ast.YieldFrom, ast.AsyncFunctionDef, ast.Await, ast.MatMult,
           ast.NamedExpr, ast.Match, ast.TryStar)  # fmt: skip


def newer_than_2(node):
    stars = isinstance(node, (ast.Set, ast.List, ast.Tuple)) and any(isinstance(e, ast.Starred) for e in node.elts)
    typed = getattr(node, "annotation", None) or getattr(node, "returns", None) or getattr(node, "kwonlyargs", None)
    caused = isinstance(node, ast.Raise) and node.cause
    merged = isinstance(node, ast.Dict) and None in node.keys
    return isinstance(node, TOO_NEW) or stars or typed or caused or merged


@pytest.mark.parametrize(("text", "new"), [
    ("f'{x}'", True), ("def f(x: int): pass", True), ("def f() -> int: pass", True), ("{*a}", True), ("{**a}", True),
    ("def f(*, a): pass", True), ("raise A from b", True), ("f(*a, b=1)", False), ("'{}'.format(x)", False),
])  # fmt: skip
def test_the_look_for_new_syntax_sees_it(text, new):
    assert any(newer_than_2(node) for node in ast.walk(ast.parse(text))) is new


def test_python_2_gets_a_sentence():
    """The package's face, which comes before the launcher, can be read by it and ends there."""
    source = (ROOT / "course_utils" / "__init__.py").read_text(encoding="ascii")
    assert not [ast.unparse(node) for node in ast.walk(ast.parse(source)) if newer_than_2(node)]
    first = ast.parse(source).body[1:3]
    assert [ast.unparse(first[0]), ast.unparse(first[1].test)] == ["import sys", "sys.version_info < (3, 6)"]
    old = "import sys; sys.version_info, sys.version = (2, 7, 18, 'final', 0), '2.7.18 (default)'; import course_utils"
    done = subprocess.run([sys.executable, "-c", old], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines() == [
        "This is Python 2.7.18, and the course needs 3.11, 3.12 or 3.13.",
        "Start it with one of those, as: python3.12 -m course_utils lab",
    ]


def test_a_folder_that_cannot_be_written_to_is_said_with_a_next_step(course, index):
    refuse = "import builtins, errno; real = open\ndef no(name, *more, **named):\n"
    refuse += "    if str(name).endswith('.setup.lock'): raise OSError(errno.EROFS, 'Read-only file system')\n"
    refuse += "    return real(name, *more, **named)\nbuiltins.open = no"
    result = finish(launch(course, index, "lab", before=refuse))
    assert_one_message(result, f"Nothing can be written to {course} (Read-only file system)", "Copy the whole course",
                       "again: python3 -m course_utils lab")  # fmt: skip
    (course / "requirements.txt").unlink()
    assert_one_message(finish(launch(course, index, "run")), "requirements.txt", "again: python3 -m course_utils run")


def test_a_full_disk_is_said_before_anything_is_written(course, index):
    full = "import shutil, types; shutil.disk_usage = lambda path: types.SimpleNamespace(free=2**28)"
    result = finish(launch(course, index, "lab", before=full))
    assert_one_message(result, "The disk is full: 0.25 GB free", "again: python3 -m course_utils lab")
    assert not (course / ".venv").exists()


def test_a_disk_that_fills_while_installing_is_said_in_one_message(with_pip, index):
    """pip's own words for a full disk, which it meets on writing alpha."""
    (site_packages(with_pip / ".venv") / "sitecustomize.py").write_text(
        "import builtins\nreal = open\n"
        "def open(file, mode='r', *more, **named):\n"
        "    if 'alpha' in str(file) and 'w' in mode and str(file).endswith('__init__.py'):\n"
        "        raise OSError(28, 'No space left on device')\n"
        "    return real(file, mode, *more, **named)\n"
        "builtins.open = open\n"
    )
    result = finish(launch(with_pip, index, "setup"))
    assert_one_message(result, "The disk is full", "What is installed already")


def test_only_an_environment_meant_for_work_is_used(course, tmp_path):
    conda, root, plain = tmp_path / "conda" / "envs" / "work", tmp_path / "conda", tmp_path / "usr"
    for folder in (conda / "conda-meta", root / "conda-meta", root / "condabin", plain):
        folder.mkdir(parents=True)
    own = str(course / ".venv")
    assert choice(course, conda, CONDA_DEFAULT_ENV="work") == str(conda)
    assert choice(course, root, CONDA_DEFAULT_ENV="base") == own
    assert choice(course, root) == own  # conda's base, not activated
    assert choice(course, conda, CONDA_DEFAULT_ENV="base") == own  # a base without condabin, as micromamba's
    assert choice(course, plain, CONDA_DEFAULT_ENV="work") == own  # a conda is active, not this Python's
    assert choice(course, plain, container="docker") == own
    assert choice(course, plain, NB_PYTHON_PREFIX=str(plain)) == str(plain)  # Binder
    assert choice(course, plain, COLAB_RELEASE_TAG="release-1") == str(plain)


def test_an_active_virtual_environment_is_used_as_it_is(course, index, bare_venv, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(bare_venv, mine, symlinks=True)
    give_uv(mine)
    words = [mine / "bin" / "python", "-m", "course_utils", "setup"]
    subprocess.run(words, cwd=course, env=variables(course, index), check=True, capture_output=True)
    assert not (course / ".venv").exists()
    subprocess.run([mine / "bin" / "python", "-c", "import alpha, course_utils"], cwd="/", check=True)


def test_what_is_started_gets_words_code_and_settings(ready, index):
    code, out, _ = finish(launch(ready, None, "run", "00", "01", EXIT_WITH="7", COURSE_DATA_DIR="../data"))
    assert code == 7
    assert "STARTED run 00 01" in out
    assert f"COURSE_DATA_DIR={ready / '../data'}" in out
    _, out, _ = finish(launch(ready, None, "run", COURSE_DATA_DIR="~nobody-has-this-name/data"))
    assert "~nobody-has-this-name/data" in out  # which the course has a sentence for
    assert f"PATH={ready / '.venv' / 'bin'}{os.pathsep}" in out
    assert f"JUPYTER_PATH={ready / '.venv' / 'share' / 'jupyter'}" in out

    out = finish(launch(ready, None, "lab", "--no-browser"))[1]
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in out
    assert "--ip=127.0.0.1" in out
    assert out.split("IN ")[0].rstrip().endswith("--no-browser")
    out = finish(launch(ready, None, "lab", "--ServerApp.ip=0.0.0.0"))[1]
    assert "127.0.0.1" not in out  # Jupyter refuses an option that is given twice

    assert "simple/pytest" not in index.seen  # what only tests need comes with `test`
    out = finish(launch(ready, index, "test", "-k", "launcher"))[1]
    assert "simple/pytest" in index.seen
    assert "STARTED -n2 --dist=loadfile -k launcher" in out
    assert "STARTED -n2 --dist=loadfile --all" in finish(launch(ready, None, "test", "--all"))[1]
    index.seen.clear()
    assert "STARTED" in finish(launch(ready, None, "lab"))[1]  # and does not make the rest install again


def test_a_ready_environment_serves_whatever_python_starts_it(ready):
    new = "sys.version_info = (3, 99, 0, 'final', 0)"
    assert "STARTED run" in finish(launch(ready, None, "run", before=new))[1]


def test_help_at_each_level_installs_nothing(course):
    overview = finish(launch(course, None, "--help"))
    assert overview[0] == 0
    commands = [line.split()[0] for line in overview[1].splitlines()[2:]]
    assert set(commands) >= {"setup", "lab", "run", "test", "build", "pretrain", "recompute", "handout", "doctor"}
    for command in commands:
        code, out, err = finish(launch(course, None, command, "--help"))
        assert (code, err) == (0, "")
        assert command in out and "Further words" in out
    assert finish(launch(course, None, "setup", "twice"))[0] == 2
    code, out, _ = finish(launch(course, None, "labb"))
    assert code == 2 and "no command 'labb'" in out
    assert finish(launch(course, None))[0] == 2
    assert not (course / ".venv").exists()


def test_the_doctor_has_a_lost_package_installed_again(ready, index):
    stamp = ready / ".venv" / "course.stamp"
    python = ready / ".venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "alpha"], check=True)
    code, out, _ = finish(launch(ready, None, "doctor"))
    assert code == 1
    assert "alpha" in out
    assert not stamp.exists()
    assert finish(launch(ready, index, "setup"))[0] == 0
    assert course_python(ready, "import alpha") == ""


# ---- what became of a finished set-up

TRACES = "import alpha, beta, torch; print(alpha.VERSION, beta.VERSION)"


def test_a_finished_set_up_that_was_damaged_is_mended_by_the_next(ready, index):
    """By `setup` where packages have lost files; by any command where the environment itself is none any more."""
    venv, site = ready / ".venv", site_packages(ready / ".venv")
    assert course_python(ready, TRACES) == "1.0 1.0"  # beta in the version of the exact set, not the newest

    (site / "beta" / "__init__.py").unlink()
    shutil.rmtree(site / "torch")
    code, out, err = finish(launch(ready, None, "doctor"))
    assert code == 1 and "Traceback" not in err
    assert "MISSING: files are gone of: beta, torch" in out and "To do: python3 -m course_utils setup" in out
    (venv / "course.stamp").write_bytes(b"\xff\xfe\0garbage")
    assert finish(launch(ready, index, "setup"))[0] == 0
    assert course_python(ready, TRACES) == "1.0 1.0"

    shutil.rmtree(site / "beta")  # without the doctor
    code, out, err = finish(launch(ready, index, "setup"))
    assert code == 0 and "Files are missing of beta: to be installed again." in out, err
    assert course_python(ready, TRACES) == "1.0 1.0"

    python = venv / "bin" / "python"
    python.unlink()
    python.write_text("")  # as where a copy lost the rights of its files
    code, _, err = finish(launch(ready, None, "run"))
    assert code and "cannot be started" in err and "course_utils setup" in err and "Traceback" not in err
    code, out, err = finish(launch(ready, index, "setup", TORCH_URL=NO_SERVER))
    assert code == 0 and course_python(ready, TRACES) == "1.0 1.0", err

    (venv / "pyvenv.cfg").unlink()
    code, out, _ = finish(launch(ready, None, "doctor"))
    assert code == 1 and "To do: python3 -m course_utils setup" in out
    code, out, err = finish(launch(ready, index, "setup", TORCH_URL=NO_SERVER))
    assert code == 0 and "Making the environment" in out, err
    assert course_python(ready, TRACES) == "1.0 1.0"


def test_where_the_exact_set_cannot_be_had_the_pins_must_do(with_uv, index):
    (with_uv / "constraints.txt").write_text(SET.replace("beta==1.0", "beta==3.0"))
    code, out, err = finish(launch(with_uv, index, "setup"))
    assert code == 0, err
    assert "The exact set of constraints.txt cannot be installed here: trying without it." in out
    assert course_python(with_uv, TRACES) == "1.0 1.1"
    (with_uv / "constraints.txt").write_text(SET)  # a change of it installs again
    assert finish(launch(with_uv, index, "run"))[0] == 0
    assert course_python(with_uv, TRACES) == "1.0 1.0"


# ---- torch, through uv

TORCH = "import importlib.metadata as m; print(m.version('torch'), m.version('alpha'))"
linux_without_gpu = pytest.mark.skipif(
    not sys.platform.startswith("linux") or Path("/proc/driver/nvidia/version").exists(),
    reason="processor builds are asked for on Linux without an NVIDIA driver",
)


@linux_without_gpu
def test_uv_takes_torchs_processor_builds_and_keeps_them(with_uv, index):
    code, out, err = finish(launch(with_uv, index, "setup"))
    assert code == 0, err
    assert "pip, which is slower" not in out, err
    assert course_python(with_uv, TORCH) == "9.9+cpu 1.0"
    assert "simple/torch-9.9-py3-none-any.whl" not in index.seen  # the big build was never fetched

    (with_uv / "requirements.txt").write_text(PINS.replace("alpha==1.0", "alpha==1.1"))
    assert finish(launch(with_uv, index, "setup"))[0] == 0
    assert course_python(with_uv, TORCH) == "9.9+cpu 1.1"

    moved = with_uv.rename(with_uv.parent / "moved")  # a moved folder is put right, without any network
    code, out, err = finish(launch(moved, None, "setup"))
    assert code == 0, err
    assert course_python(moved, "import course_utils; print(course_utils.__file__)").startswith(str(moved))


@linux_without_gpu
def test_an_unreachable_torch_index_is_tried_once(with_uv, index):
    assert finish(launch(with_uv, index, "setup", TORCH_URL=NO_SERVER))[0] == 0
    assert course_python(with_uv, TORCH) == "9.9 1.0"
    calls = (with_uv.parent / "uv calls").read_text().splitlines()
    assert len([call for call in calls if "--torch-backend" in call]) == 1


def test_an_index_that_uv_cannot_use_is_left_to_pip(with_uv, index):
    """pip's own configuration names the index; uv does not read that."""
    code, out, _ = finish(launch(with_uv, index, "setup", UV_DEFAULT_INDEX=NO_SERVER, TORCH_URL=NO_SERVER))
    assert code == 0
    assert "going on with pip" in out
    assert course_python(with_uv, TORCH) == "9.9 1.0"
