"""Figures behind a slider or a list of choices, with a picture and words for where no widget can run."""

import base64
import html
import os
import struct
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import CellType, CodeType, FunctionType, TracebackType

import ipywidgets
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.plots import style

VIEW = "application/vnd.jupyter.widget-view+json"
NOTICE = "border:2px solid #bd1f01;padding:0.8em;margin:0;white-space:pre-wrap;color:inherit;background:none"


def slider(draw: Callable[[object], Figure], values: Iterable, label: str, start: object = None) -> "Control":
    """A figure that follows a slider: `draw(value)` gives it, for one of `values`.

    Args:
        draw: value -> a figure of the course, always of the same size.
        values: what the slider steps through, in order.
        label: what the values are, such as "photographs of each class".
        start: the value to begin with; the first if left out.
    Raises:
        CourseError: there are no values, or `start` is none of them. What `draw` raises for `start` comes through.
    """
    kind = partial(ipywidgets.SelectionSlider, continuous_update=False)  # draw where it comes to rest, not on the way
    values = list(values) if isinstance(values, dict) else values  # a dictionary's names
    return Control(kind, draw, values, label, start)


def choice(draw: Callable[[object], Figure], options: dict[str, object] | Iterable, label: str) -> "Control":
    """A figure that follows a list of choices, the first of them to begin with: `draw(option)` gives it.

    Args:
        draw: option -> a figure of the course, always of the same size.
        options: what can be chosen; of a dictionary the keys are shown and the values drawn.
        label: what is chosen, such as "task".
    Raises:
        CourseError: there are no options. What `draw` raises for the first one comes through.
    """
    return Control(ipywidgets.Dropdown, draw, options, label, None)


