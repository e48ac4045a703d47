"""Turned letters: the pictures of the letters' task, with their turn and font."""

import numpy as np

from course_utils.data.letters import SEEN_FONTS, UNSEEN_FONTS
from course_utils.data.tasks import load_task
from course_utils.lessons.lesson02.rotated_letters import turned_letters


def test_the_pictures_are_those_of_the_task():
    x, degrees, fonts = turned_letters("test", 100)
    assert np.array_equal(x, load_task("letters", per_class=1).test.x)
    assert len(degrees) == len(fonts) == len(x) == 2600
    assert degrees.min() < -14 and degrees.max() > 14 and np.abs(degrees).max() <= 15


def test_no_font_is_on_both_sides_and_few_pictures_are_the_first_of_many():
    few, many = turned_letters("train", 5), turned_letters("train", 20)
    assert set(many[2]) == set(SEEN_FONTS) and set(turned_letters("test", 20)[2]) == set(UNSEEN_FONTS)
    first = (np.arange(26)[:, None] * 20 + np.arange(5)).ravel()
    assert all(np.array_equal(a, b[first]) for a, b in zip(few, many, strict=True))


def test_above_zero_is_clockwise():
    """An upright I that is turned clockwise has its upper half right of its lower half."""
    x, degrees, fonts = turned_letters("train", 100)
    rows = [k for k in range(800, 900) if fonts[k] == "DejaVuSans"]  # I is the ninth letter
    lean = []
    for k in rows:
        ink = np.abs(x[k, 0].astype(float) - x[k, 0, 0, 0])
        middle = (ink.sum(1) * np.arange(32)).sum() / ink.sum()
        halves = [ink[: int(middle)].sum(0), ink[int(middle) + 1 :].sum(0)]
        upper, lower = ((half * np.arange(32)).sum() / half.sum() for half in halves)
        lean.append(upper - lower)
    assert np.corrcoef(lean, degrees[rows])[0, 1] > 0.9
