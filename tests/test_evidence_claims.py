"""Evidence: paired differences and their coverage, claims and their verdicts, how many times fewer."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from nbconvert.filters import markdown2html
from scipy import stats
from toys import refused

from course_utils.errors import CourseError
from course_utils.evidence import items as listing
from course_utils.evidence.claims import VERDICTS, accuracy_of, claim, mean_interval, paired_difference
from course_utils.evidence.experiments import load_results
from course_utils.evidence.results import pack, unpack


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


# --- new seeds and new test items, by simulation ---
# How much of a difference on one item by one seed varies with the seed, with the item, and else: `components` of the
# rows that the first editions of the lessons stood on. Items of ants and bees and of digits share nothing. Those
# letters were drawn from two families of fonts, which are too few to measure what families add.
COMPARED = {  # seeds, items, rest; how many test items
    "00: frozen or four times from scratch, ten ants and bees": (2.62e-3, 4.46e-2, 0.3379, 153),
    "01: layer4 or layer3, twenty ants and bees": (1.08e-4, 8.82e-2, 0.0515, 153),
    "02: fine-tuned or frozen, ten letters": (7.58e-4, 2.26e-2, 0.2055, 2600),
    "02: frozen or fine-tuned, 1,000 letters": (2.86e-4, 5.03e-2, 0.0605, 2600),
    "02: fine-tuned or frozen, 139 digits": (2.07e-6, 1.02e-2, 0.0059, 359),
    "02: fine-tuned or frozen, 120 ants and bees": (2.34e-4, 6.60e-2, 0.0415, 153),
}


def components(first, second):
    """Variance over seeds, over items, and of the rest, of stored rows of two arms with the same seeds.

    Two ways, crossed, one value a cell (Searle, Casella & McCulloch 1992, "Variance Components", chapter 4).
    """
    rows = pd.concat([arm.sort_values("seed") for arm in (first, second)])
    right = listing.tested(rows.drop(columns="task", errors="ignore")).right.astype(float)
    return parts_of(right[: len(first)] - right[len(first) :])


def parts_of(gaps):
    """The components of a table seeds x items."""
    seeds, items = gaps.mean(1), gaps.mean(0)
    rest = ((gaps - seeds[:, None] - items + gaps.mean()) ** 2).sum() / ((len(seeds) - 1) * (len(items) - 1))
    return max(0, seeds.var(ddof=1) - rest / len(items)), max(0, items.var(ddof=1) - rest / len(seeds)), rest


def test_components_are_found_again():
    draw, spread = np.random.default_rng(0), (0.02, 0.05, 0.3)
    shapes = ((300, 1), (1, 400), (300, 400))
    gaps = sum(draw.normal(0, part**0.5, shape) for part, shape in zip(spread, shapes, strict=True))
    assert parts_of(gaps) == pytest.approx(spread, rel=0.15)


def caught(by_seed, by_item, groups):
    """How often the interval over seeds, and that over seeds and items, holds zero, in many tables at once.

    A row a table; groups are numbers from 0. The first five are held against our own functions.
    """
    (times, n), (_, count), number = by_seed.shape, by_item.shape, groups.max() + 1
    off = (by_item - by_item.mean(1, keepdims=True)) / count
    sums = off if number == count else np.stack([off[:, groups == k].sum(1) for k in range(number)], 1)
    over_items = stats.t.ppf(0.975, number - 1) * np.sqrt(number / (number - 1) * (sums**2).sum(1))
    over_seeds = stats.t.ppf(0.975, n - 1) * by_seed.std(1, ddof=1) / n**0.5
    mean, both = by_seed.mean(1), np.hypot(over_seeds, over_items)
    for k in range(min(5, times)):
        half = listing.half_interval(by_item[k], np.full(count, 1 / count), groups)
        assert mean_interval(by_seed[k], half).high == pytest.approx(mean[k] + both[k])
    return np.mean(np.abs(mean) <= over_seeds), np.mean(np.abs(mean) <= both)


def simulated_from(parts, families=None, n=10, times=1000):
    """Many tables of new seeds and new items with these components, and no difference in the long run."""
    (seeds, items, rest, count), draw = parts, np.random.default_rng(0)
    groups = np.arange(count) if families is None else np.arange(count) % families
    by_item = draw.normal(0, (rest / n) ** 0.5, (times, count))  # what is left of single runs on single items
    by_seed = draw.normal(0, (rest / count) ** 0.5, (times, n))
    by_seed += by_item.mean(1, keepdims=True) - by_seed.mean(1, keepdims=True)  # one table has one mean
    of_seed, of_item = draw.normal(0, seeds**0.5, (times, n)), draw.normal(0, items**0.5, (times, count))
    if families is not None:  # half of what varies with the item varies with its family
        of_item = (of_item + draw.normal(0, items**0.5, (times, families))[:, groups]) / 2**0.5
    return (
        by_seed + of_seed + of_item.mean(1, keepdims=True), by_item + of_item + of_seed.mean(1, keepdims=True), groups
    )  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_the_interval_covers_new_seeds_and_items_and_that_of_seeds_alone_does_not(name):
    seeds, items, rest, count = COMPARED[name]
    alone, both = caught(*simulated_from(COMPARED[name]))
    assert both >= 0.94  # so false alarms, where there is no difference, are 6 in 100 at most
    if items / count > (seeds + rest / count) / 10:  # most of the spread is that of the items
        assert alone < 0.75


def test_families_that_differ_are_covered_as_well():
    """Made up, not measured: half of what varies with a letter varies with its family, of which there are five."""
    parts = COMPARED["02: fine-tuned or frozen, ten letters"]
    alone, both = caught(*simulated_from(parts, families=5))
    assert both >= 0.94 and alone < 0.6


def hits_of_equals(draw, times=1, n=10, items=N_ITEMS, spread=2.0):
    """Hits, times x n x items, of two arms of equal worth over all possible items; each item suits one arm better."""
    suits = draw.normal(0, spread, (times, 1, items))  # in favour of arm a, by chance of the items
    for sign in (0.5, -0.5):
        chance = 1 / (1 + np.exp(-(0.8 + sign * suits + draw.normal(0, 0.1, (times, n, 1)))))
        yield draw.random((times, n, items)) < chance


def test_false_alarms_of_single_hits_are_6_in_100_at_most():
    first, second = hits_of_equals(np.random.default_rng(0), times=1000)
    gaps = first.astype(float) - second
    alone, both = caught(gaps.mean(2), gaps.mean(1), np.arange(N_ITEMS))
    assert alone < 0.85 and both >= 0.94


def with_items(draw):
    """One such table, as it is stored."""
    rows = [
        {"strategy": name, "seed": seed, "accuracy": round(hits.mean(), 4), "correct": pack(hits)}
        for name, arm in zip("ab", hits_of_equals(draw), strict=True)
        for seed, hits in enumerate(arm[0])
    ]
    return pd.DataFrame(rows)


# --- what an interval covers ---


def test_items_widen_the_interval_and_leave_the_mean():
    table = with_items(np.random.default_rng(1))
    narrow, wide = (paired_difference(table, "a", "b", items=items) for items in (False, True))
    assert wide.mean == narrow.mean and wide.low < narrow.low < narrow.high < wide.high
    assert paired_difference(table, "a", "b").low == wide.low  # unless told otherwise
    assert (wide.groups, narrow.groups) == (N_ITEMS, 0)
    assert "for new seeds and new test items;" in str(wide) and "for new seeds alone, with these" in str(narrow)


def test_both_halves_are_students_and_are_added_in_squares():
    table = with_items(np.random.default_rng(1))
    hits = {name: unpack(rows["correct"], N_ITEMS) for name, rows in table.groupby("strategy")}
    effect, by_item = paired_difference(table, "a", "b"), hits["a"].mean(0) - hits["b"].mean(0)
    halves = [
        np.diff(stats.ttest_1samp(values, 0).confidence_interval())[0] / 2 for values in (effect.differences, by_item)
    ]
    assert effect.high - effect.mean == pytest.approx(np.hypot(*halves), rel=1e-6)


def test_without_hits_the_interval_is_for_seeds_alone_and_says_so():
    effect = paired_difference(from_gaps(UP), "a", "b")
    assert effect.groups == 0 and "for new seeds alone, with these test items" in str(effect)
    tasks = with_items(np.random.default_rng(1)).rename(columns={"strategy": "task"})
    assert paired_difference(tasks, "a", "b", on="task").groups == 0  # other items in each arm


def letters(draw, skill=0.2):
    """Two arms on the test letters; one reads three of the five families better."""
    listed, tables = listing.listed("letters"), []
    better = listed["group"].isin(["Manrope", "Caladea", "Source"]).to_numpy()
    for name, extra in (("a", skill), ("b", 0.0)):
        for seed in range(6):
            hits = draw.random(len(listed)) < 0.5 + extra * better
            tables.append({"task": "letters", "strategy": name, "seed": seed, "correct": pack(hits),
                           "accuracy": round(hits.mean(), 4)})  # fmt: skip
    return pd.DataFrame(tables)


def test_items_that_share_a_family_count_as_one_group():
    table = letters(np.random.default_rng(0))
    effect = paired_difference(table, "a", "b")
    apart = paired_difference(table.drop(columns="task"), "a", "b")
    assert (effect.groups, apart.groups) == (5, 2600)
    assert "new font families (5 here)" in str(effect)
    assert apart.low > 0 > effect.low  # five fonts are few


def test_balanced_accuracy_is_worked_out_where_it_is_not_stored():
    table = letters(np.random.default_rng(0)).assign(task="digits")
    listed, draw = listing.listed("digits"), np.random.default_rng(0)
    easy = listed["label"].to_numpy() == 3
    hits = [draw.random(len(listed)) < 0.4 + 0.4 * easy * (name == "a") for name in table["strategy"]]
    table = table.assign(correct=[pack(h) for h in hits], accuracy=[h.mean() for h in hits])
    means = [np.mean([h[listed["label"] == k].mean() for k in range(10)]) for h in hits]
    worked_out = paired_difference(table, "a", "b", measure="balanced_accuracy")
    stored = paired_difference(table.assign(balanced_accuracy=means), "a", "b", measure="balanced_accuracy")
    assert worked_out.mean == pytest.approx(np.mean(means[:6]) - np.mean(means[6:]))
    assert stored.low == pytest.approx(worked_out.low) and stored.groups == 359
    seeds_alone = paired_difference(
        table.assign(balanced_accuracy=means).drop(columns="task"), "a", "b", measure="balanced_accuracy"
    )
    assert seeds_alone.groups == 0
    with pytest.raises(CourseError, match="no column 'balanced_accuracy'"):
        paired_difference(table.drop(columns="task"), "a", "b", measure="balanced_accuracy")


def test_an_interval_takes_one_value_a_seed():
    with pytest.raises(CourseError, match=r"have the shape \(2, 3\)"):
        mean_interval(np.ones((2, 3)))
    refused(lambda: mean_interval([]), r"one at least; these have the shape \(0,\)")


def test_runs_that_are_none_have_no_accuracy():
    table = from_gaps(UP).assign(task="digits", correct="00")
    for nothing in (table[:0], table[["seed"]], {}):
        refused(lambda runs=nothing: accuracy_of(runs), "Does a filter leave no row")


def test_an_arm_does_not_differ_from_itself():
    refused(lambda: paired_difference(from_gaps(UP), "a", "a"), "both 'a', .*\nGive two values of 'strategy'")


def test_of_many_values_a_few_are_named():
    table = pd.DataFrame({"strategy": range(50), "seed": 0, "accuracy": 0.5})
    with pytest.raises(CourseError, match=r"there is 0, 1, .* and 40 more\.$"):
        paired_difference(table, "a", "b")


def test_a_missing_accuracy_is_an_error_that_names_the_seed():
    table = from_gaps(UP)
    table.loc[3, "accuracy"] = float("nan")
    with pytest.raises(CourseError, match="'a' has no accuracy for seed 3: it is NaN, or no share") as error:
        paired_difference(table, "a", "b")
    assert len(str(error.value).splitlines()) <= 3
    with pytest.raises(CourseError, match="there is no row at all"):
        paired_difference(table[:0], "a", "b")
    for value in (float("inf"), "good", 53.0):
        with pytest.raises(CourseError, match="no accuracy for seed 3"):
            paired_difference(table.astype(object).replace({"accuracy": float("nan")}, value), "a", "b")
    with pytest.raises(CourseError, match="measure='f1'"):
        paired_difference(table, "a", "b", measure="f1")


# --- claims ---
UP, FLAT, DOWN = ([0.1, 0.11, 0.09, 0.1, 0.12], [0.1, -0.09, 0.05, -0.05, 0.02], [-0.1, -0.11, -0.09, -0.1, -0.12])
SMALL = [0.001, -0.002, 0.0, 0.002, -0.001]


@pytest.mark.parametrize(
    ("gaps", "more", "verdict", "meaning"),
    [(UP, {}, "holds", ""), (DOWN, {"direction": "lower"}, "holds", ""),
     (DOWN, {}, "refuted", "the whole interval lies on the other side"),
     (UP, {"direction": "lower"}, "refuted", "on the other side"),
     (FLAT, {}, "unknown", "within ± 10.1 points"), (FLAT, {"direction": "lower"}, "unknown", "within ± 10.1 points"),
     (SMALL, {"direction": "level", "margin": 0.01}, "holds", "inside of ± 1 points"),
     (SMALL, {"direction": "level", "margin": 0.001}, "unknown", "within ± 0.2 points"),
     (UP, {"direction": "level", "margin": 0.01}, "refuted", "outside of ± 1 points"),
     (DOWN, {"direction": "level", "margin": 0.01}, "refuted", "outside of ± 1 points"),
     (FLAT, {"direction": "level", "margin": 0.01}, "unknown", "within ± 10.1 points"),
     ([0.0] * 6, {}, "no spread", "no result"), ([0.1] * 6, {}, "no spread", "no result"),
     ([0.0] * 6, {"direction": "level", "margin": 0.1}, "no spread", "no result"),
     (UP[:4], {}, "too few pairs", "5 seeds or more"), ([0.1] * 4, {}, "too few pairs", "5 seeds or more")],
)  # fmt: skip
def test_a_claim_says_the_value_one_verdict_and_what_that_means(gaps, more, verdict, meaning):
    effect = paired_difference(from_gaps(gaps), "a", "b")
    made = claim("A is ahead by {effect} here.", effect, **more)
    assert made.verdict == verdict and verdict in VERDICTS
    assert str(effect) in str(made) and f"Verdict: {verdict}" in str(made) and meaning in str(made)
    assert f"**{verdict}**" in made._repr_markdown_() and meaning in shown(made)


def test_seeds_that_share_their_training_examples_are_told():
    table = from_gaps(UP)
    for overlap, told in ((0.4, False), (0.72, True)):
        effect = paired_difference(table.assign(overlap=[0.1] * 9 + [overlap]), "a", "b")
        made = claim("{effect}", effect)
        assert effect.overlap == overlap and made.verdict == "holds"
        assert ("Seeds share 72 % of their training examples: no claim rests on this size alone." in str(made)) == told
    assert "share" not in str(claim("{effect}", paired_difference(table, "a", "b")))


def test_anything_with_a_mean_and_its_ends_may_be_claimed():
    values = mean_interval([0.1, 0.2, 0.3])
    assert claim("{effect}", values).verdict == "unknown"
    assert claim("{effect}", values._replace(low=0.05)).verdict == "holds"
    assert claim("{effect}", mean_interval([0.1, 0.1])).verdict == "no spread"


def shown(made):
    """What a reader sees of something that is shown as markdown."""
    rendered = markdown2html(made._repr_markdown_())
    return html.unescape(re.sub(r"<[^>]*>", "", rendered)).strip()


def test_a_claim_shows_every_name_as_it_is():
    odd = r"<b>$x$* leads _y_ by 3 \alpha & `c` [d](e) # ~~f~~ 1. + - ! |g|"
    made = claim(odd + " {effect}", paired_difference(from_gaps(UP), "a", "b"))
    assert odd in shown(made) and "$" not in made._repr_markdown_()  # where a formula would begin
    assert odd in str(made) and "<b>" not in made._repr_markdown_()


def stored(gaps):
    table = from_gaps(gaps)
    table.attrs["stored"] = "toy"
    return paired_difference(table[table.seed >= 0].query("accuracy > 0"), "a", "b")


def test_strict_mode_fails_when_a_stored_verdict_changes(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    claim("{effect}", stored(UP))
    claim("{effect}", stored(FLAT), expect="unknown")
    claim("{effect}", stored(DOWN), expect="refuted")
    with pytest.raises(CourseError, match="toy") as error:
        claim("A leads by {effect}.", stored(FLAT))
    assert len(str(error.value).splitlines()) <= 3


def test_strict_mode_lets_a_live_run_come_out_as_it_likes(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    assert claim("{effect}", paired_difference(from_gaps(DOWN), "a", "b")).verdict == "refuted"


def test_without_strict_mode_nothing_fails(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    assert claim("{effect}", stored(DOWN)).verdict == "refuted"


@pytest.mark.parametrize(
    "wrong",
    [{"text": "no place"}, {"direction": "up"}, {"expect": "leans"}, {"direction": "level"}, {"margin": 0.1},
     {"direction": "level", "margin": 0.0}, {"direction": "level", "margin": 2},
     {"direction": "level", "margin": ".1"}],
)  # fmt: skip
def test_a_claim_says_what_it_takes(wrong):
    effect = paired_difference(from_gaps(UP), "a", "b")
    with pytest.raises(CourseError, match="direction"):
        claim(**({"text": "{effect}", "effect": effect} | wrong))
    with pytest.raises(CourseError) as error:
        claim("no place", effect)
    assert len(str(error.value).splitlines()) <= 3


def test_stored_rows_keep_their_mark_through_the_filters_that_lessons_use():
    runs = load_results("lesson00")
    ten = runs[(runs.per_class == 10) & (runs.seed < 10)].query("steps == 100")
    assert paired_difference(ten, "feature_extraction", "from_scratch").stored == "lesson00"
