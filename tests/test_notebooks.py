"""The committed notebooks keep the rules of `notebook_rules`, and each rule catches what it is there for."""

import ast
import copy
import json
import os
import shutil
from pathlib import Path

import jupytext
import nbformat
import notebook_rules as rules
import pytest
from jupytext.cli import jupytext as jupytext_command

from course_utils.building import tidy
from course_utils.notebooks import ROOT, lessons, sources

NOTEBOOKS = [path for paths in lessons().values() for path in paths]
GOOD = '''# %% [markdown]
# # A good lesson · 4 min
#
# It has [a neighbour](source) and a ![curve that rises](source).

# %%
from course_utils.errors import CourseError

# %%
# NBVAL_CHECK_OUTPUT
print("0.81")

# %%
plot()

# %% [markdown]
# <details><summary>What the figure shows</summary>A line that rises.</details>
#
# ## Exercise: another · 2 min

# %%
plot()

# %% [markdown]
# <details><summary>What the figure shows</summary>A line that falls.</details>

# %% jupyter={"source_hidden": true} tags=["solution"]
1 + 1
'''
STDOUT = {"output_type": "stream", "name": "stdout", "text": "0.81\n"}
FIGURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AAAA"}}


@pytest.fixture
def good(tmp_path):
    """A small lesson that keeps every rule, its files included."""
    path = tmp_path / "notebooks" / "01_good.ipynb"
    (path.parent / "source").mkdir(parents=True)
    (path.parent / "source" / "01_good.py").write_text(GOOD, encoding="utf-8")
    notebook = jupytext.reads(GOOD, fmt="py:percent")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    for cell, output in zip(code[1:4], (STDOUT, FIGURE, FIGURE), strict=True):
        cell.outputs = [nbformat.from_dict(output)]
    nbformat.write(notebook, path)
    return rules.read_lesson(path)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path, rule):
    assert rule(rules.read_lesson(path)) == []


def test_every_source_has_its_notebook_and_the_other_way_round():
    def names(found):
        return sorted(path.stem for paths in found.values() for path in paths)

    assert names(lessons()) == names(sources())
    assert all((path.parent / f"{path.stem.removesuffix('_lab')}.ipynb").exists() for path in NOTEBOOKS)
    assert not list((ROOT / "notebooks").glob("00_*_lab.ipynb"))


def test_lessons_begin_with_the_same_desk_line():
    found = {path.stem: rules.course_imports(rules.read_lesson(path)) for path in NOTEBOOKS}
    assert len({ast.unparse(nodes[0]) for nodes in found.values() if nodes}) <= 1


def test_a_good_lesson_passes_every_rule(good):
    assert {rule.__name__: rule(good) for rule in rules.RULES} == {rule.__name__: [] for rule in rules.RULES}


def _cell(lesson, n):
    return lesson.notebook.cells[n - 1]


def _say(lesson, text):
    _cell(lesson, 3).outputs[0].text = text


def _show(lesson, data):
    _cell(lesson, 4).outputs[0].data = nbformat.from_dict(data)


