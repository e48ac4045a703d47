"""Lesson 02's exercises, quiz and prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from course_utils.exercises.declare import Exercise, Mistake
from course_utils.exercises.quizzes import Option, Question
from course_utils.lessons.lesson02.exercises.copies import COPIES

if TYPE_CHECKING:
    import torch
    from torch import nn


def freeze(network: nn.Module) -> None:
    """Freeze `network` in place: nothing in it trains, nothing in it moves, and it answers as in inference."""
    network.requires_grad_(False)

    def stay(layer: nn.Module, inputs: tuple) -> None:
        layer.training = False

    for layer in network.modules():
        layer.register_forward_pre_hook(stay)


def _tried(network: nn.Module) -> dict:
    """What passes do to a chain of layers that was frozen: after `train()` as a whole and part by part, and before."""
    import torch

    pictures = torch.linspace(-1, 1, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8).sin() * torch.arange(1, 5).reshape(4, 1, 1, 1)
    found = {"parameters that train": [name for name, weight in network.named_parameters() if weight.requires_grad]}
    with torch.no_grad():
        state = _copied(network)
        as_left = network(pictures)
        network.load_state_dict(state)
        expected = network.eval()(pictures)
        for way, run in (("run as a whole", network), ("run part by part", partial(_through, network))):
            network.train()
            before, came = _copied(network), run(pictures)
            moved = [name for name, tensor in network.state_dict().items() if not tensor.equal(before[name])]
            found[f"{way}, it moves"] = moved
            found[f"{way}, it answers as in eval()"] = bool(torch.allclose(came, expected, atol=1e-5))
    found["numbers in it"] = sum(tensor.numel() for tensor in network.state_dict().values())
    found["before train(), it answers as in eval()"] = bool(torch.allclose(as_left, expected, atol=1e-5))
    return found


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _through(chain: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for layer in chain.children():
        x = layer(x)
    return x


def _overruled(network: nn.Module) -> None:
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad = False
    for layer in network.modules():
        layer.train = lambda mode=True, layer=layer: layer


def _hooked(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for layer in network.modules():
        layer.register_forward_pre_hook(lambda layer, inputs: (layer.eval(), None)[1])


def _by_the_package(network: nn.Module) -> None:
    from course_utils.training.freezing import freeze

    freeze(network)


def _no_gradients(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False)


def _once(network: nn.Module) -> nn.Module:
    return network.eval()


def _slip(*steps: Callable) -> Callable:
    """A wrong answer that takes these steps."""

    def answer(network: nn.Module) -> nn.Module:
        for step in steps:
            step(network)
        return network

    return answer


def _part(network: nn.Module, wanted: Callable) -> None:
    for name, parameter in network.named_parameters():
        if wanted(name):
            parameter.requires_grad = False


def _layers(network: nn.Module, kind: str, change: Callable) -> None:
    """`change` each layer whose class has `kind` in its name; all of them if that is empty."""
    for layer in network.modules():
        if kind in type(layer).__name__:
            change(layer)


def _stay(layer: nn.Module, inputs: tuple) -> None:
    layer.training = False


def _stay_within(layer: nn.Module, inputs: tuple) -> None:
    layer.eval()


def _hang(layer: nn.Module) -> None:
    layer.register_forward_pre_hook(_stay)


NORM = "BatchNorm"
MOVES = (
    "Nothing trains now, but batch norm's mean and variance are no parameters: `train()` moves them, `eval()` or not."
)
UNDONE = "`eval()` holds until the next `train()`, and every training loop calls that. It has to last."
ONCE = (
    "No parameter trains, and after `eval()` all is right, until somebody calls `train()`, as every training loop "
    "does. Then batch norm moves again. It has to hold at each pass."
)
NO_GRADIENT = "The statistics stay, but the parameters still train. Set their `requires_grad` to False as well."
MOMENTUM = "The statistics stay, but in `train()` batch norm uses those of the batch. It must run as in `eval()`."
DROPOUT = "Batch norm is right. But dropout still drops in `train()`: do the same for every layer, not just for norms."
TWO_ONLY = "One kind of batch norm is still loose: there is `BatchNorm1d` too. Do it for every layer."
WEIGHTS = "Parameters are more than what is called weight: biases are parameters. Take all of `network.parameters()`."
OUTSIDE = "A hook on the whole network is not called when its parts run one by one. Hang it on each of `modules()`."
CHILDREN = "`children()` are the outermost layers only. A layer inside a layer is found by `modules()`."
REPLACED = "What a hook before a pass returns takes the place of the inputs, and `layer.eval()` returns the layer."


def _replacing(layer: nn.Module) -> None:
    layer.register_forward_pre_hook(lambda layer, inputs: layer.eval())


FREEZE_MISTAKES = (
    Mistake(_no_gradients, MOVES),
    Mistake(_slip(_once), UNDONE),
    Mistake(_slip(_no_gradients, _once), ONCE),
    Mistake(_slip(lambda n: _layers(n, "", _hang)), NO_GRADIENT),
    Mistake(_slip(lambda n: _layers(n, NORM, _hang)), NO_GRADIENT),
    Mistake(_slip(_no_gradients, lambda n: _layers(n, NORM, lambda k: setattr(k, "momentum", 0.0))), MOMENTUM),
    Mistake(_slip(_no_gradients, lambda n: _layers(n, NORM, lambda k: setattr(k, "track_running_stats", False))),
            MOMENTUM),
    Mistake(_slip(_no_gradients, lambda n: _layers(n, NORM, _hang)), DROPOUT),
    Mistake(_slip(_no_gradients, lambda n: _layers(n, "BatchNorm2d", _hang)), TWO_ONLY),
    Mistake(_slip(lambda n: _part(n, lambda name: "weight" in name), lambda n: _layers(n, "", _hang)), WEIGHTS),
    Mistake(_slip(lambda n: _part(n, lambda name: "weight" in name)), WEIGHTS),
    Mistake(_slip(_no_gradients, lambda n: n.register_forward_pre_hook(_stay_within)), OUTSIDE),
    Mistake(_slip(_no_gradients, lambda n: [_hang(layer) for layer in n.children()]), CHILDREN),
    Mistake(_slip(_no_gradients, lambda n: _layers(n, "", _replacing)), REPLACED),
)  # fmt: skip


@cache
def _chains() -> tuple[nn.Sequential, ...]:
    """Small chains that take pictures of 3 x 8 x 8, and the first stages of PhotoNet."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        inner = nn.Sequential(nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.Dropout(0.3)))
        nested = nn.Sequential(nn.Conv2d(3, 4, 3), inner, nn.Flatten(), nn.Linear(144, 2))
    return plain, flat, nested


