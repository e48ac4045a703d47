"""Dreaming: pictures made from noise so that they excite a channel, by gradient ascent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.errors import check_number
from course_utils.lessons.lesson01.dissection import before_relu, check_channels
from course_utils.models.backbones import Model
from course_utils.training.evaluation import inference

SIZE = 64  # pixels, as the pictures that PhotoNet was trained on
SHIFT = 4  # pixels by which a dream is moved at random, up or down, before each step
RATE = 0.1  # Adam's learning rate
SLOPE = 0.1  # how much a unit counts that is off: with nothing, a channel that is off everywhere would stay so
# How red, green and blue go together in the ants-and-bees photographs, for values of 0 to 1: the square root of
# their covariance, a column a component, light and dark first.
COLOURS = ((0.24, 0.09, 0.07), (0.23, 0.05, -0.09), (0.24, -0.13, 0.02))


class Dream(NamedTuple):
    """Pictures, uint8 N x 3 x 64 x 64, and the mean activation of each one's channel at first and at last."""

    pictures: np.ndarray
    first: np.ndarray
    last: np.ndarray


def dream(model: Model, stage: str, channels: Sequence[int], steps: int = 64, seed: int = 0) -> Dream:
    """A picture for each of `channels` that excites it: gradient ascent on the mean of its map, from noise.

    A picture is a sum of waves, of which the coarse ones move faster, and always has the contrast and the
    colours of photographs; without that, colours turn glaring. It is moved by up to 4 px
    before each step, so that what appears does not hang on exact places. The network stays as it is.

    Raises:
        CourseError: `model` is no PhotoNet, or has no such stage or channels.
    Source: Olah, Mordvintsev & Schubert 2017, "Feature visualization", on regularisation and preconditioning.
    """
    check_number("steps", steps, least=0, whole=True)
    check_number("seed", seed, least=0, whole=True)
    check_channels(model, stage, channels)
    rng, scale = np.random.default_rng(seed), _coarse_first().to(model.mean.device)
    noise = rng.normal(size=(len(channels), 3, *scale.shape, 2)).astype(np.float32)
    waves = torch.from_numpy(noise).to(model.mean.device).requires_grad_()
    optimizer = torch.optim.Adam([waves], RATE)

    def maps(move: Sequence[int] = (SHIFT, SHIFT)) -> torch.Tensor:
        seen = before_relu(model, _prepared(model, _window(_painted(model, waves, scale), move)), stage)
        return seen[range(len(channels)), list(channels)]

    with inference(model):
        first = maps().relu().mean((1, 2))
        for move in rng.integers(0, 2 * SHIFT + 1, (steps, 2)).tolist():
            with torch.enable_grad():
                goal = F.leaky_relu(maps(move), SLOPE).mean((1, 2)).sum()
                (waves.grad,) = torch.autograd.grad(-goal, waves)
            optimizer.step()
        last = maps().relu().mean((1, 2))
        pictures = (_window(_painted(model, waves, scale)) * 255).round().to(torch.uint8)
    return Dream(pictures.cpu().numpy(), first.cpu().numpy(), last.cpu().numpy())


def _coarse_first() -> torch.Tensor:
    """What each wave is multiplied by: its length in pixels, as the waves of photographs are about as strong."""
    side = SIZE + 2 * SHIFT
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    return 1 / frequency.clamp(min=1 / side)


def _painted(model: Model, waves: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Waves as pictures, N x 3 x 72 x 72 from 0 to 1, with the contrast and the colours of photographs."""
    side = SIZE + 2 * SHIFT
    flat = torch.fft.irfft2(torch.view_as_complex(waves) * scale, s=(side, side))
    flat = flat - flat.mean((2, 3), keepdim=True)
    flat = flat / flat.std((1, 2, 3), keepdim=True)
    colours = torch.einsum("ij,njhw->nihw", torch.tensor(COLOURS, device=flat.device), flat)
    return torch.sigmoid(4 * colours + torch.logit(model.mean))  # a sigmoid's slope is a quarter in the middle


def _window(pictures: torch.Tensor, move: Sequence[int] = (SHIFT, SHIFT)) -> torch.Tensor:
    down, right = move
    return pictures[:, :, down : down + SIZE, right : right + SIZE]


def _prepared(model: Model, pictures: torch.Tensor) -> torch.Tensor:
    """As `model.prepare` does it, for values of 0 to 1."""
    return (pictures - model.mean) / model.std
