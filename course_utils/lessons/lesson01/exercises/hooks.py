"""Lesson 01's exercise on hooks: listen to one layer, and leave the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake

if TYPE_CHECKING:
    import torch
    from torch import nn


def output_of(network: nn.Module, name: str, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
    """What the layer `name` gives when the network runs on `batch`, and how many hooks are on the layer then."""
    layer = network.get_submodule(name)
    caught = []
    handle = layer.register_forward_hook(lambda layer, inputs, output: caught.append(output))
    try:
        network(batch)
    finally:
        handle.remove()
    return caught[0], len(layer._forward_hooks)


def _with_a_dictionary(network: nn.Module, name: str, batch: torch.Tensor) -> list:
    import torch

    found, layer = {}, dict(network.named_modules())[name]

    def catch(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        found[name] = output.detach()

    with layer.register_forward_hook(catch), torch.no_grad():
        network(batch)
    return [found[name], len(layer._forward_hooks)]


def _forward_exchanged(network: nn.Module, name: str, batch: torch.Tensor) -> tuple:
    layer, caught = network.get_submodule(name), []
    forward = layer.forward
    layer.forward = lambda x: caught.append(forward(x)) or caught[0]
    network(batch)
    return caught[0], len(layer._forward_hooks)


def _listening(take: Callable, end: Callable = lambda layer, handle: handle.remove()) -> Callable:
    """A wrong answer: it keeps `take(inputs, output)` and leaves the layer by `end(layer, handle)`."""

    def answer(network: nn.Module, name: str, batch: torch.Tensor) -> tuple:
        layer, caught = network.get_submodule(name), []
        handle = layer.register_forward_hook(lambda _, inputs, output: caught.append(take(inputs, output)))
        network(batch)
        end(layer, handle)
        return caught[0], len(layer._forward_hooks)

    return answer


def _too_early(network: nn.Module, name: str, batch: torch.Tensor) -> tuple:
    caught = []
    network.get_submodule(name).register_forward_hook(lambda _, inputs, output: caught.append(output)).remove()
    network(batch)
    return caught[0], 0


LEFT = "Your hook is still on the layer when you count. Take it off by its handle first: `handle.remove()`."
OTHERS = "One layer had somebody else's hook before, so 1 is left there. Take off your own by its handle, then count."
INPUT = "That is what went into the layer. A hook gets `(layer, inputs, output)`: keep the third."
ANSWER = "That is what the whole network gives. What the layer gave is with your hook."
LIST = "That is your list with the output in it. Return the output itself, `caught[0]`."
ALONE = "Return two things: the output, and how many hooks are on the layer: `len(layer._forward_hooks)`."
EARLY = "Nothing was caught: the hook was gone before the network ran. Run it first, then remove the hook."
DIRECT = "The layer wants what the layers before it made, not the batch. Run the whole network; the hook listens in."

HOOK_MISTAKES = (
    Mistake(_listening(lambda inputs, output: output, lambda layer, handle: None), LEFT),
    Mistake(_listening(lambda inputs, output: output, lambda layer, handle: layer._forward_hooks.clear()), OTHERS),
    Mistake(lambda network, name, batch: (output_of(network, name, batch)[0], 0), OTHERS),
    Mistake(_listening(lambda inputs, output: inputs[0]), INPUT),
    Mistake(_listening(lambda inputs, output: inputs), INPUT),
    Mistake(lambda network, name, batch: (network(batch), output_of(network, name, batch)[1]), ANSWER),
    Mistake(_listening(lambda inputs, output: [output]), LIST),
    Mistake(lambda network, name, batch: output_of(network, name, batch)[0], ALONE),
    Mistake(_too_early, EARLY),
    Mistake(lambda network, name, batch: (network.get_submodule(name)(batch), 0), DIRECT),
)


def _somebody_elses(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
    """A hook that was there before."""


@cache
def _small_networks() -> tuple[nn.Module, nn.Module]:
    """A chain of layers, and one with a chain inside it on which somebody listens already."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chain = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        nested = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 4)), nn.Linear(4, 2))
    nested[1].register_forward_hook(_somebody_elses)
    return chain, nested


@cache
def _hook_cases() -> list[tuple]:
    """Two layers of PhotoNet, then small networks with layers inside layers and somebody's hook."""
    import torch

    from course_utils.models.loading import load_model

    model = load_model("photonet").eval()
    two = load_task("digits", per_class=1).train.x[:2]
    batch, small = model.prepare(model.encode(two)), torch.linspace(-1, 1, 12).reshape(3, 4)
    chain, nested = _small_networks()
    real = [(model, name, batch) for name in ("stages.layer2.conv1", "stages.stem")]
    return [*real, (chain, "1", small), (chain, "0", small), (nested, "1.0", small), (nested, "1", small)]


def _hook_draw(rng: np.random.Generator) -> tuple:
    import torch

    chain, nested = _small_networks()
    networks = ((chain, "0"), (chain, "1"), (chain, "2"), (nested, "1"), (nested, "1.1"), (nested, "2"))
    network, name = networks[rng.integers(len(networks))]
    return network, name, torch.as_tensor(rng.normal(size=(rng.integers(1, 4), 4)), dtype=torch.float32)


HOOK = Exercise(
    name="01-hook",
    solution=output_of,
    can_do="You can look inside any network of PyTorch and leave it as you found it.",
    hints=(
        "`network.get_submodule(name)` is the layer. Hang a hook on it that appends the output to a list, then run.",
        "`handle = layer.register_forward_hook(hook)` puts it on; the hook takes `(layer, inputs, output)`.",
        "After `network(batch)` call `handle.remove()`, then return `caught[0], len(layer._forward_hooks)`.",
    ),
    mistakes=HOOK_MISTAKES,
    cases=_hook_cases,
    draw=_hook_draw,
    right=(_with_a_dictionary, _forward_exchanged),
    tolerance=1e-5,
)
