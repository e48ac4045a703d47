"""The experiments that no single lesson owns: the rates of `fit`, the grid `transfer`, and frozen networks."""

from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import TUNING_SEEDS, Study, grid_of
from course_utils.evidence.frozen import (
    LITE0_STAGES,
    MEASURES,
    NETWORKS,
    OURS,
    PENALTIES,
    TRIED,
    heads,
    heads_grid,
    pixels_grid,
    stages,
    stages_grid,
    stages_tuning,
)
from course_utils.evidence.transfer_grid import (
    HEADLINE,
    KNOBS,
    LITE0,
    POOL,
    SIZES,
    SMALL,
    lite0_grid,
    lite0_tuning_grid,
    photonets_grid,
    transfer,
    transfer_grid,
    transfer_tuning,
    tuning_grid,
)
from course_utils.models.loading import load_model
from course_utils.training.evaluation import Score, evaluate
from course_utils.training.fit import fit
from course_utils.training.strategies import STRATEGIES

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# For `fit`'s defaults: tasks to choose them by, and others to try them on (photographs a class).
CHOOSING = {"textures": 10, "letters": 10}
TRYING = {"digits": 10, "ants_bees": 40}


def defaults(seed: int, task: str, strategy: str, lr: float) -> dict:
    """The rates of `fit`: everything else as it comes, pictures at 32 px, scored on the rest of each pool.

    Primary claim: on tasks that were not used to choose it, each strategy's rate in
    `course_utils.training.strategies.DEFAULTS` is within .03 of the best of 1e-3 to 3e-2.
    """
    pool = load_task(task, per_class=POOL.get(task), image_size=32)
    within = pool_task(pool, (CHOOSING | TRYING)[task], seed)
    return {"accuracy": round(as_it_comes(within, strategy, seed, lr=lr).accuracy, 4)}


def as_it_comes(task: Task, strategy: str, seed: int, **settings) -> Score:
    """The score on `task.test` after `fit` with nothing said but the strategy."""
    model = load_model("photonet", len(task.classes), pretrained=strategy != "from_scratch", seed=seed)
    fit(model, task, strategy, seed=seed, progress=False, **settings)
    return evaluate(model, task.test)


OTHERS = ("photonet-1", "photonet-2")
TEN_LETTERS = {"backbone": "photonet", "network": "pretrained", "task": "letters", "per_class": 10, "seed": 0}
HEADS_MEASURES = ("stage", "positions", *MEASURES)
TRANSFER_MEASURES = (*KNOBS, "overlap", "accuracy", "balanced_accuracy", "correct")
STUDIES = {
    "defaults": Study(
        defaults, grid_of(task=CHOOSING | TRYING, strategy=STRATEGIES, lr=RATES), TUNING_SEEDS[:2], 15, version=2
    ),
    "transfer_tuning": Study(transfer_tuning, tuning_grid(), TUNING_SEEDS, version=2, minutes=35),
    "transfer": Study(transfer, transfer_grid(), range(10), 55, 2, ("transfer_tuning",), TRANSFER_MEASURES),
    "transfer_photonets": Study(
        transfer, photonets_grid(), range(10), 5, needs=("transfer_tuning",), measures=TRANSFER_MEASURES
    ),
    "transfer_lite0_tuning": Study(transfer_tuning, lite0_tuning_grid(), TUNING_SEEDS[:2], minutes=40),
    "transfer_lite0": Study(
        transfer, lite0_grid(), range(10), 150, needs=("transfer_lite0_tuning",), measures=TRANSFER_MEASURES
    ),
    "stages_tuning": Study(
        stages_tuning, stages_grid(["photonet"], OURS) + pixels_grid(), TUNING_SEEDS, 10, measures=tuple(PENALTIES)
    ),
    "stages": Study(
        stages,
        stages_grid(["photonet"], OURS),
        range(10),
        30,
        needs=("stages_tuning",),
        measures=MEASURES,
        headline=TEN_LETTERS | {"stage": "layer3", "positions": 1},
    ),
    "stages_photonets": Study(
        stages,
        stages_grid(OTHERS, TRIED, networks=["pretrained"]),
        range(10),
        20,
        needs=("stages_tuning",),
        measures=MEASURES,
    ),
    "stages_lite0_tuning": Study(
        stages_tuning, stages_grid([LITE0], TRIED, LITE0_STAGES), TUNING_SEEDS, 10, measures=tuple(PENALTIES)
    ),
    "stages_lite0": Study(
        stages,
        stages_grid([LITE0], TRIED, LITE0_STAGES),
        range(10),
        40,
        needs=("stages_lite0_tuning",),
        measures=MEASURES,
    ),
    "heads": Study(
        heads,
        heads_grid(["photonet"], SIZES, [*NETWORKS, "pixels"]),
        range(10),
        30,
        version=4,
        needs=("stages_tuning",),
        measures=HEADS_MEASURES,
        headline=TEN_LETTERS,
    ),
    "heads_photonets": Study(
        heads,
        heads_grid(OTHERS, {task: (n,) for task, n in HEADLINE}, ["pretrained"]),
        range(10),
        2,
        needs=("stages_tuning",),
        measures=HEADS_MEASURES,
    ),
    "heads_lite0": Study(
        heads, heads_grid([LITE0], SMALL), range(10), 10, needs=("stages_lite0_tuning",), measures=HEADS_MEASURES
    ),
}
