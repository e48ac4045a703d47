"""Who may know whom: the rooms of the package, their order, and the size of the shared core."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from course_utils import ROOT

PACKAGE = ROOT / "course_utils"
# A room knows the rooms above it, never one beside or below it.
ORDER = [
    {"errors", "files", "device", "machine", "registry", "threads"},
    {"data"},
    {"models"},
    {"training"},
    {"features", "similarity", "transferability"},
    {"evidence"},
    {"exercises", "plots"},
    {"pretraining", "grids"},
    {"lessons"},
    {"tools"},
]
FLOOR = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
BACK_ROOMS = {"grids", "lessons", "pretraining", "tools"}  # not of the shared core
MODULES, LINES, FUNCTION = 50, 7500, 40


def sources() -> dict[str, Path]:
    """Every module of the package by its dotted name, less the launcher, which stands alone."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name != "course_utils.__main__"}


SOURCES = sources()


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def imports(name: str, late: bool) -> set[str]:
    """The modules of the package that a module imports: when it is loaded, or `late` inside of functions too."""
    tree = tree_of(name)
    nodes = ast.walk(tree) if late else _at_once(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {module for module in found if module in SOURCES} - {name, "course_utils"}


def _at_once(body: list[ast.stmt]):
    """The statements that run when a module is loaded; what stands under TYPE_CHECKING does not."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _at_once([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


def room_of(name: str) -> str:
    return (name.split(".") + [""])[1]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_knows_only_the_rooms_above_its_own(name):
    room = room_of(name)
    if not room:
        assert not imports(name, late=True)
        return
    for other in imports(name, late=True):
        theirs = room_of(other)
        if (room, other) == ("registry", "course_utils.lessons"):
            continue  # only where their folders lie
        assert theirs == room or FLOOR[theirs] < FLOOR[room] or {theirs, room} <= ORDER[0], f"{name} knows {other}"


@pytest.mark.parametrize("name", [name for name in sorted(SOURCES) if name.count(".") >= 2 and ".lessons." in name])
def test_no_lesson_knows_another(name):
    mine = name.split(".")[2]
    others = {other for other in imports(name, late=True) if other.startswith("course_utils.lessons.")}
    assert {other.split(".")[2] for other in others} <= {mine}


def test_no_circles():
    graph = {name: imports(name, late=False) for name in SOURCES}
    faces = {name for name, path in SOURCES.items() if path.name == "__init__.py"}
    for name, others in graph.items():  # a module may ask the face of its own room
        others -= {face for face in faces if name.startswith(f"{face}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_shared_core_stays_small():
    core = [path for name, path in SOURCES.items() if room_of(name) not in BACK_ROOMS]
    modules = [path for path in core if path.name != "__init__.py"]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in core)
    assert len(modules) <= MODULES and lines <= LINES, (len(modules), lines)


def test_no_module_is_long_and_no_function_needs_scrolling():
    for name, path in SOURCES.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 250, name
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                assert length <= FUNCTION, f"{name}.{node.name} has {length} lines"


def test_the_face_of_a_lesson_has_four_names_at_most():
    for name, path in SOURCES.items():
        if name.startswith("course_utils.lessons.") and name.count(".") == 2 and path.name == "__init__.py":
            code = f"import {name} as face; print(len(face.__all__))"
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
            assert 1 <= int(out.stdout) <= 4


LOOKS = [  # what is looked at, and the only lesson that may be loaded for it
    ("load_results('lesson00')", ""), ("check('00-interval', None)", "00"), ("quiz('01-star')", "01"),
    ("check('02-freeze', None)", "02"), ("check('02-fraeze', None)", ""),
]  # fmt: skip
WATCHED = """
import contextlib, sys
from course_utils import check, load_results, quiz
before = set()
for code in sys.argv[1:]:
    with contextlib.suppress(Exception):  # a mistyped name is answered with an error
        eval(code)
    now = {name.split('.')[2] for name in sys.modules if name.startswith('course_utils.lessons.')}
    print(*sorted(now - before), 'torch' in sys.modules)
    before = now
"""


def test_a_look_imports_neither_torch_nor_another_lesson():
    words = [sys.executable, "-c", WATCHED, *(code for code, _ in LOOKS)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    expected = [f"lesson{lesson} False" if lesson else "False" for _, lesson in LOOKS]
    assert done.stdout.splitlines() == expected
