"""Lesson 02's exercise on duplicates: the split they are planted in, the solution, and what people do instead."""

from functools import cache

import numpy as np

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake


def copies(train: np.ndarray, test: np.ndarray) -> list[int]:
    """The rows of `test` (N x 3 x H x W) that correlate above .95 with a picture of `train`, in order."""

    def directions(pictures: np.ndarray) -> np.ndarray:
        flat = pictures.reshape(len(pictures), -1).astype(float)
        flat = flat - flat.mean(axis=1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    alike = directions(test) @ directions(train).T
    return np.flatnonzero(alike.max(axis=1) > 0.95).tolist()


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1).astype(float)


def _unit(flat: np.ndarray) -> np.ndarray:
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def _correlations(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A row a test picture, a column a training picture."""
    return np.corrcoef(_flat(test), _flat(train))[: len(test), len(test) :]


def _by_corrcoef(train: np.ndarray, test: np.ndarray) -> list[int]:
    table = _correlations(train, test)
    return [row for row, line in enumerate(table) if any(line > 0.95)]


def _one_by_one(train: np.ndarray, test: np.ndarray) -> list[int]:
    found = []
    for row, picture in enumerate(test):
        if max(np.corrcoef(picture.ravel(), other.ravel())[0, 1] for other in train) > 0.95:
            found.append(row)
    return found


def _cosine(train: np.ndarray, test: np.ndarray, least: float = 0.95) -> list[int]:
    return np.flatnonzero((_unit(_flat(test)) @ _unit(_flat(train)).T).max(1) > least).tolist()


def _equal(train: np.ndarray, test: np.ndarray) -> list[int]:
    return [row for row, picture in enumerate(test) if any(np.array_equal(picture, other) for other in train)]


def _apart(train: np.ndarray, test: np.ndarray, most: float) -> list[int]:
    others = _flat(train)
    return [row for row, picture in enumerate(_flat(test)) if abs(others - picture).mean(axis=1).min() < most]


def _close(train: np.ndarray, test: np.ndarray, least: float) -> list[int]:
    return np.flatnonzero(_correlations(train, test).max(axis=1) > least).tolist()


def _pairs(train: np.ndarray, test: np.ndarray) -> list[tuple[int, int]]:
    return [(int(row), int(column)) for row, column in np.argwhere(_correlations(train, test) > 0.95)]


EXACT = "You find copies that are the same in every pixel. One saved anew is a little brighter or noisier: correlate."
CENTRE = "Without their mean taken off, all photographs look alike: their pixels are all positive. Centre each first."
SWAPPED = "Those are rows of `train`. Asked for are rows of `test`."
DIFFERENCE = "A copy can be brighter in every pixel, so differences miss it. Correlation does not see brightness."
LOOSE = "You also take pictures that are merely alike. A copy correlates above .95."
WHICH = "Asked for are the rows of `test` alone, each once, not pairs."
OTHERS = "Those are the ones that have no copy. Asked for are those that have."
ARRAY = "Those are the right rows. Asked for is a list: end with `.tolist()`."
WHOLE = ("`np.corrcoef(a, b)` correlates all pictures with all, each with itself too. Cut out the rows of one and the "
         "columns of the other: `[:len(test), len(test):]`.")  # fmt: skip
COUNT = "Which ones, not how many: give the list of their rows."
YES_NO = "You give a yes or no for each picture. `np.flatnonzero(yes).tolist()` makes the list of rows."

COPY_MISTAKES = (
    Mistake(_equal, EXACT),
    *(Mistake(lambda a, b, least=least: _cosine(a, b, least), CENTRE) for least in (0.9, 0.95, 0.99)),
    Mistake(lambda a, b: copies(b, a), SWAPPED),
    *(Mistake(lambda a, b, most=most: _apart(a, b, most), DIFFERENCE) for most in (8, 10, 15)),
    *(Mistake(lambda a, b, least=least: _close(a, b, least), LOOSE) for least in (0.5, 0.6, 0.7)),
    Mistake(_pairs, WHICH),
    Mistake(lambda a, b: sorted(set(range(len(b))) - set(copies(a, b))), OTHERS),
    Mistake(lambda a, b: len(copies(a, b)), COUNT),
    Mistake(lambda a, b: np.array(copies(a, b)), ARRAY),
    Mistake(lambda a, b: list(range(len(b))), WHOLE),
    Mistake(lambda a, b: np.flatnonzero(np.corrcoef(_flat(b), _flat(a)).max(axis=1) > 0.95).tolist(), WHOLE),
    Mistake(lambda a, b: np.isin(np.arange(len(b)), copies(a, b)), YES_NO),
)  # fmt: skip


@cache
def _photographs() -> tuple[np.ndarray, np.ndarray]:
    """Photographs of textures, 32 px, none of them alike (correlation of their pixels below .8).

    Plain ones, and ones so bright or dark that a brighter or darker copy would lose its outlines, are left out.
    """
    task = load_task("textures", per_class=30, seed=0, image_size=32)
    pool = np.concatenate([task.train.x, task.test.x[::4]])
    low, high = np.quantile(pool, (0.05, 0.95), axis=(1, 2, 3))
    pool = pool[(low > 30) & (high < 225) & (high - low > 60)]
    alike, kept = np.corrcoef(_flat(pool)), []
    for row, line in enumerate(alike):
        if line[kept].max(initial=0) < 0.8:
            kept.append(row)
    return pool[kept[::2]], pool[kept[1::2]]


def planted(seed: int = 0, train: int = 20, test: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A split with duplicates: two exact copies in the test pictures, two brighter or darker ones, two noisy ones.

    Returns training and test pictures, uint8 N x 3 x 32 x 32.
    """
    rng = np.random.default_rng(seed)
    ours, others = (pool[rng.permutation(len(pool))[:count]] for pool, count in
                    zip(_photographs(), (train, test), strict=True))  # fmt: skip
    there, here = rng.permutation(train)[:6], rng.permutation(test)[:6]
    light = rng.choice([-1, 1], 2) * rng.integers(24, 40, 2)
    change = np.zeros((6, *ours.shape[1:]))
    change[2:4] = light[:, None, None, None]
    change[4:] = rng.normal(0, 6, change[4:].shape)
    others[here] = (ours[there] + change).clip(0, 255).round()
    return ours, others


def _copy_cases() -> list[tuple]:
    return [planted(seed) for seed in range(5)]


def _copy_draw(rng: np.random.Generator) -> tuple:
    return planted(int(rng.integers(100, 10_000)), int(rng.integers(8, 15)), int(rng.integers(8, 15)))


COPIES = Exercise(
    name="02-copies",
    solution=copies,
    can_do="You can find the pictures that are on both sides of a split, also when they were saved anew.",
    hints=(
        "Lay each picture flat: `pictures.reshape(len(pictures), -1).astype(float)`. Then compare rows.",
        "Take each row's mean off and divide it by its length: then `test @ train.T` holds all correlations.",
        "`np.flatnonzero(correlations.max(axis=1) > 0.95).tolist()` are the rows of `test` that have a copy.",
    ),
    mistakes=COPY_MISTAKES,
    cases=_copy_cases,
    draw=_copy_draw,
    right=(_by_corrcoef, _one_by_one),
)
