"""From a lesson's text to its executed notebook, tried on a lesson of a few cells."""

import base64
import contextlib
import io
import os
import re
import shutil
from pathlib import Path

import jupytext
import nbformat
import notebook_rules as rules
import numpy as np
import pytest
from jupytext.cli import jupytext as jupytext_command
from nbformat import v4
from PIL import Image

from course_utils.errors import CourseError
from course_utils.tools import build
from course_utils.tools.kernels import Execution, execute
from course_utils.tools.run import main

LESSON = '''# %% [markdown]
# # A tiny lesson
#
# ''' + "So many words. " * 20 + '''

# %%
import os
import sys
import time
import warnings

import matplotlib.pyplot as plt
from tqdm.auto import tqdm

for step in tqdm(range(3)):
    warnings.warn("careful")

# %% [markdown]
# ## A figure
#
# ```python
# # ## no heading
# ```

# %%
fig, ax = plt.subplots()
ax.plot([1, 3, 2])
print({"a", "b", "c"}, os.environ["COURSE_STRICT"])

# %% [markdown]
# <details><summary>Description</summary>
# A line that rises from one to three at its second point, then falls again, to two.
# </details>
#
# ### Exercise 1 · 3 min

# %%
for word in ("one", "two"):
    print(word, flush=True)
    print("aside", file=sys.stderr, flush=True)
    time.sleep(0.1)

# %% jupyter={"source_hidden": true} tags=["solution"]
1 + 1

# %%
1 + 1

# %% tags=["raises-exception"]
import ipywidgets
display({**ipywidgets.IntSlider(3)._repr_mimebundle_(), "text/html": "<b>three</b>"}, raw=True)
raise ValueError("as it should")
'''


def snapshot(folder):
    """Every file below a folder with its content: what must be the same afterwards."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add_source(root, name, text):
    path = root / "notebooks" / "source" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A course whose lesson was built twice: its root, and for each build what it said and the files then."""
    root = tmp_path_factory.mktemp("course")
    add_source(root, "01_tiny", LESSON)
    results = []

    def with_a_steady_clock(notebook, folder, env):
        execution = execute(notebook, folder, env)
        execution.cell_seconds = [1.0] * len(notebook.cells)
        return execution

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "execute", with_a_steady_clock)
        patch.delenv("COURSE_STRICT")  # the build itself is strict
        patch.setenv("MPLBACKEND", "agg")  # must not keep the figures out of the notebook
        for _ in range(2):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                assert main(["build", "1"], root) == 0
            results.append((said.getvalue(), snapshot(root)))
    return root, *results


def test_a_second_build_changes_nothing(built):
    _, (said, files), (said_again, files_again) = built
    assert "written" in said and "unchanged" in said_again
    assert files == files_again
    assert set(files) == {Path("notebooks/01_tiny.ipynb"), Path("notebooks/source/01_tiny.py")}


def test_a_build_keeps_the_rules(built):
    lesson = rules.read_lesson(built[0] / "notebooks" / "01_tiny.ipynb")
    kept = (rules.in_step, rules.executed, rules.clean_outputs, rules.minutes, rules.described)
    assert [rule(lesson) for rule in kept] == [[]] * len(kept)


def test_a_build_writes_the_minutes_into_the_text_and_nothing_else(built):
    text = (built[0] / "notebooks" / "source" / "01_tiny.py").read_text(encoding="utf-8")
    assert re.sub(r" · \d+ min", "", text) == re.sub(r" · \d+ min", "", LESSON)
    minutes = {title: int(n) for title, n in re.findall(r"^# #+ (.*) · (\d+) min$", text, re.MULTILINE)}
    assert list(minutes) == ["A tiny lesson", "A figure", "Exercise 1"] and minutes["Exercise 1"] == 3
    assert minutes["A tiny lesson"] > minutes["A figure"] >= 3  # how much more, a busy machine decides


