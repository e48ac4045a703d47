"""Errors that a learner can cause: what happened, what was expected, what to do next."""


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
