"""Backbones as a chain of stages, each with its own way in and a new head."""

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.device import chunk_size
from course_utils.errors import CourseError, check_number

HEAD = ("classes", "last", "positions", "width", "has_source_head")  # what a model says of its head
PHOTONET_STATISTICS = ((0.480, 0.448, 0.398), (0.277, 0.269, 0.282))  # of Tiny-ImageNet's training images


class Model(nn.Module):
    """A backbone cut into named stages, and a head on its pooled output.

    Args:
        name: what `load_model` was asked for.
        stages: name -> module; their composition is the backbone.
        width: number of features after pooling.
        statistics: mean and standard deviation per channel (values 0 to 1) that the backbone was trained with.
        native_size: height and width in pixels to which `encode` resizes; None takes any size of 32 px or more.
    """

    def __init__(
        self,
        name: str,
        stages: OrderedDict,
        width: int,
        statistics: tuple,
        native_size: int | None = None,
        head: nn.Module | None = None,
        classes: list[str] | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.name, self.width, self.native_size = name, width, native_size
        self.classes, self.pretrained = classes, pretrained
        self.has_statistics = pretrained  # whether the batch-norm statistics mean anything yet
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.last, self.positions = None, 1  # what the head reads: up to which stage (None: all), on which grid
        self.has_source_head = False  # whether the head is the one that the weights were trained with
        mean, std = (torch.tensor(s).view(1, 3, 1, 1) for s in statistics)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def depthwise(self) -> bool:
        """Whether there are convolutions of a single channel each, which decide on the number format."""
        layers = (layer for layer in self.stages.modules() if isinstance(layer, nn.Conv2d))
        return any(layer.groups == layer.in_channels > 1 for layer in layers)

    def encode(self, x: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Pictures, uint8 N x 3 x H x W, as a uint8 tensor of the size that the backbone wants; done once."""
        x = x if isinstance(x, torch.Tensor) else np.asarray(x)
        if isinstance(x, np.ndarray) and x.size and isinstance(x.flat[0], str | bytes):
            raise CourseError(f"{self.name} takes pictures; these are texts, which need a text model.")
        if x.ndim != 4 or x.shape[1] != 3 or x.dtype not in (torch.uint8, np.uint8) or 0 in x.shape[2:]:
            raise CourseError(
                f"{self.name} takes pictures as uint8 N x 3 x H x W; this is {x.dtype} {tuple(x.shape)}.\n"
                "One picture needs a leading axis (x[None]), a grey one three channels (x.repeat(3, axis=1))."
            )
        x = x if isinstance(x, torch.Tensor) else torch.as_tensor(np.ascontiguousarray(x))
        size = self.native_size or max(32, *x.shape[2:])
        if self.native_size is None and min(x.shape[2:]) >= 32 or tuple(x.shape[2:]) == (size, size):
            return x
        few = x.split(chunk_size(x))  # all of them as floats may be more than the memory holds
        parts = (F.interpolate(p.float(), (size, size), mode="bilinear", antialias=True) for p in few)
        return torch.cat([p.round().clamp(0, 255).to(torch.uint8) for p in parts])

    def prepare(self, batch: torch.Tensor) -> torch.Tensor:
        """A batch from `encode` as normalised float32 in channels-last order; done each step."""
        if self.mean.dtype != torch.float32:
            raise CourseError(f"{self.name} is in {self.mean.dtype}; expected float32. Turn it back: model.float().")
        x = (batch.float() / 255 - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def run(self, x: torch.Tensor, start: str | None = None, stop: str | None = None) -> torch.Tensor:
        """Pass `x` through the stages from `start` to `stop`, both included; None means the end of the chain."""
        for name in self.names(start, stop):
            x = self.stages[name](x)
        return x

    def names(self, start: str | None = None, stop: str | None = None) -> list[str]:
        """The names of the stages from `start` to `stop`, both included."""
        names = list(self.stages)
        for name in (start, stop):
            if name is not None and name not in names:
                raise CourseError(f"{self.name} has no stage {name!r}. Its stages: {', '.join(names)}.")
        chosen = names[names.index(start) if start else 0 : names.index(stop) + 1 if stop else None]
        if not chosen:
            raise CourseError(f"{self.name} comes to {stop} before {start}. Its stages in order: {', '.join(names)}.")
        return chosen

    @staticmethod
    def pool(x: torch.Tensor, positions: int = 1) -> torch.Tensor:
        """Means over positions, N x C x H x W to N x C; pooled features pass unchanged.

        With `positions=4`, the means of a 4 x 4 grid, N x 16C; a map that is smaller than the grid stays as it is.
        """
        if x.ndim != 4:
            return x
        if positions == 1:
            return x.mean((2, 3))
        return F.adaptive_avg_pool2d(x, tuple(min(positions, length) for length in x.shape[2:])).flatten(1)

    def read_from(self, stage: str | None, positions: int, pictures: torch.Tensor, classes: int) -> None:
        """Let a new head, for so many `classes`, read the output of `stage` on a grid of `positions`.

        `pictures` are some from `encode`, since how large a small map is depends on theirs. The head is drawn
        from torch's generator.
        """
        self.names(stop=stage)  # which refuses a stage that is not there
        check_number("positions", positions, least=1, whole=True)
        self.last, self.positions = stage, positions
        training = self.training
        self.eval()
        with torch.no_grad():
            self.width = self.features(self.run(self.prepare(pictures[:1]), stop=stage)).shape[1]
        self.train(training)
        self.head = nn.Linear(self.width, classes).to(pictures.device)

    def features(self, h: torch.Tensor) -> torch.Tensor:
        """What the head reads of the output of the last stage that it reads, N x D in float32."""
        return self.pool(h.float(), self.positions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, N x classes, of a batch from `prepare`."""
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            raise CourseError(f"{self.name} takes a batch from prepare: model(model.prepare(model.encode(x))).")
        return self.head(self.features(self.run(x, stop=self.last)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, section 3.3)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x inputs x H x W to N x outputs x H/stride x W/stride."""
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.shortcut(x))


class PhotoNet(Model):
    """The course's own backbone: a 7x7 stem at stride 2, then four stages of one residual block each.

    Takes any pictures of 32 px or more; 1.2 million weights; `data/weights/README.md` says how it was trained. They are
    random here, and `pretrained` says that others will be put in: `load_model("photonet")` gives trained ones.
    """

    def __init__(self, pretrained: bool = False, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages = OrderedDict(stem=stem)
        for i, width in enumerate(widths):
            stages[f"layer{i + 1}"] = BasicBlock(widths[max(i - 1, 0)], width, stride=2 if i else 1)
        super().__init__("photonet", stages, widths[-1], PHOTONET_STATISTICS, pretrained=pretrained)
