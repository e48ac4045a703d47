"""Where the rows of experiments are kept: a CSV each that is always whole, and a draft of it while runs go on."""

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils import ROOT, registry
from course_utils.errors import CourseError
from course_utils.files import alone, replacing

RESULTS = ROOT / "data" / "results"
ITEMS = "items"  # the one CSV here that holds no runs
SHARES = ("accuracy", "balanced_accuracy")  # what is measured and lies from 0 to 1
PACKED = {"correct": str, "copies": str}  # hexadecimal text, which may look like a number
SCORE = re.compile("accuracy|.+=.+")  # a run gives its accuracy, or that of each of several choices, as C=1
MARKS = ("seconds", "version", "weights", "torch", "machine", "commit")  # what every row ends in


def path_of(name: str) -> Path:
    """The file of an experiment's rows; CourseError where `name` cannot be that of one."""
    if not re.fullmatch(r"\w[\w-]{0,99}", str(name)) or name == ITEMS:
        raise CourseError(f"{name!r} is no name for an experiment, whose rows are kept in data/results/NAME.csv.\n"
                          f"Give one of letters, digits, - and _, other than {ITEMS!r}, a list of items.")  # fmt: skip
    return RESULTS / f"{name}.csv"


def draft_of(name: str) -> Path:
    """The file in which an experiment's next rows gather until all are there."""
    return path_of(name).with_suffix(".part")


def pack(correct: np.ndarray) -> str:
    """Which test items were right, a bit each, as hexadecimal text."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(texts: Iterable[str], count: int) -> np.ndarray:
    """The inverse of `pack` for several runs: runs x `count` booleans."""
    return np.array([np.unpackbits(np.frombuffer(bytes.fromhex(t), np.uint8))[:count] for t in texts], bool)


def load_results(name: str) -> pd.DataFrame:
    """The stored rows of an experiment, sorted by their settings; CourseError where there are none, or damaged ones."""
    path = path_of(name)
    if not path.exists():
        stored, declared = sorted({p.stem for p in RESULTS.glob("*.csv")} - {ITEMS}), registry.studies()
        near = get_close_matches(str(name), [*stored, *declared], n=1, cutoff=0.7)
        hint = f"Did you mean {near[0]!r}?" if near else "No experiment has that name."
        raise CourseError(f"No results are stored under {name!r}; there is {', '.join(stored) or 'nothing yet'}.\n"
                          f"{remedy(name) if name in declared else hint}")  # fmt: skip
    text = io.StringIO(_text(path) or "seed")
    table = pd.read_csv(text, dtype=PACKED, index_col=False, keep_default_na=False, na_values=["", "nan"])
    _refuse_impossible(table, path)
    if table.empty:
        raise CourseError(f"{path.name} holds no rows.\n{remedy(name)}")
    table = table.sort_values(settings_of(table), kind="stable", ignore_index=True)
    table.attrs["stored"] = name  # so that a claim knows that its rows were not made in this kernel
    return table


def _text(path: Path, whole: bool = True) -> str:
    """What a file holds; unless `whole`, less a last line that a kill cut short: it lacks its end and a field.

    CourseError where it is no table of runs, or where Git could not merge two versions and left both in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").lstrip("\n")  # Excel lets a file begin with a mark
        head, end, last = text.rpartition("\n")
        if not whole and len(set(map(len, csv.reader([head.split("\n")[0], last])))) > 1:
            text = head + end
        if marks := [k for k, line in enumerate(text.splitlines(), 1) if line.startswith(("<<<<<<< ", ">>>>>>> "))]:
            raise CourseError(
                f"{path.name} holds two versions: a Git conflict (lines {', '.join(map(str, marks))}).\n"
                f"Keep one: git checkout --ours {path} (or --theirs); then recompute what is missing."
            )
        if "\0" in text:
            raise ValueError("it holds zero bytes")
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if line] or [["seed", "accuracy", *MARKS]]
        odd = [f"no column {name!r}, or two" for name in ("seed", *MARKS) if lines[0].count(name) != 1]
        odd += [] if any(map(SCORE.fullmatch, lines[0])) else ["no column 'accuracy'"]
        odd += [f"a column {name!r}, as pandas saves an index" for name in lines[0] if re.match(r"$|Unnamed: \d", name)]
        if odd:
            raise ValueError(f"it has {odd[0]}")
        if wrong := [line for line in lines if len(line) != len(lines[0])]:
            raise ValueError(f"it has {len(lines[0])} columns, and {len(wrong[0])} where {wrong[0][:3]} stands")
    except (OSError, ValueError, csv.Error) as error:
        mend = f"Restore it: git checkout {path}; or delete it" if path.suffix == ".csv" else f"Delete {path}"
        raise CourseError(f"{path.name} is no table of runs: {error}.\nExpected a line for each run, as this course "
                          f"writes them.\n{mend}, and recompute it.") from error  # fmt: skip
    return text


def settings_of(table: pd.DataFrame) -> list[str]:
    """What was varied in stored rows: the columns up to `seed`, which is the last of them."""
    return list(table.loc[:, :"seed"])


