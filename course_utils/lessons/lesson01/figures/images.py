"""What a convolution looks for and finds: kernels as pictures, and the maps of a stage."""

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from course_utils.errors import CourseError, check_number
from course_utils.plots.images import show_picture
from course_utils.plots.style import Drawing, say, styled

ACROSS = 8  # kernels in a row
FOG = 0.45  # its grey, from 0 to 1


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
def feature_maps(picture: np.ndarray, maps: np.ndarray, stage: str, count: int = 4) -> Figure:
    """A picture, the maps of a stage that vary most over it, and below each the picture in a fog that the map lifts.

    Args:
        picture: uint8 3 x H x W.
        maps: C x h x w, as `extract(model, picture[None], stage, pooled=False)[0]`.
        stage: what the stage is called.
        count: how many channels to show.
    """
    check_number("count", count, least=1, whole=True)
    liveliest = maps.std((1, 2)).argsort()[::-1][:count]
    figure = Drawing(figsize=(10, 4.4), layout="constrained")
    whole, grid = figure.subfigures(1, 2, width_ratios=(1.25, len(liveliest)), wspace=0.02)
    ax = whole.subplots()
    show_picture(ax, picture)
    ax.set_title("your photograph", loc="center")
    ax.axis("off")
    for column, channel in zip(grid.subplots(2, len(liveliest), squeeze=False).T, liveliest, strict=True):
        bright = maps[channel] / max(float(np.quantile(maps[channel], 0.99)), 1e-12)  # not the one hottest spot alone
        column[0].imshow(bright, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        column[0].set_title(f"channel {channel}", loc="center", fontsize=11)
        column[1].imshow(_in_fog(picture, bright))
        for ax in column:
            ax.axis("off")
    count, height, width = maps.shape
    figure.suptitle(f"{stage} makes {count} maps of {height} x {width} places. Four of them, and where they are bright")
    return say(figure, (
        f"A picture, and {len(liveliest)} of the {count} maps of {stage}, {height} x {width} each: channels "
        f"{', '.join(map(str, liveliest))}. Below each the same picture, in a fog that lifts where the map is bright."
    ))  # fmt: skip


def _in_fog(picture: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """The picture, H x W x 3 from 0 to 1, in a grey fog that lifts where the map, stretched over it, is bright."""
    stretched = Image.fromarray(bright.astype(np.float32)).resize(picture.shape[:0:-1], Image.Resampling.BILINEAR)
    clear = 0.12 + 0.88 * np.asarray(stretched).clip(0, 1)[..., None]
    return FOG + (picture.transpose(1, 2, 0) / 255 - FOG) * clear
