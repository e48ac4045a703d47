"""Lesson 01's lab: its exercises."""

import numpy as np

from course_utils.exercises.declare import Exercise, Mistake
from course_utils.lessons.lesson01.exercises.cka import COMPARE
from course_utils.lessons.lesson01.exercises.hooks import HOOK
from course_utils.lessons.lesson01.fields import receptive_field

Layers = list[tuple[int, int]]
PHOTONET: Layers = [(7, 2), (3, 1), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 1)]


def _backwards(layers: Layers) -> int:
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size


def _in_one_line(layers: Layers) -> int:
    kernels, strides = np.array(layers).T
    jumps = np.cumprod(np.r_[1, strides[:-1]])
    return int(1 + ((kernels - 1) * jumps).sum())


def _grown(layers: Layers, start: int = 1, less: int = 1, early: bool = False, add: bool = False) -> int:
    """The right loop, with a slip: another start, k in place of k - 1, jumps too early, or added up."""
    size, jump = start, 1
    for kernel, stride in layers:
        after = jump + stride - add if add else jump * stride
        size += (kernel - less) * (after if early else jump)
        jump = after
    return size


def _own_stride(layers: Layers, early: bool) -> int:
    """Each layer's kernel by the stride of one layer alone: its own, or the one before it."""
    strides = [stride for _, stride in layers]
    used = strides if early else [1, *strides[:-1]]
    return 1 + sum((kernel - 1) * stride for (kernel, _), stride in zip(layers, used, strict=True))


def _unturned(layers: Layers) -> int:
    return _backwards(layers[::-1])


def _product(layers: Layers, place: int) -> int:
    return int(np.prod([layer[place] for layer in layers]))


SUM = "Neighbouring kernels overlap. A second 3x3 adds a pixel on each side, so 2 and not 3: `kernel - 1`."
NO_STRIDE = "You leave the strides out. After a stride of 2, one step of the next kernel is two pixels long."
START = "One unit without any layer sees 1 pixel. Begin there."
WIDE = "A kernel has one step less than it has weights: it reaches `kernel - 1` steps further, not `kernel`."
EARLY = "A layer's own stride moves its units apart, not its weights. It counts for the layers after it."
ADDED = "Strides multiply: after two strides of 2, one step is 4 pixels long."
OWN = "You use one stride for each layer. A step is as long as all strides before it multiplied."
TURNED = "That is the way from the last layer back to the picture, with the layers in forward order. Turn them round."
KERNELS = "Kernels do not multiply: two of 3x3 see 5 pixels, not 9. Draw it on paper, in one dimension."
JUMP = "That is how far one unit is from the next, the product of the strides. How far does one of them see?"
ALL = "You count every stride for every layer. A stride only matters for the layers after it."
LAST = "That is what the last layer alone sees. The ones before it make each of its inputs wide."
RADIUS = "That is how far it reaches to one side. It reaches as far to the other side."

MISTAKES = (
    Mistake(lambda layers: sum(kernel for kernel, _ in layers), SUM),
    Mistake(lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers), NO_STRIDE),
    Mistake(lambda layers: _grown(layers, start=0), START),
    Mistake(lambda layers: _grown(layers, start=0, less=0), WIDE),
    Mistake(lambda layers: _grown(layers, less=0), WIDE),
    Mistake(lambda layers: _grown(layers, early=True), EARLY),
    Mistake(lambda layers: _grown(layers, less=0, early=True), EARLY),
    Mistake(lambda layers: _grown(layers, add=True), ADDED),
    Mistake(lambda layers: _grown([(k, s + 1) for k, s in layers], add=True), ADDED),
    Mistake(lambda layers: _own_stride(layers, early=False), OWN),
    Mistake(lambda layers: _own_stride(layers, early=True), OWN),
    Mistake(_unturned, TURNED),
    Mistake(lambda layers: _product(layers, 0), KERNELS),
    Mistake(lambda layers: _product(layers, 1), JUMP),
    Mistake(lambda layers: 1 + sum(k - 1 for k, _ in layers) * _product(layers, 1), ALL),
    Mistake(lambda layers: layers[-1][0], LAST),
    Mistake(lambda layers: receptive_field(layers) // 2, RADIUS),
)


def _cases() -> list[tuple]:
    """The stages of PhotoNet, then chains in which one thing or another does not matter."""
    stages = [PHOTONET[: 1 + 2 * k] for k in range(5)]
    others = [[(3, 1), (3, 1)], [(5, 3), (1, 2), (4, 1)], [(11, 4), (3, 2), (5, 1), (3, 2)], [(2, 2)] * 4]
    return [(layers,) for layers in (*stages, *others)]


def _draw(rng: np.random.Generator) -> tuple:
    count = rng.integers(1, 7)
    return (list(zip(rng.integers(1, 8, count).tolist(), rng.integers(1, 4, count).tolist(), strict=True)),)


FIELD = Exercise(
    name="01-field",
    solution=receptive_field,
    can_do="You can work out how much of a picture a unit sees, for any chain of convolutions.",
    hints=(
        "Begin with 1 pixel and go through the layers. By how many steps does a kernel of 3 widen it?",
        "A kernel adds `kernel - 1` steps. A step is 1 pixel at first; how long is it after a stride of 2?",
        "Keep two numbers: `size += (kernel - 1) * step`, and only then `step *= stride`.",
    ),
    mistakes=MISTAKES,
    cases=_cases,
    draw=_draw,
    right=(_backwards, _in_one_line),
)

EXERCISES = [FIELD, COMPARE, HOOK]
