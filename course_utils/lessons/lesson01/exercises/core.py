"""Lesson 01's core: two exercises, a quiz and a prediction."""

from functools import cache

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake
from course_utils.exercises.quizzes import Option, Question
from course_utils.lessons.lesson01.figures.stages import SHUFFLED

Features = dict[str, np.ndarray]
GRAIN = 2
IN_ORDER = ("stem", "layer1", "layer2", "layer3", "layer4")
RIGHT_ORDER = "".join("ABCDE"[SHUFFLED.index(stage)] for stage in IN_ORDER)


def probe_stages(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray) -> dict[str, float]:
    """Stage -> accuracy on the test features of a logistic regression on standardised training features."""
    found = {}
    for stage in train:
        mean, spread = train[stage].mean(axis=0), train[stage].std(axis=0) + 1e-9
        head = LogisticRegression(C=1.0, max_iter=1000)
        head.fit((train[stage] - mean) / spread, y)
        guesses = head.predict((test[stage] - mean) / spread)
        found[stage] = (guesses == y_test).mean()
    return found


def _with_a_pipeline(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray) -> dict[str, float]:
    steps = {stage: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)) for stage in train}
    return {stage: head.fit(train[stage], y).score(test[stage], y_test) for stage, head in steps.items()}


def _with_the_package(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray) -> dict[str, float]:
    from course_utils.features import probe

    return {stage: probe(train[stage], y).score(test[stage], y_test) for stage in train}


def _scaled(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray, fitted_on: str) -> dict[str, float]:
    """The solution with its standardisation worked out on something else."""
    found = {}
    for stage, a in train.items():
        b = test[stage]
        both = {"both": np.concatenate([a, b]), "test": b}.get(fitted_on, a)
        own = StandardScaler().fit(b if fitted_on in ("each", "test") else both)
        first = own if fitted_on == "test" else StandardScaler().fit(both)
        head = LogisticRegression(max_iter=1000).fit(first.transform(a), y)
        found[stage] = head.score(b if fitted_on == "train alone" else own.transform(b), y_test)
    return found


def _plain(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray) -> dict[str, float]:
    heads = {stage: LogisticRegression(max_iter=1000).fit(train[stage], y) for stage in train}
    return {stage: head.score(test[stage], y_test) for stage, head in heads.items()}


def _shifted_only(train: Features, y: np.ndarray, test: Features, y_test: np.ndarray) -> dict[str, float]:
    means = {stage: train[stage].mean(0) for stage in train}
    return _plain({s: a - means[s] for s, a in train.items()}, y, {s: b - means[s] for s, b in test.items()}, y_test)


LEAK = "The test features help to standardise. New pictures will not be there then: mean and spread of training alone."
OWN = "Training and test features are standardised each by their own mean and spread: then one number means two things."
HALF = "The head learned from standardised features, but the test features come as they are. Transform them too."
NO_SCALE = "The features come as they are: a penalty hits those with small values hardest. Standardise them first."
ON_TRAIN = "That is the accuracy on the examples it learned from. Score the test features."
FROM_TEST = "The head learns from the test features. It must not have seen them."
PERCENT = "An accuracy lies between 0 and 1: the mean of right and wrong, not a number of per cent or a count."
MISTAKES = (
    Mistake(lambda a, y, b, z: _scaled(a, y, b, z, "both"), LEAK),
    Mistake(lambda a, y, b, z: _scaled(a, y, b, z, "test"), LEAK),
    Mistake(lambda a, y, b, z: _scaled(a, y, b, z, "each"), OWN),
    Mistake(lambda a, y, b, z: _scaled(a, y, b, z, "train alone"), HALF),
    Mistake(_plain, NO_SCALE),
    Mistake(_shifted_only, NO_SCALE),
    Mistake(lambda a, y, b, z: probe_stages(a, y, a, y), ON_TRAIN),
    Mistake(lambda a, y, b, z: probe_stages(b, z, b, z), FROM_TEST),
    Mistake(lambda a, y, b, z: {s: 100 * v for s, v in probe_stages(a, y, b, z).items()}, PERCENT),
    Mistake(lambda a, y, b, z: {s: round(v * len(z)) for s, v in probe_stages(a, y, b, z).items()}, PERCENT),
)


