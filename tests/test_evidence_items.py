"""The list of test items: what it says is so, it is kept up to date, and hits that do not fit it are refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from toys import refused

from course_utils.data.splits import Split, Task
from course_utils.data.tasks import load_task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence import items
from course_utils.evidence.results import pack
from course_utils.tools import recompute

COUNTS = {"ants_bees": (153, 153), "digits": (359, 359), "letters": (2600, 5), "textures": (840, 14),
          "tiles": (283, 16)}


@pytest.mark.parametrize("task", items.TASKS)
def test_the_list_says_what_the_task_holds(task):
    listed = items.listed(task)
    assert (len(listed), listed["group"].nunique()) == COUNTS[task]
    assert listed["item"].tolist() == list(range(len(listed)))
    try:
        test = load_task(task, per_class=1, image_size=8).test
    except DataUnavailable:
        pytest.skip(f"{task} is not here")
    assert listed["label"].tolist() == test.y.tolist()
    groups = np.arange(len(test)) if test.groups is None else test.groups
    assert listed["group"].tolist() == [str(group) for group in groups]


def test_other_tasks_are_not_listed():
    assert items.listed("photos") is None and items.listed(None) is None


# --- intervals over items ---


def test_items_of_their_own_give_students_interval():
    gaps = np.random.default_rng(0).normal(size=30)
    expected = stats.ttest_1samp(gaps, 0).confidence_interval()
    half = items.half_interval(gaps, np.full(30, 1 / 30), np.arange(30))
    assert half == pytest.approx((expected.high - expected.low) / 2)


def test_what_a_group_shares_counts_once():
    """Three items of each of four groups, all alike: as much as four items."""
    gaps = np.array([0.1, 0.3, -0.2, 0.4])
    few = items.half_interval(gaps, np.full(4, 1 / 4), np.arange(4))
    assert items.half_interval(gaps.repeat(3), np.full(12, 1 / 12), np.arange(4).repeat(3)) == pytest.approx(few)


def test_one_group_says_nothing_of_others():
    assert np.isnan(items.half_interval(np.arange(6.0), np.full(6, 1 / 6), np.zeros(6, int)))


# --- hits ---


def rows(hits, **more):
    table = [{"seed": seed, "accuracy": round(h.mean(), 4), "correct": pack(h)} for seed, h in enumerate(hits)]
    return pd.DataFrame(table).assign(**more)


@pytest.mark.parametrize("count", [3, 8, 153, 359, 2600])
def test_the_number_of_items_follows_from_hits_and_accuracies(count):
    hits = np.random.default_rng(count).random((4, count)) < 0.6
    hits[0, 0] = True
    assert np.array_equal(items.tested(rows(hits)).right, hits)


def test_where_nothing_is_right_nothing_differs():
    assert not items.tested(rows(np.zeros((2, 8), bool))).right.any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy": 0.1}, "does not fit the accuracies and"),
        ({"correct": "no hits"}, "does not fit the accuracies."),
        ({"correct": ["ff", "ffff", "ff"]}, "does not fit the accuracies."),
        ({"task": "digits"}, "does not fit the accuracies and 359 test items."),
    ],
)
def test_hits_that_do_not_fit_are_refused(change, said):
    table = rows(np.random.default_rng(0).random((3, 16)) < 0.5).assign(**change)
    with pytest.raises(CourseError) as error:
        items.tested(table)
    assert said in str(error.value) and "items=False" in str(error.value) and str(error.value).count("\n") == 2


def test_a_list_that_lost_its_last_line_does_not_fit(results):
    lines = ["task,item,label,group", *(f"letters,{k},0,A" for k in range(2600))]
    (results / "items.csv").write_text("\n".join(lines))
    hits = rows(np.arange(2600) > np.array([[900], [1500]]), task="letters")
    assert items.tested(hits).right.shape == (2, 2600)
    (results / "items.csv").write_text("\n".join(lines[:-1]))
    refused(lambda: items.tested(hits), "does not fit the accuracies and 2,599 test items")


def test_rows_without_hits_or_of_several_tasks_have_no_items_in_common():
    table = rows(np.ones((2, 8), bool))
    assert items.tested(table.drop(columns="correct")) is None
    assert items.tested(table.assign(task=["digits", "letters"])) is None
    assert items.tested(table.assign(correct=[None, "ff"])) is None


def test_in_balanced_accuracy_each_class_weighs_as_much():
    hits = np.random.default_rng(0).random((3, 359)) < 0.5
    found, labels = items.tested(rows(hits, task="digits"), "balanced_accuracy"), items.listed("digits")["label"]
    means = [np.mean([h[labels == k].mean() for k in range(10)]) for h in hits]
    assert found.right @ found.weights == pytest.approx(means) and found.weights.sum() == pytest.approx(1)
    assert items.tested(rows(hits), "balanced_accuracy") is None  # whose classes nobody knows


# --- kept up to date ---


@pytest.fixture
def small(results, monkeypatch):
    """A task of four test items, whose groups a test may change."""
    groups = {"digits": None, "letters": np.array(["A", "A", "B", "B"])}

    def load(name, per_class, image_size):
        if name == "tiles":
            raise DataUnavailable("not here")
        y = np.array([0, 1, 1, 0])
        split = Split(np.zeros((4, 3, 8, 8), np.uint8), y, groups[name])
        return Task(name, ["a", "b"], split, split, False)

    monkeypatch.setattr("course_utils.tools.recompute.load_task", load)
    return groups


def test_the_list_is_written_where_it_is_missing_or_differs(small, results, capsys):
    path = results / "items.csv"
    recompute._list_items({"letters", "digits", "toys", None})
    assert items.listed("letters")["group"].tolist() == ["A", "A", "B", "B"]
    assert items.listed("digits")["group"].tolist() == ["0", "1", "2", "3"]
    assert "digits, letters" in capsys.readouterr().out
    before = path.stat().st_mtime_ns
    recompute._list_items({"letters"})
    assert path.stat().st_mtime_ns == before and not capsys.readouterr().out
    small["letters"] = np.array(["A", "B", "C", "C"])
    recompute._list_items({"letters", "tiles"})
    assert items.listed("letters")["group"].tolist() == ["A", "B", "C", "C"] and len(items.listed("digits")) == 4
    assert [file.name for file in results.iterdir()] == ["items.csv"]


def test_what_is_listed_stays_where_the_task_is_not_here(small, results):
    (results / "items.csv").write_text("task,item,label,group\ntiles,0,2,7\n")
    recompute._list_items({"tiles", "digits"})
    assert items.listed("tiles")["group"].tolist() == ["7"] and len(items.listed("digits")) == 4


def test_what_is_not_listed_is_not_taken_for_items_of_their_own(small):
    recompute._list_items({"digits"})
    with pytest.raises(CourseError, match=r"items\.csv does not list the test items of letters") as error:
        items.tested(rows(np.ones((2, 8), bool), task="letters"))
    assert str(error.value).count("\n") == 2


@pytest.mark.parametrize("content", [
    "", "<<<<<<< HEAD\ntask,item,label,group\n", "task,item,label\nletters,0,0\n",
    "task;item;label;group\nletters;0;0;A\n",
    "task,item,label,group\nletters,0,0,\nletters,1,1,A\n", "\0\0\0",
    "task,item,label,group\nletters,0,0,A\nletters,2,1,A\n", "task,item,label,group\nletters,0,0,A\nletters,0,1,A\n",
    "task,item,label,group\nletters,1,0,A\nletters,2,1,A\n", "task,item,label,group\nletters,0,0,A\nletters,?,1,A\n",
])  # fmt: skip
def test_a_damaged_list_is_no_list(results, content):
    (results / "items.csv").write_text(content)
    with pytest.raises(CourseError, match=r"items\.csv is no list of test items") as error:
        items.listed("letters")
    assert str(error.value).count("\n") <= 2


def test_the_items_stand_in_the_order_of_their_numbers(results):
    (results / "items.csv").write_text("task,item,label,group\nletters,1,1,B\nletters,0,0,A\n")
    assert items.listed("letters")["group"].tolist() == ["A", "B"]


def test_recompute_lists_the_items_of_the_tasks_of_its_studies(small, declared, at_once, capsys):
    study = declared()
    named = declared(grid=[setting | {"task": "digits"} for setting in study.grid], function=on_digits)
    assert recompute.main(["toy", "--list"]) == 0 and not (items.results.RESULTS / "items.csv").exists()
    assert recompute.main(["toy"]) == 0 and len(items.listed("digits")) == 4
    assert len(named.grid) == 4


def on_digits(seed, strategy, lr, task):
    return {"accuracy": 0.5, "correct": "c0"}
