"""Damaged rows and wrong calls of stored experiments: each is refused, with what to do, in three lines at most."""

import pytest
from studies import GRID, SEEDS, toy

from course_utils.errors import CourseError
from course_utils.evidence import results as stored_rows
from course_utils.evidence.experiments import load_results, run_grid, run_study
from course_utils.tools import recompute

pytestmark = pytest.mark.usefixtures("at_once")
LINE = "a,0.0001,3,0.0301,e000"  # how a row of the toy begins
CONFLICT = "<<<<<<< HEAD\n{line}=======\n{line}>>>>>>> other\n"


def with_value(value):
    return lambda line: line.replace(",0.0301,", f",{value},")


DAMAGED = {  # what became of a stored row: what is said
    "too large": (with_value("1.7"), "toy.csv has accuracy 1.7 in line"),
    "below zero": (with_value("-0.1"), "toy.csv has accuracy -0.1 in line"),
    "a tensor": (with_value("tensor(0.5)"), "toy.csv has accuracy tensor(0.5) in line"),
    "nan": (with_value("nan"), "toy.csv has accuracy nan in line"),
    "nothing": (with_value(""), "toy.csv has accuracy"),
    "two rows of one run": (lambda line: line + with_value("0.9")(line), "which differ in accuracy"),
    "a Git conflict": (lambda line: CONFLICT.format(line=line), "git checkout --ours"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_rows_are_refused_by_whoever_reads_them(results, declared, kind, capsys):
    change, said = DAMAGED[kind]
    run_study(declared(), "toy")
    path = results / "toy.csv"
    lines = path.read_text().splitlines(keepends=True)
    (row,) = [k for k, line in enumerate(lines) if line.startswith(LINE)]
    lines[row] = change(lines[row])
    path.write_text("".join(lines))
    with pytest.raises(CourseError) as error:
        load_results("toy")
    messages = [str(error.value)]
    capsys.readouterr()  # the bar of progress
    for words in (["toy", "--list"], ["toy"]):
        assert recompute.main(words) == 1
        messages.append(capsys.readouterr().err.strip())
    for message in messages:
        assert said in message and message.count("\n") <= 2
        assert kind in ("two rows of one run", "a Git conflict") or f"line {row + 1}" in message
    assert path.read_text() == "".join(lines)


RETURNED = {  # what a run returns: what is said
    "a percentage": ({"accuracy": 53.0}, "returns accuracy 53.0"),
    "nan": ({"accuracy": float("nan")}, "returns accuracy nan"),
    "text": ({"accuracy": "good"}, "returns accuracy 'good'"),
    "a bare number": (0.5, "returns 0.5"),
    "its seed": ({"accuracy": 0.5, "seed": 3}, "returns seed"),
    "balanced, too large": ({"accuracy": 0.5, "balanced_accuracy": 1.01}, "returns balanced_accuracy 1.01"),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_what_cannot_be_stored_is_refused_before_it_is(results, kind):
    result, said = RETURNED[kind]
    with pytest.raises(CourseError) as error:
        run_grid(lambda seed: result, [{}], [3], "toy")
    assert said in str(error.value) and "seed 3" in str(error.value) and str(error.value).count("\n") <= 2
    assert not stored_rows.path_of("toy").exists()


def test_a_tensor_is_no_accuracy(results):
    import torch

    with pytest.raises(CourseError, match=r"returns accuracy tensor\(0\.5000\)"):
        run_grid(lambda seed: {"accuracy": torch.tensor(0.5)}, [{}], [0], "toy")


@pytest.mark.parametrize("name", ["../x", "a/b", "/x", "", "x.csv", "items"])
def test_names_that_lead_elsewhere_are_refused(results, name):
    for call in (lambda: run_grid(toy, GRID, SEEDS, name), lambda: load_results(name)):
        with pytest.raises(CourseError, match="is no name for an experiment") as error:
            call()
        assert str(error.value).count("\n") <= 2
    assert not list(results.rglob("*")) and not (results.parent / "x.csv").exists()


def test_a_mistyped_name_is_answered_with_the_near_one(results, declared):
    run_study(declared(), "toy")
    for name, said in (("toys", "Did you mean 'toy'?"), ("lesson0", "Did you mean 'lesson00'?"), ("?", "no name")):
        with pytest.raises(CourseError) as error:
            load_results(name)
        assert said in str(error.value) and "recompute" not in str(error.value)
    with pytest.raises(CourseError, match=r"No experiment has that name\."):
        load_results("nothing")


def test_what_is_declared_and_not_yet_stored_can_be_computed(results, declared):
    declared()
    with pytest.raises(CourseError, match=r"there is nothing yet\.\nRun: python3 -m course_utils recompute toy"):
        load_results("toy")


def test_a_file_of_something_else_is_refused(results):
    (results / "toy.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CourseError, match=r"toy\.csv has no column 'seed'"):
        load_results("toy")
