"""Lesson 01's core: two exercises, a quiz and a prediction."""

from functools import cache

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake
from course_utils.exercises.quizzes import Option, Question
from course_utils.lessons.lesson01.figures.borrowed import SHUFFLED

GRAIN = 2
IN_ORDER = ("stem", "layer1", "layer2", "layer3", "layer4")
RIGHT_ORDER = "".join("ABCDE"[SHUFFLED.index(stage)] for stage in IN_ORDER)


def probe_stage(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy on the test features of a logistic regression on standardised training features."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    head = LogisticRegression(C=1.0, max_iter=1000).fit((train - mean) / spread, y)
    return (head.predict((test - mean) / spread) == y_test).mean()


def _with_a_pipeline(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train, y).score(test, y_test)


def _with_the_package(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    from course_utils.features import probe

    return probe(train, y).score(test, y_test)


def _scaled(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, fitted_on: str) -> float:
    """The solution with its standardisation worked out on something else."""
    both = {"both": np.concatenate([train, test]), "test": test}.get(fitted_on, train)
    own = StandardScaler().fit(test if fitted_on in ("each", "test") else both)
    first = own if fitted_on == "test" else StandardScaler().fit(both)
    head = LogisticRegression(max_iter=1000).fit(first.transform(train), y)
    return head.score(test if fitted_on == "train alone" else own.transform(test), y_test)


def _plain(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    return LogisticRegression(max_iter=1000).fit(train, y).score(test, y_test)


def _shifted_only(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    return _plain(train - train.mean(0), y, test - train.mean(0), y_test)


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
    Mistake(lambda a, y, b, z: probe_stage(a, y, a, y), ON_TRAIN),
    Mistake(lambda a, y, b, z: probe_stage(b, z, b, z), FROM_TEST),
    Mistake(lambda a, y, b, z: 100 * probe_stage(a, y, b, z), PERCENT),
    Mistake(lambda a, y, b, z: round(probe_stage(a, y, b, z) * len(z)), PERCENT),
)


@cache
def _digits() -> tuple:
    """Digits, five of each, as a middle stage of PhotoNet sees them."""
    from course_utils.features import extract
    from course_utils.models.loading import load_model

    task, model = load_task("digits", per_class=5), load_model("photonet")
    every = np.arange(0, len(task.test), 2)
    train, test = (extract(model, x, "layer2") for x in (task.train.x, task.test.x[every]))
    return train, task.train.y, test, task.test.y[every]


def _cases() -> list[tuple]:
    """Digits first, then made features whose scales and shifts tell mistakes apart."""
    return [_digits(), *(_draw(np.random.default_rng(seed)) for seed in range(8))]


def _draw(rng: np.random.Generator) -> tuple:
    """Features of two classes: some are large, and those of the test lie elsewhere."""
    y, y_test = np.arange(24) % 2, np.arange(200) % 2
    centre, scale, shift = rng.normal(0, 0.7, (2, 5)), 10.0 ** rng.uniform(-2, 2, 5), rng.normal(0, 0.8, 5)
    train = (centre[y] + rng.normal(size=(24, 5))) * scale + scale
    test = (centre[y_test] + rng.normal(size=(200, 5)) + shift) * scale + scale
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
        solution=probe_stage,
        can_do="You can measure what any stage of any network knows, without leaking the test into it.",
        hints=(
            "Standardise, fit `LogisticRegression(max_iter=1000)` on `train` and `y`, score on `test` and `y_test`.",
            "Mean and spread come from `train`, feature by feature (`axis=0`), and serve `test` too.",
            "`scaler = StandardScaler().fit(train)`, then `scaler.transform` of both. Return "
            "`head.score(scaler.transform(test), y_test)`.",
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
        text="Letters, ten of each: at which stage of PhotoNet does a probe do best?",
        options=(
            Option("at an early one, stem or layer1"),
            Option("in between, at layer2 or layer3"),
            Option("at the last one, layer4"),
        ),
    ),
    Question(
        name="01-seed",
        text="From lesson 00: with one seed, layer3 beats layer4 by 5 points on your pictures. What follows?",
        options=(
            Option("Take layer3: it won.", "Another draw of the same pictures may say the opposite."),
            Option("Take layer4: 5 points are too little.", "A small difference can be sure, and a large one chance."),
            Option("Repeat it over ten seeds, paired.", "The interval of the mean then says whether it is known."),
        ),
        right="C",
    ),
]
