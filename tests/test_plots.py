"""The shared figures: their words say their values, what cannot be drawn is an error, and pictures stay as stored."""

from functools import partial

import numpy as np
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


def test_the_class_names_of_every_task_have_room_above_predictions():
    names, sure = widest_names(3), np.eye(3)[[0, 0, 1, 1, 2, 2]]
    figure = drawn(partial(plots.predictions, pictures(6), np.arange(6) % 3, sure, names))
    assert all(name[:7] in words(figure) and name in figure.words for name in names[:2])


def test_predictions_say_what_is_wrong_by_a_sign_as_well():
    figure = drawn(the_predictions)
    said = words(figure)
    assert "✓ ant 0.90" in said and "✗ bee 0.65\nis ant" in said and "✓ bee 0.80" in said
    assert figure.words == "3 pictures with predictions, 2 of them right. Wrong: ant called bee (0.65)."