class Control:
    """A slider or a list above a picture; each picture is drawn once, when it is first asked for.

    What `draw` reads is bound when the control is made, so a later cell may use the same names for other things.

    A notebook gets one output of it: the live widget, and beside it the picture and the words of the value to
    begin with, for GitHub, paper and wherever else there is no kernel. What goes wrong in `draw` later on is
    shown in the place of the picture. In strict mode (COURSE_STRICT=1) every picture is drawn at once.

    Attributes:
        control: the ipywidgets slider or list; setting its `value` draws.
        frame: the ipywidgets HTML with the picture.
    """

    def __init__(self, kind: Callable, draw: Callable, options: dict | Iterable, label: str, start: object):
        if not callable(draw) or not isinstance(options, Iterable):
            given = f"a {type(draw).__name__} and a {type(options).__name__}.\nGive them in this order"
            raise CourseError(f"The control for {label!r} takes a function and values, not {given}.")
        pairs = options.items() if isinstance(options, dict) else [(str(option), option) for option in options]
        options, values = list(pairs), [value for _, value in pairs]
        start = values[0] if start is None and values else start
        if not _can_be_told_apart(values):
            raise CourseError(f"The control for {label!r} takes names, no arrays or nan.\nLet draw(name) look them up.")
        if start not in values:
            has = f"no value {start!r} to begin with; it has {values}" if values else "nothing to choose from"
            raise CourseError(f"The control for {label!r} has {has}.\nGive it values, and one of them as the start.")
        self._draw, self._label, self._start = bound(draw), label, start
        self._name = next(name for name, value in options if value is start or value == start)
        self._drawn: dict[tuple[str, str], tuple[bytes, str]] = {}
        for value in [start, *values] if os.environ.get("COURSE_STRICT") == "1" else [start]:
            self._picture(value)
        self._size = struct.unpack(">II", self._picture(start)[0][16:24])  # width and height in a PNG's header
        wide = ipywidgets.Layout(width="auto", max_width=f"{self._size[0]}px")
        self.control = kind(options=options, value=start, description=f"{label}:", layout=wide)
        self.control.style.description_width = "initial"
        self.frame = ipywidgets.HTML(self._image(start), layout=ipywidgets.Layout(width="auto", margin="0"))
        self._box = ipywidgets.VBox([self.control, self.frame])
        self.control.observe(self._show, names="value")

    def _picture(self, value: object) -> tuple[bytes, str]:
        """The PNG for a value and what it shows in words."""
        key = repr(value), repr(style.ground())
        if key not in self._drawn:
            figure = self._draw(value)
            if not isinstance(figure, Figure):
                raise CourseError(
                    f"The function behind {self._label!r} gave a {type(figure).__name__} for {value!r}, not a figure.\n"
                    "Let it end with `return` and the figure."
                )
            self._drawn[key] = style.png(figure), getattr(figure, "words", "")
        return self._drawn[key]

    def _show(self, change: dict) -> None:
        try:
            self.frame.value = self._image(change["new"])
        except Exception as error:
            self.frame.value = self._boxed(f'<pre style="{NOTICE}">{html.escape(self._what_went_wrong(error))}</pre>')

    def _image(self, value: object) -> str:
        png, words = self._picture(value)
        width, height = self._size
        return self._boxed(
            f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{html.escape(words)}" '
            f'width="{width}" height="{height}" '
            f'style="display:block;width:100%;height:auto;aspect-ratio:{width}/{height};object-fit:contain">'
        )

    def _boxed(self, content: str) -> str:
        """`content` in a box of the first picture's size, which shrinks with the window and with nothing else."""
        width, height = self._size
        size = f"width:100%;max-width:{width}px;aspect-ratio:{width}/{height}"
        return f'<div style="{size};overflow:auto;line-height:normal">{content}</div>'

    def _what_went_wrong(self, error: Exception) -> str:
        if isinstance(error, CourseError):
            return str(error)
        file = getattr(getattr(self._draw, "__code__", None), "co_filename", "")
        return f"{type(error).__name__}: {error}\n{_line_of(error.__traceback__, file)}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """The live widget, and the picture and words of the value to begin with."""
        png, words = self._picture(self._start)
        data = {
            VIEW: self._box._repr_mimebundle_()[VIEW],
            "image/png": base64.b64encode(png).decode(),
            "text/plain": f"{self._label}: {self._name}. {words}",
        }
        return data, {"image/png": {"alt": words}}


def _can_be_told_apart(values: list) -> bool:
    """Whether any two values are equal or not, and each is equal to itself, as ipywidgets takes for granted."""
    with suppress(TypeError, ValueError, RuntimeError):  # of NumPy and pandas, and of torch
        return all(bool(a == b) or a is not b for a in values for b in values)
    return False


def bound(draw: Callable) -> Callable:
    """`draw` with the values that the names it reads have now, in its module or notebook and in its closure.

    Functions of the same notebook that it calls are bound with it. What is no plain function, such as an object
    that can be called, comes back as it is.
    """
    if isinstance(draw, partial):
        return partial(bound(draw.func), *draw.args, **draw.keywords)
    return _Binding(draw.__globals__).of(draw) if isinstance(draw, FunctionType) else draw


class _Binding:
    """Copies of the functions of one notebook, which share a copy of those of its names that they read."""

    def __init__(self, names: dict):
        self._names, self._copies = names, {}
        self._kept = {name: names[name] for name in ("__builtins__", "__name__") if name in names}

    def of(self, value: object) -> object:
        """The copy of a function of the notebook; everything else itself."""
        if not isinstance(value, FunctionType) or value.__globals__ is not self._names:
            return value
        if value not in self._copies:
            cells = tuple(CellType() for _ in value.__closure__ or ())
            copy = FunctionType(value.__code__, self._kept, value.__name__, None, cells)
            self._copies[value] = copy  # before what it reads, which may be itself
            copy.__defaults__ = value.__defaults__ and tuple(map(self.of, value.__defaults__))
            copy.__kwdefaults__ = value.__kwdefaults__
            for name in _names_in(value.__code__):
                if name in self._names:
                    self._kept[name] = self.of(self._names[name])
            for cell, old in zip(cells, value.__closure__ or (), strict=True):
                with suppress(ValueError):  # a cell that is still empty
                    cell.cell_contents = self.of(old.cell_contents)
        return self._copies[value]


def _names_in(code: CodeType) -> Iterator[str]:
    """The names that a piece of code looks up, also in the functions that it defines."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _line_of(trace: TracebackType | None, file: str) -> str:
    """The line at which things went wrong, the last one in the learner's own `file` if there is one."""
    frames = traceback.extract_tb(trace)
    frame = [frame for frame in frames if frame.filename == file][-1:] or frames[-1:]
    return f"line {frame[0].lineno}: {frame[0].line}" if frame else ""
