"""What an exercise declares: its solution, its hints, and the mistakes that people make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from course_utils.exercises.attempts import Outcome, run


class Mistake(NamedTuple):
    """A wrong answer (a function, or a wrong choice), and the hint for whoever gives it."""

    answer: Any
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One exercise, declared in the list EXERCISES of its lesson's exercises (`lesson00` for "00-interval").

    Args:
        name: the lesson's number and a word.
        solution: a function, or for a choice the right answer (a text, a number).
        can_do: what the learner can do now, a sentence for the card that says "Passed".
        hints: a ladder of two or more, each saying more than the one before.
        mistakes: wrong answers, each with the hint for it. Those with different hints differ in some case.
        cases: gives the argument tuples on which a function is tried, real ones among them; made when needed.
        seen: for a function that changes its arguments in place: of the changed ones, what is compared in the
            place of the returned value.
        draw: a random argument tuple; with the cases, what tests tell wrong answers from right ones by.
        right: right answers written differently from the solution, for the tests: at least two functions.
        tolerance: for comparing numbers, absolute or relative.
    """

    name: str
    solution: Any
    can_do: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    cases: Callable[[], list[tuple]] = list
    seen: Callable[..., Any] | None = None
    draw: Callable[[np.random.Generator], tuple] | None = None
    right: tuple[Callable, ...] = ()
    tolerance: float = 1e-6

    def outcome(self, answer: Callable, case: tuple, quiet: bool = True) -> Outcome:
        """What a function gives for a case, or does to it; see `attempts.run`."""
        return run(answer, case, quiet, self.seen)
