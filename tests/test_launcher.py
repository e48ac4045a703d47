"""The launcher as a new user meets it: an empty folder, and an index that may be slow, failing or held up."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_index import LocalIndex

from course_utils.__main__ import UV

ROOT = Path(__file__).resolve().parent.parent
BASE_PYTHON = sys._base_executable  # the Python beneath the environment that runs the tests
PINS = "# for the tests\nalpha==1.0  # a package\njupyterlab==1.0\ntorch==9.9\ntorchvision==9.9\n"
MINUTE = 60

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops processes by POSIX signals")

# A build backend in the folder itself, so that the editable install needs nothing from the index.
PYPROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """import os, sys
sys.path.insert(0, {tests!r})
from local_index import wheel

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "course-1.0-py3-none-any.whl"
    with open(os.path.join(folder, name), "wb") as file:
        file.write(wheel("course", "1.0", {{"course.pth": os.getcwd() + "\\n"}}))
    return name

build_wheel = build_editable
"""
# What the launcher starts: tells how it was started, and ends with the code it is told.
TOLD = """import os, sys
names = ("COURSE_DATA_DIR", "PATH", "JUPYTER_PATH")
print("STARTED", *sys.argv[1:])
print("IN", os.getcwd())
print(*(f"{name}={os.environ.get(name)}" for name in names), sep="\\n")
sys.exit(int(os.environ.get("EXIT_WITH", "0")))
"""
# Stands where uv would be in the index: notes each call, and starts the real uv. The index that uv takes for
# --torch-backend is on the network, so this takes the one named by TORCH_URL in its place.
STAND_IN = """import os, sys
words = sys.argv[1:]
with open(os.environ["UV_CALLS"], "a") as file:
    file.write(" ".join(words) + chr(10))
if "--torch-backend" in words:
    at = words.index("--torch-backend")
    del words[at : at + 2]
    os.environ["UV_INDEX"] = os.environ["TORCH_URL"]
