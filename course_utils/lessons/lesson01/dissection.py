"""What a channel of PhotoNet looks at: how far it sees, and the patches that excite it most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from course_utils.data.splits import Task
from course_utils.data.surfaces import PHOTOGRAPHS, photograph
from course_utils.errors import CourseError, check_number
from course_utils.lessons.lesson01.fields import Field, receptive_field
from course_utils.models.backbones import BasicBlock, Model, PhotoNet
from course_utils.training.evaluation import inference

SIDES = (64, 128, 256)  # pixels of a photograph's shorter side, at each of its three scales


class Heat(NamedTuple):
    """Where a unit looks.

    Attributes:
        share: H x W, each pixel's share of the gradient; the sum is 1.
        centre: the row, and the column, over which the unit stands.
        half: side in pixels of the smallest square around the centre that holds half of the gradient.
    """

    share: np.ndarray
    centre: int
    half: int


class Scene(NamedTuple):
    """A photograph at one of its scales.

    Attributes:
        photograph: its name, the same at every scale.
        scale: how many pixels of the photograph's own one pixel here stands for.
        pixels: uint8, 3 x H x W.
    """

    photograph: str
    scale: float
    pixels: np.ndarray


class Patch(NamedTuple):
    """A place in a scene, the activation of the unit over it, and the unit's row and column in pixels."""

    activation: float
    scene: Scene
    row: int
    column: int
    side: int

    @property
    def pixels(self) -> np.ndarray:
        """The patch itself, uint8 3 x side x side."""
        top, left = self.row - self.side // 2, self.column - self.side // 2
        return self.scene.pixels[:, top : top + self.side, left : left + self.side]

    def overlaps(self, other: Patch) -> bool:
        """Whether both show some of the same place in one photograph, at whatever scales."""
        mine, theirs = self.scene, other.scene
        if mine.photograph != theirs.photograph:
            return False
        apart = max(
            abs(a * mine.scale - b * theirs.scale)
            for a, b in ((self.row, other.row), (self.column, other.column))
        )
        return apart < (self.side * mine.scale + other.side * theirs.scale) / 2


def fields(model: Model) -> dict[str, Field]:
    """The theoretical receptive field of each stage of a PhotoNet; CourseError for other networks."""
    if not isinstance(model, PhotoNet):
        raise CourseError(f"{model.name} cannot be dissected here.\nExpected a PhotoNet: load_model('photonet').")
    layers, found = [], {}
    for name, stage in model.stages.items():
        chain = ((k, m) for k, m in stage.named_modules() if isinstance(m, torch.nn.Conv2d) and "shortcut" not in k)
        layers += [(convolution.kernel_size[0], convolution.stride[0]) for _, convolution in chain]
        found[name] = Field(receptive_field(layers), math.prod(stride for _, stride in layers))
    return found


def effective_field(model: Model, pictures: np.ndarray, stage: str, channel: int) -> Heat:
    """Where the unit in the middle of a channel's map looks, on the mean over pictures.

    It is the mean absolute gradient of the unit by each pixel, summed over colours. The gradient is taken
    before the stage's last ReLU, so that pictures count for which the unit is off.

    Args:
        pictures: uint8 N x 3 x S x S.
    Source: Luo et al. 2016, "Understanding the effective receptive field", section 2.
    """
    check_channels(model, stage, [channel])
    if not len(pictures):
        raise CourseError("effective_field takes a mean over pictures, and there are none.\nTry task.train.x[:50].")
    jump = fields(model)[stage].jump
    x = model.prepare(model.encode(pictures).to(model.mean.device)).requires_grad_()
    with inference(model), torch.enable_grad():
        maps = before_relu(model, x, stage)
        middle = maps.shape[-1] // 2
        (gradient,) = torch.autograd.grad(maps[:, channel, middle, middle].sum(), x)
    share = gradient.abs().mean(0).sum(0).cpu().numpy()
    share = share / max(share.sum(), 1e-12)
    return Heat(share, middle * jump, _side_with_half(share, middle * jump))


def _side_with_half(share: np.ndarray, centre: int) -> int:
    for reach in range(len(share)):
        low, high = max(0, centre - reach), centre + reach + 1
        if share[low:high, low:high].sum() >= 0.5:
            break
    return 2 * reach + 1


