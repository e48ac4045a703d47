"""Cards: what a check, a quiz or a prediction answers, readable without colour, as HTML and as plain text."""

import re
import reprlib
import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH = 88  # characters a line of plain text
LONGEST = 160  # characters of a value
NUMBERS = 8  # of an array's values, the first so many
STATES = {  # word: sign and colour of the edge
    "Passed": ("✓", "#2e8b57"),
    "Solution": ("✓", "#717581"),  # the course's own: grey, since nobody is to be praised
    "Not yet": ("✗", "#c9580b"),
    "Not attempted yet": ("○", "#717581"),
    "As predicted": ("✓", "#2e8b57"),
    "Not as predicted": ("≠", "#c9580b"),
    "No prediction": ("○", "#717581"),
}
# Text and ground always come as a pair: where JupyterLab's colours are unknown, both fall back.
PAPER = "color:var(--jp-content-font-color1,#222);background:var(--jp-layout-color1,#fff)"
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Card:
    """An answer to the learner: a state of `STATES`, what it is about, paragraphs, and rows of (word, value).

    `code in backticks` is set in monospace. Whatever stands in it, from a learner too, is escaped.
    """

    state: str
    about: str
    paragraphs: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    hint: str = ""

    def _repr_html_(self) -> str:
        sign, edge = STATES[self.state]
        style = f"{PAPER};border-left:6px solid {edge};padding:.5em 1em;margin:.4em 0;max-width:46em;line-height:1.5"
        parts = [f"<div><strong>{sign} {self.state}</strong> · {inline(self.about)}</div>"]
        if self.rows:  # below the first paragraph, which says what they are
            parts += [_paragraph(text) for text in self.paragraphs[:1]] + [_table(self.rows)]
        parts += [_paragraph(text) for text in self.paragraphs[bool(self.rows) :]]
        if self.hint:
            parts.append(_paragraph(self.hint, "<strong>Hint:</strong> "))
        return f'<div style="{style}">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        """The card as plain text."""
        lines = [f"{STATES[self.state][0]} {self.state} · {self.about}"]
        texts = [_wrapped(text) for text in self.paragraphs]
        if self.rows:
            widest = max(len(word) for word, _ in self.rows)
            texts[1:1] = [f"  {word:{widest}}  {value}" for word, value in self.rows]
        return "\n".join(lines + texts + ([_wrapped(f"Hint: {self.hint}")] if self.hint else []))


def inline(text: str) -> str:
    """`text` as HTML: escaped, with `code` in monospace."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _paragraph(text: str, before: str = "") -> str:
    return f'<div style="margin:.3em 0 0">{before}{inline(text)}</div>'


def _table(rows: tuple[tuple[str, str], ...]) -> str:
    """A line a row; long values wrap. No table element: JupyterLab would stripe it and align it to the right."""
    cell = "white-space:pre-wrap;overflow-wrap:anywhere;background:none"
    lines = (
        f'<div style="display:flex;gap:.6em"><span style="flex:0 0 5em">{escape(word)}</span> '
        f'<code style="{cell}">{escape(value)}</code></div>'
        for word, value in rows
    )
    return f'<div style="margin:.3em 0 0">{"".join(lines)}</div>'


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def shorten(value: object, digits: int = 4) -> str:
    """`value` as a learner would write it, on one line, cut to a length that can be read.

    Numbers keep so many significant `digits`, arrays and tensors their first values and their shape. Never
    raises, whatever the `repr` of the value does.
    """
    try:
        text = _Short(digits).repr(value)
    except Exception:
        text = f"a {type(value).__name__} that cannot be shown"
    return cut(ADDRESS.sub("", text))


def cut(text: str) -> str:
    """`text` on one line of at most `LONGEST` characters."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def as_numpy(value: object) -> np.ndarray:
    """An array or a tensor, whatever its device and number format, as a numpy array."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy(force=True)
    return np.asarray(value)


class _Short(reprlib.Repr):
    """`repr` with an end, also inside tuples and dictionaries."""

    def __init__(self, digits: int) -> None:
        super().__init__()
        self.digits = digits
        self.maxstring = self.maxother = 100
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = NUMBERS

    def repr_float(self, value: float, level: int) -> str:
        """So many significant digits."""
        return f"{value:.{self.digits}g}"

    def repr_instance(self, value: object, level: int) -> str:
        """Arrays and tensors by their first values; numpy's numbers as plain ones."""
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            return super().repr_instance(value, level)
        array = as_numpy(value)
        shown = [self.repr(item) for item in array.ravel()[:NUMBERS].tolist()]
        if array.ndim == 0:
            return shown[0]
        return f"[{', '.join(shown)}{', …' * (array.size > NUMBERS)}] of shape {array.shape}"
