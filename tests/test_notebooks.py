"""The committed notebooks keep the rules of `notebook_rules`, and each rule catches what it is there for."""

import copy
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import notebook_rules as rules
import prose_numbers
import pytest
from jupytext.cli import jupytext as jupytext_command

from course_utils.tools.build import tidy
from course_utils.tools.run import ROOT, lessons, sources

NOTEBOOKS = [path for paths in lessons().values() for path in paths]
GOOD = f'''# %% [markdown]
# # A good lesson · 4 min
#
# It has [a neighbour](../README.md#part) and a ![curve that rises](../README.md).

# %%
{rules.DESK_LINE}

# %%
# NBVAL_CHECK_OUTPUT
print("0.81")

# %%
claim("…")
plot()

# %% [markdown]
# The claim, in a sentence: 81 %, and `.05` was the rate.
#
# <details><summary>What the figure shows</summary>
# A line that rises from the left to the right, with a bar at each of its five points.
# </details>
#
# ## Exercise: another · easy · 2 min

# %%
higher = ...  # your code
check("01-line", higher)

# %% jupyter={{"source_hidden": true}} tags=["solution"]
# Solution
check("01-line", True, solution=True)

# %%
widgets.slider(plot)

# %% [markdown]
# <details><summary>What the figure shows</summary>
# A line that falls from the left to the right, with a bar at each of its five points.
# </details>

# %%
quiz("01-seeds")
'''
STDOUT = {"output_type": "stream", "name": "stdout", "text": "0.81\n"}
FIGURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AAAA"}}
SLIDER = {**FIGURE, "data": {"text/html": '<img alt="a line" src="data:image/png;base64,AAAA">'}}
UNTRIED = {**FIGURE, "data": {"text/plain": "○ Not attempted yet · 01-line"}}
SOLVED = {**FIGURE, "data": {"text/plain": "✓ Solution · 01-line"}}
QUESTION = {**FIGURE, "data": {"text/html": "<details>…</details>"}}
CODE = ("desk", "printed", "figure", "attempt", "solution", "widget", "quiz")  # the code cells of GOOD, in order


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if not path.stem.endswith("_lab")], ids=lambda p: p.stem)
def test_readme_states_the_minutes_of_each_core(path):
    title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in readme if f"](notebooks/{path.name})" in line)
    assert f"| {re.search(r' · ([0-9]+) min', title)[1]} |" in row


@pytest.fixture
def good(tmp_path, monkeypatch):
    """A small lesson that keeps every rule, its files and its exercises included."""
    path = tmp_path / "notebooks" / "01_good.ipynb"
    (path.parent / "source").mkdir(parents=True)
    (path.parent / "source" / "01_good.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "README.md").write_text("A neighbour.")
    shelves = {"EXERCISES": [SimpleNamespace(name="01-line")], "QUESTIONS": [SimpleNamespace(name="01-seeds")]}
    monkeypatch.setattr(rules, "declared", lambda shelf, lesson: shelves[shelf] if lesson == "01" else [])
    notebook = jupytext.reads(GOOD, fmt="py:percent")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    shown = zip(CODE, (None, STDOUT, FIGURE, UNTRIED, SOLVED, SLIDER, QUESTION), strict=True)
    for name, output in (pair for pair in shown if pair[1]):
        code[CODE.index(name)].outputs = [nbformat.from_dict(output)]
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
    labs = {path.stem[:2]: path.stem for path in NOTEBOOKS if path.stem.endswith("_lab")}
    assert labs == {number: f"{number}_lab" for number in labs} and "00" not in labs
    assert labs.keys() <= {path.stem[:2] for path in NOTEBOOKS if not path.stem.endswith("_lab")}


def test_a_good_lesson_passes_every_rule(good):
    assert {rule.__name__: rule(good) for rule in rules.RULES} == {rule.__name__: [] for rule in rules.RULES}


def _cell(lesson, which):
    """A cell of GOOD: a code cell by its name, a text cell by its number among them."""
    kind, place = ("code", CODE.index(which)) if which in CODE else ("markdown", which)
    return [cell for _, cell in lesson.cells(kind)][place]


def _write(lesson, which, old, new):
    """Change a cell's text, which must have been there."""
    cell = _cell(lesson, which)
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def _say(lesson, text):
    _cell(lesson, "printed").outputs[0].text = text


def _show(lesson, data):
    _cell(lesson, "figure").outputs[0].data = nbformat.from_dict(data)


def _card(lesson, which, text):
    _cell(lesson, which).outputs[0].data["text/plain"] = text


def _error(lesson):
    _cell(lesson, "desk").outputs.append(nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[]))


