"""Figures made of pictures: grids, predictions, filters, feature maps and nearest neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.style import Drawing, colour_of, ground, say, styled

RIGHT, WRONG = ("✓", "#3f90da"), ("✗", "#bd1f01")  # a sign as well as a colour
ACROSS = 8  # kernels in a row


@styled
def picture_grid(x: np.ndarray, titles: list[str], columns: int = 6, colours: list[str] | None = None) -> Figure:
    """Pictures (uint8 N x 3 x H x W) in rows of `columns`, each under its title."""
    figure = _grid(x, titles, columns, colours or [ground().ink] * len(titles))
    return say(figure, f"{len(x)} pictures, titled {', '.join(' '.join(title.split()) for title in titles)}.")


def _grid(x: np.ndarray, titles: list[str], columns: int, colours: list[str]) -> Drawing:
    rows = -(-len(x) // columns)
    lines = max(title.count("\n") for title in titles)
    figure = Drawing(figsize=(1.55 * columns, (1.85 + 0.2 * lines) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for picture, title, colour, ax in zip(x, titles, colours, axes.flat, strict=False):
        _show(ax, picture)
        ax.set_title(title, fontsize=11, loc="center", color=colour)
    return figure


def _show(ax: Axes, picture: np.ndarray) -> None:
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
    guesses, sure = probabilities.argmax(1), probabilities.max(1)
    right, titles, colours, mistakes = guesses == y, [], [], []
    for guess, label, share in zip(guesses, y, sure, strict=True):
        called, name = (_short(classes[k], 13) for k in (guess, label))
        sign, colour = RIGHT if guess == label else WRONG
        titles.append(f"{sign} {called} {share:.2f}\n" + ("" if guess == label else f"is {name}"))
        colours.append(colour_of(colour))
        if guess != label:
            mistakes.append(f"{classes[label]} called {classes[guess]} ({share:.2f})")
    figure = _grid(x, titles, columns, colours)
    wrong = f" Wrong: {', '.join(mistakes)}." if mistakes else ""
    return say(figure, f"{len(x)} pictures with predictions, {right.sum()} of them right.{wrong}")


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


@styled
def filters(kernels: torch.Tensor | np.ndarray, untrained: torch.Tensor | np.ndarray | None = None) -> Figure:
    """The kernels of a first convolution as pictures: grey is zero, each is scaled by its largest weight.

    Args:
        kernels: O x 3 x H x W weights, as `model.stages["stem"][0].weight` of PhotoNet.
        untrained: those of the same network before training, drawn beside them.
    """
    sets = {"trained": _array(kernels)} | ({} if untrained is None else {"untrained": _array(untrained)})
    if any(k.ndim != 4 or k.shape[1] != 3 for k in sets.values()):
        raise CourseError(
            f"filters takes weights of shape O x 3 x H x W; these are {' x '.join(map(str, kernels.shape))}.\n"
            "Only the first convolution sees colours: model.stages['stem'][0].weight in PhotoNet."
        )
    rows = -(-len(kernels) // ACROSS)
    figure = Drawing(figsize=(4.6 * len(sets), 0.57 * rows + 0.5), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    for ax, (name, weights) in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets.items(), strict=True):
        ax.imshow(_mosaic(weights), interpolation="nearest")
        ax.axis("off")
        if len(sets) > 1:
            ax.set_title(name)
    count, _, height, width = sets["trained"].shape
    smooth = {name: f"{_smoothness(weights):.2f}" for name, weights in sets.items()}
    beside = f", untrained {smooth['untrained']}" if len(sets) > 1 else ""
    return say(figure, (
        f"{count} kernels of {height} x {width} weights, {_coloured(sets['trained'])} of them in colour. Neighbouring "
        f"weights of a kernel correlate by {smooth['trained']}{beside}: the higher, the smoother its patches."
    ))  # fmt: skip


def _array(weights: torch.Tensor | np.ndarray) -> np.ndarray:
    return weights.detach().cpu().numpy() if isinstance(weights, torch.Tensor) else np.asarray(weights)


def _mosaic(kernels: np.ndarray) -> np.ndarray:
    """All kernels in one picture, rows of eight, a gap of paper between them; H x W x 4 from 0 to 1."""
    count, _, height, width = kernels.shape
    rows = -(-count // ACROSS)
    picture = np.zeros((rows * (height + 1) - 1, ACROSS * (width + 1) - 1, 4))  # transparent: the paper shows
    for k, kernel in enumerate(kernels):
        top, left = k // ACROSS * (height + 1), k % ACROSS * (width + 1)
        shade = 0.5 + kernel.transpose(1, 2, 0) / (2 * max(np.abs(kernel).max(), 1e-12))
        picture[top : top + height, left : left + width] = np.dstack([shade, np.ones((height, width))])
    return picture


def _smoothness(kernels: np.ndarray) -> float:
    """The correlation of weights beside and below each other, over all kernels."""
    pairs = [(kernels[..., 1:], kernels[..., :-1]), (kernels[..., 1:, :], kernels[..., :-1, :])]
    a, b = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    return float(np.corrcoef(a, b)[0, 1])


def _coloured(kernels: np.ndarray) -> int:
    """How many kernels have more than half of their energy in differences between the colours."""
    colour = kernels - kernels.mean(1, keepdims=True)
    return int(((colour**2).sum((1, 2, 3)) > 0.5 * (kernels**2).sum((1, 2, 3))).sum())


@styled
def feature_maps(picture: np.ndarray, maps: np.ndarray, stage: str, count: int = 8) -> Figure:
    """A picture and the maps of a stage for it: its strongest channels by their mean, the strongest first.

    Args:
        picture: uint8 3 x H x W.
        maps: C x h x w, as `extract(model, picture[None], stage, pooled=False)[0]`.
        stage: what the stage is called.
        count: how many channels to show, an even number.
    """
    strongest = maps.mean((1, 2)).argsort()[::-1][:count]
    across = -(-len(strongest) // 2)
    figure = Drawing(figsize=(9, 8.2 / (across + 2) * 2 + 0.5), layout="constrained")
    whole, grid = figure.subfigures(1, 2, width_ratios=(2, across), wspace=0.02)
    ax = whole.subplots()
    _show(ax, picture)
    ax.set_title("picture", loc="center")
    ax.axis("off")
    top = float(np.quantile(maps[strongest], 0.99))  # a few hot spots must not leave all else in the dark
    scale = ScalarMappable(Normalize(0, top or 1.0), "viridis")
    for ax, channel in zip(grid.subplots(2, across).flat, strongest, strict=False):
        ax.imshow(maps[channel], norm=scale.norm, cmap=scale.cmap, interpolation="nearest")
        ax.set_title(f"channel {channel}", loc="center", fontsize=11)
        ax.axis("off")
    bar = grid.colorbar(scale, ax=grid.axes, label=f"activation in {stage}", fraction=0.04, format="%.1f", extend="max")
    bar.outline.set_visible(False)
    means = maps[strongest].mean((1, 2))
    return say(figure, (
        f"A picture, and {len(strongest)} of the {len(maps)} maps of {stage}, {maps.shape[1]} x {maps.shape[2]} each, "
        f"the strongest first: channels {', '.join(map(str, strongest))}, with means from {means[0]:.2f} to "
        f"{means[-1]:.2f}."
    ))  # fmt: skip


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
    _show(query, picture)
    query.set_title(f"nearest to this,\nfrom left ({label})", loc="center")
    query.axis("off")
    said = []
    for row, (name, (pictures, labels, share)) in enumerate(rows.items()):
        axes = [figure.add_subplot(grid[row, column + 1]) for column in range(most + 1)]
        for ax, near, found in zip(axes, pictures, labels, strict=False):
            _show(ax, near)
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
    ax.set_xlabel(f"{sign} {_short(found, 11)}", color=colour_of(colour), fontsize=11)
    low, high = -0.09 * size, 1.09 * size - 1  # a rim of paper, on which the frame can be seen
    ax.set(xticks=[], yticks=[], xlim=(low, high), ylim=(high, low))
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour_of(colour), linewidth=3, linestyle="-" if right else (0, (2, 1.5)))
