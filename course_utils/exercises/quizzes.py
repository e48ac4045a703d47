"""Quizzes with a reason for each option, and predictions that are kept and quoted once something is measured."""

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import ipywidgets as widgets

from course_utils import registry
from course_utils.errors import CourseError
from course_utils.exercises.cards import PAPER, Card, inline

LETTERS = "ABCDEF"
ANSWERS: dict[str, str] = {}  # question: the letter last chosen in this kernel
# JupyterLab takes the arrow keys for itself, to move from cell to cell.
HOW = "Choose with the mouse, or with Tab and space."
# Options wrap instead of ending in "…", and what has the focus is framed, for those who go by keyboard.
STYLE = """<style>
.course-quiz {max-width: 46em; padding-left: 4px}
.course-quiz .widget-radio, .course-quiz .widget-radio-box {height: auto; width: 100%; max-width: none}
.course-quiz .widget-radio-box label {display: flex; gap: .5em; height: auto; max-width: none; margin: 0; padding: 3px;
  overflow: visible; white-space: normal}
.course-quiz .widget-radio-box input {order: -1; flex: none; align-self: flex-start; position: static;
  margin: 2px 0 0}
.course-quiz .widget-html-content, .course-quiz .widget-radio-box label
  {font-size: var(--jp-content-font-size1, 14px); line-height: 1.5; color: var(--jp-content-font-color1, #222)}
.course-quiz .widget-radio-box input:focus-visible, .course-quiz button:focus-visible
  {outline: 3px solid #3f90da !important; outline-offset: 2px}
</style>"""


class Option(NamedTuple):
    """One answer to choose, and the reason why it is right or wrong; a prediction's options have none."""

    text: str
    reason: str = ""


@dataclass(frozen=True)
class Question:
    """A question, declared in the list QUESTIONS of its lesson's exercises; without a `right` letter, a prediction."""

    name: str
    text: str
    options: tuple[Option, ...]
    right: str | None = None

    @property
    def lettered(self) -> dict[str, Option]:
        """The options by their letters, A, B, C …"""
        return dict(zip(LETTERS, self.options, strict=False))

    def message(self, letter: str) -> str:
        """What to say to whoever chose `letter`."""
        if self.right is None:
            return f"Kept: {letter}. You will see."
        verdict = f"✓ {letter} is right." if letter == self.right else f"✗ {letter} is not right."
        return f"{verdict} {self.lettered[letter].reason}"


class Quiz:
    """A question on show: radio buttons in a live notebook, a fold or plain text where there is no kernel.

    Tab and space are enough to use the `view`: choose an option, press the button, read the reason below.
    """

    def __init__(self, question: Question) -> None:
        self.question, kept = question, ANSWERS.get(question.name)
        options = [(f"{letter}. {option.text}", letter) for letter, option in question.lettered.items()]
        self.choice = widgets.RadioButtons(options=options, value=kept)
        self.button = widgets.Button(description="Check" if question.right else "Keep", tooltip=HOW)
        self.button.on_click(self._answer)
        self.place = widgets.HTML(self._placed(question.message(kept) if kept and not question.right else HOW))
        title = widgets.HTML(f"{STYLE}<strong>{inline(question.text)}</strong>")
        self.view = widgets.VBox([title, self.choice, self.button, self.place])
        self.view.add_class("course-quiz")

    def _answer(self, _: object) -> None:
        """Answer a click. ipywidgets would drop an error into a log that nobody reads, so it is shown here."""
        try:
            self.place.value = self._placed(self._respond())
        except Exception as error:
            said = escape(f"{type(error).__name__}: {error}")
            self.place.value = f'<div role="alert">The quiz failed with {said}. Run its cell again.</div>'

    def _respond(self) -> str:
        if self.choice.value is None:
            return "Choose an option first."
        ANSWERS[self.question.name] = self.choice.value
        return self.question.message(self.choice.value)

    def _placed(self, shown: str) -> str:
        """The message `shown`, in a place as high as the longest one, so that nothing moves when it appears.

        All messages lie in one cell of a grid, and those that are not shown are hidden, from screen readers too.
        """
        messages = {shown: None} | dict.fromkeys(map(self.question.message, self.question.lettered))
        parts = (
            f'<div style="grid-area:1/1;visibility:{"visible" if text == shown else "hidden"}"'
            f"{' role=alert' if text == shown != HOW else ''}>{inline(text)}</div>"
            for text in messages
        )
        return f'<div aria-live="polite" style="display:grid;min-height:1.5em">{"".join(parts)}</div>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        return {**self.view._repr_mimebundle_(), "text/html": self._static(), "text/plain": repr(self)}

    def _static(self) -> str:
        """The question without a kernel: a prediction's options in the open, a quiz with its answer folded twice."""
        question = self.question
        options = "".join(f"<div>{letter}. {inline(o.text)}</div>" for letter, o in question.lettered.items())
        if question.right is None:
            return f'<div style="{PAPER}"><div><strong>{inline(question.text)}</strong></div>{options}</div>'
        reasons = "".join(f"<div>{inline(question.message(letter))}</div>" for letter in question.lettered)
        return (
            f'<details style="{PAPER}"><summary>Quiz: {inline(question.text)}</summary>{options}'
            f"<details><summary>The answer, with reasons</summary>{reasons}</details></details>"
        )

    def __repr__(self) -> str:
        """The question and its options, and at the end the right one."""
        question = self.question
        lines = [question.text] + [f"  {letter}. {option.text}" for letter, option in question.lettered.items()]
        if question.right:
            lines.append(question.message(question.right))
        return "\n".join(lines)


def quiz(name: str) -> Quiz:
    """The question `name`, for example "00-fair", to be shown as the last line of a cell.

    Raises:
        CourseError: there is no such question.
    """
    return Quiz(registry.find(name, "QUESTIONS"))


def recall(name: str, measured: str) -> Card:
    """Quote the prediction `name` beside what was measured.

    Args:
        measured: the letter of the option that the measurement bears out.
    Raises:
        CourseError: there is no such question, or it has no such option.
    """
    options = registry.find(name, "QUESTIONS").lettered
    if measured not in options:
        raise CourseError(f"{name!r} has no option {measured!r}.\nIts options are {', '.join(options)}.")
    said = {letter: f"{letter} ({option.text})" for letter, option in options.items()}
    predicted = ANSWERS.get(name)
    if predicted is None:
        return Card("No prediction", name, (f"You made no prediction; the measurement says {said[measured]}.",))
    state = "As predicted" if predicted == measured else "Not as predicted"
    return Card(state, name, (f"You predicted {said[predicted]}. Measured: {said[measured]}.",))
