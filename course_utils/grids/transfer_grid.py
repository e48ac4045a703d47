"""The shared grid: ways to transfer and their controls, on PhotoNet and on EfficientNet-Lite0."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np

from course_utils.data import letters
from course_utils.data.splits import shared_share
from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import grid_of, tuned
from course_utils.evidence.results import pack
from course_utils.models.backbones import Model
from course_utils.models.loading import load_model, raw_pixels
from course_utils.training.evaluation import Score, evaluate
from course_utils.training.fit import fit
from course_utils.training.strategies import Strategy, feature_extraction, fine_tuning, from_scratch

LITE0, LITE0_PIXELS = "efficientnet_lite0", 64
PIXELS = {"digits": 32, "letters": 32, "textures": 32, "tiles": 48, "ants_bees": 48}  # a side, for PhotoNet
SIZES = {"letters": (10, 2, 40), "tiles": (10, 2, 5), "digits": (10, 2, 40)}  # of each class, headline cells first
OURS = SIZES | {"ants_bees": (10, 2, 40)}  # PhotoNet's alone: ImageNet holds ants and bees
HEADLINE = (("letters", 10), ("tiles", 10))
TUNED_AT = 10  # examples of each class
POOL = {"letters": 300}  # of each class to tune on, where the pool is larger than it need be
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
FROZEN = ("raw_pixels", "untrained_frozen", "feature_extraction")  # a linear head on what never changes
ARMS = (("fine_tuning", 400), ("from_scratch", 400))  # the frozen arm is the study `heads`
SHORT = (  # lesson 00's, on ants and bees
    *(("feature_extraction", 100), ("untrained_frozen", 100), ("raw_pixels", 100)),
    *(("fine_tuning", 100), ("from_scratch", 100)),
)
DECAY = 0.01  # AdamW's, where it is not tried
KNOBS = ("lr", "share", "decay")
# What each arm may choose from on a task: the head's rate, the backbone's share of it, the decay of the weights.
# As many settings for every arm; one more for from scratch, whose best stood at the edge of the range.
TRIALS = {
    "frozen": grid_of(
        lr=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), share=(0.0,), decay=(DECAY,)
    ),
    "fine_tuning": [
        *grid_of(lr=(1e-3, 3e-3, 1e-2), share=(0.1, 0.3, 1.0), decay=(DECAY,)),
        *({"lr": lr, "share": share, "decay": DECAY} for lr, share in ((3e-4, 0.3), (1e-3, 0.03), (1e-2, 0.03))),
    ],
    "from_scratch": [
        *grid_of(lr=(1e-2, 3e-2, 0.1), share=(1.0,), decay=(DECAY, 0.1, 0.5)),
        *grid_of(lr=(1e-2,), share=(1.0,), decay=(2.0, 5.0)),
        *({"lr": lr, "share": 1.0, "decay": decay} for lr, decay in ((3e-3, 0.1), (3e-2, 2.0))),
    ],
}
LITE0_TRIALS = {
    "fine_tuning": [
        {"lr": lr, "share": share, "decay": DECAY}
        for lr, share in ((3e-4, 1), (1e-3, 1), (3e-3, 0.3), (3e-3, 1), (1e-2, 0.1), (1e-2, 0.3))
    ],
    "from_scratch": grid_of(lr=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1), share=(1.0,), decay=(DECAY,)),
}


def transfer(seed: int, backbone: str, task: str, strategy: str, steps: int, per_class: int) -> dict:
    """One arm on the test split of a task, tuned for this task and arm; batches of 16, no mirror images.

    Primary claims, named before the first row of each study:
    `transfer` (PhotoNet; 2026-11-29): with ten letters of each class, fine-tuning with 400 updates is more accurate
    than the frozen network at its best (the study `heads`).
    `transfer_photonets` (2026-11-29): the same on each of the two further PhotoNets.
    `transfer_lite0` (EfficientNet-Lite0; 2026-11-29): the same on EfficientNet-Lite0.
    All other comparisons are exploratory. From scratch with 1,600 updates keeps the settings tuned at 400, and the
    further PhotoNets those tuned on the first.
    """
    knobs = tuned_knobs(backbone, task, strategy, min(steps, 400))  # tuned for no more updates than that
    score = _score(drawn(backbone, task, per_class, seed), backbone, strategy, steps, knobs, seed)
    return {
        **knobs,
        "overlap": overlap(task, per_class),
        "accuracy": round(score.accuracy, 4),
        "balanced_accuracy": round(score.balanced_accuracy, 4),
        "correct": pack(score.correct),
    }


def transfer_tuning(
    seed: int, backbone: str, task: str, strategy: str, steps: int, lr: float, share: float, decay: float
) -> dict:
    """One arm at one setting of its knobs, ten examples of each class, scored on what `pool_task` holds out.

    It claims nothing: the setting with the best mean over seeds is used at every size. The accuracy is the mean
    over classes, since the tiles' classes are of very different size.
    """
    within = pool_task(whole(backbone, task), TUNED_AT, seed)
    score = _score(within, backbone, strategy, steps, {"lr": lr, "share": share, "decay": decay}, seed)
    return {"accuracy": round(score.balanced_accuracy, 4)}


def tuned_knobs(backbone: str, task: str, strategy: str, steps: int) -> dict[str, float]:
    """The rate, share and decay of an arm on a task: the best mean accuracy over the tuning seeds."""
    lite = backbone == LITE0
    study = "transfer_lite0_tuning" if lite else "transfer_tuning"
    arm = {"backbone": LITE0 if lite else "photonet", "task": task, "strategy": strategy, "steps": steps}
    return dict(zip(KNOBS, map(float, tuned(study, *KNOBS, **arm)), strict=True))


def transfer_grid() -> list[dict]:
    """The settings of `transfer`: the headline cells, longer from scratch there, and the rest."""
    return _cells("photonet", OURS)


def photonets_grid() -> list[dict]:
    """The settings of `transfer_photonets`: the headline cells on the PhotoNets of two other seeds."""
    return [cell for name in ("photonet-1", "photonet-2") for cell in _headline(name, [("fine_tuning", 400)])]


def lite0_grid() -> list[dict]:
    """The settings of `transfer_lite0`: as on PhotoNet, without ants and bees."""
    return _cells(LITE0, SIZES)


def tuning_grid() -> list[dict]:
    """The settings of `transfer_tuning`: as many for every arm."""
    arms = [(task, arm) for task in OURS for arm in _named(ARMS)]
    arms += [("ants_bees", arm) for arm in _named(SHORT)]
    return [
        {"backbone": "photonet", "task": task} | arm | knobs
        for task, arm in arms
        for knobs in TRIALS["frozen" if arm["strategy"] in FROZEN else arm["strategy"]]
    ]


def lite0_tuning_grid() -> list[dict]:
    """The settings of `transfer_lite0_tuning`: six for each arm."""
    return [
        {"backbone": LITE0, "task": task, "strategy": strategy, "steps": 400} | knobs
        for task in SIZES
        for strategy, trials in LITE0_TRIALS.items()
        for knobs in trials
    ]


def _named(arms: Iterable[tuple[str, int]]) -> list[dict]:
    return [{"strategy": strategy, "steps": steps} for strategy, steps in arms]


def _cells(backbone: str, sizes: dict[str, tuple[int, ...]]) -> list[dict]:
    """The headline cells first, then digits, then the rest, so that whatever is cut off matters least."""
    rest = [(task, n) for task in ("digits", *sizes) for n in sizes[task] if (task, n) not in HEADLINE]
    cells = [
        {"backbone": backbone, "task": task} | arm | {"per_class": n}
        for task, n in dict.fromkeys(rest)
        for arm in _named(ARMS)
    ]
    return _headline(backbone, [*ARMS, ("from_scratch", 1600)]) + cells


def _headline(backbone: str, arms: Iterable[tuple[str, int]]) -> list[dict]:
    return [
        {"backbone": backbone, "task": task} | arm | {"per_class": n} for arm in _named(arms) for task, n in HEADLINE
    ]


def pixels(backbone: str, task: str) -> int:
    """The side of a task's pictures in the grid."""
    return LITE0_PIXELS if backbone == LITE0 else PIXELS[task]


