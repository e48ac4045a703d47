"""A learner's attempt: whether it is one yet, what it answers on an input, and how that differs from the expected."""

import ast
import copy
import inspect
import numbers
import random
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import CodeType
from typing import NamedTuple

import numpy as np
from IPython.utils.capture import capture_output

from course_utils.exercises.cards import as_numpy, cut, shorten

KINDS: list[tuple[type | tuple, str]] = [
    (type(None), "nothing (`None`)"),
    (bool, "`True` or `False`"),
    (numbers.Number, "a number"),
    (str, "a text"),
    (np.ndarray, "a numpy array"),
    ((list, tuple), "a list or tuple"),
    (dict, "a dictionary"),
    ((set, frozenset), "a set"),
]


class Outcome(NamedTuple):
    """What a call gave: a value, or the name and message of an error and the learner's own line that caused it."""

    value: object = None
    error: str = ""
    message: str = ""
    line: str = ""


def run(function: Callable, arguments: tuple, quiet: bool, seen: Callable | None = None) -> Outcome:
    """Call `function` on copies of `arguments`; random generators are afterwards as they were before.

    The value is what it returns, or with `seen` what that gives of the arguments afterwards. Every error is caught,
    `SystemExit` too, which would end the run of a whole notebook; an interrupt is not. With `quiet`, what the
    function prints or displays is dropped.
    """
    with _generators_kept(), capture_output() if quiet else nullcontext():
        try:
            copies = copy.deepcopy(arguments)
            returned = function(*copies)
            return Outcome(seen(*copies) if seen and returned is not Ellipsis else returned)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Outcome(None, type(error).__name__, _message(error), _own_line(function, error))


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Inside, random numbers may be drawn and gradients switched off; outside, nobody can tell."""
    torch = sys.modules.get("torch")  # not imported for this: who has not used it draws nothing from it
    states = random.getstate(), np.random.get_state(), torch and torch.get_rng_state()
    gradients = torch and torch.is_grad_enabled()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if torch:
            torch.set_rng_state(states[2])
            torch.set_grad_enabled(gradients)


def _message(error: BaseException) -> str:
    try:
        return cut(str(error))
    except Exception:  # an error of the learner's own whose message fails in turn
        return ""


def _own_line(function: Callable, error: BaseException) -> str:
    """The last line of the learner's file or cell on the way to the error; empty if the call itself failed."""
    code = _code(function)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if code and frame.filename == code.co_filename]
    return f"line {own[-1].lineno}: `{own[-1].line}`" if own else ""


def _code(function: object) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None


