"""What a convolution looks for and finds: kernels as pictures, and the maps of a stage."""

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.plots.images import show_picture
from course_utils.plots.style import Drawing, say, styled

ACROSS = 8  # kernels in a row


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
    show_picture(ax, picture)
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
