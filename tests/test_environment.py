"""The files that describe the environment agree with each other and with what the code imports."""

import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import course_utils
from course_utils.__main__ import SUPPORTED
from course_utils.data.letters import _PACKAGES
from course_utils.tools.installing import UV

ROOT = Path(__file__).resolve().parent.parent
LESSONS, TESTS = ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"
EXACT = ROOT / "constraints.txt"
# module -> package, where their names differ
PACKAGE_OF = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
# Packages that come with a pinned one: what they are imported for is part of it.
COMES_WITH = {
    "filelock": "torch", "huggingface-hub": "timm", "ipython": "ipykernel", "jupyter-core": "jupyter-client",
    "pyyaml": "jupytext", "threadpoolctl": "scikit-learn",
}  # fmt: skip


def pins(file: Path) -> dict[str, str]:
    """Package -> version of a requirements file, in which nothing but exact pins may stand."""
    text = file.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)  # (\S.*)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return {match[1]: match[2] for match in found}


def imported(folder: Path) -> set[str]:
    """The packages that the files of a folder import, anywhere in them."""
    names, own = set(), {path.stem for path in folder.rglob("*.py")} | {"course_utils"}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    outside = {PACKAGE_OF.get(name, name) for name in names - own - sys.stdlib_module_names}
    return {name.lower().replace("_", "-") for name in outside}


def test_every_line_is_an_exact_pin_with_its_purpose():
    assert set(pins(LESSONS)).isdisjoint(pins(TESTS))
    assert re.fullmatch(r"uv==[0-9.]+", UV)


