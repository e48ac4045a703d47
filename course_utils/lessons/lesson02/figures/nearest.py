"""The nearest neighbours of a picture, by one kind of features and by another."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.data.tasks import Task
from course_utils.lessons.lesson02.neighbourhood import COUNT, Neighbours
from course_utils.plots.images import RIGHT, WRONG, cut_name, show_picture
from course_utils.plots.style import Drawing, colour_of, say, styled


@styled
def neighbours(task: Task, n: int, found: dict[str, Neighbours]) -> Figure:
    """A test picture, and a row for each kind of features with the training pictures nearest to it by them.

    A tick and a whole frame mark a neighbour of the same class, a cross and a dashed frame another one. At the end
    of a row stands the share of such neighbours over all test pictures, and the title says whose is largest.

    Args:
        task: at whose test picture `n` we look.
        found: name of the features -> its neighbours, as from `neighbours_of`.
    """
    label, chance = task.classes[task.test.y[n]], _by_chance(task)
    figure = Drawing(figsize=(9.4, 1.75 * len(found) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(found), COUNT + 2, width_ratios=[1.5, *[1] * COUNT, 1.35])
    query = figure.add_subplot(grid[:, 0])
    show_picture(query, task.test.x[n])
    query.set_title(f"nearest to this,\nfrom left:\n{cut_name(label, 13)}", loc="center")
    query.axis("off")
    said = []
    for row, (name, one) in enumerate(found.items()):
        axes = [figure.add_subplot(grid[row, column + 1]) for column in range(COUNT + 1)]
        for ax, near, right in zip(axes, one.rows[n], one.right[n], strict=False):
            show_picture(ax, task.train.x[near])
            _mark(ax, task.classes[task.train.y[near]], right, task.train.x.shape[-1])
        axes[-1].axis("off")
        axes[0].set_title(f"by {name}", fontsize=12)
        axes[-1].text(0, 0.6, f"{one.right.mean():.0%}", va="center", fontsize=20, weight="bold")
        axes[-1].text(0, 0.26, f"of neighbours right,\nwhole test\n(by chance {chance:.0%})", va="center", fontsize=11)
        said.append(f"by {name} {one.right[n].sum()} of {COUNT} here and {one.right.mean():.0%} over all test pictures")
    best = max(found, key=lambda name: found[name].right.mean())
    figure.suptitle(f"By {best}, {found[best].right.mean():.0%} of the neighbours are of the same class")
    return say(figure, f"The pictures nearest to one of class {label}. Of the same class are {'; '.join(said)}; "
                       f"by chance {chance:.0%}.")  # fmt: skip


def _by_chance(task: Task) -> float:
    """The share of neighbours of the right class if they were drawn at random."""
    return float((np.bincount(task.train.y, minlength=len(task.classes))[task.test.y] / len(task.train)).mean())


def _mark(ax: Axes, found: str, right: bool, size: int) -> None:
    """Under a neighbour its class with a tick or a cross, around it a whole or a dashed frame."""
    sign, colour = RIGHT if right else WRONG
    ax.set_xlabel(f"{sign} {cut_name(found, 10)}", color=colour_of(colour), fontsize=11)
    low, high = -0.09 * size, 1.09 * size - 1  # a rim of paper, on which the frame can be seen
    ax.set(xticks=[], yticks=[], xlim=(low, high), ylim=(high, low))
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour_of(colour), linewidth=3, linestyle="-" if right else (0, (2, 1.5)))
