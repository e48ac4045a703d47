"""Copies for a class: what is left out, what goes along, what is refused, and that the copies run."""

import ast
import builtins
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from course_utils.tools.handout import copy_lesson, main
from course_utils.tools.kernels import execute
from course_utils.tools.run import ROOT, lessons

CARD = "../data/weights/the%20card.md"
TEXT = (f"See [its card]({CARD}#limits), [the next lesson](01_next.ipynb#a), [a paper](https://example.org/x) and\n"
        f'<img alt="a curve" src="../data/curve.png">, but not `[in code]({CARD})`.')
NOTEBOOKS = [path for paths in lessons().values() for path in paths]


def solution(source):
    return v4.new_code_cell(source, metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}})


def snapshot(folder):
    """Every file below a folder with its content: what must be the same afterwards."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sources(notebook):
    return [cell.source for cell in nbformat.read(notebook, as_version=4).cells]


@pytest.fixture
def root(tmp_path):
    """A course of two lessons, one with two solutions and with links, and the files that it links to."""
    root = tmp_path / "course"
    (root / "notebooks" / "source").mkdir(parents=True)
    (root / "data" / "weights").mkdir(parents=True)
    (root / "data" / "weights" / "the card.md").write_text("A card.")
    (root / "data" / "curve.png").write_bytes(b"\x89PNG")
    attempt = v4.new_code_cell('check("00-a", ...)', execution_count=1, outputs=[v4.new_output("stream", text="no")])
    heading = v4.new_markdown_cell("### The solution", metadata={"tags": ["solution"]})
    cells = [v4.new_markdown_cell(TEXT), attempt, heading, solution("a = 1"), v4.new_markdown_cell("On.")]
    nbformat.write(v4.new_notebook(cells=cells), root / "notebooks" / "00_start.ipynb")
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("2")]), root / "notebooks" / "01_next.ipynb")
    return root


def test_without_solutions_nothing_else_is_gone(root, capsys):
    assert main([str(root.parent / "new" / "handout")], root) == 0
    copy = root.parent / "new" / "handout"
    _, attempt, after = nbformat.read(copy / "00_start.ipynb", as_version=4).cells
    assert (attempt.source, attempt.outputs[0].text, after.source) == ('check("00-a", ...)', "no", "On.")
    assert (copy / "01_next.ipynb").read_bytes() == (root / "notebooks" / "01_next.ipynb").read_bytes()
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["00_start", "2", "solutions", "left", "out"]
    assert second.split() == ["01_next", "0", "solutions", "left", "out"]


def test_with_solutions_they_are_shown(root, capsys):
    copy = root.parent / "handout"
    assert main([str(copy), "--solutions"], root) == 0
    cells = nbformat.read(copy / "00_start.ipynb", as_version=4).cells
    assert [cell.source for cell in cells][1:] == sources(root / "notebooks" / "00_start.ipynb")[1:]
    assert cells[3].metadata.tags == ["solution"] and not cells[3].metadata.jupyter
    assert "2 solutions shown" in capsys.readouterr().out


def test_linked_files_go_along_and_the_links_lead_to_them(root):
    copy = root.parent / "handout"
    assert main([str(copy)], root) == 0
    assert sources(copy / "00_start.ipynb")[0] == (
        "See [its card](data/weights/the%20card.md#limits), [the next lesson](01_next.ipynb#a), "
        "[a paper](https://example.org/x) and\n"
        f'<img alt="a curve" src="data/curve.png">, but not `[in code]({CARD})`.')
    assert set(snapshot(copy)) == {
        Path("00_start.ipynb"), Path("01_next.ipynb"), Path("data/weights/the card.md"), Path("data/curve.png")}


def test_a_second_time_changes_nothing_and_an_edited_copy_is_not_lost(root, capsys):
    copy = root.parent / "handout"
    assert main([str(copy)], root) == main([str(copy)], root) == 0
    before = snapshot(copy)
    capsys.readouterr()
    assert main([str(copy), "--solutions"], root) == 2  # the other kind of copy
    said = capsys.readouterr()
    assert not said.out and said.err == (f"{copy} holds another 00_start.ipynb; nothing was written.\n"
                                         "Name a new folder, or move what is there away first.\n")
    assert snapshot(copy) == before
    for name in ("01_next.ipynb", "data/curve.png"):
        (copy / name).write_text("my own notes")
    (copy / "00_start.ipynb").unlink()
    assert main([str(copy)], root) == 2
    assert " and 1 more; nothing was written" in capsys.readouterr().err
    assert not (copy / "00_start.ipynb").exists()


@pytest.mark.parametrize(("name", "message"), [
    ("course/data/curve.png", "is a file, and the copies need a folder"),
    ("course/data/curve.png/handout", "cannot be written"),
    ("course/notebooks", "lies among the lessons"),
    ("x" * 300, "cannot be a folder for the copies"),
    ("course/notebooks/source/../handout", "lies among the lessons"),
    ("course", "holds the course itself"),
    ("course/notebooks/..", "holds the course itself"),
    ("", "holds the course itself"),
])
def test_a_folder_that_will_not_do_is_refused(root, capsys, name, message):
    before = snapshot(root)
    assert main([f"{root.parent}/{name}"], root) == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.splitlines()) <= 3 and not said.out
    assert snapshot(root) == before


@pytest.mark.parametrize("given", ["", "  "])
def test_no_folder_at_all_is_refused(root, capsys, given, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main([given], root) == 2 and not list((tmp_path / "here").iterdir())
    assert f"{given!r} cannot be a folder for the copies" in capsys.readouterr().err


def test_a_folder_of_nobody_is_refused(root, capsys):
    assert main(["~nobody-has-this-name/copies"], root) == 2
    assert "'~nobody-has-this-name/copies' cannot be a folder" in capsys.readouterr().err


def test_a_disk_that_fills_leaves_nothing_half_written(root, capsys, monkeypatch):
    replace = os.replace

    def full(source, target):
        if target.name.startswith("01"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    copy = root.parent / "handout"
    assert main([str(copy)], root) == 2
    said = capsys.readouterr()
    assert "cannot be written" in said.err and "No space left on device.\n" in said.err and not said.out
    assert set(snapshot(copy)) == {Path("00_start.ipynb"), Path("data/weights/the card.md"), Path("data/curve.png")}
    monkeypatch.undo()
    assert main([str(copy)], root) == 0


def test_a_broken_notebook_is_named(root, capsys):
    (root / "notebooks" / "01_next.ipynb").write_text("<<<<<<< HEAD")
    assert main([str(root.parent / "handout")], root) == 2
    assert "01_next.ipynb is not a notebook" in capsys.readouterr().err
    assert not (root.parent / "handout").exists()


def names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds somewhere, and those that it takes from cells before it."""
    tree, bound, used = ast.parse(code), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.arg, ast.ExceptHandler)):
            bound.add(node.arg if isinstance(node, ast.arg) else node.name)
    return bound, used - bound - set(dir(builtins)) - {"display"}