@cache
def _freeze_cases() -> list[tuple]:
    from torch import nn

    from course_utils.models.loading import load_model

    stages = load_model("photonet").stages
    return [(nn.Sequential(stages["stem"], stages["layer1"]),), *((chain,) for chain in _chains())]


def _freeze_draw(rng: np.random.Generator) -> tuple:
    return (_chains()[rng.integers(3)],)


EXERCISES = [
    Exercise(
        name="02-freeze",
        solution=freeze,
        can_do="You can freeze a network so that it stays frozen, whatever the training loop calls.",
        hints=(
            "Two things move: parameters, by gradients, and batch norm's statistics, by `train()`. Stop both.",
            "`network.requires_grad_(False)` for the first. For the second, a hook on each of `network.modules()`.",
            "`def stay(layer, inputs): layer.training = False`, then `layer.register_forward_pre_hook(stay)` for each.",
        ),
        mistakes=FREEZE_MISTAKES,
        cases=_freeze_cases,
        seen=_tried,
        draw=_freeze_draw,
        right=(_by_the_package, _overruled, _hooked),
    ),
    COPIES,
]

QUESTIONS = [
    Question(
        name="02-freeze",
        text="PhotoNet, ten pictures of each letter, far below 500. What is more accurate on new fonts?",
        options=(
            Option("Freezing the backbone, by 5 points or more"),
            Option("The two lie closer together"),
            Option("Fine-tuning it, by 5 points or more"),
        ),
    ),
    Question(
        name="02-probe",
        text="From lesson 01: you probe five stages and want the best for your pictures. Which accuracy chooses?",
        options=(
            Option("That on the test pictures.", "Then the test is used up: the best of five is too good by luck."),
            Option("That on the training pictures a probe learned from.", "A probe can know those by heart."),
            Option("That on pictures set apart from the training pool.", "They judge, and the test stays untouched."),
        ),
        right="C",
    ),
]
