"""The course's style: figures that say in words what they show and can be read from the back of a room."""

import functools
import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.plots.contrast import MARK, TEXT, contrast_faults, readable

__all__ = [
    "LOOKS", "Drawing", "axes_of", "colour_of", "contrast_faults", "ground", "look", "png", "say", "styled", "use",
]  # fmt: skip


class Ground(NamedTuple):
    """What figures are drawn on and with: paper, ink, grey for what is said aside, a faint grey for areas."""

    paper: str
    ink: str
    grey: str
    faint: str


class Look(NamedTuple):
    """How an arm of a comparison is drawn: its name, its colour as a line and as letters, its marker.

    `sign` is the marker as a letter, to stand before the name.
    """

    name: str
    line: str
    letters: str
    marker: str
    sign: str


GROUNDS = {
    "light": Ground("#ffffff", "#222222", "#666666", "#e8e8e8"),
    "dark": Ground("#15181c", "#ececec", "#a6a6a6", "#2f353c"),
}
# strategy -> (name in figures, colour, marker); the colours are petroff10's, its greys for controls.
# Source: Petroff 2021, "Accessible color sequences for data visualization".
LOOKS = {
    "from_scratch": ("from scratch", "#bd1f01", "s"),
    "feature_extraction": ("feature extraction", "#3f90da", "o"),
    "fine_tuning": ("fine-tuning", "#832db6", "^"),
    "head_first": ("head first", "#e76300", "P"),
    "partial_fine_tuning": ("partial fine-tuning", "#a96b59", "X"),
    "untrained_frozen": ("untrained, frozen", "#717581", "D"),
    "raw_pixels": ("raw pixels", "#94a4a2", "v"),
}
SIGNS = {"s": "■", "o": "●", "^": "▲", "P": "✚", "X": "✖", "D": "◆", "v": "▼", "*": "★"}
OTHER_COLOUR, OTHER_MARKER = "#b9ac70", "*"  # an arm that is not in the list
_on = "light"


def use(name: str) -> None:
    """Draw on "light" or on "dark" paper from now on."""
    global _on
    if name not in GROUNDS:
        raise CourseError(f"There is no style {name!r}. Choose {' or '.join(map(repr, GROUNDS))}.")
    _on = name


def ground() -> Ground:
    """The paper and inks that are in use."""
    return GROUNDS[_on]


def colour_of(colour: str, least: float = TEXT) -> str:
    """`colour`, moved until it can be read on the paper in use."""
    return readable(colour, ground().paper, least)


def look(strategy: str) -> Look:
    """How a strategy is drawn so that it can be read on the paper in use, and on a faint grey area."""
    name, colour, marker = LOOKS.get(strategy, (strategy.replace("_", " "), OTHER_COLOUR, OTHER_MARKER))
    line, letters = readable(colour, ground().faint, MARK + 0.2), readable(colour, ground().faint, TEXT)  # grid lines
    return Look(name, line, letters, marker, SIGNS[marker])


class Drawing(Figure):
    """A figure that shows itself in a notebook, with what it shows in words as its description."""

    words: str = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """For notebooks: the picture and the words, which travel with it as its `alt` too."""
        return {"image/png": png(self), "text/plain": self.words}, {"image/png": {"alt": self.words}}


def png(figure: Figure) -> bytes:
    """The picture as a PNG, as many pixels as the figure's inches and resolution make; the figure is closed."""
    file = io.BytesIO()
    with _settings():
        figure.savefig(file, format="png", dpi=figure.dpi)
    plt.close(figure)
    return file.getvalue()


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax`, or the axes of a new figure of `size` inches."""
    return ax if ax is not None else Drawing(figsize=size, layout="constrained").subplots()


def say(figure: Figure, words: str) -> Figure:
    """Give the figure its words, after those of what was drawn in it before."""
    figure.words = f"{getattr(figure, 'words', '')} {words}".strip()
    return figure


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the course's style, whatever matplotlib's settings are; those stay as they are.

    In strict mode (COURSE_STRICT=1) a figure that cannot be read or says nothing in words is an error.
    """

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with _settings():
            figure = draw(*args, **kwargs)
            _settle(figure)
        plt.close(figure)  # one that brought its own axes is shown once, as the value of its cell
        if os.environ.get("COURSE_STRICT") == "1":
            _check(figure, draw.__name__)
        return figure

    return wrapper


def _settle(figure: Figure) -> None:
    """Draw once for the eye of nobody: ticks are made when they are drawn, so in the style that is on now.

    Names beside axes move when the axes make room for them, so our own layout takes two rounds. Then it stays:
    the picture is the same however often, and at whatever resolution, it is drawn.
    """
    figure.draw_without_rendering()
    if isinstance(figure, Drawing):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def _settings() -> AbstractContextManager:
    """Matplotlib's settings for the paper in use, whatever they are outside."""
    paper, ink, grey, _ = ground()
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    settings = dict.fromkeys(inks, ink) | {
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "font.family": "DejaVu Sans",
        "font.size": 12,
        "axes.titlesize": 13,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": grey,
        "grid.alpha": 0.25,
        "figure.dpi": 100,
        "savefig.dpi": 100,
        "legend.frameon": False,
        "text.parse_math": False,  # a class may be called $5-$10
    }
    return plt.style.context(["petroff10", settings], after_reset=True)


def _check(figure: Figure, name: str) -> None:
    faults = contrast_faults(figure)
    if not getattr(figure, "words", ""):
        faults.append("it says nothing in words")
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise CourseError(f"The figure `{name}` is not for everyone: {'; '.join(faults[:3])}{more}.")
