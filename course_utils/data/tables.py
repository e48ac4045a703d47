"""Your own texts as a task: a CSV file with a column of texts and a column of labels."""

from __future__ import annotations

import csv
import difflib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_utils.data.archives import existing
from course_utils.data.splits import Task, announce, assemble, group_pairs, hold_out, show_some
from course_utils.errors import BadData

DELIMITERS = ",;\t|"
FEW = 20  # so many distinct labels may always be classes; above, a third of the rows at most


@dataclass
class _Table:
    """The columns of a file by name, and the line that each row ends in."""

    path: Path
    columns: dict[str, np.ndarray]
    lines: np.ndarray


def task_from_csv(
    path: str | Path,
    text: str | None = None,
    label: str = "label",
    group: str | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Task:
    """Your texts as a task: a table with a row for each text, its columns named in the first line.

    `text` and `label` name columns; without `text`, the one other column, or the one with the longest texts.
    A fifth of each class tests, the same whatever the seed; rows that share a value in the column `group` (an
    author, a thread) stay on one side, and so do rows of the same text. `per_class` training texts of each
    class are drawn by `seed` (None: all). Both splits hold arrays of strings.

    Comma, semicolon, tab or bar between columns, and UTF-8, UTF-16 or Windows-1252, are told from the file.
    Rows without a text or label are left out, in one warning. `BadData` names a missing column, a broken
    line, or a column of labels that holds no classes.
    """
    table, notices = _read(existing(path, "a CSV file"), label)
    for name, column in (("label", label), ("group", group), ("text", text)):
        if column is not None:
            _need(table, name, column)
    if text is None:
        text = _longest(table, {label, group})
        notices.append(f"The texts are taken from the column {text!r}.")
    problems = _drop_empty(table, text, label)
    texts, labels = table.columns[text], table.columns[label]
    classes = sorted(set(labels.tolist()))
    _check_classes(table.path, label, classes, len(labels))
    numbers = {name: number for number, name in enumerate(classes)}
    y = np.array([numbers[name] for name in labels], np.int64)
    test = hold_out(y, texts.tolist(), _groups(texts, table.columns[group] if group else None))
    if untested := [name for name in classes if numbers[name] not in y[test]]:
        problems.append(f"No row to test on, so its accuracy stays unknown: label {show_some(untested)}.")
    told = announce(problems, notices)
    parts = (texts[~test], y[~test]), (texts[test], y[test])
    return assemble(table.path.stem, classes, *parts, False, per_class, seed, told)


def _read(path: Path, label: str) -> tuple[_Table, list[str]]:
    """The file as columns of strings; `label` helps to tell which sign is between them."""
    raw = b"" if path.is_dir() else path.read_bytes()
    if not raw.strip() or raw.startswith(b"PK"):
        kind = "a folder" if path.is_dir() else "an Excel file or a zip" if raw.strip() else "empty"
        raise BadData(
            f"{path} is {kind}.\nExpected a CSV file whose first line names its columns.\n"
            "In a spreadsheet program, choose Save as, CSV (UTF-8)."
        )
    content, notices = _to_text(path, raw)
    first = content.lstrip().splitlines()[0]
    headers = {sign: next(csv.reader([first], delimiter=sign)) for sign in DELIMITERS}
    sign = max(DELIMITERS, key=lambda s: (label in map(str.strip, headers[s]), len(headers[s])))
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # Python's own limit would cut long texts off
    # pandas reads a line that is too short as one with an empty text, and counts rows where it should count lines.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=sign, strict=True)
    try:
        rows = [(row, reader.line_num) for row in reader if row]
    except csv.Error as error:
        raise _broken(path, reader.line_num, f"cannot be split into columns ({error})") from error
    header = [name.strip() for name in rows[0][0]]
    for row, line in rows:
        if len(row) != len(header):
            raise _broken(path, line, f"has {len(row)} columns, the first line {len(header)}")
    values = np.array([[value.strip() for value in row] for row, _ in rows[1:]], object).reshape(-1, len(header))
    lines = np.array([line for _, line in rows[1:]], int)
    return _Table(path, {name: values[:, k] for k, name in enumerate(header)}, lines), notices


def _to_text(path: Path, raw: bytes) -> tuple[str, list[str]]:
    wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig"), []
    except UnicodeDecodeError:
        notice = f"{path.name} is not UTF-8 and is read as Windows-1252; look whether accents are right."
        return raw.decode("cp1252", errors="replace"), [notice]


def _broken(path: Path, line: int, what: str) -> BadData:
    return BadData(
        f"Line {line} of {path} {what}.\nExpected the same columns in every line.\n"
        'Put "quotes" around texts that hold the separator, and "" for a quote within them.'
    )


def _need(table: _Table, name: str, column: str) -> None:
    if column in table.columns:
        return
    known = list(table.columns)
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
    hint = near[0] if near else known[-1]
    raise BadData(
        f"{table.path} has no column {column!r}.\nIts columns are: {show_some(known, 20)}.\n"
        f"Name the right one, such as {name}={hint!r}."
    )


def _longest(table: _Table, taken: set[str | None]) -> str:
    others = {name: values for name, values in table.columns.items() if name not in taken}
    if not others:
        raise BadData(
            f"{table.path} has no column of texts beside {show_some(list(table.columns))}.\n"
            "Expected a column of texts and a column of labels.\nName the columns: text=…, label=…"
        )
    return max(others, key=lambda name: sum(map(len, others[name])))


def _drop_empty(table: _Table, text: str, label: str) -> list[str]:
    """Leave out rows without a text or a label; the sentence that says so, if there are any."""
    full = (table.columns[text] != "") & (table.columns[label] != "")
    lines = table.lines[~full].tolist()
    table.columns = {name: values[full] for name, values in table.columns.items()}
    table.lines = table.lines[full]
    left_out = f"{len(lines)} rows have no {text} or no {label} and are left out: line {show_some(lines)}."
    return [left_out] if lines else []


def _check_classes(path: Path, label: str, classes: list[str], rows: int) -> None:
    if len(classes) < 2:
        found = f"only the value {classes[0]!r}" if classes else "no values"
        raise BadData(
            f"The column {label!r} of {path} has {found}.\nExpected two classes or more, several rows each.\n"
            "Name the column of the classes: label=…"
        )
    if len(classes) > max(FEW, rows / 3):
        raise BadData(
            f"The column {label!r} of {path} has {len(classes)} different values in {rows} rows, such as "
            f"{classes[0][:40]!r}.\nExpected a few classes with several rows each.\n"
            "Name the column of the classes: label=…"
        )


def _groups(texts: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """A number a row, shared by rows of the same text (spaces and capitals apart) or the same group value."""
    pairs, first = [], {}
    for k, one in enumerate(texts):
        keys = [("text", " ".join(one.casefold().split()))]
        if group is not None and group[k]:
            keys.append(("group", group[k]))
        pairs += [(k, first.setdefault(key, k)) for key in keys]
    return group_pairs(len(texts), pairs)
