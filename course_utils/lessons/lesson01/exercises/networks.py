"""Exercises of lesson 01's lab in which two networks are compared, or one is listened to."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake
from course_utils.features import extract
from course_utils.models.backbones import Model
from course_utils.models.loading import load_model
from course_utils.similarity import cka


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """How alike features of the same pictures are, N x D1 and N x D2: the plain linear CKA."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    shared = np.linalg.norm(a.T @ b) ** 2
    return shared / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))


def _by_pairs(a: np.ndarray, b: np.ndarray) -> float:
    """Two networks' tables of how alike each two pictures are, centred, as one long vector each: their cosine."""
    centring = np.eye(len(a)) - 1 / len(a)
    k, m = (centring @ x @ x.T @ centring for x in (a, b))
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def _kept(a: np.ndarray, b: np.ndarray, top: float = 2, below: float = 1) -> float:
    """The formula for features as they come, with other powers."""
    norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return np.linalg.norm(a.T @ b) ** top / norms**below


def _zeroed(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return a - a.mean(0), b - b.mean(0)


def _scaled(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(x / x.std(0) for x in _zeroed(a, b))


def _sizes_of_features(a: np.ndarray, b: np.ndarray) -> float:
    return np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a) * np.linalg.norm(b)) ** 2


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    """With the spectral norm, which looks at one direction alone."""
    ab, aa, bb = (np.linalg.norm(x, 2) for x in (a.T @ b, a.T @ a, b.T @ b))
    return ab**2 / (aa * bb)


CENTRE = "Centre first: take from each feature its mean over the pictures. Else what all pictures share counts most."
AXIS = "You take away each picture's mean over its features. It is each feature's mean over the pictures: `axis=0`."
ONE_MEAN = "One mean for everything leaves each feature off centre. Take `a.mean(axis=0)`, a mean for each feature."
HALF = "Both networks are centred, each with its own means. You centred one."
SCALE = "Not divided yet: scale `a` by 2, and your answer changes. The two norms below the line take that away."
SQUARE = "The norm of `a.T @ b` stands squared above the line; below it are two norms, each of them once."
BELOW = "Above the line stands one square. Below it are the two norms as they are, without a square and without a root."
OWN = "Below the line are the norms of `a.T @ a` and `b.T @ b`, not of `a` and `b`. Else `a` with itself is not 1."
SIDE = "`a @ b.T` pairs a picture with another. Sum over the pictures: `a.T @ b`, features by features."
SPREAD = "Dividing by the spread makes weak features count as much as strong ones. CKA centres and leaves the spread."
FROBENIUS = "`np.linalg.norm(x, 2)` is the largest singular value alone. The norm here squares and adds all entries."
DEBIASED = "That is the debiased form already. Write the plain one first, then see below what debiasing takes away."
TURNED_ROUND = "That is a distance, 0 for the same. Here the same features give 1."

CKA_MISTAKES = (
    Mistake(_kept, CENTRE),
    Mistake(lambda a, b: _kept(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)), AXIS),
    Mistake(lambda a, b: _kept(a - a.mean(), b - b.mean()), ONE_MEAN),
    Mistake(lambda a, b: _kept(a - a.mean(0), b), HALF),
    Mistake(lambda a, b: _kept(a, b - b.mean(0)), HALF),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), below=0), SCALE),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), top=1, below=0), SCALE),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), top=1), SQUARE),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), top=1, below=0.5), SQUARE),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), below=2), BELOW),
    Mistake(lambda a, b: _kept(*_zeroed(a, b), below=0.5), BELOW),
    Mistake(lambda a, b: _sizes_of_features(*_zeroed(a, b)), OWN),
    Mistake(lambda a, b: np.linalg.norm(a @ b.T) ** 2 / (np.linalg.norm(a @ a.T) * np.linalg.norm(b @ b.T)), SIDE),
    Mistake(lambda a, b: _kept(*(x.T for x in _zeroed(a, b))), SIDE),
    Mistake(lambda a, b: _kept(*_scaled(a, b)), SPREAD),
    Mistake(lambda a, b: _largest(*_zeroed(a, b)), FROBENIUS),
    Mistake(cka, DEBIASED),
    Mistake(lambda a, b: 1 - linear_cka(a, b), TURNED_ROUND),
)


@cache
def _photonet() -> tuple[Model, np.ndarray]:
    """PhotoNet and forty small pictures."""
    return load_model("photonet").eval(), load_task("faces").train.x[:40]


def _cka_cases() -> list[tuple]:
    """Stages of PhotoNet, then features in which centring, scale, shape or the number of pictures matter."""
    model, pictures = _photonet()
    seen = extract(model, pictures, "all", device="cpu")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(50, 6))
    mixed = a @ rng.normal(size=(3, 6)) + b
    pairs = [(seen["layer2"], seen["layer3"]), (seen["stem"], seen["layer3"]), (a, 7 * a), (a, b), (a, mixed)]
    return [*pairs, (a + [9, 1, 0], mixed - 4), (rng.normal(size=(12, 40)), rng.normal(size=(12, 30)))]


def _cka_draw(rng: np.random.Generator) -> tuple:
    n, d1, d2 = rng.integers(5, 30), *rng.integers(1, 8, 2)
    a = rng.normal(rng.normal(), rng.uniform(0.5, 2), (n, d1))
    return a, a @ rng.normal(size=(d1, d2)) + rng.normal(size=(n, d2))


COMPARE = Exercise(
    name="01-cka",
    solution=linear_cka,
    can_do="You can say in one number how alike two networks see the same pictures.",
    hints=(
        "Three steps: take each feature's mean away, norm the products `a.T @ b`, then divide. Begin with the means.",
        "`a - a.mean(axis=0)` is centred. `np.linalg.norm(a.T @ b)` is a norm; how does the formula use three?",
        "Centre both. Then `norm(a.T @ b) ** 2 / (norm(a.T @ a) * norm(b.T @ b))`, with numpy's `linalg.norm`.",
    ),
    mistakes=CKA_MISTAKES,
    cases=_cka_cases,
    draw=_cka_draw,
    right=(lambda a, b: cka(a, b, debiased=False), _by_pairs),
)


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chain = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        nested = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 4)), nn.Linear(4, 2))
    nested[1].register_forward_hook(_somebody_elses)
    return chain, nested


def _hook_cases() -> list[tuple]:
    model, pictures = _photonet()
    batch, small = model.prepare(model.encode(pictures[:2])), torch.linspace(-1, 1, 12).reshape(3, 4)
    chain, nested = _small_networks()
    real = [(model, name, batch) for name in ("stages.layer2.conv1", "stages.stem")]
    return [*real, (chain, "1", small), (chain, "0", small), (nested, "1.0", small), (nested, "1", small)]


def _hook_draw(rng: np.random.Generator) -> tuple:
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
