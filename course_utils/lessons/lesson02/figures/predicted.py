"""Pictures with what a model calls them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from course_utils.plots.images import grid
from course_utils.plots.style import colour_of, say, styled

RIGHT, WRONG = ("✓", "#3f90da"), ("✗", "#bd1f01")  # a sign as well as a colour


@styled
def predictions(
    x: np.ndarray, y: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], columns: int = 6
) -> Figure:
    """Pictures with what a model calls them, how sure it is, and whether that is right; if not, what it is.

    Args:
        x: pictures, uint8 N x 3 x H x W.
        y: N labels.
        probabilities: N x C, as in `evaluate(model, split).probabilities`.
        classes: C names.
    """
    guesses, sure = probabilities.argmax(1), probabilities.max(1)
    right, titles, colours, mistakes = guesses == y, [], [], []
    for guess, label, share in zip(guesses, y, sure, strict=True):
        called, name = (cut_name(classes[k], 10) for k in (guess, label))
        sign, colour = RIGHT if guess == label else WRONG
        titles.append(f"{sign} {called} {share:.2f}\n" + ("" if guess == label else f"is {name}"))
        colours.append(colour_of(colour))
        if guess != label:
            mistakes.append(f"{classes[label]} called {classes[guess]} ({share:.2f})")
    figure = grid(x, titles, columns, colours)
    wrong = f" Wrong: {', '.join(mistakes)}." if mistakes else ""
    return say(figure, f"{len(x)} pictures with predictions, {right.sum()} of them right.{wrong}")


def cut_name(name: str, letters: int) -> str:
    """A class name of at most so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…"
