"""What a task is, who trains and who tests, and how a seed draws a few examples of each class."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from course_utils.errors import BadData, DataUnavailable, check_number

TEST_SHARE = 0.2
Examples = tuple[np.ndarray, ...]  # x and y, and groups where examples share something
_said: set[str] = set()


@dataclass(frozen=True, eq=False)
class Split:
    """Examples `x` and their classes `y` (int64, N).

    Images are uint8, N x 3 x H x W (in memory or memory-mapped); texts are an array of N strings. `groups` (N)
    names what examples share (a font family, a tile, a photograph); None where each stands for itself.
    """

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: its class names, what to train on and what to test on.

    `photographs` says that a mirror image is as good as the picture. `notice` is what was told on loading, if
    anything: missing data replaced, classes smaller than asked for, files left out.
    """

    name: str
    classes: list[str]
    train: Split
    test: Split
    photographs: bool
    notice: str = ""

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.train.x.shape[1:])) or "text"
        return (
            f"Task {self.name!r}: {len(self.classes)} classes, {len(self.train):,} to train and "
            f"{len(self.test):,} to test ({shape})"
        )


def draw(y: np.ndarray, per_class: int | None, seed: int, classes: Sequence[str]) -> tuple[np.ndarray | None, str]:
    """The positions of `per_class` examples of each class, drawn by `seed`, in ascending order; and a notice.

    Draws of one seed are nested: those of 5 are among those of 10. None means all (and so does the answer
    None). A class that has fewer gives all it has, which the notice says; `BadData` when every class has
    fewer, since a result would then be filed under a size that it does not have.
    """
    check_number("seed", seed, least=0, whole=True, error=BadData)
    if per_class is None:
        return None, ""
    check_number("per_class", per_class, least=1, whole=True, error=BadData)
    counts = np.bincount(y, minlength=len(classes))
    if per_class > counts.max():
        raise BadData(
            f"per_class={per_class} is too large: the largest class has {counts.max()} training examples, "
            f"the smallest {counts.min()}.\nChoose {counts.min()} or fewer, or leave it out to take all."
        )
    picked = []
    for c in range(len(classes)):
        shuffled = np.random.default_rng([seed, c]).permutation(np.flatnonzero(y == c))
        picked.append(shuffled[:per_class])
    small = [f"{classes[c]} ({counts[c]})" for c in np.flatnonzero(counts < per_class)]
    notice = f"Fewer than {per_class} training examples, so all are taken: {', '.join(small)}." if small else ""
    return np.sort(np.concatenate(picked)), notice


def shared_share(y: np.ndarray, per_class: int) -> float:
    """The share of one draw of `per_class` examples of each class that another seed's draw holds too, on average."""
    counts = np.bincount(y)
    counts = counts[counts > 0]
    taken = np.minimum(per_class, counts)
    return float((taken**2 / counts).sum() / taken.sum())


def check_size(image_size: int | None) -> None:
    """`BadData` unless `image_size` is None or a whole number of pixels from 8 to 1024."""
    if image_size is None:
        return
    if isinstance(image_size, bool) or not isinstance(image_size, (int, np.integer)) or not 8 <= image_size <= 1024:
        raise BadData(f"image_size={image_size!r} is not possible.\nGive a whole number of pixels from 8 to 1024.")


def say(text: str) -> None:
    """Print a notice, once in this process."""
    if text and text not in _said:
        _said.add(text)
        print(text)


def announce(problems: Sequence[str], notices: Sequence[str]) -> str:
    """Warn of problems where the caller's caller stands, print notices, and return all as one text."""
    for text in problems:
        warnings.warn(text, stacklevel=3)
    for text in notices:
        say(text)
    return " ".join([*problems, *notices])


def show_some(names: Sequence[str], most: int = 10) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def assemble(
    name: str,
    classes: Sequence[str],
    train: tuple[np.ndarray | Callable[[np.ndarray], np.ndarray], np.ndarray] | Examples,
    test: Examples,
    photographs: bool,
    per_class: int | None,
    seed: int,
    notice: str = "",
) -> Task:
    """A `Task` from all training examples (or a function that makes those chosen) and the test examples."""
    x, y = train[0], np.asarray(train[1], np.int64)
    chosen, fewer = draw(y, per_class, seed, classes)
    say(fewer)
    rows = np.arange(len(y)) if chosen is None else chosen
    groups = train[2][rows] if len(train) > 2 else None
    with enough_memory(name):
        split = Split(x(rows) if callable(x) else x if chosen is None else x[rows], y[rows], groups)
    notices = " ".join(filter(None, (notice, fewer)))
    tested = Split(test[0], np.asarray(test[1], np.int64), *test[2:])
    return Task(name, list(classes), split, tested, photographs, notices)


@contextlib.contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Memory too short inside is `DataUnavailable`: it says nothing of the data, and it may be tried again."""
    try:
        yield
    except MemoryError as error:
        raise DataUnavailable(
            f"The memory is too short to prepare {name}.\n"
            "Close other notebooks, or choose a smaller image_size; then run the cell again."
        ) from error


def hold_out(y: np.ndarray, keys: Sequence[str], groups: np.ndarray | None = None) -> np.ndarray:
    """True for the examples that test: about a fifth of each class, never a part of a group.

    Which fifth is settled by a digest of the `keys` (file names, texts), so it does not depend on a seed
    and hardly moves when examples are added. `groups` (N integers) keeps examples of one group on one side;
    then the rarest class chooses first, and a class of one group only is not tested. A class of one example
    trains.
    """
    groups = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort([hashlib.sha256(str(key).encode()).hexdigest() for key in keys], kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    ranked = groups[order][np.sort(first)]  # every group once, in the order of its first digest
    content = np.zeros((len(ranked), y.max() + 1), int)
    np.add.at(content, (groups, y), 1)
    totals = content.sum(0)
    targets = np.where(totals > 1, np.maximum(1, np.round(totals * TEST_SHARE)), 0)
    tested, taken = np.zeros_like(totals), np.zeros(len(ranked), bool)
    for c in np.argsort(totals, kind="stable"):
        for group in ranked[content[ranked, c] > 0]:
            wanted, after = targets[c] - tested[c], tested + content[group]
            if wanted <= 0:
                break
            leaves_some = (after < totals)[content[group] > 0].all()
            if not taken[group] and leaves_some and content[group, c] <= max(1, 2 * wanted):
                taken[group], tested = True, after
    return taken[groups]


def group_pairs(n: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """A group number for each of `n` examples: those joined by pairs, directly or in a chain, share one."""
    ends = np.array(pairs, int).reshape(-1, 2).T
    joined = coo_array((np.ones(ends.shape[1]), ends), shape=(n, n))
    return connected_components(joined, directed=False)[1]
