"""Texts from a table: separators and encodings told from the file, equal texts on one side, clear errors."""

import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import refused

from course_utils.data.splits import Task
from course_utils.data.tasks import task_from_csv
from course_utils.errors import BadData, CourseError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))


# --- tables ---


def table(path, rows, header="text,label", encoding="utf-8"):
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    return path


ROWS = [f"message number {k},{'spam' if k % 2 else 'ham'}" for k in range(40)]


def quiet_csv(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return task_from_csv(path, **options)


def test_a_table_is_a_task(tmp_path):
    path = table(tmp_path / "mail.csv", ROWS)
    a, b = quiet_csv(path), quiet_csv(path, seed=3, per_class=2)
    assert a.name == "mail" and a.classes == ["ham", "spam"] and not a.photographs
    assert np.bincount(a.train.y).tolist() == [16, 16] and np.bincount(a.test.y).tolist() == [4, 4]
    assert a.test.x.tolist() == b.test.x.tolist() and set(b.train.x) < set(a.train.x)
    for text, y in zip(a.train.x, a.train.y, strict=True):
        assert f"{text},{a.classes[y]}" in ROWS


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings_are_told_from_the_file(tmp_path, sign, encoding):
    rows = [f'"café {k}{sign} crème"{sign}{"ab"[k % 2]}' for k in range(20)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, f"text{sign}label", encoding))
    assert task.classes == ["a", "b"] and f"café 3{sign} crème" in {*task.train.x, *task.test.x}
    assert ("Windows-1252" in task.notice) == (encoding == "cp1252")


def test_groups_and_equal_texts_stay_on_one_side(tmp_path):
    rows = [f"thread {k // 4} says {k % 4},{'ab'[k // 4 % 2]},t{k // 4}" for k in range(160)]
    rows += [f"{'  ' * (k % 2)}Thanks,a,u{k}" for k in range(6)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, "text,label,thread"), text="text", group="thread")
    threads = [{" ".join(x.split()[:2]) for x in split.x} for split in (task.train, task.test)]
    assert not threads[0] & threads[1]
    assert all(14 <= n <= 20 for n in np.bincount(task.test.y))


def test_rows_without_text_or_label_are_left_out_in_one_warning(tmp_path):
    path = table(tmp_path / "t.csv", [*ROWS, ",spam", "no label,", "  ,ham"])
    with pytest.warns(UserWarning) as caught:
        task = task_from_csv(path)
    assert [str(w.message) for w in caught] == ["3 rows have no text or no label and are left out: line 42, 43, 44."]
    assert len(task.train) + len(task.test) == 40


def test_a_label_of_one_row_is_named(tmp_path):
    with pytest.warns(UserWarning, match="stays unknown: label rare"):
        task = task_from_csv(table(tmp_path / "t.csv", [*ROWS, "once,rare"]))
    assert task.classes[1] == "rare" and 1 in task.train.y and 1 not in task.test.y


def test_without_a_name_the_longest_column_holds_the_texts(tmp_path):
    rows = [f"{k},a long message number {k},{'ab'[k % 2]}" for k in range(20)]
    task = quiet_csv(table(tmp_path / "t.csv", rows, "id,body,label"))
    assert task.train.x[0].startswith("a long") and "'body'" in task.notice


def test_long_texts_and_quoted_lines_are_whole(tmp_path):
    rows = [f'"line one {k}\nsaid ""yes"" {"x" * 200_000}",{"ab"[k % 2]}' for k in range(6)]
    task = quiet_csv(table(tmp_path / "t.csv", rows))
    assert len(task.train) + len(task.test) == 6
    assert all('\nsaid "yes" ' in x and len(x) > 200_000 for x in task.train.x)


@pytest.mark.parametrize(
    ("rows", "header", "options", "parts"),
    [
        (ROWS, "text,lable", {}, ["no column 'label'", "text, lable", "label='lable'"]),
        (ROWS, "text,label", {"text": "txt"}, ["no column 'txt'", "text='text'"]),
        (ROWS, "text,label", {"group": "user"}, ["no column 'user'", "group='text'"]),
        ([f"a{k},same" for k in range(9)], "text,label", {}, ["only the value 'same'"]),
        ([], "text,label", {}, ["no values"]),
        ([f"a{k},free text {k}" for k in range(90)], "text,label", {}, ["90 different values in 90 rows"]),
        ([*ROWS, "one,two,three"], "text,label", {}, ["Line 42", "3 columns", "quotes"]),
        ([*ROWS, '"never closed,ham'], "text,label", {}, ["Line 42", "cannot be split"]),
        (["a", "b"], "label", {}, ["no column of texts"]),
        (ROWS, "text,label", {"label": 0}, ["no column 0", "label='label'"]),
        (ROWS, "text,label", {"label": None}, ["no column None"]),
        (ROWS, "text,label", {"text": ["text"]}, ["no column ['text']"]),
        (ROWS, "text,label", {"group": 1}, ["no column 1", "text, label"]),
        (ROWS, "text,label", {"text": "label"}, ["text='label' is the column of the labels"]),
        (ROWS, "text,label", {"group": "label"}, ["group='label' is the column of the labels"]),
        ([f"{row},spam" for row in ROWS], "text,label,label", {}, ["several columns called 'label'", "Rename"]),
        ([f"{row},a reply" for row in ROWS], "text,label,text", {}, ["several columns called 'text'"]),
        (ROWS, f"text,{'long ' * 900}", {}, ["no column 'label'", "long long…"]),
        (ROWS, "text,label", {"per_class": 99}, ["largest class has 16"]),
        (ROWS, "message one,ham", {}, ["no column 'label'", "The first line looks like a row", "text,label"]),
        ([*ROWS, "a word,Spam"], "text,label", {}, ["'Spam' and 'spam'", "each written in one way"]),
        ([*ROWS, "a word,SPAM "], "text,label", {}, ["'SPAM' and 'spam'"]),
        ([*ROWS, "a,not  sure", "b,Not sure"], "text,label", {}, ["'Not sure' and 'not sure'"]),
        ([f"a{k},{'1' if k % 2 else '1.0'}" for k in range(9)], "text,label", {}, ["'1' and '1.0'"]),
        ([f"a{k},{'-1.00' if k % 2 else '-1'}" for k in range(9)], "text,label", {}, ["'-1' and '-1.00'"]),
    ],
)
def test_impossible_tables_are_clear_errors(tmp_path, rows, header, options, parts):
    with pytest.raises(BadData) as caught:
        task_from_csv(table(tmp_path / "t.csv", rows, header), **options)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3 and len(message) < 600
    for part in parts:
        assert part in message, message


