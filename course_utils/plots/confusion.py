"""The confusion matrix: how many examples of each class were called what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.plots.contrast import contrast
from course_utils.plots.style import axes_of, colour_of, ground, say, styled


@styled
def confusion_matrix(counts: np.ndarray, classes: Sequence[str], ax: Axes | None = None) -> Figure:
    """How many examples of each class were called what; the shade is the share of the row.

    Args:
        counts: C x C whole numbers, a row for each true class, as scikit-learn's `confusion_matrix` gives them.
        classes: C names.
    Raises:
        CourseError: `counts` is not C x C.
    """
    counts = np.asarray(counts)
    many = len(classes)
    if counts.shape != (many, many):
        raise CourseError(f"{many} classes need {many} x {many} counts, not {' x '.join(map(str, counts.shape))}.")
    side, size = min(9.0, 2.6 + 0.42 * many), 16 if many <= 4 else 12 if many <= 15 else 9
    ax = axes_of(ax, (side, side - 0.4))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("shares", [ground().paper, colour_of("#3f90da", 7)])
    ax.imshow(shares, cmap=shades, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count or many <= 4:  # among many classes an empty cell is easier to read than a nought
            colour = _ink_on(shades(shares[row, column])[:3])
            ax.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=size)
    turn = {"rotation": 90} if many > 4 and max(map(len, classes)) > 2 else {}
    ax.set_xticks(range(many), classes, **turn)
    ax.set_yticks(range(many), classes)
    ax.set(xlabel="predicted", ylabel="true class")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    return say(ax.figure, _words_of_confusion(counts, classes))


def _ink_on(colour: tuple) -> str:
    """Black or white, whichever is easier to read on `colour`."""
    return max(("black", "white"), key=lambda ink: contrast((0, 0, 0) if ink == "black" else (1, 1, 1), colour))


def _words_of_confusion(counts: np.ndarray, classes: Sequence[str]) -> str:
    right, total = int(np.trace(counts)), int(counts.sum())
    text = f"{right} of {total} examples are right ({right / max(total, 1):.0%})."
    wrong = counts - np.diag(np.diag(counts))
    if wrong.any():
        i, j = np.unravel_index(wrong.argmax(), wrong.shape)
        whole = f"the {counts[i].sum()} of class {classes[i]}"
        text += f" The commonest mistake: {wrong[i, j]} of {whole} are called {classes[j]}."
    return text
