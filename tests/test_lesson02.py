"""Choosing an epoch or a stage: the stored study, what is chosen and reported by which photographs, both figures."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from toys import digits_task, small_net

from course_utils import claim, load_results, paired_difference
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.evidence.results import pack
from course_utils.lessons.lesson02 import epoch_selection as choosing
from course_utils.lessons.lesson02.epoch_selection import DRAWS, EPOCHS, OTHERS, PHOTOGRAPHS, SAME
from course_utils.lessons.lesson02.figures import epochs
from course_utils.training.evaluation import evaluate


def runs_of(hits):
    """Rows as the study stores them: hits are runs x epochs x photographs."""
    rows = [{"strategy": "fine_tuning", "per_class": 40, "seed": seed, "accuracy": right[-1].mean(),
             "correct": pack(right.reshape(-1))} for seed, right in enumerate(hits)]  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["stored"] = "toy"
    return table


def by_luck(runs=3, seed=0):
    """Every epoch right on each photograph with the same probability."""
    return np.random.default_rng(seed).random((runs, EPOCHS, PHOTOGRAPHS)) < 0.75


def said(figure):
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_what_was_right_comes_back():
    assert (choosing.hits(runs_of(by_luck())) == by_luck()).all()


@pytest.mark.parametrize("count", [1, 10, 76, 152])
def test_reported_is_the_loop_over_all_draws(count):
    hits = by_luck(2)
    table = choosing.reported(runs_of(hits), [count])
    rng, found = np.random.default_rng(count), {SAME: [], OTHERS: []}
    for _ in range(DRAWS):
        choose = rng.permutation(PHOTOGRAPHS) < count
        for right in hits:
            best = right[:, choose].sum(1).tolist().index(right[:, choose].sum(1).max())  # the first of equals
            found[SAME].append(right[best, choose].mean())
            found[OTHERS].append(right[best, ~choose].mean())
    for where, values in found.items():
        each = np.reshape(values, (DRAWS, 2)).mean(0)
        assert table.loc[table["reported_on"] == where, "accuracy"].to_numpy() == pytest.approx(each)
    assert table["last"].to_numpy() == pytest.approx(np.tile(hits[:, -1].mean(1), 2))
    assert table.attrs["stored"] == "toy" and list(table["chosen_by"]) == [count] * 4


def test_epochs_that_are_equally_good_give_no_advantage_on_other_photographs():
    table = choosing.reported(runs_of(by_luck(30)), [76]).pivot(index="seed", columns="reported_on", values="accuracy")
    assert mean_interval(table[SAME] - 0.75).low > 0.04
    assert abs(table[OTHERS].mean() - 0.75) < 0.03


def test_a_clear_best_epoch_is_found_by_few_photographs_and_is_as_good_on_others():
    hits = np.zeros((2, EPOCHS, PHOTOGRAPHS), bool)
    hits[:, 7] = True
    table = choosing.reported(runs_of(hits), [5, 76])
    assert set(table["accuracy"]) == {1.0} and set(table["last"]) == {0.0}


@pytest.mark.parametrize("counts", [[0], [76, 153], []])
def test_some_photographs_must_choose_and_some_must_be_left(counts):
    with pytest.raises(CourseError, match="from 1 to 152") as error:
        choosing.reported(runs_of(by_luck(1)), counts)
    assert len(str(error.value).splitlines()) <= 3


def test_a_run_looks_after_each_epoch_and_reports_the_last(monkeypatch):
    task, model = digits_task(n=80), small_net(pretrained=True)
    monkeypatch.setattr(choosing, "load_task", lambda *args, **settings: task)
    monkeypatch.setattr(choosing, "load_model", lambda *args, seed: model)
    monkeypatch.setattr(choosing, "tuned_rate", lambda *arm: 1e-2)
    monkeypatch.setattr(choosing, "EPOCHS", 3)
    monkeypatch.setattr(choosing, "PHOTOGRAPHS", len(task.test))
    row = choosing.optimism(0, "fine_tuning", 8)
    looks = choosing.hits(pd.DataFrame([row]))[0]
    last = evaluate(model, task.test)
    assert looks.shape == (3, 200) and (looks[-1] == last.correct).all()
    assert row["accuracy"] == pytest.approx(last.accuracy, abs=1e-4)
    assert (looks[0] != looks[1]).any()


def test_the_stored_rows_hold_every_epoch():
    runs = load_results("optimism")
    assert len(runs) == 40 and set(runs.seed) == set(range(10))
    assert choosing.hits(runs)[:, -1].mean(1) == pytest.approx(runs["accuracy"].to_numpy(), abs=1e-4)


def test_the_lesson_quotes_what_is_stored():
    runs = load_results("optimism")
    right = choosing.hits(runs).mean(2)
    ours = runs.assign(best=right.max(1), last=right[:, -1]).query("per_class == 120")
    means = ours.groupby("strategy")[["best", "last"]].mean()
    assert means.round(3).to_numpy().tolist() == [[0.825, 0.808], [0.816, 0.804]]
    halves = choosing.reported(runs, [76]).query("strategy == 'fine_tuning' and per_class == 40")
    gap = paired_difference(halves, SAME, OTHERS, on="reported_on")
    assert claim("{effect}", gap).verdict == "holds" and gap.stored == "optimism" and 0.03 < gap.mean < 0.04
    table = choosing.reported(runs.query("per_class == 40"), [10, 20, 40, 76, 120])
    ahead = (table["accuracy"] - table["last"]).groupby([table["reported_on"], table["chosen_by"]]).mean()
    assert (ahead[SAME] > 0).all() and (ahead[OTHERS] < 0).all()
    assert [round(ahead[name][n], 2) for name in (SAME, OTHERS) for n in (10, 120)] == [0.06, 0.01, -0.06, -0.01]


def test_the_wedge_says_its_means():
    table = choosing.reported(runs_of(by_luck()), [10, 76])
    figure = epochs.chosen_epochs(table)
    rows = table.query("reported_on == @SAME and chosen_by == 76")
    assert f"76 {(rows['accuracy'] - rows['last']).mean():+.3f}" in figure.words
    assert "on other photographs" in said(figure) and "fine-tuning" in said(figure)


def test_splits_and_folds_count_how_often_a_stage_is_the_best():
    scores = {"stem": np.array([[0.5, 0.9], [0.5, 0.5]]), "layer1": np.array([[0.8, 0.8], [0.7, 0.5]])}
    figure = epochs.splits_and_folds(scores, {"stem": 0.4, "layer1": 0.6})
    assert "stem\none split: 50%\n2 folds: 0%" in said(figure)
    assert "layer1\none split: 50%\n2 folds: 100%" in said(figure)
    dots = sorted(len(marks.get_offsets()) for marks in figure.axes[0].collections if len(marks.get_offsets()) > 1)
    assert dots == [2, 2, 4, 4]
    assert "on the test split stem 0.40, layer1 0.60" in figure.words


def test_equal_estimates_stand_beside_each_other():
    shifts = epochs._swarm(np.array([0.9, 0.8, 0.9, 0.9]))
    assert sorted(shifts[[0, 2, 3]]) == [-1, 0, 1] and shifts[1] == 0
