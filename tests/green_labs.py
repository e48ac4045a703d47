"""A lab that ran green on this machine, and of which nothing has changed since, is not run again by a plain `test`.

A lab takes as long as all other tests of its lesson. Its stamp, an empty file in the user's cache folder, is named by a
digest of all that it rests on, and is written once every cell has passed. `--all`, or naming the lab, runs it anyway.
"""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from course_utils.data.downloads import cache_dir


class GreenLabs:
    """The plugin; `conftest` registers one in the controlling process, and one in each worker of pytest-xdist."""

    def __init__(self, root: Path, arguments: list[str], run_all: bool = False):
        self.root, self.stamps = root, cache_dir() / "green_labs"
        labs = sorted((root / "notebooks").glob("??_lab.ipynb"))
        self.digests = {path.stem: digest(path, root) for path in labs}
        whole = {root, root / "notebooks"} & {Path(argument).resolve() for argument in arguments}
        self.left_out = [lab for lab in self.digests if whole and not run_all and self.stamp(lab).exists()]
        self.passed: Counter[str] = Counter()
        self.failed: set[str] = set()

    def stamp(self, lab: str) -> Path:
        return self.stamps / f"{lab}-{self.digests[lab]}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node) -> None:
        """Tell a worker what is left out, so that all of them collect the same."""
        node.workerinput["left_out"] = self.left_out

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = getattr(config, "workerinput", {}).get("left_out", self.left_out)
        config.hook.pytest_deselected(items=[item for item in items if lab_of(item.nodeid) in left_out])
        items[:] = [item for item in items if lab_of(item.nodeid) not in left_out]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed[lab_of(report.nodeid)] += 1
        elif report.failed:
            self.failed.add(lab_of(report.nodeid))

    def pytest_sessionfinish(self) -> None:
        """Stamp each lab of which every cell has passed, unless something was edited meanwhile."""
        for lab, before in self.digests.items():
            path = self.root / "notebooks" / f"{lab}.ipynb"
            whole = lab not in self.failed and 0 < code_cells(path) <= self.passed[lab]  # its sliders are a test more
            if whole and digest(path, self.root) == before:
                self.stamps.mkdir(parents=True, exist_ok=True)
                self.stamp(lab).touch()

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self.left_out:
            terminalreporter.write_line("Not run again, since nothing that they rest on has changed after they ran "
                                        f"green here: {', '.join(self.left_out)}. (test --all runs them)")  # fmt: skip


def lab_of(nodeid: str) -> str:
    """The name of the lab that a test belongs to, or nothing."""
    path = Path(nodeid.split("::")[0])
    return path.stem if path.suffix == ".ipynb" and path.stem.endswith("_lab") else ""


def code_cells(path: Path) -> int:
    return sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)


def digest(lab: Path, root: Path) -> str:
    """Of what a lab rests on: its text and notebook, its lesson, the core, results, weights, pins, settings, data."""
    settings = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("COURSE_")]
    settings = sorted(line for line in settings if not line.startswith("COURSE_CACHE_DIR"))
    data = sorted(Path(os.environ.get("COURSE_DATA_DIR") or os.devnull).glob("*"))
    found = hashlib.sha256("\n".join([sys.version, *settings, *map(str, data)]).encode())
    for path in rests_on(lab, root):
        found.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()[:32]


def rests_on(lab: Path, root: Path) -> Iterator[Path]:
    """The files of the course that can change what a lab does."""
    yield from (lab, root / "notebooks" / "source" / f"{lab.stem}.py")
    yield from (root / name for name in ("requirements.txt", "tests/requirements.txt"))
    yield from sorted(path for folder in ("results", "weights") for path in (root / "data" / folder).glob("*"))
    lessons = (root / "course_utils" / "lessons").glob("lesson*")
    others = {folder for folder in lessons if folder.name != f"lesson{lab.stem[:2]}"}
    yield from (path for path in sorted((root / "course_utils").rglob("*.py")) if not others & set(path.parents))
