"""Exercises: what holds for those of every lesson, and how a check meets whatever a learner hands in."""

import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from mutants import mutants_of

from course_utils import registry
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.exercises.attempts import difference, fingerprint, is_empty, run
from course_utils.exercises.cards import LONGEST, STATES, Card, shorten
from course_utils.exercises.check import check
from course_utils.exercises.declare import Exercise, Mistake
from course_utils.registry import declared, lesson_numbers

ALL = [exercise for number in lesson_numbers() for exercise in declared("EXERCISES", number)]
FUNCTIONS = [exercise for exercise in ALL if callable(exercise.solution)]
MISTAKES = [pytest.param(e, m, id=f"{e.name}-{n}") for e in ALL for n, m in enumerate(e.mistakes)]
FEW, MANY = 60, 300  # random inputs on which a slip that passes is looked at; many with --all


def named(exercise) -> str:
    return exercise.name


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch):
    """No tries yet."""
    monkeypatch.setattr(sys.modules[check.__module__], "_TRIES", {})


@pytest.fixture
def declare(monkeypatch):
    """Have `check` find an exercise that no lesson holds."""

    def declare(solution, *cases, **more):
        made = {"hints": ("one", "two", "three"), "mistakes": (), "can_do": "You can double."} | more
        exercise = Exercise("99-double", solution, cases=lambda: list(cases), **made)
        monkeypatch.setattr(registry, "find", lambda name, table: exercise)
        return exercise

    return declare


def double(values):
    return 2 * values


@pytest.fixture
def doubling(declare):
    return declare(double, (np.arange(3.0),), (np.ones(2),))


# --- what holds for the exercises of every lesson ---


def test_there_are_exercises():
    assert ALL


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_an_exercise_declares_what_a_learner_needs(exercise):
    assert len(exercise.hints) >= 2 and len(set(exercise.hints)) == len(exercise.hints)
    assert exercise.mistakes and exercise.can_do.startswith("You can ")
    assert not {m.hint for m in exercise.mistakes} & set(exercise.hints)


@pytest.mark.parametrize("exercise", ALL, ids=named)
def test_the_solution_and_other_right_answers_pass(exercise):
    for answer in (exercise.solution, *exercise.right):
        card = check(exercise.name, answer)
        assert card.state == "Passed" and exercise.can_do in card.paragraphs[0]


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=named)
def test_two_right_answers_are_written_differently_and_nothing_stops_with_an_error(exercise):
    assert len({fingerprint(answer) for answer in (exercise.solution, *exercise.right)}) >= 3
    assert not any(exercise.outcome(exercise.solution, case).error for case in exercise.cases())


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_every_wrong_answer_gets_its_own_hint(exercise, mistake):
    card = check(exercise.name, mistake.answer)
    assert (card.state, card.hint) == ("Not yet", mistake.hint)


def remembering(exercise):
    """The same exercise: its cases are made once, its own answers worked out once; mutants change neither."""
    cases, known = exercise.cases(), {}
    declared_answers = [exercise.solution, *(mistake.answer for mistake in exercise.mistakes)]

    def outcome(answer, case, quiet=True):
        if not any(answer is ours for ours in declared_answers):
            return exercise.outcome(answer, case, quiet)
        key = id(answer), id(case)
        if key not in known:
            known[key] = exercise.outcome(answer, case, quiet)
        return known[key]

    same = replace(exercise, cases=lambda: cases)
    object.__setattr__(same, "outcome", outcome)  # past the guard of a frozen class
    return same


@pytest.mark.slow
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=named)
def test_slips_in_the_solution_are_caught(exercise, monkeypatch, request):
    exercise = remembering(exercise)
    monkeypatch.setattr(registry, "find", lambda name, table: exercise)
    found = mutants_of(exercise.solution)
    survivors = {source: mutant for source, mutant in found.items() if check(exercise.name, mutant).state == "Passed"}
    rng = np.random.default_rng(0)
    inputs = [exercise.draw(rng) for _ in range(MANY if request.config.getoption("--all") else FEW)]
    expected = [exercise.outcome(exercise.solution, case) for case in inputs]

    def same(mutant) -> bool:
        pairs = zip(expected, (exercise.outcome(mutant, case) for case in inputs), strict=True)
        return all(a.error == b.error and difference(a.value, b.value, exercise.tolerance) is None for a, b in pairs)

    missed = [source for source, mutant in survivors.items() if not same(mutant)]
    caught = len(found) - len(survivors)
    assert caught + len(missed) >= 20
    assert caught / (caught + len(missed)) >= 0.9, "\n\n".join(missed)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=named)
