"""Batches on the device: their order, the mirror image, and the output of frozen stages, computed once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_utils.device import autocast, in_chunks
from course_utils.errors import CourseError
from course_utils.models.backbones import Model
from course_utils.training.freezing import is_frozen

CACHE_BYTES = 300_000_000  # frozen stages' output beyond this is computed anew for each batch

Pairs = Iterator[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Data:
    """Encoded inputs and int64 labels, on the device once."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)


def load(model: Model, split: Any, classes: int, device: torch.device) -> Data:
    """A split as the model takes it, on the device."""
    y = labels_of(split)
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise CourseError(
            f"The labels go from {int(y.min())} to {int(y.max())}, but there are {classes} classes.\n"
            "Labels count from 0: expected 0 to the number of classes less 1."
        )
    return Data(model.encode(split.x).to(device), y.to(device))


def labels_of(split: Any) -> torch.Tensor:
    """The labels of a split, int64, N.

    Raises:
        CourseError: this is no split, or not one whole number for each picture or text, or there are none.
    """
    if not (hasattr(split, "x") and hasattr(split, "y")):
        raise CourseError(f"Expected a split, task.train or task.test; this is a {type(split).__name__}.")
    y = np.asarray(split.y)
    if y.ndim != 1:
        raise CourseError(
            f"The labels have the shape {y.shape}; expected one number each, shape ({len(split.x)},).\n"
            "One-hot labels become numbers by y.argmax(1)."
        )
    if len(y) == 0 or len(split.x) != len(y):
        raise CourseError(
            f"There are {len(split.x)} pictures or texts and {len(y)} labels.\n"
            "Expected one label each, and at least one of both: no empty split."
        )
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and (y % 1 == 0).all()):
        raise CourseError(
            f"The labels are of type {y.dtype}, such as {y[0]!r}; expected whole numbers from 0 on.\n"
            "Names become numbers by numpy.unique(names, return_inverse=True)[1]."
        )
    return torch.as_tensor(y.astype(np.int64))


def hold_out(data: Data, share: float | None, seed: int) -> tuple[Data, Data | None]:
    """Split off `share` of each class, at least one example of each class that has two or more."""
    if share is None:
        return data, None
    generator = torch.Generator().manual_seed(seed)
    kept, held = [], []
    for label in data.y.unique():
        rows = (data.y == label).nonzero().flatten().cpu()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held.append(rows[:count])
        kept.append(rows[count:])
    kept, held = (torch.cat(parts).sort().values.to(data.y.device) for parts in (kept, held))
    if len(held) == 0:
        raise CourseError("validation needs a class of two or more examples; leave it out, or take more data.")
    return Data(data.x[kept], data.y[kept]), Data(data.x[held], data.y[held])


def batch_order(count: int, batch_size: int, seed: int) -> Pairs:
    """Endless batches of `count` examples: (indices, which of them to mirror), both on the CPU.

    Each epoch is a fresh permutation; what does not fill a batch at its end waits for a later epoch, so that
    all batches have the same size (the whole set where it is smaller) and none holds an example twice. Drawn
    from a generator of its own: the same for every strategy and device, mirrored or not.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size], torch.rand(size, generator=generator) < 0.5


def frozen_prefix(model: Model) -> list[str]:
    """The names of the leading stages that cannot change, up to the first that can or the last that is read."""
    names = model.names(stop=model.last)
    moving = (i for i, name in enumerate(names) if not is_frozen(model.stages[name]))
    return names[: next(moving, len(names))]


def class_logits(model: Model, h: torch.Tensor, start: str | None = None) -> torch.Tensor:
    """Logits in float32 of a prepared batch, of the input of stage `start`, or of pooled features.

    Stages run in the device's number format; pooling and head in float32, which costs nothing and keeps the
    probabilities fine-grained.
    """
    if h.ndim > 2 or start is not None:
        with autocast(h.device, model.depthwise):
            h = model.run(h, start=start, stop=model.last)
    return model.head(model.features(h)).float()


class Feed:
    """What the part of a model that trains gets to see: pictures, or the frozen stages' output.

    The output is kept in memory, of each picture and of its mirror image, when it fits and when that means
    fewer passes than computing it batch by batch. With every stage frozen it is pooled.

    Args:
        x: encoded inputs on the device, N x ...
        mirror: whether batches mirror the pictures that `batch_order` marks.
        uses: how many inputs will be asked for in all.
    """

    def __init__(self, model: Model, x: torch.Tensor, mirror: bool, uses: int) -> None:
        self.model, self.x, self.mirror = model, x, mirror
        self.prefix = frozen_prefix(model)
        rest = model.names(stop=model.last)[len(self.prefix) :]
        self.start = rest[0] if rest else None
        copies = 1 + mirror
        self.kept = None
        if self.prefix and copies * len(x) <= uses and copies * self._bytes() <= CACHE_BYTES:
            parts = in_chunks(self._frozen, x)
            if mirror:
                parts += in_chunks(lambda part: self._frozen(part.flip(-1)), x)
            self.kept = torch.cat(parts)

    def _bytes(self) -> int:
        one = self._frozen(self.x[:1])
        return one.numel() * one.element_size() * len(self.x)

    @torch.no_grad()
    def _frozen(self, part: torch.Tensor) -> torch.Tensor:
        for name in self.prefix:
            self.model.stages[name].eval()
        with autocast(part.device, self.model.depthwise):
            h = self.model.run(self.model.prepare(part), stop=self.prefix[-1])
        return h if self.start else self.model.features(h)

    def batch(self, indices: torch.Tensor, mirrored: torch.Tensor | None = None) -> torch.Tensor:
        """The inputs at `indices`, mirrored where marked, as `logits` takes them."""
        device = self.x.device
        indices = indices.to(device)
        flip = mirrored.to(device) if self.mirror and mirrored is not None else None
        if self.kept is not None:
            h = self.kept[indices if flip is None else indices + flip * len(self.x)]
            return h.contiguous(memory_format=torch.channels_last) if h.ndim == 4 else h
        part = self.x[indices]
        if flip is not None:
            part = torch.where(flip.view(-1, *[1] * (part.ndim - 1)), part.flip(-1), part)
        return self._frozen(part) if self.prefix else self.model.prepare(part)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        return class_logits(self.model, h, self.start if self.prefix else None)