def keys_of(table: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """The columns `names`, as numbers where they are numbers: what identifies a run, however it was written."""
    return table[list(names)].map(_number)


def _number(value: object) -> object:
    try:
        number = float(str(value) if isinstance(value, (bool, np.bool_)) else value)  # True is not 1
    except (TypeError, ValueError):
        return "" if value is None else str(value)
    return number if number == number else ""  # as None and nan are written


def _refuse_impossible(rows: pd.DataFrame, path: Path) -> None:
    """CourseError where an accuracy is no number from 0 to 1, or a run is there twice."""
    if rows.empty:
        return
    for name in [name for name in ("seed", *SHARES) if name in rows]:
        least, most = (0, 1) if name in SHARES else (-np.inf, np.inf)
        wrong = rows[~pd.to_numeric(rows[name], errors="coerce").between(least, most)]
        if len(wrong):
            more = f", and {len(wrong) - 1} more such rows" if len(wrong) > 1 else ""
            raise CourseError(f"{path.name} has {name} {wrong[name].iloc[0]} in line {wrong.index[0] + 2}{more}.\n"
                              f"Expected a number from {least} to {most}.\n"
                              f"Delete such rows from {path}; recompute runs them again.")  # fmt: skip
    _refuse_doubles(rows, path)


def _refuse_doubles(rows: pd.DataFrame, path: Path) -> None:
    """CourseError where a file has more than one row of a setting and seed."""
    keys = keys_of(rows, settings_of(rows))
    double = keys[keys.duplicated(keep=False)]
    if double.empty:
        return
    first = rows[(keys == double.iloc[0]).all(axis=1)]
    run = ", ".join(f"{name} {first[name].iloc[0]}" for name in keys)
    unlike = [name for name in rows if first[name].nunique(dropna=False) > 1]
    raise CourseError(
        f"{path.name} has {len(first)} rows for {run} (lines {', '.join(str(k + 2) for k in first.index)}), "
        + (f"which differ in {', '.join(unlike)}" if unlike else "all alike")
        + (f"; and so for {more - 1} more runs" if (more := len(double.drop_duplicates())) > 1 else "")
        + f".\nExpected one row for each setting and seed.\nDelete all but the right one from {path}, then go on."
    )


def remedy(name: str) -> str:
    """What to do where rows are missing or stale."""
    return f"Run: python3 -m course_utils recompute {name}"


@cache
def weights_checksum(backbone: str = "photonet") -> str:
    """Twelve hexadecimal digits that tell the weights of a backbone from others.

    CourseError unless PhotoNet's are the ones on their card (Lite0's are checked against a sum that the course knows):
    damaged ones must not make rows, nor make stored rows stale.
    """
    from course_utils.models import libraries, loading  # they bring torch, which reading rows does not need

    if backbone == "efficientnet_lite0":
        return hashlib.sha256(libraries.lite0_file().read_bytes()).hexdigest()[:12]
    path = loading.WEIGHTS.with_name(f"{backbone}.safetensors")
    try:
        return loading.check_card(path)[:12]
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be used: {error}.\nExpected the weights that the stored rows were made with; "
                          "nothing was written.\nFetch them again (git checkout data/weights), or make new ones: "
                          "python3 -m course_utils pretrain") from error  # fmt: skip


def _rows(path: Path) -> pd.DataFrame:
    """The whole rows of a file, as text: see `_text`."""
    rows = pd.DataFrame(list(csv.DictReader(io.StringIO(_text(path, whole=False)))) if path.exists() else [])
    _refuse_impossible(rows, path)
    return rows


def _current(rows: pd.DataFrame, version: int) -> pd.DataFrame:
    """The rows of this version that were made with the weights that are here."""
    if rows.empty:
        return rows
    backbones = rows["backbone"] if "backbone" in rows else pd.Series("photonet", rows.index)
    same = pd.to_numeric(rows["version"], errors="coerce") == version  # a spreadsheet writes 1.0
    return rows[same & (rows["weights"] == backbones.map(weights_checksum))]


def stale(name: str, version: int) -> int:
    """How many stored rows are of another version or were made with other weights."""
    rows = _rows(path_of(name))
    return len(rows) - len(_current(rows, version))


def usable(name: str, version: int) -> pd.DataFrame:
    """The rows, as text, that need not be run again: those stored, then those of a draft."""
    found = [_current(_rows(path), version) for path in (path_of(name), draft_of(name))]
    rows = pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)
    return rows[~keys_of(rows, settings_of(rows)).duplicated()] if len(rows) else rows


def settled(name: str, version: int) -> bool:
    """Whether nothing waits to be put in place: no draft of this version, and no stale row."""
    return _current(_rows(draft_of(name)), version).empty and not stale(name, version)


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Inside, no other process computes this experiment; one that does is waited for."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with alone(RESULTS / f".{name}.lock", f"Another process computes {name}; waiting for it to end."):
        yield


class Writer:
    """Gathers rows in a draft, which begins with the `rows` that stay and takes the file's place when it is whole.

    Until then the file is as it was. A kill costs the row in hand at most: the draft is gone on with.
    """

    def __init__(self, name: str, rows: pd.DataFrame) -> None:
        self.path, self.draft = path_of(name), draft_of(name)
        self.columns = list(rows.columns) if len(rows) else []
        if self.columns:
            with replacing(self.draft) as beside:
                rows.to_csv(beside, index=False, lineterminator="\n")
        else:
            self.draft.unlink(missing_ok=True)

    def add(self, row: dict) -> None:
        """Append a row, in the order of the file's columns."""
        if self.columns and set(row) != set(self.columns):
            unlike = f"A row of {self.path.stem} differs from those before in {sorted(set(row) ^ set(self.columns))}"
            raise CourseError(f"{unlike}.\nRuns of one experiment give the same things; or raise its version.")
        writer = csv.DictWriter(text := io.StringIO(), self.columns or list(row), lineterminator="\n")
        if not self.columns:
            writer.writeheader()
            self.columns = list(row)
        writer.writerow(row)
        with self.draft.open("a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())

    def finish(self) -> None:
        """Every row is there: the draft becomes the file."""
        os.replace(self.draft, self.path)
