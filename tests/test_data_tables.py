"""Texts from a table: separators and encodings told from the file, equal texts on one side, clear errors."""

import warnings

import numpy as np
import pytest

from course_utils.data.tasks import task_from_csv
from course_utils.errors import BadData


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
    rows += [f"  Thanks,{'ab'[k % 2]},u{k}" for k in range(6)]
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
        (ROWS, "text,label", {"group": "user"}, ["no column 'user'"]),
        ([f"a{k},same" for k in range(9)], "text,label", {}, ["only the value 'same'"]),
        ([], "text,label", {}, ["no values"]),
        ([f"a{k},free text {k}" for k in range(90)], "text,label", {}, ["90 different values in 90 rows"]),
        ([*ROWS, "one,two,three"], "text,label", {}, ["Line 42", "3 columns", "quotes"]),
        ([*ROWS, '"never closed,ham'], "text,label", {}, ["Line 42", "cannot be split"]),
        (["a", "b"], "label", {}, ["no column of texts"]),
        (ROWS, "text,label", {"per_class": 99}, ["largest class has 16"]),
    ],
)
def test_impossible_tables_are_clear_errors(tmp_path, rows, header, options, parts):
    with pytest.raises(BadData) as caught:
        task_from_csv(table(tmp_path / "t.csv", rows, header), **options)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    for part in parts:
        assert part in message, message


def test_files_that_are_no_tables_are_clear_errors(tmp_path):
    table(tmp_path / "tickets.csv", ROWS)
    (tmp_path / "empty.csv").write_text("\n")
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\x03\x04" + bytes(50))
    for name, part in (("ticket.csv", "Did you mean tickets.csv"), ("empty.csv", "is empty")):
        with pytest.raises(BadData, match=part):
            task_from_csv(tmp_path / name)
    with pytest.raises(BadData, match="Excel"):
        task_from_csv(tmp_path / "sheet.xlsx")
    with pytest.raises(BadData, match="is a folder"):
        task_from_csv(tmp_path)
