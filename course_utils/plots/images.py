"""Pictures in figures: one as it is, and many in a grid."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import Drawing, ground, say, styled


@styled
def picture_grid(x: np.ndarray, titles: list[str], columns: int = 6) -> Figure:
    """Pictures (uint8 N x 3 x H x W) in rows of `columns`, each under its title."""
    figure = grid(x, titles, columns, [ground().ink] * len(titles))
    return say(figure, f"{len(x)} pictures, titled {', '.join(' '.join(title.split()) for title in titles)}.")


def grid(x: np.ndarray, titles: list[str], columns: int, colours: list[str]) -> Drawing:
    """Pictures in rows of `columns`, each under its title in its colour; a figure still without words."""
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
    """A picture, uint8 3 x H x W, its pixels as they are."""
    ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
