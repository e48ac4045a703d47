"""The nearest neighbours of a picture, by one kind of features and by another."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.images import RIGHT, WRONG, cut_name, show_picture
from course_utils.plots.style import Drawing, colour_of, say, styled


@styled
def neighbours(
    picture: np.ndarray, label: str, rows: dict[str, tuple[np.ndarray, Sequence[str], float]], chance: float
) -> Figure:
    """A picture, and a row for each kind of features with the pictures nearest to it by them.

    A tick and a whole frame mark a neighbour of the same class, a cross and a dashed frame another one. At the end
    of a row stands the share of such neighbours over all test pictures.

    Args:
        picture: uint8 3 x H x W.
        label: its class.
        rows: name of the features -> the nearest pictures (uint8 n x 3 x H x W), their n classes, and the share
            of neighbours of the right class over all test pictures.
        chance: that share if neighbours were drawn at random.
    """
    most = max(len(labels) for _, labels, _ in rows.values())
    figure = Drawing(figsize=(9.4, 1.75 * len(rows) + 0.1), layout="constrained")
    grid = figure.add_gridspec(len(rows), most + 2, width_ratios=[1.5, *[1] * most, 1.35])
    query = figure.add_subplot(grid[:, 0])
    show_picture(query, picture)
    query.set_title(f"nearest to this,\nfrom left:\n{cut_name(label, 13)}", loc="center")
    query.axis("off")
    said = []
    for row, (name, (pictures, labels, share)) in enumerate(rows.items()):
        axes = [figure.add_subplot(grid[row, column + 1]) for column in range(most + 1)]
        for ax, near, found in zip(axes, pictures, labels, strict=False):
            show_picture(ax, near)
            _mark(ax, found, found == label, near.shape[1])
        for ax in axes[len(labels) :]:
            ax.axis("off")
        right = sum(found == label for found in labels)
        axes[0].set_title(f"by {name}", fontsize=12)
        axes[-1].text(0, 0.6, f"{share:.0%}", va="center", fontsize=20, weight="bold")
        axes[-1].text(0, 0.26, f"of neighbours right,\nwhole test\n(by chance {chance:.0%})", va="center", fontsize=11)
        said.append(f"by {name} {right} of {len(labels)} here and {share:.0%} over all test pictures")
    right = f"{'; '.join(said)}; by chance {chance:.0%}"
    return say(figure, f"The pictures nearest to one of class {label}. Of the same class are {right}.")


def _mark(ax: Axes, found: str, right: bool, size: int) -> None:
    """Under a neighbour its class with a tick or a cross, around it a whole or a dashed frame."""
    sign, colour = RIGHT if right else WRONG
    ax.set_xlabel(f"{sign} {cut_name(found, 10)}", color=colour_of(colour), fontsize=11)
    low, high = -0.09 * size, 1.09 * size - 1  # a rim of paper, on which the frame can be seen
    ax.set(xticks=[], yticks=[], xlim=(low, high), ylim=(high, low))
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour_of(colour), linewidth=3, linestyle="-" if right else (0, (2, 1.5)))