def taken_from_solutions(notebook) -> list[str]:
    """What a cell takes from a solution, or from no cell at all: it would fail, or change, in a copy without them."""
    by_lesson, wrong = {}, []  # name -> whether the last cell that bound it stays
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        stays = "solution" not in cell.metadata.get("tags", [])
        bound, taken = names(cell.source)
        wrong += [name for name in sorted(taken) if stays and not by_lesson.get(name)]
        by_lesson |= dict.fromkeys(bound, stays)
    return wrong


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_copy_stands_alone(path):
    """What makes it run wherever it lies: it needs no solution, no file beside it, and has all other cells."""
    notebook = nbformat.read(path, as_version=4)
    assert taken_from_solutions(notebook) == []
    copies = [copy_lesson(path, solutions)[0].cells for solutions in (False, True)]
    code = [[cell.source for cell in cells if cell.cell_type == "code"] for cells in (*copies, notebook.cells)]
    assert code[1] == code[2] and not any("../" in source for source in code[2])
    solved = {cell.source for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])}
    assert code[0] == [source for source in code[2] if source not in solved]
    for cell in copies[1]:
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            said = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            assert any("✓ Solution" in text for text in said), cell.source


@pytest.mark.parametrize(("cells", "wrong"), [
    ((v4.new_code_cell("a = 0"), solution("a = 1"), v4.new_code_cell("print(a)")), ["a"]),
    ((solution("import os"), v4.new_code_cell("[os.name for _ in (1, 2)]")), ["os"]),
    ((v4.new_code_cell("a = 0"), solution("b = a"), v4.new_code_cell("def f(b): return a + b")), []),
    ((solution("a = 1"), v4.new_code_cell("a = 2"), v4.new_code_cell("a")), []),
])
def test_a_cell_that_needs_a_solution_is_found(cells, wrong):
    assert taken_from_solutions(v4.new_notebook(cells=list(cells))) == wrong


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_copy_runs_wherever_it_lies(path, tmp_path):
    words = [sys.executable, "-m", "course_utils.tools.handout", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    copy = nbformat.read(tmp_path / path.name, as_version=4)
    assert execute(copy, tmp_path).failure is None
