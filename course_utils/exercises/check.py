"""Exercises that check themselves: a learner's attempt against the package, with a hint for the very mistake."""

import inspect
from collections.abc import Callable
from typing import Any

from course_utils import registry
from course_utils.exercises.attempts import Outcome, difference, fingerprint, is_empty, kind
from course_utils.exercises.cards import Card, shorten
from course_utils.exercises.declare import Exercise

_TRIES: dict[str, list[tuple]] = {}  # of each exercise, the different attempts of this kernel


def check(name: str, attempt: Any, solution: bool = False) -> Card:
    """Whether `attempt` solves the exercise `name`: a card that says so, or helps on.

    Args:
        name: for example "00-interval".
        attempt: the learner's function (itself, not what it returns), or their choice.
        solution: the attempt is the folded solution, and a card that says "Passed" would praise nobody.
    Raises:
        CourseError: there is no such exercise.
    """
    exercise = registry.find(name, "EXERCISES")
    card = _checked(exercise, attempt)
    if solution and card.state == "Passed":
        return Card("Solution", name, ("This is our solution, not your answer. It passes the check.",))
    return card


def _checked(exercise: Exercise, attempt: Any) -> Card:
    if is_empty(attempt):
        return _not_attempted(exercise)
    if not callable(exercise.solution):
        return _check_choice(exercise, attempt)
    if not callable(attempt):
        hint = f'Hand over the function itself, without brackets: `check("{exercise.name}", my_function)`.'
        return Card("Not yet", exercise.name, (f"Expected your function, came `{shorten(attempt)}`.",), hint=hint)
    return _check_function(exercise, attempt)


def _not_attempted(exercise: Exercise) -> Card:
    return Card("Not attempted yet", exercise.name, ("Write your answer, then run the cell again.",))


def _check_choice(exercise: Exercise, attempt: Any) -> Card:
    def same(answer: Any) -> bool:
        return difference(_tidy(answer), _tidy(attempt), exercise.tolerance) is None

    if same(exercise.solution):
        return Card("Passed", exercise.name, (exercise.can_do,))
    rung = _next_rung(exercise, attempt)
    declared = next((mistake.hint for mistake in exercise.mistakes if same(mistake.answer)), None)
    hint = declared or _other_kind(exercise.solution, attempt) or rung
    return Card("Not yet", exercise.name, (f"You answered `{shorten(attempt)}`.",), hint=hint)


def _other_kind(solution: Any, attempt: Any) -> str | None:
    """What is said of an answer, or of the first part of one, that is a text in place of a number or the like."""
    whole = isinstance(solution, tuple) and isinstance(attempt, (tuple, list)) and len(solution) == len(attempt)
    pairs = zip(solution, attempt, strict=True) if whole else [(solution, attempt)]
    for number, (wanted, came) in enumerate(pairs, 1):
        if kind(wanted) != kind(came):
            return f"{f'Part {number} of your' if whole else 'Your'} answer should be {kind(wanted)}, not {kind(came)}."
    return None


def _tidy(answer: Any) -> Any:
    if isinstance(answer, tuple):
        return tuple(map(_tidy, answer))
    return answer.strip().casefold() if isinstance(answer, str) else answer


def _check_function(exercise: Exercise, attempt: Callable) -> Card:
    cases = list(exercise.cases())
    came = [exercise.outcome(attempt, case, quiet=number > 0) for number, case in enumerate(cases)]
    if any(answer.value is Ellipsis for answer in came):  # a stub with some lines given and `return ...`
        return _not_attempted(exercise)
    expected = [exercise.outcome(exercise.solution, case) for case in cases]
    reasons = [_differ(*pair, exercise.tolerance) for pair in zip(expected, came, strict=True)]
    wrong = [number for number, reason in enumerate(reasons) if reason is not None]
    if not wrong:
        return Card("Passed", exercise.name, (f"All {len(cases)} inputs come out right. {exercise.can_do}",))
    first, rung = wrong[0], _next_rung(exercise, attempt)
    hint = _hint_for(exercise, cases, came) or _missing_return(expected[first], came[first]) or rung
    count = f"{len(cases) - len(wrong)} of {len(cases)} inputs come out right. The first that does not:"
    rows = _rows(exercise, cases[first], expected[first], came[first])
    return Card("Not yet", exercise.name, (count, reasons[first]) if reasons[first] else (count,), rows, hint)


def _differ(expected: Outcome, came: Outcome, tolerance: float) -> str | None:
    """How two outcomes differ, as `difference` says it; an error is only the same as an error of its name."""
    if expected.error == came.error:
        return None if came.error else difference(expected.value, came.value, tolerance)
    return f"The error comes from {came.line}." if came.line else ""


def _rows(exercise: Exercise, case: tuple, expected: Outcome, came: Outcome) -> tuple[tuple[str, str], ...]:
    """The rows of a card: the input, what was expected of it and what came."""
    names = inspect.signature(exercise.solution).parameters
    given = ", ".join(f"{name} = {shorten(value)}" for name, value in zip(names, case, strict=False))
    texts = _shown(expected, 4), _shown(came, 4)
    if texts[0] == texts[1]:
        texts = _shown(expected, 10), _shown(came, 10)
    return ("input", given), ("expected", texts[0]), ("came", texts[1])


def _shown(outcome: Outcome, digits: int) -> str:
    if outcome.error:
        return f"{outcome.error}: {outcome.message}".rstrip(": ")
    return shorten(outcome.value, digits)


def _hint_for(exercise: Exercise, cases: list[tuple], answers: list[Outcome]) -> str | None:
    """The hint of the declared mistake that answers every case as the learner does."""
    for mistake in exercise.mistakes:
        pairs = zip(cases, answers, strict=True)
        wrong = ((exercise.outcome(mistake.answer, case), answer) for case, answer in pairs)
        if all(_differ(*pair, exercise.tolerance) is None for pair in wrong):
            return mistake.hint
    return None


def _missing_return(expected: Outcome, came: Outcome) -> str | None:
    if came.value is None and not came.error and expected.value is not None:
        return "It returns nothing: is a `return` missing? To print a value is not to return it."
    return None


def _next_rung(exercise: Exercise, attempt: Any) -> str:
    """The hint of the ladder for so many different attempts, this one included; a cell run again is no new one."""
    seen, key = _TRIES.setdefault(exercise.name, []), fingerprint(attempt)
    if key not in seen:
        seen.append(key)
    rung, of = min(len(seen), len(exercise.hints)), "\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}"
    return f"{exercise.hints[rung - 1]} ({rung}{of}{len(exercise.hints)})"
