"""Receptive fields on paper: how far a unit sees, counted from kernels and strides alone, without torch."""

from collections.abc import Sequence
from typing import NamedTuple

LARGEST = 63  # pixels of a patch that is shown: PhotoNet was trained on pictures of 64 px


class Field(NamedTuple):
    """How far the units of a stage see: `size` pixels across, and `jump` pixels from one unit to the next."""

    size: int
    jump: int

    @property
    def patch(self) -> int:
        """How many pixels of it are shown as a patch."""
        return min(self.size, LARGEST)


def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """Pixels across that one unit sees through a chain of convolutions.

    Args:
        layers: (kernel, stride) of each, the one next to the picture first.
    Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", eq. 2.
    """
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size
