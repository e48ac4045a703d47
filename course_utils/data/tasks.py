"""Every task of the course by name, and your own pictures or texts as one.

Images are uint8, N x 3 x H x W. The test split of a task is the same for every seed and size of training set.
data/README.md tells where each task comes from and under which licence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from course_utils.data import external, letters, surfaces
from course_utils.data.cache import LARGE, cached
from course_utils.data.downloads import cache_dir
from course_utils.data.folders import task_from_folder
from course_utils.data.images import to_square
from course_utils.data.splits import Examples, Split, Task, assemble, check_size, draw, enough_memory, hold_out, say
from course_utils.data.tables import task_from_csv
from course_utils.errors import BadData, DataUnavailable, check_number

__all__ = [
    "Split", "Task", "all_task_images", "available", "load_task", "pool_task", "task_from_csv", "task_from_folder",
]  # fmt: skip

SHIPPED = ("digits", "textures", "letters", "defects")
DEFAULT_SIZE = {"digits": 32, "letters": 32}  # the others: 64
MIRRORED = frozenset({"textures", "defects", "ants_bees", "tiles", "flowers102", "pets"})
NOT_COMPARED = ("flowers102", "pets")  # with the pretraining images
NAMES = (*SHIPPED, "ants_bees", "tiles", *NOT_COMPARED)


def load_task(
    name: str,
    per_class: int | None = None,
    seed: int = 0,
    image_size: int | None = None,
    label: str | None = None,
    fallback: str | None = None,
) -> Task:
    """The task `name` with `per_class` training images of each class, drawn by `seed` (None: all of them).

    From the installed packages: "digits", "textures" (recognising a photograph by an unseen part of it),
    "letters" (tested in unseen families of fonts; with `label="font"` the classes are fonts, tested on
    unseen letters) and "defects" (20 intact surfaces for one of each defect). From `COURSE_DATA_DIR` or their
    official addresses: "ants_bees", "tiles", "flowers102", "pets". `image_size` is in pixels; the default
    suits the task.

    Draws of one seed are nested, and the test split never moves. Where the data cannot be had, `fallback`
    names the task to go on with, which is said aloud and in `.notice`; without it, `DataUnavailable` says
    what to do. `BadData` when an argument is not possible.
    """
    _check(name, image_size, label, fallback)
    try:
        task = _load(name, per_class, seed, image_size, label)
    except DataUnavailable as error:
        if fallback is None:
            raise
        task = _load(fallback, per_class, seed, image_size, None)
        told = f"{name} cannot be had here, so this is {fallback} instead: {str(error).splitlines()[0]}"
        say(told)
        task = replace(task, notice=" ".join(filter(None, (told, task.notice))))
    return task


def pool_task(task: Task, per_class: int, seed: int) -> Task:
    """A task within the training pool of `task`, to tune on: `per_class` to train, up to 1,000 others to score.

    What is scored is apart as the test split is: where a class has several groups (font families, tiles), whole
    groups are held out, at most two fifths of each class. `BadData` when nothing of a class would be left to score.
    """
    check_number("per_class", per_class, least=1, whole=True, error=BadData)
    check_number("seed", seed, least=0, whole=True, error=BadData)
    x, y, groups = task.train.x, task.train.y, task.train.groups
    counts = np.bincount(y)
    apart = np.zeros(len(y), bool) if groups is None else _whole_groups(y, groups, counts - per_class, seed)
    if apart is None or per_class >= counts[counts > 0].min():
        raise BadData(
            f"per_class={per_class} leaves nothing of some class of {task.name} to score: the smallest has "
            f"{counts[counts > 0].min()} training examples.\nWhole groups (font families, tiles) stay on one side. "
            "Choose fewer, or load more to draw from."
        )
    order = np.random.default_rng(seed).permutation(len(y))
    left = np.flatnonzero(~apart)
    train = left[draw(y[left], per_class, seed, task.classes)[0]]
    scored = order[apart[order]] if apart.any() else order[~np.isin(order, train)]
    train, test = (Split(x[r], y[r], None if groups is None else groups[r]) for r in (train, scored[:1000]))
    return replace(task, train=train, test=test)


def _whole_groups(y: np.ndarray, groups: np.ndarray, spare: np.ndarray, seed: int) -> np.ndarray | None:
    """True for the examples of some groups, chosen by `seed`: at most two fifths of each class, and what it can spare.

    Each class that has several groups is among them; None where a hundred orders of the groups do not bring that.
    """
    names, number = np.unique(groups, return_inverse=True)
    content = np.zeros((len(names), len(spare)), int)
    np.add.at(content, (number, y), 1)
    several, most = (content > 0).sum(0) > 1, np.minimum(0.4 * content.sum(0), spare)
    rng = np.random.default_rng(seed)
    for _ in range(100):
        taken, chosen = np.zeros(len(spare), int), []
        for group in rng.permutation(len(names)) if several.any() else ():
            if (taken + content[group] <= most)[content[group] > 0].all():
                taken, chosen = taken + content[group], [*chosen, group]
        if taken[several].all():
            return np.isin(number, chosen)
    return None


def available() -> dict[str, str]:
    """Where each task is from on this machine, by name; nothing is downloaded to find out."""
    places = dict.fromkeys(SHIPPED, "in the installed packages")
    for name, path in (("ants_bees", external.find_ants_bees()), ("tiles", external.find_tiles())):
        if path is not None:
            places[name] = "downloaded" if path.is_relative_to(cache_dir()) else f"COURSE_DATA_DIR: {path.name}"
    places.update({name: "downloaded" for name in NOT_COMPARED if external.has_oxford(name)})
    return {name: places.get(name) or f"not here: {external.HOW_TO_GET[name]}" for name in NAMES}


def all_task_images() -> Iterator[tuple[str, np.ndarray]]:
    """The task name and images, both splits, of every task that ships or lies in `COURSE_DATA_DIR`.

    Photographs that are not square come twice: cut to the middle square, and squashed to a square. Of the letters
    that train come 200 of each class: all are drawn alike, and there are thousands.
    """
    for name in SHIPPED:
        for label in ("letter", "font") if name == "letters" else (None,):
            task = _load(name, 200 if label else None, 0, None, label)
            yield from ((name, task.train.x), (name, task.test.x))
    for name, find in (("ants_bees", external.find_ants_bees), ("tiles", external.find_tiles)):
        for crop in ("centre", "squash") if find() else ():
            train, test = getattr(external, name)(64, crop)
            yield from ((name, train[0]), (name, test[0]))


def _check(name: str, image_size: int | None, label: str | None, fallback: str | None) -> None:
    for wanted in (name, *(() if fallback is None else (fallback,))):
        if wanted not in NAMES:
            near = difflib.get_close_matches(str(wanted), NAMES, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise BadData(f"There is no task {wanted!r}.{hint}\nThe tasks are: {', '.join(NAMES)}.")
    if label is not None and (name != "letters" or label not in ("letter", "font")):
        raise BadData(
            f"label={label!r} is not possible for {name}.\nOnly letters has labels to choose from: "
            'label="letter" or label="font". Leave it out otherwise.'
        )
    check_size(image_size)


def _load(name: str, per_class: int | None, seed: int, image_size: int | None, label: str | None) -> Task:
    size = int(image_size or DEFAULT_SIZE.get(name, 64))
    classes, train, test = _letters(size, label or "letter") if name == "letters" else _MAKE[name](size)
    return assemble(name, classes, train, test, name in MIRRORED, per_class, seed)


def _digits(size: int) -> tuple[list[str], tuple, Examples]:
    """Only the training digits that are chosen are drawn."""
    grey, y = load_digits(return_X_y=True)
    grey = np.round(grey.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    test = hold_out(y, [str(k) for k in range(len(y))])

    def drawn(which: np.ndarray) -> np.ndarray:
        with enough_memory("digits"):
            x = np.empty((len(which), 3, size, size), np.uint8)
            if x.nbytes > LARGE:
                say(f"Drawing {len(x):,} digits of {size} px, {x.nbytes / 1e9:.2g} GB; smaller ones take less.")
            for k, one in enumerate(which):
                x[k] = to_square(Image.fromarray(one).convert("RGB"), size)
        return x

    train = (lambda rows: drawn(grey[~test][rows])), y[~test]
    return [str(k) for k in range(10)], train, (drawn(grey[test]), y[test])


def _surfaces(name: str, classes: list[str], size: int) -> tuple[list[str], Examples, Examples]:
    def make(_: Path) -> dict[str, np.ndarray]:
        parts = {part: getattr(surfaces, name)(part, size) for part in ("train", "test")}
        return {f"{part}_{k}": pair[i] for part, pair in parts.items() for i, k in enumerate("xy")}

    got = cached(name, f"{surfaces.VERSION} {size}", make)
    sides = [(got[f"{part}_x"], got[f"{part}_y"]) for part in ("train", "test")]
    if name == "textures":  # a class is one photograph
        sides = [(*side, side[1]) for side in sides]
    return classes, *sides


def _letters(size: int, label: str) -> tuple[list[str], tuple, Examples]:
    """Training letters are drawn when they are chosen; the test letters are kept on disk."""
    classes = letters.letter_classes(label)
    numbers = {part: np.arange(len(classes) * letters.COUNT[part]) for part in ("train", "test")}

    def make(_: Path) -> dict[str, np.ndarray]:
        return {"x": letters.draw_letters(label, "test", numbers["test"], size)}

    test_x = cached("letters", f"{letters.VERSION} {label} {size}", make)["x"]
    y = {part: k // letters.COUNT[part] for part, k in numbers.items()}
    families = {part: [letters.families_of(part)] if label == "letter" else [] for part in y}
    draw_train = partial(letters.draw_letters, label, "train", size=size)
    return classes, (draw_train, y["train"], *families["train"]), (test_x, y["test"], *families["test"])


_MAKE = {
    "digits": _digits,
    "textures": lambda size: _surfaces("textures", list(surfaces.PHOTOGRAPHS), size),
    "defects": lambda size: _surfaces("defects", surfaces.DEFECTS, size),
    "ants_bees": lambda size: (external.ANTS_BEES, *external.ants_bees(size)),
    "tiles": lambda size: (external.TILES, *external.tiles(size)),
    "flowers102": partial(external.oxford, "flowers102"),
    "pets": partial(external.oxford, "pets"),
}