BAD = {
    "text edited": ("in_step", lambda it: _cell(it, 1).update(source="# Else · 4 min")),
    "tag lost": ("in_step", lambda it: _cell(it, 8).metadata.pop("tags")),
    "cell lost": ("in_step", lambda it: it.notebook.cells.pop()),
    "not run": ("executed", lambda it: _cell(it, 2).update(execution_count=None)),
    "run twice": ("executed", lambda it: _cell(it, 2).update(execution_count=7)),
    "error kept": ("executed", lambda it: _cell(it, 2).outputs.append(
        nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[]))),
    "null count, marked": ("comparable", lambda it: _cell(it, 3).update(execution_count=None)),
    "nothing to compare": ("comparable", lambda it: _cell(it, 3).update(outputs=[])),
    "tagged, nothing to compare": ("comparable", lambda it: _cell(it, 2).metadata.update(
        tags=["nbval-check-output"])),
    "semicolon, marked": ("comparable", lambda it: _cell(it, 3).update(source=_cell(it, 3).source + ";")),
    "a home": ("clean_outputs", lambda it: _say(it, "saved in /" + "home/ada/x.npz")),
    "a temporary folder": ("clean_outputs", lambda it: _show(it, {"text/html": "<b>/" + "tmp/x</b>"})),
    "a Windows path": ("clean_outputs", lambda it: _say(it, "C:" + "\\Users\\ada")),
    "colour codes": ("clean_outputs", lambda it: _say(it, "\x1b[31mred\x1b[0m")),
    "an address": ("clean_outputs", lambda it: _say(it, "<Axes object at 0x7f5547b64490>")),
    "a live widget": ("clean_outputs", lambda it: _show(it, {rules.WIDGET: {"model_id": "1"}})),
    "widget state": ("clean_outputs", lambda it: it.notebook.metadata.update(widgets={})),
    "stderr": ("clean_outputs", lambda it: _cell(it, 3).outputs[0].update(name="stderr")),
    "no description": ("described", lambda it: _cell(it, 5).update(source="Look!")),
    "figure at the end": ("described", lambda it: _cell(it, 8).update(outputs=[nbformat.from_dict(FIGURE)])),
    "no alt text": ("described", lambda it: _cell(it, 1).update(source="![](source)")),
    "img without alt": ("described", lambda it: _cell(it, 1).update(source='<img src="source">')),
    "no such name": ("imports", lambda it: _cell(it, 2).update(source="from course_utils.errors import No")),
    "no such module": ("imports", lambda it: _cell(it, 2).update(source="import course_utils.nothing")),
    "five names": ("imports", lambda it: _cell(it, 3).update(
        source="%time\nfrom course_utils.notebooks import run, lessons, sources, chosen, main")),
    "solution unfolded": ("solutions_folded", lambda it: _cell(it, 8).metadata.pop("jupyter")),
    "code hidden": ("solutions_folded", lambda it: _cell(it, 8).metadata.pop("tags")),
    "dead link": ("links", lambda it: _cell(it, 1).update(source="[there](../nowhere.md#part)")),
    "dead picture": ("links", lambda it: _cell(it, 1).update(source='<img alt="x" src="nowhere.png">')),
    "too big": ("size", lambda it: it.path.write_bytes(b" " * 3_000_001)),
    "long cell": ("budget", lambda it: _cell(it, 3).update(source="x = 1\n" * 31)),
    "long read": ("budget", lambda it: _cell(it, 1).update(source="word " * 1800)),
    "many cells": ("budget", lambda it: it.notebook.cells.extend([copy.deepcopy(_cell(it, 2))] * 22)),
    "many figures": ("budget", lambda it: _cell(it, 4).outputs.extend(_cell(it, 4).outputs * 4)),
    "one figure": ("budget", lambda it: _cell(it, 4).outputs.clear()),
    "no minutes": ("minutes", lambda it: _cell(it, 1).update(source="# A good lesson")),
    "section without": ("minutes", lambda it: _cell(it, 1).update(source="# A · 4 min\n## B")),
    "no title": ("minutes", lambda it: _cell(it, 1).update(source="Only words.")),
    "over its slot": ("minutes", lambda it: _cell(it, 1).update(source="# A · 46 min")),
}


@pytest.mark.parametrize("fault", BAD)
def test_each_rule_catches_its_fault(good, fault):
    rule, spoil = BAD[fault]
    spoil(good)
    assert getattr(rules, rule)(good) != []


def test_a_core_is_limited_and_a_lab_is_a_menu(good):
    good.path = good.path.with_stem("01_good_lab")
    good.notebook.cells[0].source = "# A · 90 min\n" + "word " * 2000
    assert rules.budget(good) == [] and rules.minutes(good) == []


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A lesson under the project's own jupytext settings: the text alone, in a folder of its own."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    source = Path("notebooks", "source", "01_good.py")
    source.parent.mkdir(parents=True)
    source.write_text(GOOD, encoding="utf-8")
    return source, Path("notebooks", "01_good.ipynb")


def test_jupyterlab_and_the_text_stay_paired_in_both_directions(pair):
    source, notebook = pair
    jupytext_command(["--sync", str(source), "--quiet"])
    assert json.loads(notebook.read_text(encoding="utf-8"))["cells"][-1]["metadata"]["tags"] == ["solution"]

    edited = nbformat.read(notebook, as_version=4)
    edited.cells[2].source += "\nprint(2)"
    edited.cells[2].metadata["scrolled"] = True  # what JupyterLab adds stays out of the text
    tidy(edited)  # as a build leaves it
    nbformat.write(edited, notebook)
    later = source.stat().st_mtime + 10
    os.utime(notebook, (later, later))
    jupytext_command(["--sync", str(notebook), "--quiet"])
    assert source.read_text(encoding="utf-8") == GOOD.replace('print("0.81")', 'print("0.81")\nprint(2)')
