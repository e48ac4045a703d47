"""Damaged rows and wrong calls of stored experiments: each is refused, with what to do, in three lines at most."""

import tempfile
import warnings
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import GRID, SEEDS, toy
from toys import refused

from course_utils.errors import CourseError
from course_utils.evidence import results as stored_rows
from course_utils.evidence.experiments import grid_of, load_results, run_grid, run_study, tuned
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
    "a seed that is no number": (lambda line: line.replace(",3,", ",three,"), "toy.csv has seed three in line"),
    "a value too many": (lambda line: f"{line[:-1]},1\n", "it has 11 columns, and 12 where ['a', '0.0001', '3']"),
    "cut in the middle": (lambda line: f"{line[:20]}\n", "it has 11 columns, and 5 where ['a', '0.0001', '3']"),
    "a quote": (lambda line: f'"{line}', "toy.csv is no table of runs"),
    "another encoding": (lambda line: "\udcff" + line, "toy.csv is no table of runs: 'utf-8'"),
    "zero bytes": (lambda line: line.replace("e000", "e\0\0\0"), "toy.csv is no table of runs: it holds zero bytes"),
}
HEADERS = {  # what became of the first line: what is said
    "another name": (lambda line: line.replace("accuracy", "acc"), "it has no column 'accuracy'"),
    "a name twice": (lambda line: line.replace("lr", "seed"), "it has no column 'seed', or two"),
    "an index of pandas": (lambda line: line.replace("strategy", ""), "it has a column '', as pandas saves an index"),
    "the same saved again": (lambda line: line.replace("lr", "Unnamed: 0"), "it has a column 'Unnamed: 0'"),
}
LINELESS = {"two rows of one run", "a Git conflict", *[*DAMAGED][-5:]}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_rows_are_refused_by_whoever_reads_them(results, declared, kind, capsys):
    change, said = DAMAGED[kind]
    run_study(declared(), "toy")
    path = results / "toy.csv"
    lines = path.read_text().splitlines(keepends=True)
    (row,) = [k for k, line in enumerate(lines) if line.startswith(LINE)]
    lines[row] = change(lines[row])
    path.write_text("".join(lines), errors="surrogateescape")
    before = path.read_bytes()
    with pytest.raises(CourseError) as error:
        load_results("toy")
    messages = [str(error.value)]
    capsys.readouterr()  # the bar of progress
    for words in (["toy", "--list"], ["toy"]):
        assert recompute.main(words) == 1
        messages.append(capsys.readouterr().err.strip())
    for message in messages:
        assert said in message and message.count("\n") <= 2
        assert kind in LINELESS or f"line {row + 1}" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", HEADERS)
def test_columns_that_are_not_those_of_runs_are_named(results, kind):
    change, said = HEADERS[kind]
    run_grid(toy, GRID, SEEDS, "toy")
    path = results / "toy.csv"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{change(first)}\n{rest}")
    before = path.read_bytes()
    for call in (lambda: load_results("toy"), lambda: run_grid(toy, GRID, range(7), "toy")):
        refused(call, f"toy.csv is no table of runs: {said}")
    assert path.read_bytes() == before


def test_a_draft_that_is_damaged_is_deleted_and_not_asked_of_git(results):
    run_grid(toy, GRID, SEEDS, "toy")
    (results / "toy.part").write_bytes(bytes(range(256)))
    with pytest.raises(CourseError, match=r"toy\.part is no table of runs: .*\n.*\nDelete .*toy\.part, and") as error:
        run_grid(toy, GRID, range(7), "toy")
    assert "git" not in str(error.value)