def _swap(lesson, one, other):
    cells = lesson.notebook.cells
    places = [next(i for i, cell in enumerate(cells) if cell is _cell(lesson, which)) for which in (one, other)]
    cells[places[0]], cells[places[1]] = cells[places[1]], cells[places[0]]


BAD = {
    "text edited": ("in_step", lambda it: _write(it, 0, "A good", "Another")),
    "tag lost": ("in_step", lambda it: _cell(it, "solution").metadata.pop("tags")),
    "laid out otherwise": ("in_step", lambda it: setattr(it, "text", it.text.replace("\n# %%", "\n\n# %%"))),
    "cell lost": ("in_step", lambda it: it.notebook.cells.pop()),
    "not run": ("executed", lambda it: _cell(it, "desk").update(execution_count=None)),
    "run twice": ("executed", lambda it: _cell(it, "desk").update(execution_count=7)),
    "error kept": ("executed", _error),
    "null count, marked": ("comparable", lambda it: _cell(it, "printed").update(execution_count=None)),
    "nothing to compare": ("comparable", lambda it: _cell(it, "printed").update(outputs=[])),
    "tagged, nothing to compare": ("comparable", lambda it: _cell(it, "desk").metadata.update(
        tags=["nbval-check-output"])),
    "semicolon, marked": ("comparable", lambda it: _write(it, "printed", ")", ");")),
    "a home": ("clean_outputs", lambda it: _say(it, "saved in /" + "home/ada/x.npz")),
    "a temporary folder": ("clean_outputs", lambda it: _show(it, {"text/html": "<b>/" + "tmp/x</b>"})),
    "a Windows path": ("clean_outputs", lambda it: _say(it, "C:" + "\\Users\\ada")),
    "colour codes": ("clean_outputs", lambda it: _say(it, "\x1b[31mred\x1b[0m")),
    "an address": ("clean_outputs", lambda it: _say(it, "<Axes object at 0x7f5547b64490>")),
    "a live widget": ("clean_outputs", lambda it: _show(it, {rules.WIDGET: {"model_id": "1"}})),
    "widget state": ("clean_outputs", lambda it: it.notebook.metadata.update(widgets={})),
    "stderr": ("clean_outputs", lambda it: _cell(it, "printed").outputs[0].update(name="stderr")),
    "no description": ("described", lambda it: _cell(it, 1).update(source="Look!")),
    "short description": ("described", lambda it: _write(it, 1, ", with a bar at each of its five points", "")),
    "late description": ("described", lambda it: _write(it, 1, "The claim", "## The claim")),
    "a widget's picture": ("described", lambda it: _cell(it, 2).update(source="Look!")),
    "figure at the end": ("described", lambda it: _cell(it, "quiz").update(outputs=[nbformat.from_dict(FIGURE)])),
    "no alt text": ("described", lambda it: _cell(it, 0).update(source="![](source)")),
    "img without alt": ("described", lambda it: _cell(it, 0).update(source='<img src="source">')),
    "another desk": ("desk_line", lambda it: _write(it, "desk", "check, ", "")),
    "no desk": ("desk_line", lambda it: _cell(it, "desk").update(source="from course_utils.errors import CourseError")),
    "no such name": ("imports", lambda it: _cell(it, "printed").update(source="from course_utils.errors import No")),
    "no such module": ("imports", lambda it: _cell(it, "printed").update(source="import course_utils.nothing")),
    "five names": ("imports", lambda it: _cell(it, "printed").update(
        source="%time\nfrom course_utils.notebooks import run, lessons, sources, chosen, main")),
    "solution unfolded": ("solutions_folded", lambda it: _cell(it, "solution").metadata.pop("jupyter")),
    "code hidden": ("solutions_folded", lambda it: _cell(it, "solution").metadata.pop("tags")),
    "solution in a heading": ("solutions_folded", lambda it: _write(it, 2, "<details>", "### The solution\n<details>")),
    "solution in a fold": ("solutions_folded", lambda it: _write(it, 2, "What the figure shows", "A solution")),
    "no difficulty": ("exercises", lambda it: _write(it, 1, " · easy", "")),
    "exercise without minutes": ("exercises", lambda it: _write(it, 1, " · 2 min", "")),
    "nowhere to write": ("exercises", lambda it: _write(it, "attempt", "...  # your code", "True")),
    "no attempt": ("exercises", lambda it: _write(it, "attempt", 'check("01-line", higher)', "")),
    "no solution": ("exercises", lambda it: it.notebook.cells.remove(_cell(it, "solution"))),
    "solution unchecked": ("exercises", lambda it: _cell(it, "solution").update(source="1 + 1")),
    "solution of another": ("exercises", lambda it: _write(it, "solution", "01-line", "01-other")),
    "solution first": ("exercises", lambda it: _swap(it, "attempt", "solution")),
    "solution without its line": ("cards", lambda it: _write(it, "solution", "# Solution", "# Ours")),
    "praise for the solution": ("cards", lambda it: _card(it, "solution", "✓ Passed · 01-line")),
    "passed untried": ("cards", lambda it: _card(it, "attempt", "✓ Passed · 01-line")),
    "solution in the attempt": ("cards", lambda it: _card(it, "attempt", "✓ Solution · 01-line")),
    "hint before a try": ("cards", lambda it: _card(it, "attempt", "○ Not attempted yet · 01-line\nHint: go on")),
    "a hole in a table": ("without_holes", lambda it: _say(it, "seen  NaN")),
    "a hole in HTML": ("without_holes", lambda it: _show(it, {"text/html": "<td>nan</td>"})),
    "unknown exercise": ("declared_there", lambda it: _write(it, "attempt", "01-line", "01-curve")),
    "unknown question": ("declared_there", lambda it: _write(it, "quiz", "01-seeds", "01-weeds")),
    "unknown lesson": ("declared_there", lambda it: _write(it, "quiz", "01-seeds", "99-seeds")),
    "name worked out": ("declared_there", lambda it: _write(it, "quiz", '"01-seeds"', "NAME")),
    "question not shown": ("quizzes", lambda it: _cell(it, "quiz").update(outputs=[nbformat.from_dict(STDOUT)])),
    "dead link": ("links", lambda it: _cell(it, 0).update(source="[there](../nowhere.md#part)")),
    "dead picture": ("links", lambda it: _cell(it, 0).update(source='<img alt="x" src="nowhere.png">')),
    "link to a folder": ("links", lambda it: _cell(it, 0).update(source="[there](../notebooks)")),
    "link to the solutions": ("links", lambda it: _cell(it, 0).update(source="[there](source/01_good.py)")),
    "too big": ("size", lambda it: it.path.write_bytes(b" " * 3_000_001)),
    "long line": ("budget", lambda it: _cell(it, "printed").update(source=f"x = 1  #{'.' * 86}")),
    "long cell": ("budget", lambda it: _cell(it, "printed").update(source="x = 1\n" * 31)),
    "long read": ("budget", lambda it: _cell(it, 0).update(source="word " * 1800)),
    "many cells": ("budget", lambda it: it.notebook.cells.extend([copy.deepcopy(_cell(it, "desk"))] * 19)),
    "many claims": ("budget", lambda it: it.notebook.cells.extend([nbformat.v4.new_code_cell("x = claim('…')")] * 3)),
    "many figures": ("budget", lambda it: _cell(it, "figure").outputs.extend(_cell(it, "figure").outputs * 4)),
    "one figure": ("budget", lambda it: _cell(it, "figure").outputs.clear()),
    "no minutes": ("minutes", lambda it: _write(it, 0, " · 4 min", "")),
    "section without": ("minutes", lambda it: _cell(it, 0).update(source="# A · 4 min\n## B")),
    "no title": ("minutes", lambda it: _cell(it, 0).update(source="Only words.")),
    "over its slot": ("minutes", lambda it: _cell(it, 0).update(source="# A · 46 min")),
    "number typed by hand": ("measured", lambda it: _write(it, 1, "81 %", "82 %")),
    "number not shown by now": ("measured", lambda it: _say(it, "0.79")),
    "number of a question": ("measured", lambda it: _write(it, "printed", 'print("0.81")', 'quiz("01-seeds")')),
}


