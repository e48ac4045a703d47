"""Drawing and holding out: nested, as large as asked, no group torn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import letters, splits

# --- drawing and holding out ---


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=80), st.integers(0, 10**6), st.integers(1, 30))
def test_draws_are_nested_sorted_and_as_large_as_asked(labels, seed, n):
    y, classes = np.array(labels), list("abcd")
    n = min(n, int(np.bincount(y).max()))
    large, notice = splits.draw(y, n, seed, classes)
    small, _ = splits.draw(y, max(1, n // 2), seed, classes)
    assert set(small) <= set(large) and (np.diff(large) > 0).all()
    counts = np.bincount(y, minlength=4)
    assert np.bincount(y[large], minlength=4).tolist() == np.minimum(counts, n).tolist()
    assert bool(notice) == bool((counts < n).any())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=5, max_size=120), st.booleans())
def test_held_out_is_a_fifth_and_no_group_is_torn(rows, grouped):
    y, groups = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    keys = [f"file {k}" for k in range(len(rows))]
    test = splits.hold_out(y, keys, groups if grouped else None)
    totals, tested = np.bincount(y), np.bincount(y[test], minlength=y.max() + 1)
    assert (tested[totals > 0] < totals[totals > 0]).all()  # every class trains
    if grouped:
        assert not set(groups[test]) & set(groups[~test])
    else:
        wanted = np.where(totals > 1, np.maximum(1, np.round(totals / 5)), 0)
        assert tested.tolist() == wanted.tolist()
        order = np.random.default_rng(0).permutation(len(y))
        assert np.array_equal(splits.hold_out(y[order], [keys[k] for k in order]), test[order])


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 30), ends=st.lists(st.integers(0, 29), max_size=60))
def test_groups_are_what_pairs_join(n, ends):
    pairs = [(i % n, j % n) for i, j in zip(ends[::2], ends[1::2], strict=False)]
    groups = splits.group_pairs(n, pairs)
    assert all(groups[i] == groups[j] for i, j in pairs) and len(groups) == n
    sets = [{k} for k in range(n)]
    for i, j in pairs:  # joined one after the other
        one, other = (next(s for s in sets if k in s) for k in (i, j))
        if one is not other:
            sets.remove(other)
            one |= other
    assert len(np.unique(groups)) == len(sets)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(1, 20))
def test_the_share_that_two_draws_hold_is_told_beforehand(labels, per_class):
    y, classes = np.array(labels), list("abcd")
    per_class = min(per_class, int(np.bincount(y).max()))
    draws = [set(splits.draw(y, per_class, seed, classes)[0]) for seed in range(40)]
    shared = [len(a & b) / len(a) for i, a in enumerate(draws) for b in draws[:i]]
    told = splits.shared_share(y, per_class)
    assert 0 < told <= 1 and abs(np.mean(shared) - told) < 0.12


def test_two_draws_of_a_thousand_letters_share_less_than_half():
    assert splits.shared_share(np.repeat(range(26), letters.COUNT["train"]), 1_000) == pytest.approx(0.4)
    assert splits.shared_share(np.array([0, 0, 0, 0, 1]), 2) == pytest.approx((1 + 1) / 3)  # 1 of 2, and 1 of 1


def test_chains_of_pairs_are_one_group():
    groups = splits.group_pairs(6, [(0, 1), (4, 1), (2, 3)])
    assert groups[0] == groups[1] == groups[4] and groups[2] == groups[3] and len(set(groups.tolist())) == 3
