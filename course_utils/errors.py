"""Errors that a learner can cause: what happened, what was expected, what to do next."""

import inspect
import math
import numbers


class CourseError(Exception):
    """Base of the course's own errors: a message of at most three lines that ends in what to do.

    In a notebook only the message is shown, since the remedy stands in it and not in the traceback.
    """

    def _render_traceback_(self) -> list[str]:  # read by IPython instead of its own traceback
        return [f"{type(self).__name__}: {self}"]


class DataUnavailable(CourseError):
    """A data set is neither on this machine nor to be had from its address."""


class BadData(CourseError):
    """The learner's own folder or table cannot be made into a task."""


class ModelUnavailable(CourseError):
    """Pretrained weights are neither on this machine nor to be had from their address."""


class TrainingDiverged(CourseError):
    """The loss stopped being a finite number."""


class NotFrozen(CourseError, AssertionError):
    """Something that was said to be frozen has changed."""


def check_number(
    name: str, value: object, least: float | None = None, above: float | None = None, below: float = math.inf,
    whole: bool = False, optional: bool = False, error: type[CourseError] = CourseError,
) -> None:  # fmt: skip
    """`error` unless `value` is a finite or `whole` number, from `least` or `above` on, `below`; or `optional` None."""
    low = least if above is None else above
    kinds = numbers.Integral if whole else numbers.Real
    real = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if optional and value is None or real and (value >= low if above is None else value > low) and value < below:
        return
    kind = "whole number" if whole else "number"
    span = f"from {least} up" if above is None else f"above {above}"
    span += f" and below {below:g}" if math.isfinite(below) else ""
    raise error(f"{name}={value!r} is not possible.\nGive a {kind} {span}.")


def check_switch(name: str, value: object) -> None:
    """`CourseError` unless `value` is True or False: any text would count as True."""
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's has had both names
        raise CourseError(f"{name}={value!r} is not possible.\nGive True or False.")


def check_function(name: str, value: object, like: str, count: int = 1) -> None:
    """`CourseError` unless `value` can be called with `count` arguments, as `like` can, which is shown."""
    try:
        inspect.signature(value).bind(*range(count))
    except (TypeError, ValueError) as error:
        raise CourseError(f"{name}={value!r} is not possible: {error}.\nGive a function: {like}") from error


def check_finite(finite: bool, what: str) -> None:
    """`CourseError` that says `what` is not, unless all numbers that came of a network are `finite`."""
    if not finite:
        raise CourseError(f"{what}.\nDid the network's training diverge? Load it again, and try a tenth of that rate.")