def loaded(backbone: str, pretrained: bool, seed: int, classes: int | None = None) -> Model:
    """A backbone as the grid uses it: EfficientNet-Lite0 at 64 px, PhotoNet at the size of the pictures."""
    return load_model(backbone, classes, pretrained, seed, LITE0_PIXELS if backbone == LITE0 else None)


@lru_cache(maxsize=2)
def drawn(backbone: str, name: str, per_class: int, seed: int) -> Task:
    """The task as one run of the grid sees it: its examples drawn by seed, and its pictures at the grid's size."""
    return load_task(name, per_class=per_class, seed=seed, image_size=pixels(backbone, name))


@lru_cache(maxsize=1)
def whole(backbone: str, name: str) -> Task:
    """The task with all examples that settings are chosen on, at the grid's size."""
    return load_task(name, per_class=POOL.get(name), image_size=pixels(backbone, name))


@cache
def overlap(task: str, per_class: int) -> float:
    """The share of a seed's training examples that another seed's hold too, on average."""
    y = np.repeat(range(26), letters.COUNT["train"]) if task == "letters" else whole("photonet", task).train.y
    return round(shared_share(y, per_class), 3)


def _score(task: Task, backbone: str, strategy: str, steps: int, knobs: dict[str, float], seed: int) -> Score:
    model = _model(task, backbone, strategy, seed)
    plan = _plan(strategy, knobs["share"], knobs["decay"])
    fit(model, task, plan, lr=knobs["lr"], steps=steps, batch_size=16, seed=seed, augment=False, progress=False)
    return evaluate(model, task.test)


def _plan(strategy: str, share: float, decay: float) -> Strategy:
    """The strategy of an arm, with the backbone's share of the rate and the decay that were chosen for it."""
    if strategy in FROZEN:
        plan = feature_extraction()
    else:
        plan = from_scratch() if strategy == "from_scratch" else fine_tuning(share=share)
    return replace(plan, setup=lambda model: [group | {"weight_decay": decay} for group in plan.setup(model)])


def _model(task: Task, backbone: str, strategy: str, seed: int) -> Model:
    classes = len(task.classes)
    if strategy == "raw_pixels":
        return raw_pixels(task.train.x.shape[-1], classes, seed)
    return loaded(backbone, strategy not in ("from_scratch", "untrained_frozen"), seed, classes)
