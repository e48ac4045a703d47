"""What happened in training: a line a step, and the bar that shows it live."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

COLUMNS = ["step", "phase", "loss", "accuracy", "lr", "seconds"]


@dataclass
class History:
    """The course of one `fit`.

    Attributes:
        table: a row a step: `step` and `phase` (both from 1), `loss` and `accuracy` on that step's batch,
            `lr` (of the new head), `seconds` since the start, and with validation `validation_accuracy`
            (NaN between the looks).
        steps: updates planned; `len(history.table)` were made.
        batch_size: pictures an update.
        best_step: with validation, the step whose weights were kept; otherwise None.
        interrupted: whether someone stopped it.
    """

    steps: int
    batch_size: int
    rows: list[dict] = field(default_factory=list, repr=False)
    best_step: int | None = None
    interrupted: bool = False

    @property
    def table(self) -> pd.DataFrame:
        """A row a step; see above."""
        return pd.DataFrame(self.rows, columns=None if self.rows else COLUMNS)

    @property
    def seconds(self) -> float:
        """How long the steps took, the one pass through frozen stages included."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    def __repr__(self) -> str:
        if not self.rows:
            return "no steps made"
        last = self.rows[-10:]
        loss, accuracy = (np.mean([row[key] for row in last]) for key in ("loss", "accuracy"))
        kept = f"; kept the weights of step {self.best_step}" if self.best_step else ""
        stopped = f" (of {self.steps}, interrupted)" if self.interrupted else ""
        return (
            f"{len(self.rows)} steps{stopped} of {self.batch_size} in {self.seconds:.1f} s: "
            f"loss {loss:.3f}, accuracy {accuracy:.3f} on the last batches{kept}"
        )

    def _repr_html_(self) -> str:
        few = np.unique(np.linspace(0, len(self.rows) - 1, 6).round().astype(int)) if self.rows else []
        shown = self.table.iloc[few].to_html(index=False, border=0, float_format="{:.4g}".format, na_rep="")
        return f"<p>{self!r}</p>{shown}"


@contextmanager
def progress_bar(steps: int, shown: bool) -> Iterator:
    """A tqdm bar; where nobody watches (a pipe, a log) it is drawn at its ends only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets tqdm warns, then draws a bar of text
        from tqdm.auto import tqdm
    notebook = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    watched = notebook or sys.stderr.isatty()
    off = not shown or bool(os.environ.get("TQDM_DISABLE"))  # tqdm's own variable, which its widget overlooks
    with tqdm(total=steps, disable=off, unit="step", mininterval=0.2 if watched else float("inf")) as bar:
        yield bar