RETURNED = {  # what a run returns: what is said
    "a percentage": ({"accuracy": 53.0}, "returns accuracy 53.0"),
    "nan": ({"accuracy": float("nan")}, "returns accuracy nan"),
    "text": ({"accuracy": "good"}, "returns accuracy 'good'"),
    "yes": ({"accuracy": True}, "returns accuracy True"),
    "a bare number": (0.5, "returns 0.5"),
    "nothing in it": ({}, "returns {}"),
    "no accuracy": ({"loss": 1.0}, "returns {'loss': 1.0}"),
    "the name of its weights": ({"accuracy": 0.5, "backbone": "mine"}, "returns backbone"),
    "its seed": ({"accuracy": 0.5, "seed": 3}, "returns seed"),
    "an array": ({"accuracy": 0.5, "curve": np.zeros(2000)}, "returns curve as a ndarray"),
    "a list": ({"accuracy": 0.5, "curve": [1, 2]}, "returns curve as a list"),
    "balanced, too large": ({"accuracy": 0.5, "balanced_accuracy": 1.01}, "returns balanced_accuracy 1.01"),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_what_cannot_be_stored_is_refused_before_it_is(results, kind):
    result, said = RETURNED[kind]
    with pytest.raises(CourseError) as error:
        run_grid(lambda seed: result, [{}], [3], "toy")
    assert said in str(error.value) and "seed 3" in str(error.value) and str(error.value).count("\n") <= 2
    assert not stored_rows.path_of("toy").exists()


FILES = {  # what a file holds instead of rows: what is said
    "nothing": (b"", "holds no rows"),
    "a header alone": (b"lr,seed,accuracy,seconds,version,weights,torch,machine,commit\n", "holds no rows"),
    "a page that asks for a password": (b"<html>\n", "is no table of runs"),
    "another encoding": ("lr,seed\n1,1\n".encode("utf-16"), "is no table of runs"),
}


@pytest.mark.parametrize("what", FILES)
def test_files_that_hold_something_else_are_refused(results, what):
    content, said = FILES[what]
    (results / "toy.csv").write_bytes(content)
    with pytest.raises(CourseError, match=f"toy.csv {said}") as error:
        load_results("toy")
    assert str(error.value).count("\n") <= 2


def test_a_folder_in_the_place_of_rows_is_refused(results):
    (results / "toy.csv").mkdir()
    with pytest.raises(CourseError, match=r"toy\.csv is no table of runs: .*Is a directory"):
        load_results("toy")


def test_rows_that_a_spreadsheet_saved_count(results):
    first = run_grid(toy, GRID, SEEDS, "toy")
    path = results / "toy.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    again = run_grid(lambda **run: pytest.fail("it ran again"), GRID, SEEDS, "toy")
    assert again.equals(first) and load_results("toy").equals(first)


@pytest.mark.parametrize("values", [(None, "layer2"), (True, False), (1, True), (float("nan"), 1.0), ("NA", "nan")])
def test_settings_of_all_kinds_are_found_again(results, values):
    grid, ran = grid_of(stage=values), []
    for _ in range(2):
        table = run_grid(lambda seed, stage: ran.append(stage) or {"accuracy": 0.5}, grid, range(2), "toy")
        assert len(table) == len(ran) == 4


@pytest.mark.parametrize(
    "grid, seeds", [([], [0]), ([{}], []), (iter([]), iter([0])), ([{}], [0, 0]), ([{"a": 1}, {"a": 1.0}], [0]),
                    ([{}], ["one"]), ([{}], [None]), ([{}], [True]), ([{}], [0, float("nan")])]
)  # fmt: skip
def test_a_grid_names_each_run_once(results, grid, seeds):
    with pytest.raises(CourseError, match="each once"):
        run_grid(lambda seed, **setting: {"accuracy": 0.5}, grid, seeds, "toy")
    assert not stored_rows.path_of("toy").exists()


def test_names_with_commas_and_seeds_below_zero_are_read_again(results):
    for _ in range(2):
        table = run_grid(lambda seed: {"accuracy": 1.0, "C=1,5": seed}, [{}], [-1, 0], "toy")
    assert table["C=1,5"].tolist() == [-1, 0]


def test_settings_and_seeds_may_come_one_by_one(results):
    grid = ({"a": k} for k in range(2))
    assert len(run_grid(lambda seed, a: {"accuracy": 0.5}, grid, (k for k in range(3)), "toy")) == 6


@pytest.mark.parametrize("name", ["seed", "seconds", "version", "", 3])
def test_a_setting_takes_a_name_and_none_that_every_row_has(results, name):
    refused(lambda: run_grid(toy, [{name: 3}], [0], "toy"), f"No setting can be called {name!r}")
    assert not stored_rows.path_of("toy").exists()


@pytest.mark.parametrize("value", [toy, object(), [lambda: 0], Path.exists])
def test_a_setting_is_the_same_in_the_next_kernel(results, value):
    refused(lambda: run_grid(toy, [{"lr": 0.1}, {"lr": value}], [0], "toy"), "lr=.*is no setting: the next kernel")
    assert not stored_rows.path_of("toy").exists()


def test_a_backbone_whose_weights_nobody_knows_is_refused_before_a_run(results):
    grid = grid_of(backbone=["photonet", "resnet18"])
    refused(lambda: run_grid(lambda **run: pytest.fail("it ran"), grid, [0], "toy"),
            "Rows of the backbone 'resnet18' cannot be kept.*\nTake photonet, .* such as network")  # fmt: skip
    grid = grid_of(network=["photonet", "resnet18"])
    assert len(run_grid(lambda seed, network: {"accuracy": 0.5}, grid, [0], "toy")) == 2


def test_a_text_is_one_choice():
    assert grid_of(strategy="fine_tuning", lr=0.1) == [{"strategy": "fine_tuning", "lr": 0.1}]


def test_a_run_that_the_system_ends_keeps_the_rows(results):
    def run(seed):
        if seed:
            raise BrokenProcessPool("out of memory")
        return {"accuracy": 0.5}

    with pytest.raises(CourseError, match="for want of memory") as error:
        run_grid(run, [{}], range(2), "toy")
    assert str(error.value).count("\n") <= 2 and stored_rows.draft_of("toy").exists()


def test_where_nothing_was_tuned_it_is_said(results):
    run_grid(toy, GRID, SEEDS, "toy")
    with pytest.raises(CourseError, match="Nothing was tuned for"):
        tuned("toy", "lr", strategy="c")
    for columns, arm, lacking in ((["rate"], {}, "rate"), (["lr"], {"tsk": "letters"}, "tsk"), ([], {}, "")):
        refused(lambda c=columns, a=arm: tuned("toy", *c, **a), f"have no column {lacking!r}.\nTake some of .*lr")


def test_a_tensor_is_no_accuracy(results):
    import torch

    with pytest.raises(CourseError, match=r"returns accuracy tensor\(0\.5000\)"):
        run_grid(lambda seed: {"accuracy": torch.tensor(0.5)}, [{}], [0], "toy")


@pytest.mark.parametrize("name", [None, 5])
def test_a_grid_has_a_name(results, name):
    refused(lambda: run_grid(toy, GRID, SEEDS, name), f"{name} is no name for an experiment")


@pytest.mark.parametrize("name", ["../x", "a/b", "/x", "", "x.csv", "items", "x" * 300, ["x"]])
def test_names_that_lead_elsewhere_are_refused(results, name):
    for call in (lambda: run_grid(toy, GRID, SEEDS, name), lambda: load_results(name)):
        with pytest.raises(CourseError, match="is no name for an experiment") as error:
            call()
        assert str(error.value).count("\n") <= 2
    assert not list(results.rglob("*")) and not (results.parent / "x.csv").exists()


def test_a_mistyped_name_is_answered_with_the_near_one(results, declared):
    run_study(declared(), "toy")
    answers = {"toys": "Did you mean 'toy'?", "lesson0": "Did you mean 'lesson00'?", "?": "no name", 3: "No experiment"}
    for name, said in answers.items():
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
    with pytest.raises(CourseError, match=r"toy\.csv is no table of runs: it has no column 'seed'"):
        load_results("toy")


@pytest.mark.parametrize("where", ["lock", "draft", "row"])
def test_a_full_disk_is_said_and_what_is_finished_is_kept(results, monkeypatch, where):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def costly(seed):
        return full() if seed == 3 else {"accuracy": seed / 10}

    run_grid(costly, [{}], range(2), "toy")
    before = (results / "toy.csv").read_bytes()
    with monkeypatch.context() as patch:
        if where != "row":  # the third run is the one that finds no room
            patch.setattr(stored_rows, {"lock": "alone", "draft": "replacing"}[where], full)
        with pytest.raises(CourseError, match="The disk is full: not all rows of toy could be kept") as error:
            run_grid(costly, [{}], range(5), "toy")
    assert "it goes on from there" in str(error.value) and str(error.value).count("\n") == 1
    assert (results / "toy.csv").read_bytes() == before and len(stored_rows.usable("toy", 1)) == 2 + (where == "row")
    assert len(run_grid(lambda seed: {"accuracy": seed / 10}, [{}], range(5), "toy")) == 5


@pytest.mark.parametrize("where", ["lock", "folder"])
def test_a_folder_that_cannot_be_written_is_said(results, monkeypatch, where):
    run_grid(toy, GRID, SEEDS, "toy")
    lock = results / ".toy.lock"
    if where == "lock":
        lock.unlink()
        lock.mkdir()
    else:  # root, who may run this, may write everywhere

        def barred(*_):
            raise PermissionError(13, "Permission denied", str(lock))

        monkeypatch.setattr(stored_rows, "alone", barred)
    refused(lambda: run_grid(toy, GRID, range(7), "toy"), rf"^{lock}: .*not all rows of toy .*\n.*Mend that")
    assert len(load_results("toy")) == len(GRID) * len(SEEDS)


def test_another_error_of_a_run_is_not_taken_for_a_full_disk(results):
    def lost(seed):
        raise FileNotFoundError(2, "No such file", "my.csv")

    with pytest.raises(FileNotFoundError, match=r"my\.csv"):
        run_grid(lost, [{}], [0], "toy")


def test_rows_of_another_version_make_room_and_are_kept_beside(results, capsys):
    run_grid(toy, GRID, SEEDS, "toy", version=2)
    before = stored_rows.path_of("toy").read_bytes()
    assert len(run_grid(toy, GRID[:1], SEEDS[:1], "toy")) == 1
    assert stored_rows.path_of("toy").with_suffix(".before1").read_bytes() == before
    assert f"{len(GRID) * len(SEEDS)} rows of toy.csv are of another version" in capsys.readouterr().out
    run_grid(toy, GRID[:1], SEEDS[:1], "toy", version=3)
    assert stored_rows.path_of("toy").with_suffix(".before2").exists()


def test_a_setting_dropped_from_the_grid_does_not_bring_old_rows_back(results):
    run_grid(lambda seed, a, b: {"accuracy": 0.5}, [{"a": 1, "b": 2}], [0], "toy")
    refused(lambda: run_grid(toy, [{"a": 1}], [0], "toy"), "differ in their settings, by b")


def test_a_version_that_a_spreadsheet_rewrote_is_still_that_version(results):
    run_grid(toy, GRID, SEEDS, "toy", version=2)
    path = stored_rows.path_of("toy")
    rows = pd.read_csv(path, dtype=str)
    rows.assign(version="2.0").to_csv(path, index=False)
    assert stored_rows.stale("toy", 2) == 0


# --- whatever became of a file ---

WHOLE = {}  # the toy's file, made once
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["value", "value", "value", "text", "cut", "drop", "double", "swap"]),
        st.integers(0, 999), st.integers(0, 40),
        st.one_of(st.text(max_size=4), st.sampled_from(
            ["", ",", "\n", "\r", '"', "nan", "inf", "-1", "1.7", "tensor(0.5)", "<<<<<<< HEAD\n", "seed", "\0", "0"]
        )),
    ), max_size=4,
)  # fmt: skip


