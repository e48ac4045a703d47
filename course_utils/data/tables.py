"""Your own texts as a task: a CSV file with a column of texts and a column of labels."""

from __future__ import annotations

import csv
import difflib
import io
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_utils.data.archives import check_regular, existing
from course_utils.data.splits import Task, announce, assemble, group_pairs, hold_out, show_some
from course_utils.errors import BadData

DELIMITERS = ",;\t|"
EXCELS = re.compile(r"\"?sep=(.)\"?\r?\n", re.IGNORECASE)  # a first line by which Excel is told the separator
MARKS = {  # how a file may begin that says its encoding; the longer first
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
SAVE_AS = "In a spreadsheet program, choose Save as, CSV (UTF-8)."
OTHERS = re.compile(r'\s*(<(!doctype|html|head|body|\?xml)|\[?\s*\{\s*")', re.IGNORECASE)  # a web page; JSON
FEW = 20  # so many distinct labels may always be classes; above, a third of the rows at most


@dataclass
class _Table:
    """The columns of a file by name, the line that each row ends in, and the names that several columns have."""

    path: Path
    columns: dict[str, np.ndarray]
    lines: np.ndarray
    twice: set[str]


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
    Rows without a text or label are left out, and texts with two labels are named, in a warning each. `BadData`
    names a missing column, one that is there twice, a broken line, or a column of labels that holds no classes.
    """
    table, notices = _read(existing(path, "a CSV file"), label)
    for name, column in (("label", label), ("group", group), ("text", text)):
        if column is not None or name == "label":
            _need(table, name, column)
        if name != "label" and column == label:
            raise BadData(f"{name}={column!r} is the column of the labels too.\nName another column: {name}=…")
    if text is None:
        text = _longest(table, {label, group})
        _need(table, "text", text)
        notices.append(f"The texts are taken from the column {text!r}.")
    problems = _drop_empty(table, text, label)
    texts, labels = table.columns[text], table.columns[label]
    classes = sorted(set(labels.tolist()))
    _check_classes(table.path, label, classes, len(labels))
    numbers = {name: number for number, name in enumerate(classes)}
    y = np.array([numbers[name] for name in labels], np.int64)
    problems += _torn(texts, labels)
    test = hold_out(y, texts.tolist(), _groups(texts, None if group is None else table.columns[group]))
    if untested := [name for name in classes if numbers[name] not in y[test]]:
        problems.append(f"No row to test on, so its accuracy stays unknown: label {show_some([*map(_cut, untested)])}.")
    told = announce(problems, notices)
    parts = (texts[~test], y[~test]), (texts[test], y[test])
    return assemble(table.path.stem, classes, *parts, False, per_class, seed, told)


def _read(path: Path, label: str) -> tuple[_Table, list[str]]:
    """The file as columns of strings; `label` helps to tell which sign is between them."""
    content, notices = _to_text(path, _bytes_of(path))
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # Python's own limit would cut long texts off
    if told := EXCELS.match(content):
        sign, content = told[1], "\n" + content[told.end() :]  # an empty line, so that lines keep their numbers
    else:
        first = content.lstrip().splitlines()[0]
        headers = {sign: next(csv.reader([first], delimiter=sign)) for sign in DELIMITERS}
        sign = max(DELIMITERS, key=lambda s: (label in map(str.strip, headers[s]), len(headers[s])))
    # pandas reads a line that is too short as one with an empty text, and counts rows where it should count lines.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=sign, strict=True)
    try:
        rows = [(row, reader.line_num) for row in reader if row]
    except csv.Error as error:
        raise _broken(path, reader.line_num, f"cannot be split into columns ({error})") from error
    if not rows:
        raise _no_table(path, "is empty")
    header = [name.strip() for name in rows[0][0]]
    for row, line in rows:
        if len(row) != len(header):
            raise _broken(path, line, f"has {len(row)} columns, the first line {len(header)}")
    values = np.array([[value.strip() for value in row] for row, _ in rows[1:]], object).reshape(-1, len(header))
    lines = np.array([line for _, line in rows[1:]], int)
    twice = {name for name in header if header.count(name) > 1}
    return _Table(path, {name: values[:, k] for k, name in enumerate(header)}, lines, twice), notices


def _bytes_of(path: Path) -> bytes:
    """What the file holds; `BadData` for what cannot be a table."""
    try:
        check_regular(path)
        raw = path.read_bytes()
    except OSError as error:
        what = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror or error})"
        raise _no_table(path, what) from error
    if raw.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise _no_table(path, "is an Excel file or a zip")
    return raw


def _to_text(path: Path, raw: bytes) -> tuple[str, list[str]]:
    notices = []
    try:
        content = raw.decode(_encoding(raw))
    except UnicodeDecodeError:
        notices = [f"{path.name} is not UTF-8 and is read as Windows-1252; look whether accents are right."]
        content = raw.decode("cp1252", errors="replace")
    if not content.strip():
        raise _no_table(path, "is empty")
    if other := OTHERS.match(content):
        raise _no_table(path, "is a web page" if "<" in other[0] else "is JSON", "Download or export the data as CSV.")
    if "\0" in content:
        line = content[: content.index("\0")].count("\n") + 1
        raise _no_table(path, f"is no text: line {line} holds a zero byte")
    return content, notices


def _encoding(raw: bytes) -> str:
    """The encoding that a file says by its first bytes, or that zero bytes betray; otherwise UTF-8."""
    for mark, name in MARKS.items():
        if raw.startswith(mark):
            return name
    start = raw[:4000]
    for name, halves in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if halves.count(0) > len(start) / 8:  # of a Latin letter one byte of two is zero
            return name
    return "utf-8-sig"


def _no_table(path: Path, what: str, mend: str = SAVE_AS) -> BadData:
    return BadData(f"{path} {what}.\nExpected a CSV file whose first line names its columns.\n{mend}")


def _broken(path: Path, line: int, what: str) -> BadData:
    return BadData(
        f"Line {line} of {path} {what}.\nExpected the same columns in every line.\n"
        'Put "quotes" around texts that hold the separator, and "" for a quote within them.'
    )


def _need(table: _Table, name: str, column: str) -> None:
    known = list(table.columns)
    if column in known and column not in table.twice:
        return
    has, near = f"no column {column!r}", difflib.get_close_matches(str(column), known, n=1, cutoff=0.5)
    likely = near[0] if near else known[-1 if name == "label" else 0]
    remedy = f"Name the right one, such as {name}={_cut(likely)!r}."
    if not near and any(title in values for title, values in table.columns.items()):
        remedy = "The first line looks like a row: put one above it that names the columns, as text,label."
    if column in known:
        has, remedy = f"several columns called {column!r}", "Rename all but one of them, so that it is told apart."
    shown = show_some([*map(_cut, known)], 20)
    raise BadData(f"{table.path} has {has}.\nIts columns are: {shown}.\n{remedy}")


def _cut(text: str) -> str:
    """At most 40 letters of a text in one line, for messages."""
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def _longest(table: _Table, taken: set[str | None]) -> str:
    others = {name: values for name, values in table.columns.items() if name not in taken}
    if not others:
        raise BadData(
            f"{table.path} has no column of texts beside {show_some([*map(_cut, table.columns)])}.\n"
            "Expected a column of texts and a column of labels.\nName the columns: text=…, label=…"
        )
    return max(others, key=lambda name: sum(map(len, others[name])))


def _drop_empty(table: _Table, text: str, label: str) -> list[str]:
    """Leave out rows without a text or a label; the sentence that says so, if there are any."""
    full = (table.columns[text] != "") & (table.columns[label] != "")
    lines = table.lines[~full].tolist()
    table.columns = {name: values[full] for name, values in table.columns.items()}
    table.lines = table.lines[full]
    left_out = f"{len(lines)} rows have no {_cut(text)} or no {_cut(label)} and are left out: line {show_some(lines)}."
    return [left_out] if lines else []


def _check_classes(path: Path, label: str, classes: list[str], rows: int) -> None:
    """`BadData` where a column holds no classes, or one class in two ways of writing."""
    keys = [re.sub(r"^(-?\d+)\.0+$", r"\1", _plain(name)) for name in classes]
    mend = "Name the column of the classes: label=…"
    if len(classes) < 2:
        found = f"only the value {_cut(classes[0])!r}" if classes else "no values"
    elif len(classes) > max(FEW, rows / 3):
        found = f"{len(classes)} different values in {rows} rows, such as {_cut(classes[0])!r}"
    elif (most := Counter(keys).most_common(1)[0])[1] > 1:
        one, other, *_ = (_cut(name) for name, key in zip(classes, keys, strict=True) if key == most[0])
        found, mend = f"both {one!r} and {other!r}", "Write them alike, or rename one if they are two classes."
    else:
        return
    raise BadData(
        f"The column {label!r} of {path} has {found}.\n"
        f"Expected two classes or more, each written in one way, in several rows.\n{mend}"
    )


def _plain(text: str) -> str:
    """A text without what makes no difference: capitals, and how many spaces stand in a row."""
    return " ".join(text.casefold().split())


def _torn(texts: np.ndarray, labels: np.ndarray) -> list[str]:
    """The sentence that names texts with two labels, if there are any: of each, one label at best is right."""
    found: dict[str, set[str]] = {}
    for one, label in zip(texts, labels, strict=True):
        found.setdefault(_plain(one), set()).add(label)
    shown = [f"{_cut(one)!r} ({show_some(sorted(those), 3)})" for one, those in found.items() if len(those) > 1]
    return [f"{len(shown)} texts stand under two labels: {show_some(shown, 5)}. Decide on one."] if shown else []


def _groups(texts: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """A number a row, shared by rows of the same text (spaces and capitals apart) or the same group value."""
    pairs, first = [], {}
    for k, one in enumerate(texts):
        keys = [("text", _plain(one))]
        if group is not None and group[k]:
            keys.append(("group", group[k]))
        pairs += [(k, first.setdefault(key, k)) for key in keys]
    return group_pairs(len(texts), pairs)
