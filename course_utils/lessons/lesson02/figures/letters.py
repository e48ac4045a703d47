"""The letters of the course as they are learned and as they are tested."""

import numpy as np
from matplotlib.figure import Figure

from course_utils.data.tasks import Task
from course_utils.plots.images import show_picture
from course_utils.plots.style import Drawing, say, styled

SHOWN = "AEGKQRSW"


@styled
def letters_shown(task: Task) -> Figure:
    """Some letters: a row that is learned from, and one of the same letters in fonts that are only tested."""
    figure = Drawing(figsize=(1.1 * len(SHOWN) + 1.6, 2.9), layout="constrained")
    grid = figure.subplots(2, len(SHOWN))
    rows = (task.train, "learn from\nthese"), (task.test, "tested on\nthese")
    for axes, (split, words) in zip(grid, rows, strict=True):
        for ax, name in zip(axes, SHOWN, strict=True):
            show_picture(ax, split.x[np.flatnonzero(split.y == task.classes.index(name))[0]])
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(words, rotation=0, ha="right", va="center")
    figure.suptitle("The test has fonts that nobody learned from")
    return say(figure, f"The letters {', '.join(SHOWN)}, above as they are learned from, below as they are "
                       "tested, in other fonts; some are slanted, turned, blurred or light on dark.")  # fmt: skip
