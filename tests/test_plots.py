"""The shared figures: their words say their values, what cannot be drawn is an error, and pictures stay as stored."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from figures import (
    ARMS,
    TOLERANCE,
    FigureTests,
    controls,
    distance,
    drawn,
    longest_line,
    pictures,
    reference,
    some_runs,
    widest_names,
    words,
)

from course_utils import plots
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.training import History


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


def the_predictions():
    sure = np.array([[0.9, 0.1], [0.35, 0.65], [0.2, 0.8]])
    return plots.predictions(pictures(3), np.array([0, 0, 1]), sure, ["ant", "bee"], columns=3)


def by_task(table):
    """The same rows for two tasks, the second of them harder, without the largest size."""
    harder = table[table.per_class < 40].assign(task="letters", accuracy=table.accuracy - 0.3)
    return pd.concat([table.assign(task="photos"), harder])


def the_tasks():
    titles, chance = {"photos": "photographs", "letters": "letters"}, {"photos": 0.5, "letters": 0.1}
    return plots.accuracy_by_task(by_task(some_runs()), titles, ARMS, by_task(controls()), chance)


def the_differences():
    titles, sides = {"photos": "photographs", "letters": "letters"}, ("transfer better", "from scratch better")
    return plots.differences_by_task(by_task(some_runs()), "feature_extraction", "from_scratch", titles, sides, 60)


FIGURES = {
    "accuracy_by_task": the_tasks,
    "differences_by_task": the_differences,
    "learning_curves": lambda: plots.learning_curves(live()),
    "learning_curves_seeds": lambda: plots.learning_curves(live(seeds=4), ["loss"]),
    "confusion_matrix": lambda: plots.confusion_matrix([[30, 5, 0], [12, 22, 1], [0, 0, 35]], ["ant", "bee", "moth"]),
    "picture_grid": lambda: plots.picture_grid(pictures(7), [f"picture {k}" for k in range(7)], columns=4),
    "predictions": the_predictions,
}


class TestFigures(FigureTests):
    figures, rooms = FIGURES, (plots,)


@pytest.mark.parametrize("name", ["learning_curves", "learning_curves_seeds"])
def test_the_comparison_sees_that_a_line_is_missing(name):
    figure = FIGURES[name]()
    longest_line(figure).set_visible(False)
    assert distance(figure, reference(name)) > TOLERANCE


def test_the_comparison_sees_another_colour():
    other = plots.confusion_matrix([[5, 30, 0], [12, 22, 1], [0, 0, 35]], ["ant", "bee", "moth"])
    assert distance(other, reference("confusion_matrix")) > TOLERANCE


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


NO_FIGURES = {
    "no runs": (lambda: plots.learning_curves({}), "They have none"),
    "a history itself": (lambda: plots.learning_curves({"fine_tuning": History(2, 4)}), "history.table"),
    "no pictures": (lambda: plots.picture_grid(np.zeros((0, 3, 8, 8), np.uint8), []), "0 pictures and 0 titles"),
    "too few titles": (lambda: plots.picture_grid(np.zeros((2, 3, 8, 8), np.uint8), ["a"]), "2 pictures and 1 titles"),
    "fewer labels": (lambda: plots.predictions(np.zeros((2, 3, 8, 8)), [0], np.eye(2), ["a", "b"]), "1 labels"),
    "fewer classes": (lambda: plots.predictions(np.zeros((2, 3, 8, 8)), [0, 1], np.eye(2), ["a"]), "1 classes"),
}


@pytest.mark.parametrize("what", NO_FIGURES)
def test_what_cannot_be_drawn_is_a_clear_error(what):
    draw, words = NO_FIGURES[what]
    with pytest.raises(CourseError, match=words) as caught:
        draw()
    assert len(str(caught.value).splitlines()) <= 3


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(CourseError, match="They have step, loss, accuracy"):
        plots.learning_curves({"fine_tuning": history(0.1)}, ["losses"])


def test_the_confusion_matrix_counts_and_names_the_commonest_mistake():
    figure = drawn(FIGURES["confusion_matrix"])
    assert figure.words == (
        "87 of 105 examples are right (83%). The commonest mistake: 12 of the 35 of class bee are called ant."
    )
    assert all(f" {count} " in f" {words(figure)} " for count in (30, 5, 12, 22, 1, 35, 0))


def test_a_matrix_of_another_shape_is_an_error():
    with pytest.raises(CourseError, match="3 classes need 3 x 3 counts, not 2 x 2"):
        plots.confusion_matrix(np.eye(2), ["ant", "bee", "moth"])


def test_many_classes_can_be_read_too(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    counts = np.random.default_rng(0).integers(0, 90, (26, 26))
    plots.confusion_matrix(counts, [chr(65 + k) for k in range(26)])
    plots.confusion_matrix(counts[:10, :10], [f"a long name {k}" for k in range(10)])


def test_the_class_names_of_every_task_that_ships_have_room():
    names, sure = widest_names(3), np.eye(3)[[0, 0, 1, 1, 2, 2]]
    figure = drawn(partial(plots.predictions, pictures(6), np.arange(6) % 3, sure, names))
    assert all(name[:7] in words(figure) and name in figure.words for name in names[:2])


def test_predictions_say_what_is_wrong_by_a_sign_as_well():
    figure = drawn(the_predictions)
    said = words(figure)
    assert "✓ ant 0.90" in said and "✗ bee 0.65\nis ant" in said and "✓ bee 0.80" in said
    assert figure.words == "3 pictures with predictions, 2 of them right. Wrong: ant called bee (0.65)."


def test_a_panel_a_task_with_its_own_controls_and_differences():
    figure = drawn(the_tasks)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["photographs", "letters"]
    assert "letters, transfer: 0.26 with 2 of each, 0.46 with 20." in figure.words
    assert "No transfer there: 0.10 to 0.27." in figure.words
    differences = drawn(the_differences)
    rows = some_runs().query("per_class == 10").pivot(index="seed", columns="strategy", values="accuracy")
    gap = (rows["feature_extraction"] - rows["from_scratch"]).mean()
    assert f"{gap:+.3f} with 10" in differences.words and "above zero transfer better" in differences.words


def test_a_difference_that_may_be_none_is_hollow():
    half = some_runs().query("per_class == 2 and strategy != 'fine_tuning'").assign(task="photos")
    same = half.assign(accuracy=0.5 + 0.01 * (half.seed % 2 - 0.5) * (half.strategy == "from_scratch"))
    fills = [plots.differences_by_task(table, "feature_extraction", "from_scratch", {"photos": "photographs"},
                                       ("one", "other"), 500).axes[0].lines[2].get_markerfacecolor()
             for table in (half, same)]
    assert fills[0] != "#ffffff" and fills[1] == "#ffffff"


def test_a_grid_shows_each_picture_under_its_title():
    figure = drawn(FIGURES["picture_grid"])
    assert all(f"picture {k}" in words(figure) for k in range(7))
    assert len(figure.axes) == 8 and figure.words.startswith("7 pictures, titled picture 0,")
