"""Frozen networks under linear heads that are fitted to the end: each stage by itself, and the best of them."""

from collections.abc import Iterable
from functools import cache, lru_cache

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score

from course_utils.data.tasks import Task, pool_task
from course_utils.evidence.experiments import load_results
from course_utils.evidence.results import pack
from course_utils.features import extract, probe
from course_utils.grids import transfer_grid
from course_utils.grids.transfer_grid import LITE0, STAGES, TUNED_AT, drawn, loaded, overlap, whole
from course_utils.models.backbones import Model
from course_utils.threads import share_for_numpy

NETWORKS = ("pretrained", "untrained")
POSITIONS = (1, 4)  # a side of the grid whose means a head gets; 1: the mean over all positions
LITE0_STAGES = (*STAGES, "last")
OURS = {task: tuple(sorted(sizes)) for task, sizes in (transfer_grid.OURS | {"textures": (2, 10, 40)}).items()}
TRIED = {task: sizes for task, sizes in OURS.items() if task != "ants_bees"}  # which ImageNet holds
PENALTIES = {f"C={10.0**k:g}": 10.0**k for k in range(-6, 4)}  # scikit-learn's C, from the strongest on
CELL = ["network", "task", "stage", "positions", "per_class"]
SIDE = 16  # raw pixels are averaged to so many a side
MEASURES = ("penalty", "overlap", "accuracy", "balanced_accuracy", "correct")  # of `stages`


def stages(seed: int, backbone: str, network: str, task: str, stage: str, positions: int, per_class: int) -> dict:
    """A linear probe on standardised features of one stage, at the penalty tuned for this very cell; test split.

    `positions` is 1 for features pooled over all positions, 4 for the means of a 4 x 4 grid (a smaller map as it
    is). An untrained network is drawn anew by each seed, its batch-norm statistics taken from the training pictures.
    Primary claims, named before the first row of each study:
    `stages` (PhotoNet; 2026-11-29): with ten letters per class, layer3 pooled is more accurate than layer4 pooled.
    `stages_lite0` (EfficientNet-Lite0; 2026-11-29): with ten letters per class on EfficientNet-Lite0, the best of
    the earlier stages (by tuning) is more accurate than the last stage.
    `stages_photonets` and all other comparisons are exploratory; the further PhotoNets keep the first one's penalties.
    Source: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
    """
    penalty = tuned_penalty(backbone, network, task, stage, positions, per_class)
    seen, model = _seen(backbone, network, task, per_class, seed)
    result = _result(seen, _features(seen, model, stage, positions), penalty)
    return {"penalty": penalty, "overlap": overlap(task, per_class)} | result


def stages_tuning(
    seed: int, backbone: str, network: str, task: str, stage: str, positions: int, per_class: int
) -> dict:
    """One cell at every penalty, a column each: the balanced accuracy on what `pool_task` holds out. It claims nothing.

    The network "pixels" is none at all: raw pictures, averaged to 16 x 16.
    """
    within, model = _seen(backbone, network, task, per_class, seed, tuning=True)
    train, held_out = _features(within, model, stage, positions)
    fitted = probe(train, within.train.y)  # turns the features once for all penalties
    head, scores = fitted[-1], {}
    with share_for_numpy():
        train, held_out = (fitted[:-1].transform(part) for part in (train, held_out))
        for name, penalty in PENALTIES.items():
            guess = head.set_params(C=penalty).fit(train, within.train.y).predict(held_out)
            scores[name] = round(balanced_accuracy_score(within.test.y, guess), 4)
    return scores


def heads(seed: int, backbone: str, network: str, task: str, per_class: int) -> dict:
    """A frozen network at its best: the probe at the stage, positions and penalty that tuning chose; test split.

    It claims nothing by itself: it is the frozen arm of the primary claim of `transfer`. There is the control
    without pretraining, and the one without a network ("pixels").
    """
    stage, positions = tuned_stage(backbone, network, task)
    penalty = tuned_penalty(backbone, network, task, stage, positions, per_class)
    seen, model = drawn(backbone, task, per_class, seed), _network(backbone, network, seed)
    result = _result(seen, _features(seen, model, stage, positions), penalty)
    chosen = {"stage": stage, "positions": positions, "penalty": penalty}
    return chosen | {"overlap": overlap(task, per_class)} | result