def test_a_build_stores_what_a_reader_wants_to_see(built):
    root, (said, _), _ = built
    notebook = nbformat.read(root / "notebooks" / "01_tiny.ipynb", as_version=4)
    progress, figure, words, solution, copy, error = (
        cell for cell in notebook.cells if cell.cell_type == "code")
    assert progress.outputs == [] and "stderr of cell 2" in said and "careful" in said
    assert sum("image/png" in output.get("data", {}) for output in figure.outputs) == 1
    assert [output.text for output in words.outputs] == ["one\ntwo\n"] and "cell 6: aside" in said
    assert figure.outputs[0].text.endswith("} 1\n")
    static, failure = error.outputs
    assert set(static.data) == {"text/html", "text/plain"} and failure.output_type == "error"
    assert solution.id != copy.id and solution.source == copy.source


def test_a_failing_build_keeps_the_old_notebook(tmp_path, capsys):
    text = "# %% [markdown]\n# # Title\n\n# %%\nundefined\n"
    add_source(tmp_path, "01_tiny", text)
    nbformat.write(jupytext.reads(text, fmt="py:percent"), tmp_path / "notebooks" / "01_tiny.ipynb")
    before = snapshot(tmp_path)
    assert main(["build"], tmp_path) == 1
    said = capsys.readouterr().out
    assert "cell 2 of 2: undefined" in said and "NameError: name 'undefined' is not defined" in said
    assert snapshot(tmp_path) == before


def test_a_widget_that_shows_nothing_without_a_kernel_is_refused(tmp_path, monkeypatch, capsys):
    def pretend(notebook, folder, env):
        data = {build.WIDGET: {"model_id": "1"}, "text/plain": "IntSlider(value=0)"}
        notebook.cells[1].outputs = [v4.new_output("display_data", data)]
        return Execution(cell_seconds=[0.0] * len(notebook.cells))

    monkeypatch.setattr(build, "execute", pretend)
    add_source(tmp_path, "01_tiny", "# %% [markdown]\n# # Title\n\n# %%\nslider\n")
    assert main(["build"], tmp_path) == 1
    assert "Cell 2 shows a widget that is empty without a kernel" in capsys.readouterr().out
    assert set(snapshot(tmp_path)) == {Path("notebooks/source/01_tiny.py")}


@pytest.fixture
def instant(monkeypatch):
    """Builds in which no kernel runs: each cell takes no time."""
    def pretend(notebook, folder, env):
        return Execution(cell_seconds=[0.0] * len(notebook.cells))

    monkeypatch.setattr(build, "execute", pretend)


def test_a_notebook_over_the_size_limit_is_not_written(tmp_path, instant, monkeypatch):
    monkeypatch.setattr(build, "SIZE_LIMIT", 500)
    source = add_source(tmp_path, "01_tiny", LESSON)
    with pytest.raises(CourseError, match="MB"):
        build.build(source)
    assert set(snapshot(tmp_path)) == {Path("notebooks/source/01_tiny.py")}


def test_a_text_laid_out_in_another_way_is_laid_out_as_jupytext_does(tmp_path, instant):
    solution = '\n\n# %% tags=["solution"] jupyter={"source_hidden": true}\n1 + 1\n'
    source = add_source(tmp_path, "01_tiny", LESSON + solution)
    notebook = nbformat.read(build.build(source).path, as_version=4)
    assert source.read_text(encoding="utf-8") == build.as_text(notebook)


def test_a_mark_before_the_first_letter_changes_nothing(tmp_path, instant):
    source = add_source(tmp_path, "01_tiny", LESSON)
    before = build.build(source).path.read_bytes()
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert build.build(source).path.read_bytes() == before


def test_an_edit_during_the_build_is_not_overwritten(tmp_path, monkeypatch):
    source = add_source(tmp_path, "01_tiny", LESSON)

    def edit(notebook, folder, env):
        source.write_text(LESSON + "\n# an edit\n", encoding="utf-8")
        return Execution(cell_seconds=[0.0] * len(notebook.cells))

    monkeypatch.setattr(build, "execute", edit)
    with pytest.raises(CourseError, match="was changed"):
        build.build(source)
    assert source.read_text(encoding="utf-8").endswith("# an edit\n")
    assert not (tmp_path / "notebooks" / "01_tiny.ipynb").exists()


# --- a notebook that was edited apart from its text ---


