"""Evidence: paired differences and their coverage, claims and their verdicts, how many times fewer."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from course_utils.errors import CourseError
from course_utils.evidence.claims import claim, mean_interval, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.evidence.results import pack


def pairs(a, b, on="strategy", **more):
    """A table of two arms, a row for each seed."""
    rows = [
        {on: name, "seed": seed, "accuracy": v}
        for name, arm in zip("ab", (a, b), strict=True)
        for seed, v in enumerate(arm)
    ]
    return pd.DataFrame(rows).assign(**more)


def from_gaps(gaps):
    return pairs(0.5 + np.asarray(gaps), np.full(len(gaps), 0.5))


# --- intervals ---


def test_the_interval_is_students_t():
    values = np.array([0.61, 0.7, 0.66, 0.72, 0.64])
    mean, low, high, n = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert (mean, n) == (pytest.approx(values.mean()), 5)


def test_one_value_has_no_interval():
    assert np.isnan(mean_interval([0.5])[1:3]).all()


# --- paired differences ---


def test_pairs_are_made_by_seed_whatever_the_order():
    draw = np.random.default_rng(0)
    a, b = draw.normal(0.7, 0.1, 10), draw.normal(0.6, 0.1, 10)
    effect = paired_difference(pairs(a, b).sample(frac=1, random_state=0), "a", "b")
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert effect.mean == pytest.approx((a - b).mean())
    assert (effect.low, effect.high) == pytest.approx((expected.low, expected.high))
    assert np.allclose(effect.differences, a - b) and effect.n == 10
    back = paired_difference(pairs(a, b), "b", "a")
    assert (back.mean, back.low, back.high) == pytest.approx((-effect.mean, -effect.high, -effect.low))


def test_agreement_counts_seeds_with_the_sign_of_the_mean_and_ties_apart():
    effect = paired_difference(from_gaps([0.1, 0.2, 0.1, -0.1, 0.0, 0.0]), "a", "b")
    assert (effect.agree, effect.ties, effect.n) == (3, 2, 6)
    assert "3 of 6 seeds agree, 2 tied" in str(effect)
    assert paired_difference(from_gaps([-0.1, -0.2, 0.1, -0.1, -0.2]), "a", "b").agree == 4


def test_below_five_pairs_there_are_points_only():
    effect = paired_difference(from_gaps([0.1, 0.2, 0.1, 0.15]), "a", "b")
    assert np.isnan([effect.low, effect.high]).all() and effect.mean == pytest.approx(0.1375)
    assert "no interval" in str(effect) and len(effect.differences) == 4


def test_seeds_of_one_arm_alone_make_no_pair():
    table = pairs(np.full(8, 0.6), np.full(8, 0.5))
    assert paired_difference(table[(table.strategy == "a") | (table.seed < 6)], "a", "b").n == 6
    with pytest.raises(CourseError, match="No seed"):
        paired_difference(table[(table.strategy == "a") == (table.seed < 4)], "a", "b")


def test_another_column_may_name_the_arms():
    assert paired_difference(pairs(np.full(5, 0.6), np.full(5, 0.5), on="task"), "a", "b", on="task").mean == 0.1


def test_several_rows_a_seed_are_an_error_that_names_the_column_to_filter_by():
    table = pd.concat([from_gaps([0.1] * 5).assign(per_class=n, seconds=n) for n in (2, 10)])
    with pytest.raises(CourseError, match="Filter the table by per_class first") as error:
        paired_difference(table, "a", "b")
    assert len(str(error.value).splitlines()) <= 3
    twice = pd.concat([from_gaps([0.1] * 5)] * 2)
    with pytest.raises(CourseError, match="twice"):
        paired_difference(twice, "a", "b")


@pytest.mark.parametrize(
    ("a", "on", "said"), [("c", "strategy", "there is 'a', 'b'"), ("a", "task", "no column 'task'")]
)
def test_what_is_not_there_is_named(a, on, said):
    with pytest.raises(CourseError, match=said):
        paired_difference(from_gaps([0.1] * 5), a, "b", on=on)


# --- coverage, by simulation ---
N_ITEMS = 153


def simulated(draw, n, seed_spread=0.04, count=4000):
    """Accuracies, count x n, of two arms of equal worth: each seed shifts both, each arm varies, 153 test items."""
    shift = draw.normal(0, seed_spread, (count, n))
    worth = (0.7 + shift + draw.normal(0, 0.03, (2, count, n))).clip(0, 1)
    return draw.binomial(N_ITEMS, worth) / N_ITEMS


def intervals(a, b):
    """The ends of many intervals at once, from accuracies count x n; the first twenty are held against our own."""
    found = stats.ttest_rel(a, b, axis=1).confidence_interval()
    ours = [paired_difference(pairs(*arms), "a", "b") for arms in zip(a[:20], b[:20], strict=True)]
    assert [(effect.low, effect.high) for effect in ours] == [
        pytest.approx(ends) for ends in zip(found.low[:20], found.high[:20], strict=True)
    ]
    return found.low, found.high


@pytest.mark.parametrize("n", [5, 10, 20])
def test_false_alarms_lie_between_3_and_7_percent(n):
    low, high = intervals(*simulated(np.random.default_rng(n), n))
    assert 0.03 <= 1 - np.mean((low <= 0) & (high >= 0)) <= 0.07


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_interval_catches_a_true_difference_95_times_in_100(n):
    a, b = simulated(np.random.default_rng(n + 100), n)
    low, high = intervals(a + 0.05, b)
    assert 0.93 <= np.mean((low <= 0.05) & (high >= 0.05)) <= 0.97


def test_false_alarms_on_stored_runs_of_the_same_arm():
    """Real accuracies: twenty runs of one arm, in random pairs; there is no difference to be found."""
    race = load_results("lesson00_race").query("strategy == 'feature_extraction'")["accuracy"].to_numpy()
    shuffled = np.random.default_rng(0).permuted(np.tile(race, (4000, 1)), axis=1)
    low, high = intervals(shuffled[:, :10], shuffled[:, 10:])
    assert 1 - np.mean((low <= 0) & (high >= 0)) <= 0.07


def with_items(draw, n=10, items=N_ITEMS, spread=1.0):
    """Two arms of equal worth over all possible items; each item suits one arm better, drawn anew each time."""
    suits = draw.normal(0, spread, items)  # in favour of arm a, by chance of the items
    tables = []
    for name, sign in (("a", 0.5), ("b", -0.5)):
        chance = 1 / (1 + np.exp(-(0.8 + sign * suits + draw.normal(0, 0.1, (n, 1)))))
        hits = draw.random((n, items)) < chance
        tables += [
            {"strategy": name, "seed": s, "accuracy": round(h.mean(), 4), "correct": pack(h)}
            for s, h in enumerate(hits)
        ]
    return pd.DataFrame(tables)


def test_resampled_items_cover_other_test_items_which_seeds_alone_do_not():
    draw, alone, both = np.random.default_rng(0), [], []
    for _ in range(300):
        table = with_items(draw, spread=2.0)
        for found, items in ((alone, False), (both, True)):
            effect = paired_difference(table, "a", "b", items=items)
            found.append(effect.low <= 0 <= effect.high)
    assert np.mean(alone) < 0.85 and np.mean(both) >= 0.93


def test_resampling_items_needs_the_hits():
    with pytest.raises(CourseError, match="correct"):
        paired_difference(from_gaps([0.1] * 5), "a", "b", items=True)


def test_items_widen_the_interval_and_leave_the_mean():
    table = with_items(np.random.default_rng(1))
    narrow, wide = (paired_difference(table, "a", "b", items=items) for items in (False, True))
    assert wide.mean == narrow.mean and wide.low < narrow.low < narrow.high < wide.high


# --- claims ---
UP, FLAT, DOWN = ([0.1, 0.11, 0.09, 0.1, 0.12], [0.1, -0.09, 0.05, -0.05, 0.02], [-0.1, -0.11, -0.09, -0.1, -0.12])


@pytest.mark.parametrize(
    ("gaps", "direction", "verdict"),
    [(UP, "higher", "holds"), (FLAT, "higher", "leans"), (DOWN, "higher", "does not hold"),
     (DOWN, "lower", "holds"), (FLAT, "lower", "does not hold"), (UP[:4], "higher", "too few pairs"),
     ([0.0] * 6, "higher", "does not hold")],
)  # fmt: skip
def test_a_claim_says_the_value_and_one_verdict(gaps, direction, verdict):
    effect = paired_difference(from_gaps(gaps), "a", "b")
    made = claim("A is ahead by {effect} here.", effect, direction)
    assert made.verdict == verdict
    assert str(effect) in str(made) and verdict in str(made)
    assert str(effect) in made._repr_markdown_() and f"**{verdict}**" in made._repr_markdown_()


def stored(gaps):
    table = from_gaps(gaps)
    table.attrs["stored"] = "toy"
    return paired_difference(table[table.seed >= 0].query("accuracy > 0"), "a", "b")


def test_strict_mode_fails_when_a_stored_verdict_changes(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    claim("{effect}", stored(UP))
    claim("{effect}", stored(FLAT), expect="leans")
    with pytest.raises(CourseError, match="toy") as error:
        claim("A leads by {effect}.", stored(FLAT))
    assert len(str(error.value).splitlines()) <= 3


def test_strict_mode_lets_a_live_run_come_out_as_it_likes(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    assert claim("{effect}", paired_difference(from_gaps(DOWN), "a", "b")).verdict == "does not hold"


def test_without_strict_mode_nothing_fails(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    assert claim("{effect}", stored(DOWN)).verdict == "does not hold"


@pytest.mark.parametrize("wrong", [{"text": "no place"}, {"direction": "up"}, {"expect": "perhaps"}])
def test_a_claim_says_what_it_takes(wrong):
    effect = paired_difference(from_gaps(UP), "a", "b")
    with pytest.raises(CourseError, match="direction"):
        claim(**({"text": "{effect}", "effect": effect} | wrong))


def test_stored_rows_keep_their_mark_through_the_filters_that_lessons_use():
    runs = load_results("lesson00")
    ten = runs[(runs.per_class == 10) & (runs.seed < 10)].query("steps == 100")
    assert paired_difference(ten, "feature_extraction", "from_scratch").stored == "lesson00"
