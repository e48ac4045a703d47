"""How the launcher is tried: a course of a few small packages, and an index on this machine.

The fixtures reach the tests through conftest.py.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from local_index import LocalIndex, wheel

from course_utils.tools.installing import UV

ROOT = Path(__file__).resolve().parent.parent
BASE_PYTHON = sys._base_executable  # the Python beneath the environment that runs the tests
PINS = "# for the tests\nalpha==1.0  # a package\njupyterlab==1.0\ntorch==9.9\ntorchvision==9.9\n"
SET = "# the exact set\nbeta==1.0\npytest==1.0\ntorch==9.9\ntorchvision==9.9\n"  # beta comes with alpha
LAUNCHER = ("__init__.py", "__main__.py", "tools/__init__.py", "tools/installing.py", "tools/packages.py")
NO_SERVER = "http://127.0.0.1:9/simple"  # nothing listens there
MINUTE = 60

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
# Stands where uv would be: notes each call, and starts the real uv. The index that --torch-backend means lies
# on the network, so this takes the one named by TORCH_URL in its place.
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
        index.add("alpha", version, needs=("beta",))
        index.add("beta", version)
    for name in ("torch", "torchvision"):
        index.add(name, "9.9")
    index.add("jupyterlab", "1.0", {"jupyterlab/__init__.py": "", "jupyterlab/__main__.py": TOLD})
    for name in ("torch", "torchvision"):
        index.add(name, "9.9+cpu", where="torch")
    index.add("pytest", "1.0", {"pytest/__init__.py": "", "pytest/__main__.py": TOLD})
    yield index
    index.close()


@pytest.fixture
def course(tmp_path):
    """A fresh clone of the launcher, with a few small packages to install in place of the course's own."""
    course = tmp_path / "a course für 学"  # people do have spaces and letters of their own in their paths
    (course / "course_utils" / "tools").mkdir(parents=True)
    for name in (*LAUNCHER, "errors.py", "tools/doctor.py"):
        shutil.copy(ROOT / "course_utils" / name, course / "course_utils" / name)
    (course / "course_utils" / "tools" / "run.py").write_text(TOLD)
    (course / "requirements.txt").write_text(PINS)
    (course / "constraints.txt").write_text(SET)
    (course / "tests").mkdir()
    (course / "tests" / "requirements.txt").write_text("pytest==1.0\n")
    (course / "pyproject.toml").write_text(PYPROJECT)
    (course / "backend.py").write_text(BACKEND.format(tests=str(ROOT / "tests")))
    return course


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory):
    """An environment with pip alone, made by the launcher where one was cut short; copied by the tests."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copytree(ROOT / "course_utils", folder / "course_utils")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(BASE_PYTHON)  # no pip, no configuration yet
    code = "import course_utils.__main__ as m; m.make_venv(str(m.VENV / 'bin' / 'python'))"
    subprocess.run([BASE_PYTHON, "-c", code], cwd=folder, check=True)
    return folder / ".venv"


@pytest.fixture
def with_pip(course, bare_venv):
    """A course whose `.venv` has pip alone; its index has no uv."""
    shutil.copytree(bare_venv, course / ".venv", symlinks=True)
    return course


@pytest.fixture
def with_uv(with_pip):
    """A course whose `.venv` has uv already."""
    give_uv(with_pip / ".venv")
    return with_pip


def give_uv(venv: Path) -> None:
    """Put a uv into an environment: the real one, behind the stand-in."""
    pytest.importorskip("uv")
    content = wheel(*UV.split("=="), {"uv/__init__.py": "", "uv/__main__.py": STAND_IN})
    zipfile.ZipFile(io.BytesIO(content)).extractall(site_packages(venv))


def site_packages(venv: Path) -> Path:
    return next(venv.glob("lib/python3*/site-packages"))


def variables(course: Path, index: LocalIndex | None, **more: str) -> dict[str, str]:
    """The environment of someone with a home of their own and nothing else, whose index is `index`."""
    (course.parent / "bin").mkdir(exist_ok=True)
    url, torch_url = (index.url, index.torch_url) if index else [NO_SERVER] * 2
    env = {
        "HOME": str(course.parent), "PATH": str(course.parent / "bin"), "TMPDIR": str(course.parent),
        "PIP_INDEX_URL": url, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": "0", "UV_DEFAULT_INDEX": url, "UV_NO_CONFIG": "1", "UV_HTTP_RETRIES": "0",
        "TORCH_URL": torch_url, "UV_CALLS": str(course.parent / "uv calls"), "NO_PROXY": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    with contextlib.suppress(ImportError):
        import uv

        env["REAL_UV"] = uv.find_uv_bin()
    return {**env, **more}


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
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which would come first
    return subprocess.check_output([python, "-c", code], cwd="/", env=env, text=True).strip()


def assert_one_message(result: tuple[int, str, str], *parts: str) -> None:
    """The launcher stopped with code 1 and, last, a message of at most three lines that holds `parts`."""
    code, _, err = result
    message = "\n".join(err.strip().splitlines()[-3:])
    assert code == 1, result
    assert "Traceback" not in err
    for part in parts:
        assert part in message, err


@pytest.fixture
def ready(with_uv, index):
    """A course that is set up."""
    assert finish(launch(with_uv, index, "setup"))[0] == 0
    index.seen.clear()
    return with_uv


def choice(course: Path, prefix: Path, **more: str) -> str:
    """The environment that the launcher chooses for a Python whose prefix is `prefix`."""
    code = f"import sys; sys.prefix = sys.base_prefix = {str(prefix)!r}; sys.path.insert(0, '')\n"
    code += "from course_utils.__main__ import environment; print(environment()[0])"
    env = variables(course, None, **more)
    return subprocess.check_output([BASE_PYTHON, "-c", code], cwd=course, env=env, text=True).strip()