def tuned_penalty(backbone: str, network: str, task: str, stage: str, positions: int, per_class: int) -> float:
    """The penalty with the best mean over the tuning seeds; of equally good ones the middle, of two the stronger."""
    means = _tuning(backbone).loc[(network, task, stage, positions, per_class)]
    best = [PENALTIES[name] for name in means.index[np.isclose(means, means.max(), rtol=0, atol=1e-9)]]
    return best[(len(best) - 1) // 2]


def tuned_stage(backbone: str, network: str, task: str) -> tuple[str, int]:
    """The stage and positions that are best at ten examples of each class, each at its own best penalty.

    They hold at every size. Of equally good ones it is the first by name.
    """
    means = _tuning(backbone).loc[network].loc[task].xs(TUNED_AT, level="per_class")
    stage, positions = means.max(axis=1).idxmax()
    return stage, int(positions)


@cache
def _tuning(backbone: str) -> pd.DataFrame:
    """The mean accuracy of each cell at each penalty."""
    rows = load_results("stages_lite0_tuning" if backbone == LITE0 else "stages_tuning")
    return rows.groupby(CELL)[list(PENALTIES)].mean()


def stages_grid(
    backbones: Iterable[str], sizes: dict[str, tuple], names: Iterable[str] = STAGES, networks: Iterable[str] = NETWORKS
) -> list[dict]:
    """The settings of `stages` and `stages_tuning`: what one pass through a network serves stands together."""
    return [
        {"backbone": b, "network": w, "task": t, "stage": s, "positions": p, "per_class": n}
        for b in backbones
        for t, numbers in sizes.items()
        for n in numbers
        for w in networks
        for p in POSITIONS
        for s in names
    ]


def pixels_grid() -> list[dict]:
    """The settings of `stages_tuning` without a network, which `heads` alone reports."""
    cells = stages_grid(["photonet"], OURS, ["pixels"], ["pixels"])
    return [cell for cell in cells if cell["positions"] == 1]


def heads_grid(backbones: Iterable[str], sizes: dict[str, tuple], networks: Iterable[str] = NETWORKS) -> list[dict]:
    """The settings of `heads`."""
    return [
        {"backbone": b, "network": w, "task": t, "per_class": n}
        for b in backbones
        for t, numbers in sizes.items()
        for n in numbers
        for w in networks
    ]


@lru_cache(maxsize=10)  # the seeds of a cell, which follow each other stage after stage
def _seen(
    backbone: str, network: str, name: str, per_class: int, seed: int, tuning: bool = False
) -> tuple[Task, Model | None]:
    """A task and a network whose features at all stages are on the disk, from one pass for each of `POSITIONS`."""
    task = pool_task(whole(backbone, name), per_class, seed) if tuning else drawn(backbone, name, per_class, seed)
    model = _network(backbone, network, seed)
    for positions in POSITIONS if model else ():
        for split in (task.train, task.test):
            extract(model, split.x, "all", positions=positions)
    return task, model


def _network(backbone: str, network: str, seed: int) -> Model | None:
    return None if network == "pixels" else loaded(backbone, network == "pretrained", seed)


def _features(task: Task, model: Model | None, stage: str, positions: int) -> list[np.ndarray]:
    """Features of both splits; the training pictures first, which give an untrained network its statistics.

    In float64: at a strong penalty, a step of the fit changes the loss by less than float32 can tell.
    """
    seen = [
        _pixels(split.x) if model is None else extract(model, split.x, stage, positions=positions)
        for split in (task.train, task.test)
    ]
    return [part.astype(np.float64) for part in seen]


def _pixels(x: np.ndarray) -> np.ndarray:
    small = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(x)).float(), SIDE)
    return small.flatten(1).numpy()


def _result(task: Task, features: list[np.ndarray], penalty: float) -> dict:
    train, test = features
    guess = probe(train, task.train.y, penalty).predict(test)
    correct, balanced = guess == task.test.y, round(balanced_accuracy_score(task.test.y, guess), 4)
    return {"accuracy": round(correct.mean(), 4), "balanced_accuracy": balanced, "correct": pack(correct)}
