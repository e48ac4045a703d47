"""Lesson 01's exercise on CKA: how alike are the features of two networks?"""

from functools import cache

import numpy as np

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake
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
def _cka_cases() -> list[tuple]:
    """Stages of PhotoNet, then features in which centring, scale, shape or the number of pictures matter."""
    from course_utils.features import extract
    from course_utils.models.loading import load_model

    seen = extract(load_model("photonet"), load_task("digits", per_class=4).train.x, "all", device="cpu")
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