def test_the_cases_are_the_same_each_time(exercise):
    before = exercise.cases()
    check(exercise.name, exercise.solution)
    assert len(before) >= 3 and difference(before, exercise.cases(), 0) is None


def summed(numbers, scale=1.0):
    """The sum of the positive ones."""
    total = 0
    for number in numbers:
        if 0 < number <= 9 and number != 3:
            total += number * scale
    return total


def counted(n):
    while n > 0:
        n -= 1
    return n


def test_mutants_have_one_slip_each_and_keep_no_docstring():
    found = mutants_of(summed)
    assert len(found) >= 30 and not any("sum of the positive" in source for source in found)
    for slip in ("0 >= number <= 9", "!= 4", " or ", "number / scale", "total -= ", "return number", "pass", "if True"):
        assert any(slip in source for source in found), slip
    assert all(run(mutant, ([1, 2, 3],), True) for mutant in found.values())


def test_an_endless_mutant_is_ended(monkeypatch):
    monkeypatch.setattr("mutants.SECONDS", 0.05)
    outcomes = {run(mutant, (3,), True).error for mutant in mutants_of(counted).values()}
    assert "TimeoutError" in outcomes


# --- not attempted, tries and hints ---


def stub(x): ...


def stub_pass(x):
    """What it should do."""


def stub_raises(x):
    raise NotImplementedError("write me")


def stub_returns(x):
    return ...


def stub_given(x):
    x = x + 1
    return ...


@pytest.mark.parametrize("attempt", [None, ..., "", " ", stub, stub_pass, stub_raises, stub_returns, stub_given])
def test_nothing_written_is_no_attempt(doubling, attempt):
    for _ in range(2):
        card = check("99-double", attempt)
        assert card.state == "Not attempted yet" and not card.hint and "Hint" not in card._repr_html_()
    assert not sys.modules[check.__module__]._TRIES.get("99-double")


def forgets(x):
    x * 2


def prints(x):
    print(x * 2)


def sometimes(x):
    return None if len(x) == 3 else 2 * x


@pytest.mark.parametrize("attempt", [forgets, prints, sometimes])
def test_a_missing_return_is_told_apart_from_an_empty_body(doubling, attempt):
    assert not is_empty(attempt)
    card = check("99-double", attempt)
    assert card.state == "Not yet" and "`return`" in card.hint and "nothing" in repr(card)


def test_hints_grow_with_each_new_attempt_and_not_with_the_same_one(doubling):
    attempts = [lambda v: v, lambda v: v, lambda v: v + 1, lambda v: v + 1, lambda v: v - 1, lambda v: v**3]
    hints = [check("99-double", attempt).hint[:3] for attempt in attempts]
    assert hints == ["one", "one", "two", "two", "thr", "thr"]
    assert check("99-double", attempts[0]).hint.startswith("three"), "going back does not take hints away"


def test_a_comment_or_another_line_is_no_new_attempt():
    first, second = {}, {}
    exec("def f(x):\n    return x + 1", first)
    exec("\n\n# moved\ndef f(x):\n    # why\n    return x + 1", second)
    assert fingerprint(first["f"]) == fingerprint(second["f"])
    assert fingerprint(first["f"]) != fingerprint(lambda x: x + 2)


def test_the_hint_of_a_mistake_comes_before_the_ladder(declare):
    declare(double, (np.arange(3.0),), mistakes=(Mistake(lambda v: v**2, "That is squared."),))
    assert check("99-double", lambda v: v * v).hint == "That is squared."
    assert check("99-double", lambda v: v + 2).hint.startswith("two")


def test_a_choice(declare):
    declare("b", mistakes=(Mistake("a", "Not that one."),))
    assert check("99-double", " B").state == "Passed"
    assert check("99-double", "a").hint == "Not that one."
    assert check("99-double", "c").hint.startswith("two") and check("99-double", double).state == "Not yet"
    declare(514, mistakes=(Mistake(512, "And the biases?"),))
    assert check("99-double", 514.0).state == "Passed" and check("99-double", 512).hint == "And the biases?"
    assert check("99-double", "514").hint == "Your answer should be a number, not a text."


@pytest.mark.parametrize("answer", [("BDAEC", "2"), ("ABCDE", "1"), ["BDAEC", "2"]])
def test_a_number_written_as_a_text_is_told_so(answer):
    assert check("01-order", answer).hint == "Part 2 of your answer should be a number, not a text."


def test_another_wording_of_not_known_is_told_so():
    def unknown(differences):
        low, high = mean_interval(differences)[1:3]
        return "a" if low > 0 else "b" if high < 0 else "unknown"

    assert '"not known"' in check("00-interval", unknown).hint