@cache
def _digits() -> tuple:
    """Digits, five of each, as two stages of PhotoNet see them."""
    from course_utils.features import extract
    from course_utils.models.loading import load_model

    task, model = load_task("digits", per_class=5), load_model("photonet")
    every = np.arange(0, len(task.test), 2)
    train, test = (extract(model, x, "all") for x in (task.train.x, task.test.x[every]))
    seen = tuple({stage: f[stage] for stage in ("stem", "layer2")} for f in (train, test))
    return seen, task.train.y, task.test.y[every]


def _cases() -> list[tuple]:
    """Digits first, then made features whose scales and shifts tell mistakes apart."""
    (train, test), y, y_test = _digits()
    return [(train, y, test, y_test), *(_draw(np.random.default_rng(seed)) for seed in range(4))]


def _draw(rng: np.random.Generator) -> tuple:
    """Two stages of two classes: some features are large, and those of the test lie elsewhere."""
    y, y_test = np.arange(24) % 2, np.arange(200) % 2
    train, test = {}, {}
    for stage in ("early", "late"):
        centre, scale, shift = rng.normal(0, 0.7, (2, 5)), 10.0 ** rng.uniform(-2, 2, 5), rng.normal(0, 0.8, 5)
        train[stage] = (centre[y] + rng.normal(size=(24, 5))) * scale + scale
        test[stage] = (centre[y_test] + rng.normal(size=(200, 5)) + shift) * scale + scale
    return train, y, test, y_test


EXERCISES = [
    Exercise(
        name="01-order",
        solution=(RIGHT_ORDER, GRAIN),
        can_do="You can tell from a feature map how far it is from the pixels.",
        hints=(
            "Where can you still make out the outline of the thing? Begin there.",
            "The squares grow: a later stage has fewer places. Two panels have the same fine grain; which is sharper?",
            "From fine to coarse: B first, C last. Hand over both, the letters and the number of the clue.",
        ),
        mistakes=(
            Mistake(RIGHT_ORDER, 'The letters are right. Hand over two things, order and clue, as in `("ABCDE", 1)`.'),
            Mistake((list(RIGHT_ORDER), GRAIN), 'Write the five letters as one text, in the form of "ABCDE".'),
            Mistake((RIGHT_ORDER[::-1], GRAIN), "That is the order from last to first. Begin with the stem."),
            Mistake(("DBAEC", GRAIN), "B and D have the same grain. The stem draws plain edges: which of them is it?"),
            Mistake(("BDEAC", GRAIN), "Count the squares along a side of A and of E. A later stage has fewer."),
            Mistake((RIGHT_ORDER, 1), "The order is right. But colours only say high or low; every panel has both."),
            Mistake((RIGHT_ORDER, 3), "The order is right. But each panel is scaled by itself: brightness is no clue."),
        ),
    ),
    Exercise(
        name="01-probe",
        solution=probe_stages,
        can_do="You can measure what any stage of any network knows, without leaking the test into it.",
        hints=(
            "For each stage in `train`: standardise, fit `LogisticRegression(max_iter=1000)`, score on `test[stage]`.",
            "Mean and spread come from `train[stage]`, feature by feature (`axis=0`), and serve `test[stage]` too.",
            "`scaler = StandardScaler().fit(train[stage])`, then `scaler.transform` of both. Put "
            "`head.score(scaler.transform(test[stage]), y_test)` into a dictionary under its stage.",
        ),
        mistakes=MISTAKES,
        cases=_cases,
        draw=_draw,
        right=(_with_a_pipeline, _with_the_package),
        tolerance=0.006,  # one of 200 test examples, which another solver may see otherwise
    ),
]

QUESTIONS = [
    Question(
        name="01-star",
        text="Handwritten digits, 80 examples of each instead of 1: the stage that serves a probe best",
        options=(Option("moves to a later one"), Option("stays where it is"), Option("moves to an earlier one")),
    ),
    Question(
        name="01-seed",
        text="From lesson 00: with one seed, layer3 beats layer4 by .05 on your pictures. What follows?",
        options=(
            Option("Take layer3: it won.", "Another draw of the same pictures may say the opposite."),
            Option("Take layer4: .05 is too little.", "A small difference can be sure, and a large one chance."),
            Option("Repeat it over ten seeds, paired.", "The interval of the mean then says whether it is known."),
        ),
        right="C",
    ),
]