@pytest.mark.parametrize("fault", BAD)
def test_each_rule_catches_its_fault(good, fault):
    rule, spoil = BAD[fault]
    spoil(good)
    assert getattr(rules, rule)(good) != []


@pytest.mark.parametrize(("prose", "numbers"), [
    ("It led by .154 and 0.055, then by .06.", [".154", "0.055", ".06"]),
    ("Right for 85\n% of them: 39 times fewer, 2.7 points, 1 point.", ["85 %", "39 times", "2.7 points", "1 point"]),
    ("In 2014, with 153 photographs of 64 px and PyTorch 2.0, see 3.1.2.", []),
    ("`.05` is a rate, [there](https://arxiv.org/abs/1411.1792), a 95 % interval, \"10 times fewer\".", []),
    ("## Results: .5\nWe saw .6.\n```\n.7\n```\n<details><summary>How</summary>\nBy .8.\n</details>", [".6"]),
    ("We saw .6.\n### Exercise: a threshold · 2 min\nTake .7.", [".6"]),
])
def test_numbers_that_a_text_gives_as_measured(prose, numbers):
    assert prose_numbers.stated(prose) == numbers


@pytest.mark.parametrize(("number", "output", "found"), [
    (".81", "accuracy 0.812", True), ("81 %", "0.812", True), (".81", "81%", True), ("81.2 %", "81%", False),
    (".81", "0.816", False), (".81", "12.81", False), (".81", "-0.81 to 1", True), ("2.7 points", "+0.027", True),
    ("39 times", "39.4 times fewer", True), ("39 times", "39 photographs", False), (".39", "39 times", False),
    ("1,200 %", "1,200", False),
])
def test_a_number_is_shown_up_to_rounding_and_per_cent(number, output, found):
    values = list(prose_numbers.shown([nbformat.v4.new_output("stream", text=output)]))
    assert prose_numbers.is_shown(number.replace(",", ""), values) is found