def edit(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


EDITS = {
    "a line": lambda notebook: notebook.cells[1].update(source=notebook.cells[1].source + "\n1 + 1"),
    "a new cell": lambda notebook: notebook.cells.insert(2, v4.new_code_cell("1 + 1")),
    "a cell less": lambda notebook: notebook.cells.pop(2),
    "two cells the other way round": lambda notebook: notebook.cells.insert(2, notebook.cells.pop(3)),
    "a tag": lambda notebook: notebook.cells[1].metadata.update(tags=["solution"]),
    "conflict": None,
}


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("text_too", [False, True])
def test_a_notebook_edited_apart_from_its_text_stops_the_build(tmp_path, instant, capsys, kind, text_too):
    source = add_source(tmp_path, "01_tiny", LESSON)
    path = build.build(source).path
    if EDITS[kind]:
        edit(path, EDITS[kind])
    else:
        path.write_text("<<<<<<< HEAD\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    if text_too:
        source.write_text(source.read_text(encoding="utf-8") + "\n# %%\n2 + 2\n", encoding="utf-8")
    before = snapshot(tmp_path)
    capsys.readouterr()
    assert main(["build", "1"], tmp_path) == 1
    said = capsys.readouterr().out
    assert str(path) in said and "build 01 --force" in said and len(said.splitlines()) == 4  # its own line and three
    assert snapshot(tmp_path) == before
    assert main(["build", "1", "--force"], tmp_path) == 0
    assert rules.in_step(rules.read_lesson(path)) == []


def test_the_copying_that_the_message_names_loses_nothing(tmp_path, instant):
    shutil.copy(build.PAIRING, tmp_path)
    source = add_source(tmp_path, "01_tiny", LESSON)
    path = build.build(source).path
    edit(path, EDITS["a new cell"])
    with pytest.raises(CourseError) as error:
        build.build(source)
    jupytext_command(str(error.value).split("jupytext ", 1)[1].splitlines()[0].split())
    build.build(source)
    assert nbformat.read(path, as_version=4).cells[2].source == "1 + 1"


def test_an_edit_that_both_have_or_the_text_alone_is_built(tmp_path, instant):
    source = add_source(tmp_path, "01_tiny", LESSON)
    path = build.build(source).path
    source.write_text(source.read_text(encoding="utf-8") + "\n# %%\n2 + 2\n", encoding="utf-8")
    assert build.build(source).changed
    edit(path, EDITS["a line"])  # as JupyterLab saves: both, and folds and outputs as they are on the screen
    edit(path, lambda notebook: notebook.cells[3].metadata.update(scrolled=True))
    edit(path, lambda notebook: notebook.cells[3].update(outputs=[], execution_count=None))
    source.write_text(build.as_text(nbformat.read(path, as_version=4)), encoding="utf-8")
    assert build.build(source).changed and not build.build(source).changed


def test_a_notebook_saved_during_the_build_is_not_overwritten(tmp_path, instant, monkeypatch):
    source = add_source(tmp_path, "01_tiny", LESSON)
    path = build.build(source).path

    def save(notebook, folder, env):
        edit(path, EDITS["a line"])
        return Execution(cell_seconds=[0.0] * len(notebook.cells))

    monkeypatch.setattr(build, "execute", save)
    with pytest.raises(CourseError, match="was changed"):
        build.build(source)
    assert "1 + 1" in nbformat.read(path, as_version=4).cells[1].source


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    assert build.write_if_new(path, b"old") and not build.write_if_new(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build.write_if_new(path, b"new")
    assert snapshot(tmp_path) == {Path("a.ipynb"): b"old"}


def test_pictures_lose_bytes_but_no_pixel():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
    for alpha in (255, 100):
        pixels[..., 3] = alpha
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", dpi=(72, 72), compress_level=0)
        before = base64.b64encode(file.getvalue()).decode()
        after = build.squeeze_png(before)
        picture = Image.open(io.BytesIO(base64.b64decode(after)))
        assert len(after) < len(before) and not picture.info
        assert np.array_equal(np.asarray(picture.convert("RGBA")), pixels)


def test_an_edit_changes_the_id_of_its_own_cell_only():
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code) for code in ("a", "b", "b", "c")])
    build.name_cells(notebook)
    before = [cell.id for cell in notebook.cells]
    notebook.cells[0].source = "A"
    build.name_cells(notebook)
    after = [cell.id for cell in notebook.cells]
    assert after[1:] == before[1:] and after[0] != before[0] and len(set(after)) == 4
