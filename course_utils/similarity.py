"""Similarity of features: do two networks see the same in the same pictures?"""

import numpy as np

from course_utils.errors import CourseError, check_finite, check_switch

FLAT = 1e-12  # of the squared size of features: what rounding leaves of a dependence that is zero


def cka(a: np.ndarray, b: np.ndarray, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two networks' features of the same pictures: 1 for the same, 0 for unrelated.

    Rotating, shifting or scaling the features as a whole changes nothing. The plain form counts how alike each
    picture is to itself, so it is far above zero for unrelated features unless there are many more pictures than
    features; the debiased one is zero for them in the mean, and may come out a little below.

    Args:
        a: N x D1, as from `extract`.
        b: N x D2, the same pictures in the same order.
        debiased: False gives the plain form.
    Raises:
        CourseError: other shapes, fewer than 4 pictures, features that are not finite or do not vary.
    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3; debiased as
        in Nguyen et al. 2021, "Do wide and deep networks learn the same things?", section 3, by the unbiased
        estimator of Song et al. 2012, "Feature selection via dependence maximization", equation 5.
    """
    check_switch("debiased", debiased)
    a, b = _features("a", a), _features("b", b)
    if len(a) != len(b) or len(a) < 4:
        raise CourseError(
            f"cka compares features of the same pictures, 4 or more; these are of {len(a)} and of {len(b)}.\n"
            "Extract both from the same pictures: extract(model_a, x) and extract(model_b, x)."
        )
    a, b = _centred(a), _centred(b)
    return float(_dependence(a, b, debiased) / np.sqrt(_own(a, "a", debiased) * _own(b, "b", debiased)))


def _features(name: str, features: np.ndarray) -> np.ndarray:
    """As float64 N x D by a power of two, which rounds nothing: sums over thousands of squares lose nothing either."""
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "biuf":
        raise CourseError(
            f"{name} is {features.dtype} of shape {features.shape}; features are numbers, N x D.\n"
            "extract(model, x) gives such; of maps with positions, take the mean: maps.mean((2, 3))."
        )
    features = features.astype(np.float64)
    check_finite(np.isfinite(features).all(), f"{name} holds values that are not finite")
    return np.ldexp(features, -np.frexp(np.abs(features).max(initial=0))[1])  # to -1 to 1: squares have room


def _centred(features: np.ndarray) -> np.ndarray:
    """Features minus their mean over pictures; those that are the same for all pictures become exactly zero."""
    features = features - features[0]
    return features - features.mean(0)


def _own(a: np.ndarray, name: str, debiased: bool) -> float:
    """The dependence of centred features on themselves, by which a comparison is scaled."""
    own = _dependence(a, a, debiased)
    if own <= FLAT * (a**2).sum() ** 2:
        raise CourseError(
            f"{name} does not vary: its features are the same for all pictures, or for all but one.\n"
            "There is nothing to compare. Is it the right stage, and are the pictures different ones?"
        )
    return own


def _dependence(a: np.ndarray, b: np.ndarray, debiased: bool) -> float:
    """The dependence (HSIC) of centred features: N² times the biased or N (N - 3) times the unbiased estimate.

    The unbiased one leaves out the diagonals of K = a aᵀ and L = b bᵀ. A row of K adds up to zero, since `a` is
    centred; without its diagonal it adds up to minus that. So K and L, N x N, need not be made.
    """
    n, pairs = len(a), _products(a, b)
    if not debiased:
        return pairs
    diagonal_a, diagonal_b = (a**2).sum(1), (b**2).sum(1)
    everything = diagonal_a.sum() * diagonal_b.sum() / ((n - 1) * (n - 2))
    return pairs + everything - diagonal_a @ diagonal_b * n / (n - 2)


def _products(a: np.ndarray, b: np.ndarray) -> float:
    """The sum over all pairs of pictures of (their product in a) x (their product in b), by the cheaper way."""
    n, d1, d2 = len(a), a.shape[1], b.shape[1]
    if n * n < d1 * d2:
        return float(np.vdot(a @ a.T, b @ b.T))
    return float(((a.T @ b) ** 2).sum())
