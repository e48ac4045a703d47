"""What each stage knows: probes on every stage of PhotoNet and of its untrained twin, over four tasks."""

from functools import cache, lru_cache

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.data.images import smaller
from course_utils.data.splits import draw_in_one_order
from course_utils.data.tasks import Task, load_task
from course_utils.evidence.experiments import grid_of, tuned
from course_utils.evidence.results import pack
from course_utils.evidence.transfer_grid import SIZE, STAGES
from course_utils.features import extract, probe
from course_utils.models.loading import load_model
from course_utils.pretraining.tiny_imagenet import find_zip, read_zip

SIZES = {"digits": (1, 5, 20, 80), "letters": (1, 5, 20, 80), "faces": (1, 5, 20), "ants_bees": (1, 5, 20)}  # a class
POOL = {"letters": 120}  # of each class, where the whole pool is larger than it need be
HELD_OUT = 200  # images of the training pool that no probe learns from; the best stage is chosen on them
DIMENSIONS = 32  # of the second control, in which every stage has as many
PENALTIES = (0.01, 0.1, 1.0, 10.0)  # scikit-learn's C
FIXED = 1.0  # at one example a class, where there is nothing to choose a penalty by
NETWORKS = ("pretrained", "untrained")
COMPARED = 150  # images of each side in a distance between source and task


def probes(seed: int, task: str, network: str, stage: str, dimensions: int, per_class: int) -> dict:
    """A linear probe on standardised features of one stage, scored on the test split and on held-out images.

    Primary claim, named before the grid ran: with one digit a class, a probe on layer3 of the pretrained network
    is more accurate than one on layer4. All other comparisons are exploratory. `dimensions` is 0 for features as
    they are, 32 for their first 32 principal components in the pool, unlabelled.
    Source: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
    """
    arm = {"task": task, "network": network, "stage": stage, "dimensions": dimensions, "per_class": per_class}
    strength = FIXED if per_class == 1 else tuned("probes_tuning", "penalty", **arm)
    pool, test = _features(task, network, seed, stage, dimensions)
    labels = _task(task)
    train, held_out = _rows(task, per_class, seed)
    fitted = probe(pool[train], labels.train.y[train], strength)
    correct = fitted.predict(test) == labels.test.y
    chosen_by = fitted.score(pool[held_out], labels.train.y[held_out])
    return {"accuracy": round(correct.mean(), 4), "apart": round(chosen_by, 4), "correct": pack(correct)}


def probes_tuning(
    seed: int, task: str, network: str, stage: str, dimensions: int, per_class: int, penalty: float
) -> dict:
    """One penalty, scored on the held-out images; it claims nothing."""
    pool, _ = _features(task, network, seed, stage, dimensions)
    train, held_out = _rows(task, per_class, seed)
    y = _task(task).train.y
    return {"accuracy": round(probe(pool[train], y[train], penalty).score(pool[held_out], y[held_out]), 4)}


def source_distance(seed: int, task: str) -> dict:
    """How far a task's pictures lie from Tiny-ImageNet's validation images in PhotoNet's last features.

    The kernel distance of 150 images of each, drawn by `seed`; "source" is the distance between two draws of
    the source itself.
    """
    from course_utils.similarity import kernel_distance

    there, here = (np.random.default_rng([seed, k]) for k in range(2))
    source = _source_features(SIZE.get(task, 32))
    order = there.permutation(len(source))
    ours = source[order[COMPARED:]] if task == "source" else _features(task, "pretrained", 0, STAGES[-1], 0)[0]
    ours = ours[here.permutation(len(ours))[:COMPARED]]
    return {"distance": round(float(kernel_distance(source[order[:COMPARED]], ours)), 5)}


def probes_grid(least: int = 1) -> list[dict]:
    """The settings of `probes`, from `least` examples a class on."""
    rest = grid_of(network=NETWORKS, stage=STAGES, dimensions=(0, DIMENSIONS))
    sizes = [(task, n) for task, numbers in SIZES.items() for n in numbers if n >= least]
    return [{"task": task, "per_class": n} | setting for task, n in sizes for setting in rest]


def tuning_grid() -> list[dict]:
    """The settings of `probes_tuning`; at one example a class there is nothing to tune."""
    return [setting | {"penalty": c} for setting in probes_grid(least=2) for c in PENALTIES]


@cache
def _task(name: str) -> Task:
    return load_task(name, per_class=POOL.get(name), image_size=SIZE[name])


@cache
def _rows(task: str, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pool to learn from, drawn by seed and nested in size, and the held-out rows, always the same."""
    y = _task(task).train.y
    classes = np.unique(y)
    each = min(HELD_OUT // len(classes), np.bincount(y).min() - max(SIZES[task]))
    # The same whatever the seed, and so drawn once: no `draw`. The stored rows rest on this order.
    held_out = np.concatenate([np.random.default_rng(0).permutation(np.flatnonzero(y == k))[:each] for k in classes])
    left = np.setdiff1d(np.arange(len(y)), held_out)
    return draw_in_one_order(y, per_class, seed, left)[0], held_out


@lru_cache(maxsize=600)
def _features(task: str, network: str, seed: int, stage: str, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of the pool and of the test split; the pretrained network is the same for every seed."""
    pool, test = _all_features(task, network, seed if network == "untrained" else 0)
    pool, test = pool[stage], test[stage]
    if dimensions:
        turn = make_pipeline(StandardScaler(), PCA(dimensions, random_state=0)).fit(pool)
        pool, test = turn.transform(pool), turn.transform(test)
    return pool, test


@lru_cache(maxsize=60)
def _all_features(name: str, network: str, seed: int) -> tuple[dict, dict]:
    model, task = load_model("photonet", pretrained=network == "pretrained", seed=seed), _task(name)
    return extract(model, task.train.x, "all"), extract(model, task.test.x, "all")


@cache
def _source_features(size: int) -> np.ndarray:
    path = find_zip('Put it there, or read the stored rows: load_results("source_distance").')
    return extract(load_model("photonet"), smaller(read_zip(path, "val").x, size))