def before_relu(model: Model, x: torch.Tensor, stage: str) -> torch.Tensor:
    """What the last ReLU of a stage gets, for a prepared batch."""
    *earlier, last = model.names(stop=stage)
    for name in earlier:
        x = model.stages[name](x)
    layer = model.stages[last]
    if not isinstance(layer, BasicBlock):
        return layer[:-1](x)  # the stem is a convolution, batch norm and ReLU
    return layer.bn2(layer.conv2(F.relu(layer.bn1(layer.conv1(x))))) + layer.shortcut(x)


def check_channels(model: Model, stage: str, channels: Sequence[int]) -> None:
    """CourseError where a stage of a PhotoNet does not have all of the channels."""
    fields(model)
    layer = model.stages[model.names(stage, stage)[0]]
    count = layer.conv2.out_channels if isinstance(layer, BasicBlock) else layer[0].out_channels
    if not len(channels) or not all(isinstance(one, (int, np.integer)) and 0 <= one < count for one in channels):
        asked = ", ".join(map(repr, channels)) or "none"
        raise CourseError(f"{stage} has the channels 0 to {count - 1}; asked for {asked}.\nGive one or more of them.")


def scenes(task: Task) -> list[Scene]:
    """The 14 photographs of scikit-image and scikit-learn at three scales, and the training pictures of a task at two.

    The pictures of the task "textures" are left out, since they are cut from those photographs.
    """
    found = []
    for name in PHOTOGRAPHS:
        whole = photograph(name)
        for side in SIDES:
            scale = min(whole.size) / side
            size = round(whole.width / scale), round(whole.height / scale)
            small = np.asarray(whole.resize(size, Image.Resampling.BICUBIC))
            found.append(Scene(name, scale, np.ascontiguousarray(small.transpose(2, 0, 1))))
    if task.name == "textures":
        return found
    halves = F.avg_pool2d(torch.as_tensor(task.train.x).float(), 2).round().to(torch.uint8).numpy()
    for number, (picture, half) in enumerate(zip(task.train.x, halves, strict=True)):
        name = f"{task.classes[task.train.y[number]]} {number}"
        found += [Scene(name, 1.0, picture), Scene(name, 2.0, half)]
    return found


def most_exciting(
    model: Model, scenes: Sequence[Scene], channels: Sequence[int], count: int = 7
) -> dict[str, dict[int, list[Patch]]]:
    """The `count` patches that excite each of `channels` most, at every stage: stage -> channel -> patches.

    The strongest comes first; no two show the same place. A patch is as large as the stage's theoretical
    receptive field, at most 63 px, and lies within its picture: the edges of pictures excite channels too.

    Source: Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", section 4.
    """
    check_number("count", count, least=1, whole=True)
    known = fields(model)
    for stage in known:
        check_channels(model, stage, channels)
    found = {stage: {channel: [] for channel in channels} for stage in known}
    with inference(model):
        for scene in scenes:
            h = model.prepare(model.encode(scene.pixels[None]).to(model.mean.device))
            for stage, field in known.items():
                h = model.run(h, stage, stage)
                for place, patch in _peaks(h[0, list(channels)], scene, field, count):
                    found[stage][channels[place]].append(patch)
    return {stage: {c: _apart(patches, count) for c, patches in of.items()} for stage, of in found.items()}


def _peaks(maps: torch.Tensor, scene: Scene, field: Field, count: int) -> Iterator[tuple[int, Patch]]:
    """The `count` strongest peaks of each of C x h x w maps, as (number of the map, patch)."""
    reach = field.patch // 2
    first = -(-reach // field.jump)
    ends = [(length - 1 - reach) // field.jump + 1 for length in scene.pixels.shape[1:]]
    inner = maps[:, first : max(ends[0], first), first : max(ends[1], first)]
    if not inner.numel():
        return
    around = 2 * (field.patch // field.jump) + 1
    highest = F.max_pool2d(inner, (around, 1), 1, (around // 2, 0))
    peaks = inner * (inner == F.max_pool2d(highest, (1, around), 1, (0, around // 2)))
    values, places = peaks.flatten(1).topk(min(count, peaks[0].numel()))
    for number, (strengths, ats) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
        for strength, at in zip(strengths, ats, strict=True):
            row, column = (field.jump * (first + k) for k in divmod(at, inner.shape[2]))
            if strength > 0:
                yield number, Patch(strength, scene, row, column, field.patch)


def _apart(patches: list[Patch], count: int) -> list[Patch]:
    kept: list[Patch] = []
    for patch in sorted(patches, key=lambda patch: -patch.activation):
        if len(kept) < count and not any(patch.overlaps(other) for other in kept):
            kept.append(patch)
    return kept
