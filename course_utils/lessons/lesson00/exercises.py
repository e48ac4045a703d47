"""Lesson 00's exercise, quiz and prediction."""

import numpy as np

from course_utils.evidence.claims import mean_interval, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.exercises.declare import Exercise, Mistake
from course_utils.exercises.quizzes import Option, Question

NOT_KNOWN = "not known"


def who_is_better(differences: np.ndarray) -> str:
    """From accuracy differences a - b, one a seed: "a", "b" or "not known"."""
    interval = mean_interval(differences)
    if interval.low > 0:
        return "a"
    if interval.high < 0:
        return "b"
    return "not known"


def _zero_included(differences: np.ndarray) -> str:
    mean, low, high, _ = mean_interval(differences)
    if low <= 0 <= high:
        return NOT_KNOWN
    return "a" if mean > 0 else "b"


def _by_hand(differences: np.ndarray) -> str:
    interval = mean_interval(differences)
    beyond = np.sign([interval.low, interval.high]).sum()  # 2 or -2 when both ends lie on one side
    return {2.0: "a", -2.0: "b"}.get(float(beyond), NOT_KNOWN)


def _named(value: float, at_zero: str) -> str:
    """The one that a value above or below zero speaks for."""
    return "a" if value > 0 else "b" if value < 0 else at_zero


def _beyond(low: float, high: float, middle: str = NOT_KNOWN) -> str:
    """The answer by an interval, and `middle` where it includes zero."""
    return "a" if low > 0 else "b" if high < 0 else middle


def _with(half: float, differences: np.ndarray) -> str:
    """The answer by the mean ± `half` standard deviations."""
    mean, half = differences.mean(), half * differences.std(ddof=1)
    return _beyond(mean - half, mean + half)


def _ends(differences: np.ndarray) -> tuple[float, float]:
    interval = mean_interval(differences)
    return interval.low, interval.high


SIGN = "The sign of the mean always names a winner, also where the seeds scatter to both sides. How sure is the mean?"
COUNT = "Counting seeds forgets by how much each was won. The interval of the mean knows."
EQUAL = 'An interval that includes zero has room for small differences too. That is not "equal": it is not known.'
WORDING = 'You see when nobody can tell. But the third answer has to be worded "not known", just so.'
FIRST = "That is one seed's answer, and another seed can say the opposite. Use all of them."
SWAPPED = "The differences are `a - b`. Above zero, which of the two is better?"
ONE_END = "You look at one end of the interval. `low` above zero speaks for `a`. What speaks for `b`? And else?"
OTHER_END = "For `a`, the whole interval must lie above zero. Is it enough that `high` does?"
SPREAD = "The standard deviation says how far single seeds scatter; the mean of many is surer. Use `mean_interval`."
ERROR = "The mean ± one standard error catches the true mean about 2 times in 3, not 95 in 100. Use `mean_interval`."
ALL = "Not every seed has to agree. It is the interval of the mean that must lie on one side of zero."

ANSWERS = ("a", "b", NOT_KNOWN)
SAME = ("equal", "no difference", "tie", "draw", "same", "neither")
UNSURE = ("unknown", "not_known", "not sure", "unsure", "unclear", "undecided", "inconclusive", "cannot tell")
WRONG = (
    *(Mistake(lambda d, tie=tie: _named(d.mean(), tie), SIGN) for tie in ANSWERS),
    *(Mistake(lambda d, tie=tie: _named((d > 0).sum() - (d < 0).sum(), tie), COUNT) for tie in ANSWERS),
    Mistake(lambda d: "a" if (d > 0).mean() > 0.5 else "b", COUNT),
    *(Mistake(lambda d, tie=tie: _named(d[0], tie), FIRST) for tie in ANSWERS),
    *(Mistake(lambda d, word=word: _beyond(*_ends(d), word), EQUAL) for word in SAME),
    *(Mistake(lambda d, word=word: _beyond(*_ends(d), word), WORDING) for word in UNSURE),
    Mistake(lambda d: _beyond(*_ends(-d)), SWAPPED),
    Mistake(lambda d: "a" if _ends(d)[0] > 0 else "b", ONE_END),
    Mistake(lambda d: "a" if _ends(d)[0] > 0 else NOT_KNOWN, ONE_END),
    Mistake(lambda d: "b" if _ends(d)[1] < 0 else "a", ONE_END),
    Mistake(lambda d: "b" if _ends(d)[1] < 0 else NOT_KNOWN, ONE_END),
    Mistake(lambda d: _beyond(*_ends(d)[::-1]), OTHER_END),
    Mistake(lambda d: "a" if _ends(d)[1] > 0 else "b", OTHER_END),
    Mistake(lambda d: _with(1, d), SPREAD),
    Mistake(lambda d: _with(len(d) ** -0.5, d), ERROR),
    Mistake(lambda d: _beyond(d.min(), d.max()), ALL),
)


def _cases() -> list[tuple]:
    """Stored differences first, then made ones at the edges."""
    curves, race = load_results("lesson00").query("steps == 100"), load_results("lesson00_race")
    few, ten, twenty, most = (
        paired_difference(curves[curves["per_class"] == n], "feature_extraction", "from_scratch").differences
        for n in (2, 10, 20, 120)
    )
    close = paired_difference(race, "feature_extraction", "fine_tuning").differences
    real = [close, ten, -twenty, few, -close, most]
    spread = np.linspace(-0.05, 0.05, 10)
    end = mean_interval(spread).high  # so far must the mean lie from zero
    hair = 0.0004
    breadths = [spread + end + hair, spread + end - hair, spread - end - hair, spread - end + hair]
    outlier = np.r_[0.4, np.full(9, -0.01)]
    return [(case,) for case in (*real, np.zeros(10), outlier, -outlier[::-1], *breadths)]


def _draw(rng: np.random.Generator) -> tuple:
    return (rng.normal(rng.normal(0, 0.03), rng.uniform(0.01, 0.1), rng.integers(5, 21)).round(3),)


EXERCISES = [
    Exercise(
        name="00-interval",
        solution=who_is_better,
        can_do="You can tell from an interval who is better, and when nobody knows yet.",
        hints=(
            "`mean_interval(differences)` gives `mean`, `low` and `high`. Where does it lie if `a` is better?",
            "`a` is better if the whole interval lies above zero: `low > 0`. Say the same for `b`.",
            'Three answers: `low > 0` means "a", `high < 0` means "b", and all else means "not known".',
        ),
        mistakes=WRONG,
        cases=_cases,
        draw=_draw,
        right=(_zero_included, _by_hand),
    )
]

QUESTIONS = [
    Question(
        name="00-fewer",
        text="With how many photographs of each class is transfer as good as training from scratch on 120?",
        options=(Option("more than 40"), Option("13 to 40"), Option("12 or fewer: ten times fewer, or more")),
    ),
    Question(
        name="00-fair",
        text="Do pretrained weights help? What do you compare transfer with?",
        options=(
            Option(
                "The best accuracy in a paper.",
                "Other photographs, another network: the difference could come from anything.",
            ),
            Option(
                "The same network from random weights, at the learning rates that suit transfer.",
                "Random weights want other rates. Beside a badly tuned control, any method looks good.",
            ),
            Option(
                "The same network from random weights, on the same photographs, tuned with the same care.",
                "The two then differ in where they start, and in how each is trained best.",
            ),
            Option(
                "Always naming the commoner class.",
                "That tells whether anything was learned, not whether the pretrained weights helped.",
            ),
        ),
        right="C",
    ),
]
