"""The shared figures: their words say their values, what cannot be drawn is an error, and pictures stay as stored."""

from functools import partial

import numpy as np
import pytest
from figures import (
    TOLERANCE,
    FigureTests,
    distance,
    drawn,
    pictures,
    reference,
    widest_names,
    words,
)

from course_utils import plots
from course_utils.errors import CourseError


def the_predictions():
    sure = np.array([[0.9, 0.1], [0.35, 0.65], [0.2, 0.8]])
    return plots.predictions(pictures(3), np.array([0, 0, 1]), sure, ["ant", "bee"], columns=3)


FIGURES = {
    "predictions": the_predictions,
    "picture_grid": lambda: plots.picture_grid(pictures(7), [f"picture {k}" for k in range(7)], columns=4),
}


class TestFigures(FigureTests):
    figures, rooms = FIGURES, (plots,)


def test_the_comparison_sees_another_colour():
    other = plots.picture_grid(255 - pictures(7), [f"picture {k}" for k in range(7)], columns=4)
    assert distance(other, reference("picture_grid")) > TOLERANCE


def test_a_grid_shows_each_picture_under_its_title():
    figure = drawn(FIGURES["picture_grid"])
    assert all(f"picture {k}" in words(figure) for k in range(7))
    assert len(figure.axes) == 8 and figure.words.startswith("7 pictures, titled picture 0,")
    assert plots.picture_grid(pictures(2), [3, 4]).words == "2 pictures, titled 3, 4."
    lists = plots.predictions(list(pictures(2)), [0.0, 1.0], [[1, 0], [0, 1]], [7, 8])
    assert lists.words == "2 pictures with predictions, 2 of them right."


NO_FIGURES = {
    "no pictures": (lambda: plots.picture_grid(np.zeros((0, 3, 8, 8), np.uint8), []), "0 pictures and 0 titles"),
    "too few titles": (lambda: plots.picture_grid(np.zeros((2, 3, 8, 8), np.uint8), ["a"]), "2 pictures and 1 titles"),
    "fewer labels": (lambda: plots.predictions(np.zeros((2, 3, 8, 8)), [0], np.eye(2), ["a", "b"]), "1 labels"),
    "texts": (lambda: plots.picture_grid(np.array(["a text", "b"], object), ["a", "b"]), "no picture: 'a text'"),
    "texts with predictions": (
        lambda: plots.predictions(["a text", "b"], np.array([0, 1]), np.eye(2), ["a", "b"]), "print texts",
    ),
    "no columns": (lambda: plots.picture_grid(pictures(2), ["a", "b"], columns=0), "columns=0"),
    "a colour missing": (lambda: plots.picture_grid(pictures(2), ["a", "b"], colours=["red"]), "and 1 colours"),
    "numbers after the point": (lambda: plots.picture_grid(pictures(1) / 255, ["a"]), "no picture: float64"),
    "channels last": (lambda: plots.picture_grid(pictures(1).transpose(0, 2, 3, 1), ["a"]), "3 x H x W"),
    "one picture without an axis": (lambda: plots.picture_grid(pictures(1)[0], list("abc")), "3 x H x W"),
    "a label beyond": (lambda: plots.predictions(pictures(2), [0, 2], np.eye(2), ["a", "b"]), "labels from 0"),
    "a label below": (lambda: plots.predictions(pictures(2), [0, -1], np.eye(2), ["a", "b"]), "labels from 0"),
    "labels by name": (lambda: plots.predictions(pictures(2), ["a", "b"], np.eye(2), ["a", "b"]), "labels from 0"),
    "no shares": (lambda: plots.predictions(pictures(2), [0, 1], 40 * np.eye(2), ["a", "b"]), "probabilities of"),
    "nan": (lambda: plots.predictions(pictures(2), [0, 1], np.eye(2) * np.nan, ["a", "b"]), "probabilities of"),
    "fewer classes": (lambda: plots.predictions(np.zeros((2, 3, 8, 8)), [0, 1], np.eye(2), ["a"]), "1 classes"),
}


@pytest.mark.parametrize("what", NO_FIGURES)
def test_what_cannot_be_drawn_is_a_clear_error(what):
    draw, words = NO_FIGURES[what]
    with pytest.raises(CourseError, match=words) as caught:
        draw()
    assert len(str(caught.value).splitlines()) <= 3


def test_the_class_names_of_every_task_have_room_above_predictions():
    names, sure = widest_names(3), np.eye(3)[[0, 0, 1, 1, 2, 2]]
    figure = drawn(partial(plots.predictions, pictures(6), np.arange(6) % 3, sure, names))
    assert all(name[:7] in words(figure) and name in figure.words for name in names[:2])


def test_predictions_say_what_is_wrong_by_a_sign_as_well():
    figure = drawn(the_predictions)
    said = words(figure)
    assert "✓ ant 90%" in said and "✗ bee 65%\ntruly ant" in said and "2 of these 3 are right" in said
    assert figure.words == "3 pictures with predictions, 2 of them right. Wrong: ant called bee (65%)."
