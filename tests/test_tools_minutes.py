"""The minutes in a lesson's headings."""

import jupytext
import pytest

from course_utils.errors import CourseError
from course_utils.tools.build import as_text, build
from course_utils.tools.minutes import write_minutes


def timed(text, seconds=0.0):
    """The text after its minutes are written, each code cell having run for so many seconds."""
    notebook = jupytext.reads(text, fmt="py:percent")
    write_minutes(notebook, [seconds] * len(notebook.cells))
    return as_text(notebook)


def lesson_of(words, heading="## Part", more=""):
    return f"# %% [markdown]\n# # T\n\n# %% [markdown]\n# {heading}\n# {'word ' * words}\n{more}"


def headings(text):
    return [line[2:] for line in text.splitlines() if line.startswith("# #")]


def test_minutes_count_words_cells_and_run_time():
    assert headings(timed(lesson_of(600)))[1] == "## Part · 4 min"
    cells = "\n# %%\nx = 1\n" * 12
    assert headings(timed(lesson_of(600, more=cells)))[1] == "## Part · 17 min"
    assert headings(timed(lesson_of(600, more=cells), seconds=20))[1] == "## Part · 21 min"


def test_minutes_count_lines_of_code_and_no_blank_ones():
    one, many, spaced = ("\n# %%\n" + line * 30 for line in ("", "x = 1\n", "x = 1\n\n"))
    assert [headings(timed(lesson_of(540, more=cell)))[1] for cell in (one, many, spaced)] == [
        "## Part · 5 min", "## Part · 7 min", "## Part · 7 min"]


def test_what_is_folded_away_takes_no_time():
    fold = "#\n# <details><summary>For teachers</summary>\n# " + "word " * 900 + "\n# </details>\n"
    solution = '\n# %% tags=["solution"]\nx = 1\n' * 9
    assert headings(timed(lesson_of(600, more=fold + solution)))[1] == "## Part · 4 min"


def test_an_exercise_keeps_its_declared_minutes_and_they_cover_what_stands_beneath():
    exercise = "\n# %% [markdown]\n# ### Exercise 1: try · 8 min\n# " + "word " * 900 + "\n\n# %%\nx = 1\n"
    after = "\n# %% [markdown]\n# ### Back to the lesson\n# " + "word " * 400 + "\n"
    assert headings(timed(lesson_of(600, more=exercise + after))) == [
        "# T · 15 min", "## Part · 15 min", "### Exercise 1: try · 8 min", "### Back to the lesson"]


def test_an_exercise_with_a_heading_of_its_own_counts_once():
    text = lesson_of(600, more="\n# %% [markdown]\n# ## Exercise: try · 8 min\n# " + "word " * 900 + "\n")
    assert headings(timed(text)) == ["# T · 12 min", "## Part · 4 min", "## Exercise: try · 8 min"]


def test_minutes_do_not_flip_with_the_run_time_but_follow_a_real_change():
    cells = "\n# %%\nx = 1\n"
    stable = timed(lesson_of(555, more=cells), seconds=5)
    assert "## Part · 5 min" in stable
    assert timed(stable, seconds=20) == stable  # 5.1 minutes: within the slack
    assert "## Part · 6 min" in timed(stable, seconds=80)


@pytest.mark.parametrize(("text", "message"), [
    (lesson_of(10, "## Exercise: try"), "how long the exercise takes"),
    (lesson_of(10, "# Second title"), "one title"),
    ("# %% [markdown]\n# ## Part\n", "one title"),
    ("# %%\nx = 1\n", "one title"),
])
def test_headings_that_cannot_be_timed_stop_a_build_before_it_runs(tmp_path, text, message, monkeypatch):
    monkeypatch.setattr("course_utils.tools.build.execute", None)
    path = tmp_path / "notebooks" / "source" / "01_tiny.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match=message):
        build(path)
