"""Figures: each returns a figure that says what its data say, and leaves matplotlib's settings alone."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from course_utils import diagrams, plots
from course_utils.evidence import times_fewer


@pytest.fixture
def table():
    draw = np.random.default_rng(0)
    gains = {"feature_extraction": 0.06, "from_scratch": 0.03, "fine_tuning": 0.06}
    return pd.DataFrame(
        {"strategy": name, "per_class": n, "seed": seed, "accuracy": 0.5 + gain * np.log2(n) + 0.01 * draw.normal()}
        for name, gain in gains.items()
        for n in (2, 5, 10, 20, 40)
        for seed in range(10)
    )  # fmt: skip


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def pictures(n):
    return np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


def test_the_arrow_carries_the_measured_factor(table):
    fewer = times_fewer(table, "feature_extraction", "from_scratch")
    labels = {"feature_extraction": "transfer", "from_scratch": "from scratch"}
    said = words(plots.accuracy_against_examples(table, labels, fewer, pictures(2), chance=0.5))
    assert f"{fewer.factor:.0f} times fewer" in said and f"{fewer.examples:.0f} of each" in said
    assert "transfer" in said and "40 of each" in said


def test_no_arrow_where_the_lines_do_not_meet(table):
    fewer = times_fewer(table, "from_scratch", "feature_extraction")
    figure = plots.accuracy_against_examples(table, {"from_scratch": "a", "feature_extraction": "b"}, fewer)
    assert "times fewer" not in words(figure)


def test_intervals_are_drawn_and_right(table):
    figure = plots.accuracy_against_examples(table, {"fine_tuning": "fine-tuning"})
    (bars,) = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    at_ten = table.query("strategy == 'fine_tuning' and per_class == 10")["accuracy"]
    half = 2.262157 * at_ten.std() / np.sqrt(10)  # Student's t for nine degrees of freedom
    assert np.diff(bars.get_segments()[2][:, 1])[0] == pytest.approx(2 * half, rel=1e-5)


def test_the_race_shows_every_seed(table):
    stored = table[table.per_class == 10]
    history = pd.DataFrame({"step": range(1, 31), "loss": np.linspace(0.7, 0.2, 30)})
    figure = plots.race(dict.fromkeys(("from_scratch", "feature_extraction"), history), stored)
    dots = sum(len(c.get_offsets()) for c in figure.axes[1].collections if len(c.get_offsets()) == 10)
    assert dots == 20 and "10 seeds" in words(figure)


def test_the_two_most_opposite_seeds_are_named(table):
    stored = table[table.per_class == 10]
    wide = stored.pivot(index="seed", columns="strategy", values="accuracy")
    gap = wide["feature_extraction"] - wide["fine_tuning"]
    said = words(plots.seeds_as_dots(stored, "feature_extraction", "fine_tuning"))
    assert f"seed {gap.idxmax()}: feature extraction" in said and f"seed {gap.idxmin()}: fine-tuning" in said


def test_a_grid_shows_each_picture_under_its_title():
    figure = plots.picture_grid(pictures(7), [f"picture {k}" for k in range(7)], columns=3)
    assert all(f"picture {k}" in words(figure) for k in range(7))
    assert len(figure.axes) == 9


def test_the_drawing_has_the_six_words():
    said = words(diagrams.the_words()).lower()
    assert all(word in said for word in ("source", "target", "domain", "task", "backbone", "head"))


def test_drawing_changes_no_settings_and_leaves_no_figure_open(table):
    before = dict(plt.rcParams)
    plots.accuracy_against_examples(table, {"fine_tuning": "x"})
    assert dict(plt.rcParams) == before and not plt.get_fignums()
