"""Quizzes and predictions: as widgets, without a kernel, and quoted once something is measured."""

import re

import ipywidgets as widgets
import pytest
from IPython.core.formatters import DisplayFormatter
from nbformat import v4

from course_utils.errors import CourseError
from course_utils.exercises import quizzes
from course_utils.exercises.quizzes import ANSWERS, HOW, LETTERS, Option, Question, Quiz, quiz, recall
from course_utils.registry import declared, lesson_numbers
from course_utils.tools.build import WIDGET, tidy

ALL = [question for number in lesson_numbers() for question in declared("QUESTIONS", number)]
ASKED = [question for question in ALL if question.right]
PREDICTED = [question for question in ALL if not question.right]
LIMIT = 50  # words of a question with its options; it is answered in a minute


def named(question) -> str:
    return question.name


def shown(show) -> str:
    """What stands in the place for answers."""
    return re.search(r'visible"[^>]*>(.*?)</div>', show.place.value)[1]


def choose(show, letter) -> str:
    show.choice.value = letter
    show.button.click()
    return shown(show)


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch):
    """No answers yet."""
    monkeypatch.setattr(quizzes, "ANSWERS", {})


@pytest.fixture
def asked():
    options = (Option("one <b>", "No: `1` & more."), Option("two", "Yes."))
    return Question("99-ask", "Which `x` < y?", options, right="B")


def test_there_are_questions():
    assert ASKED and PREDICTED and not ANSWERS


@pytest.mark.parametrize("question", ALL, ids=named)
def test_a_question_is_short_and_its_options_differ(question):
    texts = [option.text for option in question.options]
    assert 2 <= len(set(texts)) == len(texts) <= len(LETTERS)
    assert len(" ".join([question.text, *texts]).split()) <= LIMIT + 20 * bool(question.right)


@pytest.mark.parametrize("question", ASKED, ids=named)
def test_a_quiz_has_one_right_option_and_a_reason_for_each(question):
    assert question.right in question.lettered and 3 <= len(question.options) <= 4
    reasons = [option.reason for option in question.options]
    assert all(reasons) and len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("question", ASKED, ids=named)
def test_each_option_is_answered_with_its_reason(question):
    show = quiz(question.name)
    for letter, option in question.lettered.items():
        said = choose(show, letter)
        assert quizzes.inline(option.reason) in said
        assert said.startswith(f"✓ {letter} is right." if letter == question.right else f"✗ {letter} is not right.")


@pytest.mark.parametrize("question", ALL, ids=named)
def test_the_view_can_be_used_by_keyboard_alone(question):
    show = quiz(question.name)
    title, choice, button, place = show.view.children
    assert isinstance(choice, widgets.RadioButtons) and isinstance(button, widgets.Button)
    assert quizzes.inline(question.text) in title.value and button.description and not button.disabled
    assert [label[:2] for label, _ in choice.options] == [f"{letter}." for letter in question.lettered]
    assert choice.value is None and shown(show) == HOW and 'aria-live="polite"' in place.value
    assert all(child.tabbable is not False for child in show.view.children)


@pytest.mark.parametrize("question", ALL, ids=named)
def test_without_a_kernel_everything_can_be_read(question):
    bundle = quiz(question.name)._repr_mimebundle_()
    assert set(bundle) == {WIDGET, "text/html", "text/plain"}
    for text in (bundle["text/html"], bundle["text/plain"]):
        assert all(f"{letter}. {option.text}" in text for letter, option in question.lettered.items())
    folds = bundle["text/html"].count("<details")
    assert folds == (2 if question.right else 0) == bundle["text/html"].count("</details>")
    if question.right:
        options, answer = bundle["text/html"].split("</summary>", 1)[1].split("<details>")
        assert question.options[0].text in options and "✓" not in options
        assert all(quizzes.inline(option.reason) in answer for option in question.options)


def test_the_place_for_the_answer_keeps_its_height(asked):
    """Every message lies in the same cell of a grid, all but one hidden, so the highest gives the height."""
    show = Quiz(asked)
    before = show.place.value
    choose(show, "A")
    for value in (before, show.place.value):
        assert value.count("grid-area:1/1") == value.count("visibility:hidden") + 1
        assert all(quizzes.inline(asked.message(letter)) in value for letter in "AB")
    assert "role=alert" in show.place.value and "role=alert" not in before


def test_nothing_chosen_is_said(asked):
    show = Quiz(asked)
    show.button.click()
    assert shown(show) == "Choose an option first." and not quizzes.ANSWERS


def test_texts_are_escaped(asked):
    show = Quiz(asked)
    assert "one &lt;b&gt;" in show._repr_mimebundle_()["text/html"]
    assert "Which <code>x</code> &lt; y?" in show.view.children[0].value
    assert choose(show, "A") == "✗ A is not right. No: <code>1</code> &amp; more."


def test_an_error_in_a_callback_is_seen(asked, monkeypatch):
    show = Quiz(asked)
    monkeypatch.setattr(Question, "message", lambda self, letter: 1 / 0)
    show.choice.value = "A"
    show.button.click()
    assert "ZeroDivisionError" in show.place.value and 'role="alert"' in show.place.value


def test_a_build_keeps_the_static_version():
    data, metadata = DisplayFormatter().format(quiz("00-fair"))
    cell = v4.new_code_cell('quiz("00-fair")', outputs=[v4.new_output("execute_result", data, metadata=metadata)])
    notebook = v4.new_notebook(cells=[cell])
    tidy(notebook)
    assert set(notebook.cells[0].outputs[0].data) == {"text/html", "text/plain"}


# --- predictions ---


def test_a_prediction_is_kept_and_quoted():
    show = quiz("00-fewer")
    assert choose(show, "B") == "Kept: B. You will see."
    card = recall("00-fewer", "C")
    assert card.state == "Not as predicted"
    assert card.paragraphs == ("You predicted B (13 to 40). Measured: C (12 or fewer: ten times fewer, or more).",)
    assert recall("00-fewer", "B").state == "As predicted"
    choose(show, "A")
    assert "You predicted A" in repr(recall("00-fewer", "C"))


def test_a_prediction_is_still_there_when_its_cell_runs_again():
    choose(quiz("00-fewer"), "B")
    again = quiz("00-fewer")
    assert again.choice.value == "B" and shown(again) == "Kept: B. You will see."


@pytest.mark.parametrize("question", PREDICTED, ids=named)
def test_without_a_prediction_the_measurement_speaks(question):
    card = recall(question.name, "C")
    assert card.state == "No prediction" and "the measurement says C (" in card.paragraphs[0]


def test_unknown_names_and_options():
    with pytest.raises(CourseError, match="00-fewer"):
        quiz("00-fewr")
    with pytest.raises(CourseError, match="A, B, C"):
        recall("00-fewer", "D")