def test_eval_called_once_is_told_apart_from_no_eval_at_all():
    def once(network):
        network.requires_grad_(False)
        network.eval()

    assert "each pass" in check("02-freeze", once).hint
    assert "no parameters" in check("02-freeze", lambda network: network.requires_grad_(False) and None).hint


def test_the_card_of_a_solution_says_that_it_is_one(declare):
    for solution, cases in ((double, [(np.ones(2),)]), ("b", [])):
        exercise = declare(solution, *cases)
        said = repr(check("99-double", exercise.solution, solution=True))
        assert said.startswith("✓ Solution · 99-double") and "Passed" not in said and exercise.can_do not in said
    assert check("99-double", "a", solution=True).state == "Not yet", "a solution that is wrong must show"


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(CourseError, match="'00-interval'"):
        check("00-intervall", None)
    for name in ("interval", "77-interval", ""):
        with pytest.raises(CourseError, match="one of 00, 01"):
            check(name, None)


def test_a_value_in_place_of_the_function(doubling):
    assert "without brackets" in check("99-double", double(2)).hint


# --- running what a learner wrote ---


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError


def test_the_learners_own_line_is_named(doubling):
    def attempt(values):
        return np.linalg.inv(values)  # here

    card = check("99-double", attempt)
    assert "np.linalg.inv(values)  # here" in repr(card) and "LinAlgError" in dict(card.rows)["came"]


def raising(error):
    def attempt(values):
        raise error

    return attempt


def endless(values):
    return endless(values)


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (raising(ValueError("bad <b>")), "ValueError: bad <b>"),
        (raising(SystemExit(1)), "SystemExit: 1"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(Nasty()), "Nasty"),
        (raising(KeyError()), "KeyError"),
        (raising(ValueError("x" * 9999)), "…"),
        (endless, "RecursionError"),
        (lambda: 1, "TypeError"),
        (lambda values: undefined_name, "NameError"),  # noqa: F821
    ],
)
def test_every_error_becomes_a_card(doubling, attempt, said):
    card = check("99-double", attempt)
    assert card.state == "Not yet" and said in dict(card.rows)["came"] and len(repr(card)) < 1200
    assert "<b>" not in card._repr_html_()


def test_an_interrupt_goes_through(doubling):
    with pytest.raises(KeyboardInterrupt):
        check("99-double", raising(KeyboardInterrupt()))


def test_a_function_that_changes_its_argument_harms_nothing(declare):
    def in_place(values):
        values *= 2
        return values

    values = np.arange(3.0)
    declare(double, (values,))
    assert check("99-double", in_place).state == "Passed" and values.tolist() == [0, 1, 2]


def test_what_is_printed_comes_once(doubling, capsys):
    check("99-double", lambda values: print("hello") or 2 * values)
    assert capsys.readouterr().out == "hello\n"


def test_random_generators_are_as_before(doubling):
    def draws(values):
        np.random.seed(0), torch.manual_seed(0), random.seed(0)
        return 2 * values + 0 * (np.random.rand() + torch.rand(1).item() + random.random())

    def state():
        return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()

    before = state()
    assert check("99-double", draws).state == "Passed" and state() == before


def test_an_attempt_that_switches_gradients_off_leaves_them_on(doubling):
    def attempt(values):
        torch.set_grad_enabled(False)
        return 2 * values

    assert check("99-double", attempt).state == "Passed" and torch.is_grad_enabled()


# --- comparing values ---


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        (0.3, 0.1 + 0.2),
        (1, np.float32(1)),
        (2.0, torch.tensor(2.0, requires_grad=True)),
        (True, np.bool_(True)),
        (float("nan"), np.nan),
        (float("inf"), np.inf),
        (10**400, 10**400),
        ("a", np.str_("a")),
        (None, None),
        ((1, 2), [1, 2]),
        ({"a": 1.0, "b": None}, {"b": None, "a": np.float64(1)}),
        ({1, 2}, frozenset({2, 1})),
        (np.array([1.0, np.nan]), np.array([1.0 + 1e-9, np.nan])),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array(["a", "b"]), np.array(["a", "b"])),
        (np.array([True]), np.array([True])),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2)),
        ([np.ones(2), {"x": torch.zeros(1)}], [np.ones(2), {"x": torch.zeros(1)}]),
    ],
)
def test_the_same_values(expected, came):
    assert difference(expected, came, 1e-6) is None and difference(came, expected, 1e-6) is None