os.execv(os.environ["REAL_UV"], ["uv", *words])
"""


@pytest.fixture
def index():
    index = LocalIndex()
    for version in ("1.0", "1.1"):
        index.add("alpha", version)
    for name in ("torch", "torchvision"):
        index.add(name, "9.9")
    index.add("jupyterlab", "1.0", {"jupyterlab/__init__.py": "", "jupyterlab/__main__.py": TOLD})
    index.add("pytest", "1.0", {"pytest/__init__.py": "", "pytest/__main__.py": TOLD})
    yield index
    index.close()


@pytest.fixture
def course(tmp_path):
    """A fresh clone of the launcher, with a few small packages to install in place of the course's own."""
    course = tmp_path / "a course"  # people do have spaces in their paths
    (course / "course_utils").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "doctor.py", "errors.py"):
        shutil.copy(ROOT / "course_utils" / name, course / "course_utils")
    (course / "course_utils" / "notebooks.py").write_text(TOLD)
    (course / "requirements.txt").write_text(PINS)
    (course / "tests").mkdir()
    (course / "tests" / "requirements.txt").write_text("pytest==1.0\n")
    (course / "pyproject.toml").write_text(PYPROJECT)
    (course / "backend.py").write_text(BACKEND.format(tests=str(ROOT / "tests")))
    return course


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory):
    """An environment with pip alone, made once: copying it is quicker than making another."""
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([BASE_PYTHON, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def with_venv(course, bare_venv):
    shutil.copytree(bare_venv, course / ".venv", symlinks=True)
    return course


def variables(course: Path, index: LocalIndex | None, **more: str) -> dict[str, str]:
    """The environment of someone with a home of their own and nothing else, whose index is `index`."""
    (course.parent / "bin").mkdir(exist_ok=True)
    url = index.url if index else "http://127.0.0.1:9/simple"  # nothing listens there
    return {
        "HOME": str(course.parent), "PATH": str(course.parent / "bin"), "TMPDIR": str(course.parent),
        "PIP_INDEX_URL": url, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_DEFAULT_INDEX": url, "UV_NO_CONFIG": "1", "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1",
        **more,
    }  # fmt: skip


def launch(course: Path, index: LocalIndex | None, *words: str, before="", **more: str) -> subprocess.Popen:
    """Start `python3 -m course_utils words`, after the lines `before`.

    The interpreter is told that it is in no environment, so that no test can install into a real one.
    """
    code = f"import sys, runpy; sys.prefix = sys.base_prefix = {str(course.parent)!r}\n{before}\n"
    code += "sys.argv = ['course_utils', *sys.argv[1:]]; sys.path.insert(0, '')\n"
    code += "runpy.run_module('course_utils', run_name='__main__')"
    return subprocess.Popen(
        [BASE_PYTHON, "-c", code, *words], cwd=course, env=variables(course, index, **more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """The exit code, output and errors of what was launched."""
    out, err = process.communicate(timeout=2 * MINUTE)
    return process.returncode, out, err


def course_python(course: Path, code: str) -> str:
    """What a line of Python prints in the course's environment, started elsewhere."""
    python = course / ".venv" / "bin" / "python"
    return subprocess.check_output([python, "-c", code], cwd="/", text=True).strip()


def assert_one_message(result: tuple[int, str, str], *parts: str) -> None:
    """The launcher stopped with code 1 and, last, a message of at most three lines that holds `parts`."""
    code, _, err = result
    message = "\n".join(err.strip().splitlines()[-3:])
    assert code == 1, result
    assert "Traceback" not in err
    for part in parts:
        assert part in message, err


def test_an_empty_folder_becomes_an_environment_and_only_a_change_installs_again(course, index):
    code, out, err = finish(launch(course, index, "setup"))
    assert code == 0, err
    assert "Making the environment" in out
    assert "Collecting alpha==1.0" in out  # progress is shown
    found = course_python(course, "import alpha, course_utils as c; print(alpha.VERSION, c.__file__)")
    assert found == f"1.0 {course / 'course_utils' / '__init__.py'}"

    index.seen.clear()
    began = time.monotonic()
    code, out, err = finish(launch(course, None, "setup"))
    assert (code, out.splitlines()[0][:24], err) == (0, "The environment is ready", "")
    assert "Installing" not in out
    assert time.monotonic() - began < 3

    requirements = course / "requirements.txt"
    requirements.write_text(PINS.replace("alpha==1.0", "alpha==1.1"))
    assert finish(launch(course, index, "setup"))[0] == 0
    assert course_python(course, "import alpha; print(alpha.VERSION)") == "1.1"


def test_progress_is_visible_while_a_slow_index_answers(with_venv, index):
    index.delay = 0.3
    gate = index.hold(index.add("alpha", "1.0"))
    process = launch(with_venv, index, "setup")
    lines = iter(process.stdout.readline, "")
    assert any("alpha" in line for line in lines)  # shown, while the wheel is still held back
    assert process.poll() is None
    gate.set()
    assert finish(process)[0] == 0


@pytest.mark.parametrize("kind", ["answers 500", "no server"])
def test_an_index_out_of_reach_is_said_in_one_message_and_set_up_goes_on_later(with_venv, index, kind):
    index.broken = True
    result = finish(launch(with_venv, index if kind == "answers 500" else None, "setup"))
    assert_one_message(result, "package index cannot be reached", "again: python3 -m course_utils setup")
    index.broken = False
    assert finish(launch(with_venv, index, "setup"))[0] == 0


def test_a_version_that_the_index_lacks_is_named(with_venv, index):
    (with_venv / "requirements.txt").write_text("alpha==7.0\n")
    result = finish(launch(with_venv, index, "lab"))
    assert_one_message(result, "alpha==7.0", "again: python3 -m course_utils lab")


def test_ctrl_c_ends_quietly_and_the_next_start_completes(with_venv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    process = launch(with_venv, index, "setup")
    index.wait_for(wheel)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the launcher and to pip
    code, out, err = finish(process)
    assert code == 130
    assert "To go on: python3 -m course_utils setup" in out
    assert "Traceback" not in err
    gate.set()
    assert finish(launch(with_venv, index, "setup"))[0] == 0


def test_a_killed_launcher_leaves_its_installer_alone_with_the_environment(with_venv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    killed = launch(with_venv, index, "setup")
    index.wait_for(wheel)
    killed.kill()  # its pip goes on, and keeps the lock
    second = launch(with_venv, index, "setup")
    assert "Another set-up is at work" in second.stdout.readline()
    gate.set()
    code, _, err = finish(second)
    assert code == 0, err
    assert course_python(with_venv, "import alpha, torch") == ""
    killed.communicate(timeout=MINUTE)


def test_an_environment_that_was_cut_short_is_made_again(course, index):
    (course / ".venv" / "bin").mkdir(parents=True)
    (course / ".venv" / "bin" / "python").symlink_to(BASE_PYTHON)  # no pip, no configuration
    assert finish(launch(course, index, "setup"))[0] == 0
    assert course_python(course, "import alpha; print(alpha.VERSION)") == "1.0"


def test_two_at_once_install_once(with_venv, index):
    wheel = index.add("alpha", "1.0")
    gate = index.hold(wheel)
    first = launch(with_venv, index, "setup")
    index.wait_for(wheel)
    second = launch(with_venv, index, "setup")
    assert "Another set-up is at work" in second.stdout.readline()
    gate.set()
    assert [finish(first)[0], finish(second)[0]] == [0, 0]
    assert index.seen.count(wheel) == 1


def test_a_missing_venv_module_names_debians_package(course, index):
    hide = "import importlib.util as u; u.find_spec = lambda name: name != 'ensurepip' or None"
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


@pytest.mark.parametrize("module", ["__init__.py", "__main__.py"])
def test_old_pythons_can_read_the_launcher(module):
    source = (ROOT / "course_utils" / module).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
    assert len(source.splitlines()) < 250


def test_a_full_disk_is_said_before_anything_is_written(course, index):
    full = "import shutil, types; shutil.disk_usage = lambda path: types.SimpleNamespace(free=2**28)"
    result = finish(launch(course, index, "lab", before=full))
    assert_one_message(result, "The disk is full: 0.25 GB free", "again: python3 -m course_utils lab")
    assert not (course / ".venv").exists()


def test_a_disk_that_fills_while_installing_is_said_in_one_message(with_venv, index):
    """pip's own words for a full disk, which it meets on writing alpha."""
    site = next((with_venv / ".venv" / "lib").glob("python3*/site-packages"))
    (site / "sitecustomize.py").write_text(
        "import builtins\nreal = open\n"
        "def open(file, mode='r', *more, **named):\n"
        "    if 'alpha' in str(file) and 'w' in mode and str(file).endswith('__init__.py'):\n"
        "        raise OSError(28, 'No space left on device')\n"
        "    return real(file, mode, *more, **named)\n"
        "builtins.open = open\n"
    )
    result = finish(launch(with_venv, index, "setup"))
    assert_one_message(result, "The disk is full", "What is installed already")


def choice(course: Path, prefix: Path, **more: str) -> str:
    """The environment that the launcher chooses for a Python whose prefix is `prefix`."""
    code = f"import sys; sys.prefix = sys.base_prefix = {str(prefix)!r}; sys.path.insert(0, '')\n"
    code += "from course_utils.__main__ import environment; print(environment()[0])"
    env = variables(course, None, **more)
    return subprocess.check_output([BASE_PYTHON, "-c", code], cwd=course, env=env, text=True).strip()


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
    assert choice(course, plain, KUBERNETES_SERVICE_HOST="10.0.0.1", container="docker") == own
    assert choice(course, plain, NB_PYTHON_PREFIX=str(plain)) == str(plain)  # Binder
    assert choice(course, plain, COLAB_RELEASE_TAG="release-1") == str(plain)


def test_an_active_virtual_environment_is_used_as_it_is(course, index, bare_venv, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(bare_venv, mine, symlinks=True)
    words = [mine / "bin" / "python", "-m", "course_utils", "setup"]
    subprocess.run(words, cwd=course, env=variables(course, index), check=True, capture_output=True)
    assert not (course / ".venv").exists()
    subprocess.run([mine / "bin" / "python", "-c", "import alpha, course_utils"], cwd="/", check=True)


@pytest.fixture
def ready(with_venv, index):
    """A course that is set up."""
    assert finish(launch(with_venv, index, "setup"))[0] == 0
    index.seen.clear()
    return with_venv


def test_what_is_started_gets_words_code_and_settings(ready, index):
    code, out, _ = finish(launch(ready, None, "run", "00", "01", EXIT_WITH="7", COURSE_DATA_DIR="../data"))
    assert code == 7
    assert "STARTED run 00 01" in out
    assert f"COURSE_DATA_DIR={ready / '../data'}" in out
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
    index.seen.clear()
    assert "STARTED" in finish(launch(ready, None, "lab"))[1]  # and does not make the rest install again


def test_a_ready_environment_serves_whatever_python_starts_it(ready):
    new = "sys.version_info = (3, 99, 0, 'final', 0)"
    assert "STARTED run" in finish(launch(ready, None, "run", before=new))[1]


def test_help_at_each_level_installs_nothing(course):
    overview = finish(launch(course, None, "--help"))
    assert overview[0] == 0
    commands = [line.split()[0] for line in overview[1].splitlines()[2:]]
    assert set(commands) >= {"setup", "lab", "run", "test", "build", "pretrain", "recompute", "doctor"}
    for command in commands:
        code, out, err = finish(launch(course, None, command, "--help"))
        assert (code, err) == (0, "")
        assert command in out and "Further words" in out
    assert finish(launch(course, None, "setup", "twice"))[0] == 2
    code, out, _ = finish(launch(course, None, "labb"))
    assert code == 2 and "no command 'labb'" in out
    assert finish(launch(course, None))[0] == 2
    assert not (course / ".venv").exists()


# ---- through uv, the real one

TORCH = "import importlib.metadata as m; print(m.version('torch'), m.version('alpha'))"


@pytest.fixture
def uv(with_venv, index, tmp_path):
    """The variables with which the index has a uv."""
    from uv import find_uv_bin

    index.add(*UV.split("=="), {"uv/__init__.py": "", "uv/__main__.py": STAND_IN})
    for name in ("torch", "torchvision"):
        index.add(name, "9.9+cpu", where="torch")
    log = tmp_path / "calls"
    return {"REAL_UV": find_uv_bin(), "UV_CALLS": str(log), "TORCH_URL": index.torch_url}


linux_without_gpu = pytest.mark.skipif(
    not sys.platform.startswith("linux") or Path("/proc/driver/nvidia/version").exists(),
    reason="processor builds are asked for on Linux without an NVIDIA driver",
)


@linux_without_gpu
def test_uv_takes_torchs_processor_builds_and_keeps_them(with_venv, index, uv):
    code, out, err = finish(launch(with_venv, index, "setup", **uv))
    assert code == 0, err
    assert "pip, which is slower" not in out
    assert course_python(with_venv, TORCH) == "9.9+cpu 1.0"
    assert "simple/torch-9.9-py3-none-any.whl" not in index.seen  # the big build was never fetched

    (with_venv / "requirements.txt").write_text(PINS.replace("alpha==1.0", "alpha==1.1"))
    assert finish(launch(with_venv, index, "setup", **uv))[0] == 0
    assert course_python(with_venv, TORCH) == "9.9+cpu 1.1"

    moved = with_venv.rename(with_venv.parent / "moved")  # a moved folder is put right, without any network
    code, out, err = finish(launch(moved, None, "setup", **uv))
    assert code == 0, err
    assert course_python(moved, "import course_utils; print(course_utils.__file__)").startswith(str(moved))


@linux_without_gpu
def test_an_unreachable_torch_index_is_tried_once(with_venv, index, uv):
    uv["TORCH_URL"] = "http://127.0.0.1:9/torch"
    began = time.monotonic()
    assert finish(launch(with_venv, index, "setup", **uv))[0] == 0
    assert time.monotonic() - began < 20
    assert course_python(with_venv, TORCH) == "9.9 1.0"
    calls = Path(uv["UV_CALLS"]).read_text().splitlines()
    assert len([call for call in calls if "--torch-backend" in call]) == 1


def test_an_index_that_uv_cannot_use_is_left_to_pip(with_venv, index, uv):
    """pip's own configuration names the index; uv does not read that."""
    uv["UV_DEFAULT_INDEX"] = uv["TORCH_URL"] = "http://127.0.0.1:9/simple"
    code, out, _ = finish(launch(with_venv, index, "setup", UV_HTTP_RETRIES="0", **uv))
    assert code == 0
    assert "going on with pip" in out
    assert course_python(with_venv, TORCH) == "9.9 1.0"


# ---- the doctor


def test_the_doctor_comes_before_any_set_up(course):
    code, out, _ = finish(launch(course, None, "doctor"))
    assert code == 1
    assert "Packages    MISSING: " in out
    assert "To do: python3 -m course_utils setup" in out
    assert "does not answer" in out  # the network, which is not among what is missing
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
    assert course_python(ready, TORCH) == "9.9 1.0"