def is_empty(attempt: object) -> bool:
    """Whether nobody has written anything yet: None, ..., an empty text, or a function whose body does nothing."""
    if attempt is None or attempt is Ellipsis or (isinstance(attempt, str) and not attempt.strip()):
        return True
    if not inspect.isfunction(attempt):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(attempt)))
    except (OSError, SyntaxError):  # made where no text of it is kept, or in the middle of a line
        return False
    body = next((node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
    return body is not None and all(map(_does_nothing, body))


def _does_nothing(step: ast.stmt) -> bool:
    if isinstance(step, ast.Raise) and step.exc:
        return getattr(getattr(step.exc, "func", step.exc), "id", "") == "NotImplementedError"
    if isinstance(step, (ast.Expr, ast.Return)) and step.value:  # a docstring, `...`, `return None`
        said = step.value.value if isinstance(step.value, ast.Constant) else step
        return said is None or said is Ellipsis or (isinstance(said, str) and isinstance(step, ast.Expr))
    return isinstance(step, (ast.Pass, ast.Return))


def fingerprint(attempt: object) -> tuple:
    """The same for two attempts that do the same steps, wherever they stand in their cell and whatever is noted."""
    code = _code(attempt)
    if code is None:
        return type(attempt), shorten(attempt, 10)
    return *_steps(code), shorten(getattr(attempt, "__defaults__", None), 10)


def _steps(code: CodeType) -> tuple:
    constants = tuple(_steps(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, constants


def difference(expected: object, came: object, tolerance: float) -> str | None:
    """How `came` differs from `expected`, in a sentence that may be empty; None when the two are the same.

    A number may be Python's, numpy's or a tensor without dimensions; numbers are the same within `tolerance`,
    absolute or relative; nan is the same as nan. Never raises, whatever the learner's value does.
    """
    try:
        expected, came = _plain(expected), _plain(came)
        kinds = kind(expected), kind(came)
        if kinds[0] != kinds[1]:
            return f"Expected {kinds[0]}, came {kinds[1]}."
        if isinstance(expected, np.ndarray) or _is_tensor(expected):
            return _arrays(as_numpy(expected), as_numpy(came), tolerance)
        if isinstance(expected, (list, tuple)):
            return _sequences(expected, came, tolerance)
        if isinstance(expected, dict):
            return _dictionaries(expected, came, tolerance)
        return _single(expected, came, tolerance)
    except Exception:
        return "The two cannot be compared."


def _plain(value: object) -> object:
    """Arrays and tensors without dimensions, and numpy's numbers, as Python's own."""
    is_array = isinstance(value, (np.ndarray, np.generic)) or _is_tensor(value)
    return value.item() if is_array and value.ndim == 0 else value


def _is_tensor(value: object) -> bool:
    """Whether this is a tensor of torch's; while nobody has imported torch, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def kind(value: object) -> str:
    """What sort of thing a value is, in words."""
    if _is_tensor(value):
        return "a torch tensor"
    return next((words for types, words in KINDS if isinstance(value, types)), f"a `{type(value).__name__}`")


def _single(expected: object, came: object, tolerance: float) -> str | None:
    if expected == came:
        return None
    if isinstance(expected, numbers.Number):
        if np.isclose(came, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
            return None
        return "`nan` is no number: was something divided by nought?" if came != came else ""
    if isinstance(expected, str) and expected.casefold().split() == came.casefold().split():
        return "Only capitals or blanks differ."
    return ""


def _arrays(expected: np.ndarray, came: np.ndarray, tolerance: float) -> str | None:
    if expected.shape != came.shape:
        return f"Expected the shape {expected.shape}, came {came.shape}."
    if (expected.dtype == bool) != (came.dtype == bool):
        return f"Expected values of type {expected.dtype}, came {came.dtype}."
    if expected.dtype.kind in "iufc" and came.dtype.kind in "iufc":
        wrong = ~np.isclose(came, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        undefined = int((np.isnan(came) & wrong).sum())
    else:
        wrong, undefined = np.asarray(expected != came), 0
    if not wrong.any():
        return None
    also = f"; {undefined} of them are `nan`" if undefined else ""
    return f"{int(wrong.sum())} of {wrong.size} values differ{also}."


def _sequences(expected: list | tuple, came: list | tuple, tolerance: float) -> str | None:
    if len(expected) != len(came):
        return f"Expected {len(expected)} items, came {len(came)}."
    return _first({f"Item {n}": pair for n, pair in enumerate(zip(expected, came, strict=True), 1)}, tolerance)


def _dictionaries(expected: dict, came: dict, tolerance: float) -> str | None:
    for keys, word in ((expected.keys() - came.keys(), "missing"), (came.keys() - expected.keys(), "too many")):
        if keys:
            return f"Keys that are {word}: `{', '.join(sorted(map(shorten, keys)))}`."
    return _first({f"At `{shorten(key)}`": (expected[key], came[key]) for key in expected}, tolerance)


def _first(pairs: dict[str, tuple], tolerance: float) -> str | None:
    """The place of the first (expected, came) that differ, and how."""
    for place, (expected, came) in pairs.items():
        reason = difference(expected, came, tolerance)
        if reason is not None:
            return f"{place}: {reason or f'expected `{shorten(expected)}`, came `{shorten(came)}`.'}"
    return None
