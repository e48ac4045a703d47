"""The shared figures: their words say their values, what cannot be drawn is an error, and pictures stay as stored."""

import numpy as np
import pandas as pd
import pytest
from figures import (
    TOLERANCE,
    FigureTests,
    distance,
    drawn,
    longest_line,
    pictures,
    reference,
    words,
)

from course_utils import plots
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval


def history(rate, seeds=0):
    """A loss that falls and an accuracy that rises over 40 steps; with `seeds`, of that many runs."""
    step = np.arange(1, 41)
    tables = []
    for seed in range(max(1, seeds)):
        loss = (0.7 + 0.05 * seed) * np.exp(-rate * step) + 0.02
        tables.append(pd.DataFrame({"step": step, "loss": loss, "accuracy": 1 - loss / 2, "seed": seed}))
    return pd.concat(tables) if seeds else tables[0].drop(columns="seed")


def live(seeds=0):
    return {"from_scratch": history(0.02, seeds), "feature_extraction": history(0.08, seeds)}


FIGURES = {
    "learning_curves": lambda: plots.learning_curves(live()),
    "learning_curves_seeds": lambda: plots.learning_curves(live(seeds=4), ["loss"]),
    "picture_grid": lambda: plots.picture_grid(pictures(7), [f"picture {k}" for k in range(7)], columns=4),
}


class TestFigures(FigureTests):
    figures, rooms = FIGURES, (plots,)


@pytest.mark.parametrize("name", ["learning_curves", "learning_curves_seeds"])
def test_the_comparison_sees_that_a_line_is_missing(name):
    figure = FIGURES[name]()
    longest_line(figure).set_visible(False)
    assert distance(figure, reference(name)) > TOLERANCE


def test_the_comparison_sees_another_colour():
    other = plots.picture_grid(255 - pictures(7), [f"picture {k}" for k in range(7)], columns=4)
    assert distance(other, reference("picture_grid")) > TOLERANCE


def test_learning_curves_show_the_mean_of_ten_updates_and_the_interval_over_seeds():
    table = history(0.02, seeds=4)
    figure = plots.learning_curves({"fine_tuning": table}, ["loss"])
    mean, low, _ = (line.get_ydata() for line in figure.axes[0].lines)
    last = [run["loss"].iloc[-10:].mean() for _, run in table.groupby("seed")]
    assert mean[-1] == pytest.approx(np.mean(last)) and low[-1] == pytest.approx(mean_interval(last).low)
    assert f"fine-tuning goes from {mean[0]:.2f} to {mean[-1]:.2f}" in figure.words


def test_what_is_measured_now_and_then_is_drawn_as_it_is():
    table = history(0.02).assign(validation_accuracy=np.where(np.arange(40) % 10 == 9, 0.8, np.nan))
    figure = plots.learning_curves({"fine_tuning": table}, ["validation_accuracy"])
    assert list(figure.axes[0].lines[0].get_xdata()) == [10, 20, 30, 40]
    assert "validation accuracy" in words(figure) and "means over" not in words(figure)


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(CourseError, match="They have step, loss, accuracy"):
        plots.learning_curves({"fine_tuning": history(0.1)}, ["losses"])


def test_a_grid_shows_each_picture_under_its_title():
    figure = drawn(FIGURES["picture_grid"])
    assert all(f"picture {k}" in words(figure) for k in range(7))
    assert len(figure.axes) == 8 and figure.words.startswith("7 pictures, titled picture 0,")
