"""How transferable are the first stages? Yosinski's experiment in small, on two halves of Tiny-ImageNet."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from course_utils.data.cache import Arrays, cached
from course_utils.data.images import smaller
from course_utils.data.tasks import Split, Task
from course_utils.evidence.experiments import grid_of, tuned
from course_utils.models.backbones import Model
from course_utils.models.loading import load_model
from course_utils.pretraining.tiny_imagenet import Source, find_zip, read_zip
from course_utils.training.evaluation import evaluate
from course_utils.training.fit import fit
from course_utils.training.freezing import freeze, unfreeze
from course_utils.training.strategies import Setup, Strategy

CLASSES, IMAGES, PIXELS = 50, 250, 32  # of each half; of each class; a side
EPOCHS, BATCH = 8, 64
PAIRS = range(3)  # a pair: two halves drawn anew, and a base network for each
TUNING_PAIR = 100
RATES = (1e-3, 3e-3, 1e-2)
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
FROZEN, LEARNING = ("AnB", "BnB", "random"), ("AnB+", "BnB+")  # what is borrowed stays, or learns on


def yosinski_tuning(seed: int, lr: float) -> dict:
    """The rate for all networks: a base network on half B, scored on other training images of its classes."""
    task = half(seed, "B")
    others = _arrays(seed)
    within = Task(task.name, task.classes, task.train, Split(others["others_x"], others["others_y"]), True)
    return {"accuracy": round(evaluate(_train(_new(seed), within, 0, False, seed, lr), within.test).accuracy, 4)}


def yosinski_base(seed: int, half_of: str) -> dict:
    """The base network of a half, trained from scratch and kept for `yosinski`; scored on validation images."""
    return {"accuracy": round(evaluate(base(seed, half_of), half(seed, half_of).test).accuracy, 4)}


def yosinski(seed: int, condition: str, depth: int) -> dict:
    """A network for half B whose first `depth` stages come from a base network; the rest starts afresh.

    AnB: from the network of half A, kept frozen; BnB: from that of half B itself, frozen; AnB+ and BnB+: the
    same, but everything learns on. random: the first stages stay as they were drawn. Three pairs are drawn
    as points; nothing is claimed. Source: Yosinski et al. 2014, "How transferable are features in deep neural
    networks?", section 3 and figure 2.
    """
    model, task = _new(seed), half(seed, "B")
    if condition != "random":
        source = base(seed, condition[0])
        for name in STAGES[:depth]:
            model.stages[name].load_state_dict(source.stages[name].state_dict())
        model.has_statistics = True  # by the source: its statistics stay
    _train(model, task, depth, condition in FROZEN, seed, tuned("yosinski_tuning", "lr"))
    return {"accuracy": round(evaluate(model, task.test).accuracy, 4)}


def yosinski_grid() -> list[dict]:
    """Every number of frozen stages; where all learns, which takes longest, every other one, all stages first."""
    return [
        *grid_of(condition=FROZEN, depth=range(1, 6)),
        *({"condition": condition, "depth": depth} for depth in (5, 3, 1) for condition in LEARNING),
    ]


def half(pair: int, name: str) -> Task:
    """Half "A" or "B" of a pair: 50 classes, 250 training images of each, and the 50 validation images of each."""
    arrays = _arrays(pair)
    train, test = (Split(arrays[f"{name}_{split}_x"], arrays[f"{name}_{split}_y"]) for split in ("train", "val"))
    return Task(f"half {name}", [f"class {k}" for k in range(CLASSES)], train, test, True)


def base(pair: int, name: str) -> Model:
    """The network trained from scratch on a half; trained once, then read from the cache."""
    model = _new(pair + (1000 if name == "A" else 2000))  # another start than that of the networks that borrow

    def make(folder: Path) -> Arrays:
        _train(model, half(pair, name), 0, False, pair, tuned("yosinski_tuning", "lr"))
        return {key: tensor.cpu().numpy() for key, tensor in model.state_dict().items()}

    key = f"{pair} {name} {CLASSES} {IMAGES} {PIXELS} {EPOCHS} {BATCH} {tuned('yosinski_tuning', 'lr')}"
    weights = cached("yosinski-base", key, make)
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    model.has_statistics = True
    return model


def _new(seed: int) -> Model:
    return load_model("photonet", CLASSES, pretrained=False, seed=seed)


def _train(model: Model, task: Task, depth: int, frozen: bool, seed: int, lr: float) -> Model:
    plan = Strategy(_all_but(depth if frozen else 0), steps=1, lr=lr)
    fit(model, task, plan, epochs=EPOCHS, batch_size=BATCH, seed=seed, augment=False, progress=False)
    return model


def _all_but(depth: int) -> Setup:
    """A setup that trains everything behind the first `depth` stages."""

    def setup(model: Model) -> list:
        unfreeze(model)
        for name in STAGES[:depth]:
            freeze(model.stages[name])
        return [p for p in model.parameters() if p.requires_grad]

    return setup


@cache
def _arrays(pair: int) -> Arrays:
    """The pictures of both halves of a pair at 32 px, and further training images of half B to tune on."""
    path = find_zip('Put it there, or read the stored rows: load_results("yosinski").')
    return cached("yosinski", f"{pair} {CLASSES} {IMAGES} {PIXELS}", lambda folder: _draw(path, pair))


def _draw(path: Path, pair: int) -> Arrays:
    rng, arrays = np.random.default_rng(pair), {}
    train, val = read_zip(path, "train"), read_zip(path, "val")
    chosen = rng.permutation(len(train.wnids))[: 2 * CLASSES].reshape(2, CLASSES)
    for name, classes in zip("AB", chosen, strict=True):
        order = [rng.permutation(np.flatnonzero(train.y == c)) for c in classes]
        arrays |= _named(f"{name}_train", train, [rows[:IMAGES] for rows in order])
        arrays |= _named(f"{name}_val", val, [np.flatnonzero(val.y == c) for c in classes])
        others = _named("others", train, [rows[IMAGES : IMAGES + 50] for rows in order])
    return arrays | others


def _named(name: str, source: Source, rows: list[np.ndarray]) -> Arrays:
    y = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    return {f"{name}_x": smaller(source.x[np.concatenate(rows)], PIXELS), f"{name}_y": y}
