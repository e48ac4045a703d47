"""A real leak: networks pretrained with and without the source class that holds some of the test photographs."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils.data import external
from course_utils.data.cache import Arrays, cached
from course_utils.data.images import matches, read_picture, thumbnails
from course_utils.data.tasks import Task, load_task
from course_utils.evidence.results import pack
from course_utils.features import extract, probe
from course_utils.models.backbones import PhotoNet
from course_utils.models.loading import WEIGHTS
from course_utils.pretraining import recipe, tiny_imagenet

CLASSES, PIXELS, EPOCHS = 50, 64, 8
WIDTHS = (16, 32, 64, 128)  # half of PhotoNet's
PAIRS = range(3)
SOURCES = ("bee", "no bee")  # what the last of the 50 classes is
DROPPED = WEIGHTS.with_name("photonet_dropped.csv")  # pictures of the source that some task holds too
DRAWS, EACH = 10, 80  # draws of training photographs, and how many of each class
PENALTY = 0.01  # scikit-learn's C: nearly the best at layer4 of ants_bees in the rows of `stages_tuning`


def leak(seed: int, pretrained_with: str) -> dict:
    """A half-width PhotoNet, pretrained on 50 classes and frozen; a linear probe for ants and bees, at 64 px.

    Of a pair, 49 classes, the first weights and the seed of the order are the same. The 50th class is
    Tiny-ImageNet's `bee`, which holds copies of our photographs, or another class, which holds none. The measures
    are means over ten draws of 80 training photographs of each class: the accuracy on all test photographs, and
    the share right of the leaked bees, of the clean bees and of the ants. `copies` says which photographs leaked.

    Primary claim: none; three pairs are drawn as points. A source that knows bees helps with clean bees too, so
    the leak is what leaked bees gain beyond clean ones.
    """
    task, leaked = load_task("ants_bees", image_size=PIXELS), leaked_bees()
    return rights(pretrained(seed, pretrained_with), task, leaked) | {"copies": pack(leaked)}


def rights(backbone: PhotoNet, task: Task, leaked: np.ndarray) -> dict:
    """What a probe on the backbone's last features gets right, by groups of test photographs.

    `leaked` holds a boolean for each of them; class 1 are the bees.
    """
    train, test = (extract(backbone, split.x) for split in (task.train, task.test))
    y, correct = task.train.y, []
    for draw in range(DRAWS):
        rows = _draw(y, draw)
        correct.append(probe(train[rows], y[rows], PENALTY).predict(test) == task.test.y)
    right, bees = np.mean(correct, axis=0), task.test.y == 1
    groups = {"accuracy": bees | ~bees, "leaked_bees": bees & leaked, "clean_bees": bees & ~leaked, "ants": ~bees}
    return {name: round(float(right[rows].mean()), 4) for name, rows in groups.items()}


def _draw(y: np.ndarray, seed: int) -> np.ndarray:
    """The first `EACH` of each class in one order of all, class by class: the stored rows rest on this very order.

    They took six pretrainings, so they are not drawn anew as `course_utils.data.splits.draw` would.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == c][:EACH] for c in np.unique(y)])


def leaked_bees() -> np.ndarray:
    """For each test photograph of ants and bees whether Tiny-ImageNet's class `bee` holds it too: N booleans."""
    theirs, leaked = thumbnails(_bees()), []
    for crop in ("centre", "squash"):  # however the source cut it
        ours = thumbnails(external.ants_bees(PIXELS, crop)[1][0])
        leaked.append(np.isin(np.arange(len(ours)), [i for i, _, _ in matches(ours, theirs)]))
    return np.any(leaked, axis=0)


def pretrained(pair: int, source: str) -> PhotoNet:
    """The network trained on the classes of a pair and on a source for its 50th class; trained once, then cached."""

    def make(folder: Path) -> Arrays:
        return {name: tensor.numpy() for name, tensor in train(*_source(pair, source), pair).state_dict().items()}

    weights = cached("leak-network", f"{pair} {source} {CLASSES} {WIDTHS} {EPOCHS}", make)
    model = _new(pair)
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return model


def train(x: np.ndarray, y: np.ndarray, seed: int) -> PhotoNet:
    """A new half-width network after a short run of the recipe that made PhotoNet, on the processor."""
    model, x, y = _new(seed), torch.from_numpy(x), torch.from_numpy(y)
    optimizer = recipe.make_optimizer(model)
    for epoch in range(EPOCHS):
        model.train()
        recipe.run_epoch(model, optimizer, x, y, epoch, {"seed": seed, "epochs": EPOCHS})
    recipe.settle_statistics(model, x)
    return model


def _new(seed: int) -> PhotoNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PhotoNet(pretrained=True, widths=WIDTHS)  # its statistics will be its own
        model.head = nn.Linear(model.width, CLASSES)
    return model.to(memory_format=torch.channels_last)


def _source(pair: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and labels that a network of a pair is pretrained on."""
    arrays = _arrays(pair)
    last = arrays["other_x"] if source == "no bee" else _bees()
    y = np.concatenate([arrays["shared_y"], np.full(len(last), CLASSES - 1)])
    return np.concatenate([arrays["shared_x"], last]), y


def _arrays(pair: int) -> Arrays:
    """Pictures of a pair at 64 px: 49 classes (`shared`) and one more (`other`), without those that a task holds."""

    def draw(folder: Path) -> Arrays:
        source = tiny_imagenet.read_zip(_zip(), "train")
        with DROPPED.open(newline="", encoding="utf-8") as file:
            source = tiny_imagenet.without(source, list(csv.DictReader(file)))
        chosen = np.random.default_rng(pair).permutation(len(source.wnids))[:CLASSES]
        rows = [np.flatnonzero(source.y == c) for c in chosen]
        shared = np.concatenate(rows[:-1])
        y = np.repeat(np.arange(CLASSES - 1), [len(part) for part in rows[:-1]])
        return {"shared_x": source.x[shared], "shared_y": y, "other_x": source.x[rows[-1]]}

    return cached("leak", f"{pair} {CLASSES} {PIXELS}", draw)


def _bees() -> np.ndarray:
    """The training pictures of the class that `read_zip` leaves out, uint8 N x 3 x 64 x 64."""
    with zipfile.ZipFile(_zip()) as archive:
        found = [m for name in archive.namelist() if (m := tiny_imagenet.MEMBER.search(name))]
        bees = [archive.read(m.string) for m in found if m[1] == "train" and m[2] == tiny_imagenet.LEFT_OUT]
    return np.stack([read_picture(io.BytesIO(raw), PIXELS) for raw in bees])


def _zip() -> Path:
    return tiny_imagenet.find_zip('Put it there, or read the stored rows: load_results("leak").')