def test_a_column_that_is_there_twice_does_not_matter_when_nobody_reads_it(tmp_path):
    rows = [f"{row},x,y" for row in ROWS]
    assert quiet_csv(table(tmp_path / "t.csv", rows, "text,label,note,note"), text="text").classes == ["ham", "spam"]


def test_a_text_with_two_labels_is_named(tmp_path):
    rows = [*ROWS, "Buy  NOW,spam", "buy now,ham"]
    with pytest.warns(UserWarning, match=r"1 texts stand under two labels: 'buy now' \(ham, spam\)\. Decide"):
        task_from_csv(table(tmp_path / "t.csv", rows))


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_excels_line_about_the_separator_is_no_header(tmp_path, first):
    rows = [f"a, b, c {k};{'ab'[k % 2]}" for k in range(20)]
    path = table(tmp_path / "t.csv", ["text;label", *rows], first)
    assert quiet_csv(path).classes == ["a", "b"]
    with pytest.raises(BadData, match="Line 23 of"):
        task_from_csv(table(path, ["text;label", *rows, "one;two;three"], first))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_wide_letters_need_no_mark(tmp_path, encoding):
    task = quiet_csv(table(tmp_path / "t.csv", ROWS, encoding=encoding))
    assert task.classes == ["ham", "spam"] and "message number 3" in {*task.train.x, *task.test.x}


def test_a_table_that_cannot_be_read_is_a_clear_error(tmp_path, monkeypatch):
    path = table(tmp_path / "t.csv", ROWS)

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadData, match=r"t\.csv cannot be read \(Permission denied\)"):
        task_from_csv(path)


@pytest.mark.skipif(os.name == "nt", reason="pipes are files on other systems alone")
def test_a_pipe_is_no_table_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    said = []

    def read():
        try:
            task_from_csv(tmp_path / "t.csv")
        except BadData as error:
            said.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert said and "not a regular file" in said[0]


ODD = ["label", "text", "ham", "spam", "a b", "", " ", '"', '""', "\n", "sep=;", "\0"]
CELLS = st.one_of(st.text(max_size=12), st.sampled_from(ODD))
TABLES = st.builds(
    lambda rows, sign, end, encoding: end.join(sign.join(row) for row in rows).encode(encoding, "replace"),
    st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=12),
    st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "cp437"]),
)  # fmt: skip
GOOD = st.builds(
    lambda rows, more: "\n".join(["text,label,thread", *rows, *more]).encode(),
    st.lists(st.sampled_from([f"{t},{y},{g}" for t in ("a", "b b", "c") for y in "xy" for g in "123"]), max_size=20),
    st.lists(st.sampled_from(["", ",,", '"q\n""w""",x,1', "a,b", '"', "é,x,"]), max_size=2),
)
NAMES = st.one_of(st.none(), st.sampled_from(["text", "label", "thread", "", "x"]), st.text(max_size=3), st.integers())


@given(st.one_of(GOOD, TABLES, st.binary(max_size=60)), NAMES, NAMES, NAMES)
def test_whatever_a_file_holds_it_is_a_task_or_a_clear_error(content, text, label, group):
    path = Path(os.environ["COURSE_CACHE_DIR"]) / "any.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            task = task_from_csv(path, text=text, label="label" if label is None else label, group=group)
        except CourseError as error:
            assert len(str(error).splitlines()) <= 3 and len(str(error)) < 1500
            return
    assert isinstance(task, Task) and len(task.classes) >= 2 and all(isinstance(x, str) for x in task.train.x)


def test_files_that_are_no_tables_are_clear_errors(tmp_path):
    table(tmp_path / "tickets.csv", ROWS)
    (tmp_path / "empty.csv").write_text("\n")
    (tmp_path / "void.csv").write_text("sep=;\n\n")
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\x03\x04" + bytes(50))
    (tmp_path / "page.csv").write_text("\n<!DOCTYPE html>\n<html><body>Sign in, please</body></html>")
    (tmp_path / "lines.csv").write_text('{"text": "a", "label": "b"}\n{"text": "c", "label": "d"}\n')
    (tmp_path / "list.csv").write_text('[\n  {"text": "a", "label": "b"}]')
    for name, part in (("page", r"a web page.*\n.*\nDownload"), ("lines", "is JSON"), ("list", r"JSON.*\n.*\n.*port")):
        refused(lambda name=name: task_from_csv(tmp_path / f"{name}.csv"), part)
    for name, part in (("ticket.csv", "Did you mean tickets.csv"), ("empty.csv", "is empty"), ("void.csv", "is empty")):
        with pytest.raises(BadData, match=part):
            task_from_csv(tmp_path / name)
    with pytest.raises(BadData, match="Excel"):
        task_from_csv(tmp_path / "sheet.xlsx")
    with pytest.raises(BadData, match="is a folder"):
        task_from_csv(tmp_path)