def exact_set() -> dict[str, str]:
    """Package -> version of constraints.txt, in which nothing but exact pins may stand: no address, no build."""
    lines = [line for line in EXACT.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found = [re.fullmatch(r"([\w.-]+)==([0-9][0-9a-z.]*)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    names = [re.sub(r"[-_.]+", "-", match[1]).lower() for match in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, (match[2] for match in found), strict=True))


def test_the_exact_set_holds_every_pin_and_lets_any_build_of_torch_in():
    exact, wanted = exact_set(), {**pins(LESSONS), **pins(TESTS)}
    assert {name: exact.get(name) for name in wanted} == wanted
    assert len(exact) > 2 * len(wanted)
    assert "://" not in EXACT.read_text(encoding="utf-8")
    assert not [name for name in exact if name.startswith(("nvidia", "cuda", "triton", "pip", "uv"))]


def test_the_exact_set_is_whole():
    """Whatever a pinned package brings along here is in it, what only GPUs need apart."""
    exact, reached, todo = exact_set(), set(), [*pins(LESSONS), *pins(TESTS)]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in reached or name.startswith(("nvidia", "cuda", "triton")):
            continue
        reached.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):  # what comes with an extra, or on other systems
            for line in metadata.requires(name) or []:
                if "extra ==" not in line and metadata.version(needed := re.match(r"[\w.-]+", line)[0]):
                    todo.append(needed)
    assert reached - exact.keys() == set()


@pytest.mark.parametrize(
    ("folder", "files"), [("course_utils", [LESSONS]), ("notebooks", [LESSONS]), ("tests", [LESSONS, TESTS])]
)
def test_what_is_imported_is_pinned(folder, files):
    pinned = {name for file in files for name in pins(file)}
    needed = {COMES_WITH.get(name, name) for name in imported(ROOT / folder)} - {"uv"}
    assert needed <= pinned
    assert folder == "notebooks" or needed, "a folder without imports would prove nothing"


def test_the_fonts_that_letters_are_drawn_in_are_pinned():
    assert {package.replace("_", "-") for package in _PACKAGES.values()} == {
        name for name in pins(LESSONS) if name.startswith("font-")
    }


def test_this_environment_has_the_pinned_versions():
    wanted = {**pins(LESSONS), **pins(TESTS)}
    wanted.pop("setuptools")  # only builds the package
    found = {name: metadata.version(name).split("+")[0] for name in wanted}
    assert found == wanted


def test_the_package_says_the_same_of_itself():
    text = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, tool = text["project"], text["tool"]
    low, high = SUPPORTED[0], SUPPORTED[-1]
    assert project["requires-python"] == f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"
    assert tool["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    assert tool["jupytext"]["formats"] == {"notebooks/": "ipynb", "notebooks/source/": "py:percent"}


def test_conda_and_binder_agree_with_requirements():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    binder = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    assert conda["name"] == binder["name"] == "transfer-learning-course"
    python, pip, installs = conda["dependencies"]
    assert (python, pip) == tuple(binder["dependencies"])  # Binder's packages come in postBuild
    assert tuple(map(int, python.removeprefix("python=").split("."))) in SUPPORTED
    assert installs == {"pip": ["-r requirements.txt", "-c constraints.txt", "-e ."]}  # so no version can differ
    post_build = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert post_build.splitlines()[-1] == "python -m course_utils setup"


@pytest.mark.parametrize("name", ["binder/environment.yml", "binder/postBuild", "binder/start", ".ci/run"])
def test_what_binder_and_ci_run_are_real_files_that_may_run(name):
    path = ROOT / name
    assert path.is_file() and not path.is_symlink()
    if path.suffix != ".yml":
        assert path.read_bytes().startswith(b"#!/bin/bash\n")
        assert os.name == "nt" or os.access(path, os.X_OK)


def test_binder_starts_with_one_thread(tmp_path):
    if os.name == "nt":
        pytest.skip("Binder's scripts are for Linux")
    env = {"PATH": os.environ["PATH"]}
    show = "import os; print(os.environ['OMP_NUM_THREADS'])"
    command = [ROOT / "binder" / "start", sys.executable, "-c", show]
    assert subprocess.check_output(command, env=env, text=True).strip() == "1"


@pytest.mark.skipif(os.name == "nt", reason="CI's script is for Linux and macOS")
@pytest.mark.parametrize(("data", "with_data", "without"), [
    (True, 0, 0), (True, 3, 0), (True, 0, 1), (True, 2, 1), (False, None, 0), (False, None, 3)])
def test_ci_runs_everything_with_the_data_folder_and_the_lessons_without(tmp_path, data, with_data, without):
    clone, programs = tmp_path / "clone", tmp_path / "bin"
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    (clone / "tests").mkdir()
    for name in ("test_notebooks.py", "test_plots.py", "test_lesson00.py", "test_data_tasks.py"):
        (clone / "tests" / name).touch()
    programs.mkdir()
    python3 = f'''echo "python3 $*, data: ${{COURSE_DATA_DIR##*/}}"
[ "$COURSE_DATA_DIR" ] && exit {with_data}; exit {without}'''
    for name, script in (("chromium", "exit 0"), ("python3", python3)):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    if data:
        (tmp_path / "shared" / "data").mkdir(parents=True)
    env = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "CI": "true"}
    words = ["bash", clone / ".ci" / "run"]
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    command = "python3 -m course_utils test"
    everything = f"{command} --all"
    lessons = "notebooks tests/test_notebooks.py tests/test_plots.py tests/test_lesson00.py"
    runs = [line for line in done.stdout.splitlines() if line.startswith("python3")]
    with_folder = [f"{everything}, data: data", f"{everything} {lessons}, data: "]
    assert runs == (with_folder if data else [f"{everything}, data: "])
    assert done.stdout.splitlines()[-1] == runs[-1]  # what pytest says comes last
    assert done.returncode == ((with_data or without) if data else without)
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "platform"),
    [
        ("3.12", "x86_64-manylinux_2_28"),
        ("3.13", "x86_64-manylinux_2_28"),
        ("3.12", "aarch64-apple-darwin"),
        ("3.13", "x86_64-pc-windows-msvc"),
    ],
)
def test_other_pythons_and_systems_have_all_the_pinned_wheels(python, platform, tmp_path):
    uv = pytest.importorskip("uv", reason="uv does the dry run").find_uv_bin()
    words = [uv, "pip", "compile", "-q", "--only-binary", ":all:", "--python-version", python]
    words += ["--python-platform", platform, LESSONS, TESTS, "-c", EXACT, "-o", tmp_path / "resolved.txt"]
    once = {"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10", "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(words, env={**os.environ, **once}, capture_output=True, text=True, cwd=tmp_path)
    if done.returncode and "No solution found" not in done.stderr:
        pytest.skip(f"The package index is out of reach: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    resolved = (tmp_path / "resolved.txt").read_text(encoding="utf-8")
    assert f"torch=={pins(LESSONS)['torch']}\n" in resolved


def test_the_code_is_clean():
    words = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "."]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_found_and_none_is_loaded_before():
    code = "import sys, course_utils; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for name in course_utils.__all__:
        found = getattr(course_utils, name)
        assert getattr(found, "__module__", found.__name__).startswith("course_utils."), name
    assert set(course_utils.__all__) <= set(dir(course_utils))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        course_utils.fitt  # noqa: B018