def edited(text: str, edits: list) -> str:
    """The file after someone put `piece` in place of a value or anywhere, or cut, lost, doubled or swapped lines."""
    for what, place, number, piece in edits:
        lines = text.splitlines(keepends=True) or [""]
        row, at = place % len(lines), place % (len(text) + 1)
        if what == "value":
            values = lines[row].rstrip("\n").split(",")
            values[number % len(values)] = piece
            lines[row] = ",".join(values) + "\n"
        elif what == "drop":
            del lines[row]
        elif what == "double":
            lines.insert(row, lines[row])
        elif what == "swap":
            lines[row], lines[number % len(lines)] = lines[number % len(lines)], lines[row]
        else:
            lines = [text[:at], piece if what == "text" else "", text[at + number * (what == "cut") :]]
        text = "".join(lines)
    return text


@given(EDITS, st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "cp1252"]))
def test_whatever_became_of_stored_rows_they_are_sound_or_refused(edits, encoding):
    """Nothing is lost either: what is refused stays as it is, and what is not has all its runs in the end."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(stored_rows, "RESULTS", Path(folder))
        patch.setattr("course_utils.evidence.experiments.tqdm", lambda rows, **_: rows)
        path = Path(folder, "toy.csv")
        if not WHOLE:
            run_grid(toy, GRID, range(3), "toy")
            WHOLE["text"] = path.read_text()
        path.write_bytes(before := edited(WHOLE["text"], edits).encode(encoding, "replace"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = load_results("toy")
            names = stored_rows.settings_of(table)
            shares = table[["accuracy"]]
            assert not table.duplicated(names).any() and ((shares >= 0) & (shares <= 1)).all(axis=None)
            assert len(run_grid(toy, GRID, range(3), "toy")) >= 12
        except CourseError as error:
            assert str(error).count("\n") <= 2 and path.read_bytes() == before