class Odd:
    def __eq__(self, other):
        raise ValueError

    __hash__ = None

    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("expected", "came", "said"),
    [
        (0.3, 0.31, ""),
        (1.0, float("nan"), "nan"),
        (float("nan"), 1.0, ""),
        (1, "1", "Expected a number, came a text."),
        (True, 1, "Expected `True` or `False`, came a number."),
        (None, 0, "Expected nothing (`None`), came a number."),
        ("a", None, "came nothing"),
        ("not known", "Not  Known ", "Only capitals or blanks differ."),
        ("a", "b", ""),
        (np.ones(2), [1, 1], "Expected a numpy array, came a list or tuple."),
        (np.ones(2), torch.ones(2), "Expected a numpy array, came a torch tensor."),
        (np.ones((2, 3)), np.ones((3, 2)), "Expected the shape (2, 3), came (3, 2)."),
        (np.ones(3), np.array([1, 2, np.nan]), "2 of 3 values differ; 1 of them are `nan`."),
        (np.array([True]), np.array([1.0]), "Expected values of type bool"),
        (torch.ones(2), torch.zeros(2), "2 of 2 values differ."),
        (np.array(["a"]), np.array(["b"]), "1 of 1 values differ."),
        ((1, 2), (1, 2, 3), "Expected 2 items, came 3."),
        ((1, "a"), (1, "b"), "Item 2: expected `'a'`, came `'b'`."),
        ({"a": 1}, {"b": 1}, "Keys that are missing: `'a'`."),
        ({"a": 1}, {"a": 1, "b": 1}, "Keys that are too many: `'b'`."),
        ({"a": np.ones(2)}, {"a": np.ones(3)}, "At `'a'`: Expected the shape (2,), came (3,)."),
        (1.0, Odd(), "Expected a number, came a `Odd`."),
        (Odd(), Odd(), "The two cannot be compared."),
        (1.0, double, "came a `function`"),
    ],
)
def test_different_values_and_how(expected, came, said):
    reason = difference(expected, came, 1e-6)
    assert reason is not None and said in reason and (said or not reason)


def test_values_that_look_alike_are_shown_with_more_digits(doubling):
    card = check("99-double", lambda values: 2 * values + 1e-5 * (values > 0))
    assert dict(card.rows)["came"].startswith("[0, 2.00001, 4.00001]") and "2 of 3 values differ" in repr(card)


# --- cards ---


@pytest.mark.parametrize(
    "value", [Odd(), "x" * 9999, list(range(9999)), np.zeros((500, 500)), torch.zeros(500), {i: i for i in range(99)}]
)
def test_long_and_awkward_values_are_shortened(value):
    assert 0 < len(shorten(value)) <= LONGEST and "\n" not in shorten(value)


def test_no_addresses_are_shown():
    assert "0x" not in shorten(object()) + shorten(lambda: 1) + shorten([double])


def test_whatever_a_learner_hands_in_is_escaped(declare):
    evil = "<script>alert(1)</script>"
    declare(lambda text: text + "!", (evil,), hints=(f"`{evil}`", "two"))
    for attempt in (lambda text: evil, raising(ValueError(evil)), evil, {evil: 1}):
        html = check("99-double", attempt)._repr_html_()
        assert "<script" not in html and "&lt;script" in html
    html = Card("Not yet", evil, (evil,), ((evil, evil),), evil)._repr_html_()
    assert "<script" not in html and html.count("&lt;script") == 5


def test_a_card_as_plain_text(doubling):
    said = repr(check("99-double", lambda values: values))
    assert said.splitlines() == [
        "✗ Not yet · 99-double",
        "0 of 2 inputs come out right. The first that does not:",
        "  input     values = [0, 1, 2] of shape (3,)",
        "  expected  [0, 2, 4] of shape (3,)",
        "  came      [0, 1, 2] of shape (3,)",
        "2 of 3 values differ.",
        "Hint: one (1\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}3)",
    ]


@pytest.mark.parametrize("state", STATES)
def test_a_card_says_its_state_in_a_word_and_a_sign(state):
    card = Card(state, "00-x", ("Some `code`.",))
    sign = STATES[state][0]
    assert repr(card).startswith(f"{sign} {state}") and f"{sign} {state}" in card._repr_html_()
    assert "<code>code</code>" in card._repr_html_() and len({s for s, _ in STATES.values()}) == 4


def test_the_edge_of_a_card_stands_out_on_both_grounds():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for _, edge in STATES.values():
        for ground in ("#ffffff", "#212121"):  # the papers of JupyterLab's light and dark theme
            light, dark = sorted((luminance(edge), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3
