"""Similarity of features against slow formulas, what leaves it as it is, its floor."""

from itertools import permutations

import numpy as np
import pytest

import course_utils
from course_utils.errors import CourseError
from course_utils.similarity import cka


def related(n, seed=0, d1=5, d2=3):
    """Features of which the second depend on the first in part, with a mean that is not zero."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d1)) ** 2 + 3
    return a, a @ rng.normal(size=(d1, d2)) + rng.normal(size=(n, d2))


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def biased_hsic(a, b):
    n = len(a)
    centring = np.eye(n) - 1 / n
    return np.trace(a @ a.T @ centring @ b @ b.T @ centring)


def unbiased_hsic(a, b):
    """The mean over all ordered quadruples of different pictures: the U-statistic itself, in plain loops."""
    k, m = a @ a.T, b @ b.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(a)), 4)]
    return float(np.mean(terms))


def song(a, b):
    """Equation 5 of Song et al. 2012, with whole kernel matrices."""
    n = len(a)
    k, m = (x @ x.T * (1 - np.eye(n)) for x in (a, b))
    ones = np.ones(n)
    outer = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + outer - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def slow(hsic, a, b):
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


@pytest.mark.parametrize("seed", range(3))
def test_debiased_cka_is_that_of_all_quadruples(seed):
    a, b = related(9, seed)
    assert cka(a, b) == pytest.approx(slow(unbiased_hsic, a, b), rel=1e-9)


@pytest.mark.parametrize("shape", [(4, 2, 2), (30, 5, 3), (12, 40, 60), (30, 1, 200)])
def test_cka_with_more_pictures_than_features_and_with_fewer(shape):
    a, b = related(shape[0], 1, *shape[1:])
    assert cka(a, b) == pytest.approx(slow(song, a, b), rel=1e-9)
    assert cka(a, b, debiased=False) == pytest.approx(slow(biased_hsic, a, b), rel=1e-9)


def test_unrelated_features_have_a_floor_that_debiasing_takes_away():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(397, 256)), rng.normal(size=(397, 256))) for _ in range(10)]
    assert abs(np.mean([cka(a, b) for a, b in pairs])) < 0.02
    plain = np.mean([cka(a, b, debiased=False) for a, b in pairs])
    assert plain == pytest.approx(0.39, abs=0.01) and plain == pytest.approx(256 / (256 + 397), abs=0.01)


@pytest.mark.parametrize("debiased", [True, False])
def test_rotation_scale_shift_and_order_of_the_two_change_nothing(debiased):
    a, b = related(50)
    before = cka(a, b, debiased)
    assert 0.1 < before < 0.99
    assert cka(a @ rotation(5), -7 * b + 100, debiased) == pytest.approx(before, rel=1e-9)
    assert cka(b, a, debiased) == pytest.approx(before, rel=1e-12)
    for scales in ((1e-6, 1e9), (1e200, -1e200), (1e-200, 1e307), (1e-300, 1)):
        assert cka(scales[0] * a, scales[1] * b, debiased) == pytest.approx(before, rel=1e-9)
    order = np.random.default_rng(0).permutation(50)
    assert cka(a[order], b[order], debiased) == pytest.approx(before, rel=1e-9)
    assert cka(a, a @ rotation(5), debiased) == pytest.approx(1) and type(before) is float


def test_one_feature_stretched_is_another_view():
    a, _ = related(50)
    assert cka(a, a * [9, 1, 1, 1, 1]) < 0.95


def test_float32_with_a_large_mean_is_computed_in_double_precision():
    a, b = (x.astype(np.float32) for x in related(500))
    shifted = (a + np.float32(64)).astype(np.float64), b.astype(np.float64)
    assert cka(a + np.float32(64), b) == pytest.approx(slow(song, *(x - x.mean(0) for x in shifted)), rel=1e-9)


def test_the_public_name_is_the_function():
    assert course_utils.cka is cka and "cka" in course_utils.__all__


A, B = related(10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((A, B[:9]), "of 10 and of 9"),
        ((A[:3], B[:3]), "4 or more; these are of 3"),
        ((A[:, 0], B), r"a is float64 of shape \(10,\)"),
        ((A, B.reshape(10, 3, 1, 1)), r"b is float64 of shape \(10, 3, 1, 1\); features are numbers, N x D"),
        ((A, B[:, :0]), r"shape \(10, 0\)"),
        ((A, np.full((10, 2), "x")), "features are numbers"),
        ((A, np.where(B > 3, np.nan, B)), "b holds values that are not finite"),
        ((np.full((10, 3), 0.1), B), "a does not vary"),
        ((A, np.full((10, 3), 1e6 / 3, np.float32)), "b does not vary"),
        ((A, np.eye(10)[:, :1] * 0.3), "b does not vary: .* the same for all pictures, or for all but one"),
    ],
)
def test_what_cannot_be_compared_is_an_error_in_three_lines(arguments, said):
    with pytest.raises(CourseError, match=said) as caught:
        cka(*arguments)
    assert len(str(caught.value).splitlines()) <= 3


def test_plain_cka_needs_features_that_vary_too():
    with pytest.raises(CourseError, match="does not vary"):
        cka(A, np.full((10, 3), 0.1), debiased=False)
