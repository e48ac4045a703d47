"""Pictures in figures: one as it is, many in a grid, and with what a model calls them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.errors import CourseError, check_number
from course_utils.plots.style import Drawing, colour_of, ground, say, styled

RIGHT, WRONG = ("✓", "#3f90da"), ("✗", "#bd1f01")  # a sign as well as a colour


@styled
def picture_grid(x: np.ndarray, titles: list[str], columns: int = 6, colours: list[str] | None = None) -> Figure:
    """Pictures (uint8 N x 3 x H x W) in rows of `columns`, each under its title."""
    titles = list(map(str, titles))
    figure = _grid(x, titles, columns, colours or [ground().ink] * len(titles))
    return say(figure, f"{len(x)} pictures, titled {', '.join(' '.join(title.split()) for title in titles)}.")


def _grid(x: np.ndarray, titles: list[str], columns: int, colours: list[str]) -> Drawing:
    check_number("columns", columns, least=1, whole=True)
    if not len(x) == len(titles) == len(colours) > 0:
        more = "" if len(colours) == len(titles) else f" and {len(colours)} colours"
        raise CourseError(f"There are {len(x)} pictures and {len(titles)} titles{more}.\nExpected some, and one each.")
    rows = -(-len(x) // columns)
    lines = max(title.count("\n") for title in titles)
    figure = Drawing(figsize=(1.55 * columns, (1.85 + 0.2 * lines) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for picture, title, colour, ax in zip(x, titles, colours, axes.flat, strict=False):
        show_picture(ax, picture)
        ax.set_title(title, fontsize=11, loc="center", color=colour)
    return figure


def show_picture(ax: Axes, picture: np.ndarray) -> None:
    """A picture, uint8 3 x H x W, its pixels as they are; CourseError for a text or another shape."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or len(picture) != 3 or picture.dtype != np.uint8:
        what = f"{picture.dtype} {picture.shape}" if picture.ndim else repr(picture.item())[:40]
        raise CourseError(
            f"This is no picture: {what}.\nExpected uint8 3 x H x W, as task.train.x holds; print texts."
        )
    ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")


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
    y, probabilities, classes = np.asarray(y), np.asarray(probabilities), list(map(str, classes))
    fits = len(x) == len(y) and probabilities.shape == (len(x), len(classes))
    if not fits or not np.isin(y, range(len(classes))).all() or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise CourseError(
            f"There are {len(x)} pictures, {len(y)} labels, probabilities of shape {probabilities.shape} and "
            f"{len(classes)} classes.\nExpected labels from 0 on and probabilities of these, as evaluate gives them."
        )
    guesses, sure = probabilities.argmax(1), probabilities.max(1)
    right, titles, colours, mistakes = guesses == y, [], [], []
    for guess, label, share in zip(guesses, y.astype(int), sure, strict=True):
        called, name = (cut_name(classes[k], 9) for k in (guess, label))
        sign, colour = RIGHT if guess == label else WRONG
        titles.append(f"{sign} {called} {share:.0%}\n" + ("" if guess == label else f"truly {name}"))
        colours.append(colour_of(colour))
        if guess != label:
            mistakes.append(f"{classes[label]} called {classes[guess]} ({share:.0%})")
    figure = _grid(x, titles, columns, colours)
    figure.suptitle(f"{right.sum()} of these {len(x)} are right", x=0.01, ha="left")
    wrong = f" Wrong: {', '.join(mistakes)}." if mistakes else ""
    return say(figure, f"{len(x)} pictures with predictions, {right.sum()} of them right.{wrong}")


def cut_name(name: str, letters: int) -> str:
    """A class name of at most so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…"
