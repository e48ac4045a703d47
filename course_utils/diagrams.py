"""Drawings of ideas, not of data."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from course_utils.plots import INK, axes_of, styled


@styled
def the_words() -> Figure:
    """A drawing of source and target: each a domain (pictures) and a task (labels), joined by a backbone."""
    ax = axes_of(None, (10, 4.2))
    ax.set(xlim=(0, 10), ylim=(0.4, 4.6))
    ax.axis("off")
    rows = (
        (
            3.0,
            "SOURCE",
            "domain: 99,000 photographs\nof things of all kinds",
            "task: name one\nof 199 classes",
            "#a96b59",
        ),
        (0.5, "TARGET", "domain: 20 photographs\nof insects, closer up", "task: ant or bee?", "#3f90da"),
    )
    for y, title, domain, task, colour in rows:
        ax.text(0.1, y + 1.25, title, weight="bold", fontsize=14, color=colour)
        _box(ax, (0.1, y), (2.9, 1.1), domain, colour, "white")
        _box(ax, (3.7, y), (3.0, 1.1), "BACKBONE\npictures → features", "#717581", "#eceef2")
        _box(ax, (7.2, y), (1.0, 1.1), "HEAD", colour, "white")
        ax.text(8.4, y + 0.55, task, va="center")
        for x0, x1 in ((3.0, 3.7), (6.7, 7.2)):
            ax.annotate(
                "", (x1, y + 0.55), (x0, y + 0.55), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.5}
            )
    ax.annotate(
        "",
        (5.2, 1.65),
        (5.2, 2.95),
        arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 4, "mutation_scale": 25},
    )
    ax.text(5.35, 2.3, "transfer: the weights are kept", va="center", weight="bold")
    ax.text(7.2, 1.8, "new, and trained\non the 20", va="center", fontsize=11, color="#3f90da")
    return ax.figure


def _box(ax: Axes, at: tuple, size: tuple, text: str, edge: str, face: str) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=0.12", "edgecolor": edge, "facecolor": face, "lw": 2}
    ax.add_patch(FancyBboxPatch(at, *size, **style))
    ax.text(at[0] + size[0] / 2, at[1] + size[1] / 2, text, ha="center", va="center")
