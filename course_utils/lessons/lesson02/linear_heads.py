"""Freezing at its best: heads fitted to the end on frozen features, on the very examples of the grid `transfer`."""


import numpy as np
import torch
import torch.nn.functional as F

from course_utils.data.tasks import Task, pool_task
from course_utils.evidence.experiments import tuned
from course_utils.evidence.results import pack
from course_utils.evidence.transfer_grid import LARGEST, TUNED_AT, drawn, whole
from course_utils.features import extract, probe
from course_utils.models.loading import load_model

STAGES = ("layer2", "layer3", "layer4")
SOURCES = {"pretrained": STAGES, "untrained": STAGES, "pixels": ("pixels",)}  # where features come from, and stages
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)  # scikit-learn's C
ALONE = 2  # examples of each class: so few are tuned on their own, all others as in `transfer`
SIDE = 16  # raw pixels are averaged to so many a side


def heads(seed: int, task: str, features: str, per_class: int) -> dict:
    """Logistic regression on standardised frozen features, at the stage and penalty tuned for the task and size.

    It is the control for what `transfer` says of freezing: there a head has 100 updates, here it has converged.
    `features` are those of the pretrained network, of the untrained one, or raw pixels.
    Primary claim, named before it ran: with ten letters a class, fine-tuning (100 updates, in `transfer`) is more
    accurate than this. All other comparisons are exploratory, those with 400 updates of fine-tuning included,
    which came later.
    """
    stage, penalty = tuned_head(task, features, per_class)
    correct = _hits(drawn(task, per_class, seed), features, stage, penalty, seed)
    return {"accuracy": round(correct.mean(), 4), "correct": pack(correct)}


def heads_tuning(seed: int, task: str, features: str, stage: str, penalty: float, per_class: int) -> dict:
    """One stage and penalty, trained and scored within the training pool of a task; it claims nothing."""
    within = pool_task(whole(task), per_class, seed)
    return {"accuracy": round(_hits(within, features, stage, penalty, seed).mean(), 4)}


def tuned_head(task: str, features: str, per_class: int) -> tuple[str, float]:
    """The stage and the penalty with the best mean accuracy over the tuning seeds and sizes.

    Two examples of each class want another penalty than ten or forty, so they are tuned on their own.
    """
    sizes = (ALONE,) if per_class == ALONE else TUNED_AT
    return tuned("heads_tuning", "stage", "penalty", task=task, features=features, per_class=sizes)


def heads_grid() -> list[dict]:
    """The settings of `heads`: the sizes of `transfer`."""
    sizes = [(task, n) for task, largest in LARGEST.items() for n in sorted({2, 10, 40, largest})]
    return [{"task": task, "features": source, "per_class": n} for source in SOURCES for task, n in sizes]


def heads_tuning_grid() -> list[dict]:
    """The settings of `heads_tuning`."""
    return [
        {"task": task, "features": source, "stage": stage, "penalty": penalty, "per_class": n}
        for source, stages in SOURCES.items()
        for task in LARGEST
        for stage in stages
        for penalty in PENALTIES
        for n in (ALONE, *TUNED_AT)
    ]


def _hits(task: Task, features: str, stage: str, penalty: float, seed: int) -> np.ndarray:
    """Which test pictures are right."""
    train, test = _features(task, features, stage, seed)
    return probe(train, task.train.y, penalty).predict(test) == task.test.y


def _features(task: Task, features: str, stage: str, seed: int) -> list[np.ndarray]:
    if features == "pixels":
        return [_pixels(split.x) for split in (task.train, task.test)]
    model = load_model("photonet", pretrained=features == "pretrained", seed=seed)
    return [extract(model, split.x, stage) for split in (task.train, task.test)]


def _pixels(x: np.ndarray) -> np.ndarray:
    small = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(x)).float(), SIDE)
    return small.flatten(1).numpy()