def test_numbers_are_looked_for_in_words_of_figures_and_not_in_how_they_are_drawn():
    drawing = '<svg><path d="M 0.11 0.12"/><text x="0.13">0.21</text></svg>'
    page = '<style>.a {width: 0.14}</style><img alt="rises to 0.22" src="data:image/png;base64,+0.15"><b>0.23</b>'
    output = nbformat.from_dict({"output_type": "display_data", "metadata": {"image/png": {"alt": "falls to 0.24"}},
                                 "data": {"image/svg+xml": drawing, "text/html": page, "image/png": "0.16"}})
    assert {value for value, _ in prose_numbers.shown([output])} == {0.21, 0.22, 0.23, 0.24}


def test_a_core_is_limited_and_a_lab_is_a_menu(good):
    good.path = good.path.with_stem("01_lab")
    good.notebook.cells[0].source = "# A · 90 min\n" + "word " * 2000
    assert rules.budget(good) == [] and rules.minutes(good) == []
    good.notebook.cells[0].source += "word " * 600 + "\n".join(f"\n## Part {k} · 5 min\n" for k in range(9))
    said = [what.split(" ", 1)[1] for what in rules.budget(good)]
    assert said == ["sections, not 8 or fewer", "words, not 2500 or fewer"]


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
    assert json.loads(notebook.read_text(encoding="utf-8"))["cells"][6]["metadata"]["tags"] == ["solution"]

    edited = nbformat.read(notebook, as_version=4)
    edited.cells[2].source += "\nprint(2)"
    edited.cells[2].metadata["scrolled"] = True  # what JupyterLab adds stays out of the text
    tidy(edited)  # as a build leaves it
    nbformat.write(edited, notebook)
    later = source.stat().st_mtime + 10
    os.utime(notebook, (later, later))
    jupytext_command(["--sync", str(notebook), "--quiet"])
    assert source.read_text(encoding="utf-8") == GOOD.replace('print("0.81")', 'print("0.81")\nprint(2)')
