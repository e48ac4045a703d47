"""Lesson 02's lab: its exercise."""

from collections.abc import Callable
from functools import cache

import numpy as np
from sklearn.metrics import precision_recall_curve

from course_utils.data.tasks import load_task
from course_utils.exercises.declare import Exercise, Mistake


def precision_at_recall(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    """The precision at the highest threshold that finds a share of `wanted` of those with label 1."""
    order = np.argsort(-scores)
    found = np.cumsum(labels[order]) / labels.sum()
    threshold = scores[order][np.argmax(found >= wanted)]
    return labels[scores >= threshold].mean()


def _with_scikit_learn(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    precisions, recalls, _ = precision_recall_curve(labels, scores)
    return precisions[:-1][recalls[:-1] >= wanted][-1]


def _threshold_by_threshold(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float | None:
    for threshold in sorted(set(scores.tolist()), reverse=True):
        alarms = scores >= threshold
        hits = int((labels[alarms] == 1).sum())
        if hits / int((labels == 1).sum()) >= wanted:
            return hits / int(alarms.sum())
    return None


def _threshold(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    order = np.argsort(-scores)
    return scores[order][np.argmax(np.cumsum(labels[order]) / labels.sum() >= wanted)]


def _at(finish: Callable) -> Callable:
    """A wrong answer: the right threshold, then `finish(alarms, labels)` with the alarms as booleans."""
    return lambda scores, labels, wanted: finish(scores >= _threshold(scores, labels, wanted), labels)


def _above(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    return labels[scores > _threshold(scores, labels, wanted)].mean()


def _beyond(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    """At the first threshold that finds more than the recall."""
    order = np.argsort(-scores)
    enough = np.argmax(np.cumsum(labels[order]) / labels.sum() > wanted)
    return labels[scores >= scores[order][enough]].mean()


def _through_a_tie(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    """Down the list picture by picture, stopping among equal scores."""
    ranked = labels[np.argsort(-scores, kind="stable")]
    last = np.argmax(np.cumsum(ranked) / labels.sum() >= wanted)
    return ranked[: last + 1].mean()


def _share_of_pictures(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    return labels[scores >= np.quantile(scores, 1 - wanted)].mean()


def _share_of_positives(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    """Of the scores of label 1, the quantile that has a share of `wanted` below it."""
    return labels[scores >= np.quantile(scores[labels == 1], wanted)].mean()


def _best(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    precisions, recalls, _ = precision_recall_curve(labels, scores)
    return precisions[:-1][recalls[:-1] >= wanted].max()


def _from_below(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    return precision_at_recall(-scores, labels, wanted)


def _of_the_others(scores: np.ndarray, labels: np.ndarray, wanted: float) -> float:
    """The share of label 0 at the threshold that finds a share of `wanted` of label 0."""
    return precision_at_recall(scores, 1 - labels, wanted)


RECALL = "That is the recall: what share of label 1 is found. Precision asks what share of the alarms is right."
FALSE = "That is the share of false alarms. Precision is the share of right ones."
ALL = "You divide by all pictures. Precision divides by the alarms alone, those with a score at or above the threshold."
ACCURACY = "That is the accuracy at this threshold: quiet pictures count in it too. Precision is about the alarms."
THRESHOLD = "That is the threshold. Which share of the pictures with such a score or a higher one has label 1?"
ABOVE = "The picture at the threshold raises an alarm too: `>=`, not `>`. Without it, the recall is not reached."
REACHED = "To reach the recall exactly is enough: `>=`. Where all must be found, no threshold finds more."
TIES = "Pictures with equal scores stand or fall together, so all are alarms: compare scores with the threshold."
EVERY = "That is the share of label 1 among all pictures, as if each raised an alarm. Where does the list end?"
QUANTILE = "Your threshold makes alarms of this share of all pictures. Recall is a share of those with label 1."
SIDE = "That quantile lies below this share of label 1, so the rest is found. Count from the highest score down."
BEST = "You take the best precision of all thresholds that reach the recall. Asked is the highest threshold that does."
LOW = "You begin with the lowest scores. A high score says label 1: begin at the top, `np.argsort(-scores)`."
HALF = "A fixed threshold of .5 knows nothing of the recall. Go down the scores until enough are found."
OTHERS = "You look for label 0. Both precision and recall are about label 1 here."
FIRST = "That is the precision at the highest score of all. Go on down until the recall is reached."

MISTAKES = (
    Mistake(_at(lambda alarms, labels: labels[alarms].sum() / labels.sum()), RECALL),
    Mistake(_at(lambda alarms, labels: 1 - labels[alarms].mean()), FALSE),
    Mistake(_at(lambda alarms, labels: labels[alarms].sum() / len(labels)), ALL),
    Mistake(_at(lambda alarms, labels: (alarms == (labels == 1)).mean()), ACCURACY),
    Mistake(_threshold, THRESHOLD),
    Mistake(_above, ABOVE),
    Mistake(_beyond, REACHED),
    Mistake(_through_a_tie, TIES),
    Mistake(lambda scores, labels, wanted: labels.mean(), EVERY),
    Mistake(_share_of_pictures, QUANTILE),
    Mistake(_share_of_positives, SIDE),
    Mistake(_best, BEST),
    Mistake(_from_below, LOW),
    Mistake(lambda scores, labels, wanted: labels[scores >= 0.5].mean(), HALF),
    Mistake(_of_the_others, OTHERS),
    Mistake(lambda scores, labels, wanted: labels[scores == scores.max()].mean(), FIRST),
)


@cache
def _eights() -> tuple[np.ndarray, np.ndarray]:
    """How likely a probe on five digits a class finds it that each test digit is an eight, and which are."""
    from course_utils.features import extract, probe
    from course_utils.models.loading import load_model

    task = load_task("digits", per_class=5)
    model = load_model("photonet")
    seen = [extract(model, split.x, "layer3", device="cpu") for split in (task.train, task.test)]
    likely = probe(seen[0], task.train.y == 8).predict_proba(seen[1])[:, 1]
    return np.round(likely, 6), (task.test.y == 8).astype(int)


def _cases() -> list[tuple]:
    """Real scores, then small ones in which ties, one picture, or the way precision wavers matter."""
    scores, labels = _eights()
    wavering = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    found = np.array([1, 0, 0, 1, 1, 1, 0, 1])
    tied = np.array([0.9, 0.4, 0.4, 0.4, 0.4, 0.1])
    return [
        (scores, labels, 0.95), (scores, labels, 0.5), (wavering, found, 0.3), (wavering, found, 0.8),
        (wavering[::-1].copy(), found[::-1].copy(), 1.0), (tied, np.array([0, 1, 0, 1, 0, 0]), 0.5),
        (tied - 0.4, np.array([1, 1, 0, 0, 0, 1]), 0.6), (np.array([3.0, -2.0]), np.array([0, 1]), 0.1),
    ]  # fmt: skip


def _draw(rng: np.random.Generator) -> tuple:
    count = rng.integers(2, 40)
    labels = (rng.random(count) < 0.3).astype(int)
    labels[rng.integers(count)] = 1
    return np.round(rng.random(count) + 0.3 * labels, rng.integers(1, 4)), labels, rng.uniform(0.05, 1)


RECALLED = Exercise(
    name="02-recall",
    solution=precision_at_recall,
    can_do="You can say how many false alarms it costs to find nearly all.",
    hints=(
        "Go down the list from the highest score. After each picture: what share of all label 1 is found so far?",
        "`np.cumsum(labels[np.argsort(-scores)])` counts what is found. Which is the first place with enough?",
        "The score at that place is the threshold; precision is `labels[scores >= threshold].mean()`.",
    ),
    mistakes=MISTAKES,
    cases=_cases,
    draw=_draw,
    right=(_with_scikit_learn, _threshold_by_threshold),
)

EXERCISES = [RECALLED]
