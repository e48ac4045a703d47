"""Where the rows of experiments are kept: one CSV each, appended to by one process, safe against a kill."""

import csv
import hashlib
import io
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils import ROOT
from course_utils.errors import CourseError

RESULTS = ROOT / "data" / "results"


def path_of(name: str) -> Path:
    """The file of an experiment's rows."""
    return RESULTS / f"{name}.csv"


def pack(correct: np.ndarray) -> str:
    """Which test items were right, a bit each, as hexadecimal text."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(texts: Iterable[str], count: int) -> np.ndarray:
    """The inverse of `pack` for several runs: runs x `count` booleans."""
    rows = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:count] for text in texts]
    return np.array(rows, bool)


def read(name: str) -> pd.DataFrame:
    """The rows of an experiment, sorted by their settings; CourseError where there are none."""
    if not path_of(name).exists():
        known = ", ".join(sorted(p.stem for p in RESULTS.glob("*.csv"))) or "nothing yet"
        raise CourseError(f"No stored results {name!r}; there is {known}.\n{remedy(name)}")
    table = pd.read_csv(path_of(name))
    table = table.sort_values(settings_of(table), kind="stable", ignore_index=True)
    table.attrs["stored"] = name  # so that a claim knows that its rows were not made in this kernel
    return table


def settings_of(table: pd.DataFrame) -> list[str]:
    """What was varied in stored rows: the columns up to `seed`, which is the last of them."""
    columns = list(table.columns)
    return columns[: columns.index("seed") + 1]


def remedy(name: str) -> str:
    """What to do where rows are missing or stale."""
    return f"Run: python3 -m course_utils recompute {name}"


def marks(version: int) -> dict:
    """What every row carries besides its result: declared version, weights, library, machine, commit."""
    import torch

    git = ["git", "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "version": version,
        "weights": weights_checksum(),
        "torch": ".".join(torch.__version__.split(".")[:2]),
        "machine": f"{platform.machine()} {os.cpu_count()} cores",
        "commit": answer.stdout.strip(),
    }


def weights_checksum() -> str:
    """Twelve hexadecimal digits that tell these weights of PhotoNet from others."""
    from course_utils.models.loading import WEIGHTS  # brings torch, which reading rows does not need

    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]


def stored(name: str) -> pd.DataFrame:
    """The whole rows of an experiment, as text; a line without its end was cut short by a kill."""
    if not path_of(name).exists():
        return pd.DataFrame()
    with path_of(name).open(newline="", encoding="utf-8") as file:
        return pd.DataFrame(list(csv.DictReader(line for line in file if line.endswith("\n"))))


def usable(name: str, version: int) -> pd.DataFrame:
    """The stored rows of this version that were made with the weights that are here."""
    rows = stored(name)
    if rows.empty:
        return rows
    return rows[(rows["version"] == str(version)) & (rows["weights"] == weights_checksum())]


class Writer:
    """Adds rows to an experiment's file, which starts with `rows` alone; a kill costs the row in hand at most."""

    def __init__(self, name: str, rows: pd.DataFrame) -> None:
        self.path, self.columns = path_of(name), list(rows.columns) if len(rows) else []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if len(rows):
            beside = self.path.with_suffix(".part")
            rows.to_csv(beside, index=False, lineterminator="\n")
            os.replace(beside, self.path)
        else:
            self.path.unlink(missing_ok=True)

    def add(self, row: dict) -> None:
        """Append a row, in the order of the file's columns."""
        if self.columns and set(row) != set(self.columns):
            raise CourseError(
                f"A row of {self.path.stem} differs from those before in {sorted(set(row) ^ set(self.columns))}.\n"
                "Runs of one experiment give the same things; raise its version when they change."
            )
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns or list(row), lineterminator="\n")
        if not self.columns:
            writer.writeheader()
            self.columns = list(row)
        writer.writerow(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())
