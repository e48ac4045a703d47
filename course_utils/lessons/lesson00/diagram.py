"""Drawings of ideas, not of data."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from course_utils.plots.style import axes_of, colour_of, ground, say, styled

ROWS = (  # height, title, domain, task, colour
    (3.0, "SOURCE", "domain: 99,000 photographs\nof things of all kinds", "task: name one\nof 199 classes", "#a96b59"),
    (0.5, "TARGET", "domain: 20 photographs\nof insects, closer up", "task: ant or bee?", "#3f90da"),
)
IN_WORDS = (
    "Two rows, source above target. In each, a box for the domain points to a box for the backbone, which points to a "
    "box for the head and the question it answers. A thick arrow leads from the source's backbone down to the "
    "target's: its weights are kept. The target's head is new."
)


@styled
def the_words(ax: Axes | None = None) -> Figure:
    """A drawing of source and target: each a domain (pictures) and a task (labels), joined by a backbone."""
    ax = axes_of(ax, (10, 4.2))
    ax.set(xlim=(0, 10), ylim=(0.4, 4.6))
    ax.axis("off")
    for y, title, domain, task, colour in ROWS:
        colour = colour_of(colour)
        ax.text(0.1, y + 1.25, title, weight="bold", fontsize=14, color=colour)
        _box(ax, (0.1, y), (2.9, 1.1), domain, colour, ground().paper)
        _box(ax, (3.7, y), (3.0, 1.1), "BACKBONE\npictures → features", ground().grey, ground().faint)
        _box(ax, (7.2, y), (1.0, 1.1), "HEAD", colour, ground().paper)
        ax.text(8.4, y + 0.55, task, va="center")
        for x0, x1 in ((3.0, 3.7), (6.7, 7.2)):
            _arrow(ax, (x0, y + 0.55), (x1, y + 0.55), lw=1.5)
    _arrow(ax, (5.2, 2.95), (5.2, 1.65), lw=4, mutation_scale=25)
    ax.text(5.35, 2.3, "transfer: the weights are kept", va="center", weight="bold")
    ax.text(7.2, 1.8, "new, and trained\non the 20", va="center", fontsize=11, color=colour_of(ROWS[1][-1]))
    return say(ax.figure, IN_WORDS)


def _arrow(ax: Axes, start: tuple, end: tuple, **style: float) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": ground().ink, **style})


def _box(ax: Axes, at: tuple, size: tuple, text: str, edge: str, face: str) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=0.12", "edgecolor": edge, "facecolor": face, "lw": 2}
    ax.add_patch(FancyBboxPatch(at, *size, **style))
    ax.text(at[0] + size[0] / 2, at[1] + size[1] / 2, text, ha="center", va="center")
