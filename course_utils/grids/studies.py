"""The experiments that no single lesson owns: the rates of `fit`, the grid `transfer`, and frozen networks."""

from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import TUNING_SEEDS, Study, grid_of
from course_utils.grids import frozen
from course_utils.grids import transfer_grid as grid
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
    pool = load_task(task, per_class=grid.POOL.get(task), image_size=32)
    within = pool_task(pool, (CHOOSING | TRYING)[task], seed)
    return {"accuracy": round(as_it_comes(within, strategy, seed, lr=lr).accuracy, 4)}


def as_it_comes(task: Task, strategy: str, seed: int, **settings) -> Score:
    """The score on `task.test` after `fit` with nothing said but the strategy."""
    model = load_model("photonet", len(task.classes), pretrained=strategy != "from_scratch", seed=seed)
    fit(model, task, strategy, seed=seed, progress=False, **settings)
    return evaluate(model, task.test)


OTHERS = ("photonet-1", "photonet-2")
TRANSFER_MEASURES = (*grid.KNOBS, "overlap", "accuracy", "balanced_accuracy", "correct")
HEADS_MEASURES = ("stage", "positions", *frozen.MEASURES)
TEN_LETTERS = {"backbone": "photonet", "network": "pretrained", "task": "letters", "per_class": 10, "seed": 0}
LAYER3 = {"stage": "layer3", "positions": 1}
OURS = frozen.stages_grid(["photonet"], frozen.OURS)
LITE0 = frozen.stages_grid([grid.LITE0], frozen.TRIED, frozen.LITE0_STAGES)
REST = frozen.stages_grid(OTHERS, frozen.TRIED, networks=["pretrained"])
HEADS = frozen.heads_grid(["photonet"], grid.OURS, [*frozen.NETWORKS, "pixels"])
HEADLINE = frozen.heads_grid(OTHERS, {task: (n,) for task, n in grid.HEADLINE}, ["pretrained"])
TUNED, TUNED_LITE0, EACH = ("stages_tuning",), ("stages_lite0_tuning",), tuple(frozen.PENALTIES)
KNOBS, KNOBS_LITE0 = ("transfer_tuning",), ("transfer_lite0_tuning",)
STUDIES = {  # function, grid, seeds, minutes, version, needs, measures, headline
    "defaults": Study(
        defaults, grid_of(task=CHOOSING | TRYING, strategy=STRATEGIES, lr=RATES), TUNING_SEEDS[:2], 15, version=2
    ),
    "transfer_tuning": Study(grid.transfer_tuning, grid.tuning_grid(), TUNING_SEEDS, 35, version=2),
    "transfer": Study(grid.transfer, grid.transfer_grid(), range(10), 55, 2, KNOBS, TRANSFER_MEASURES),
    "transfer_photonets": Study(grid.transfer, grid.photonets_grid(), range(10), 5, 1, KNOBS, TRANSFER_MEASURES),
    "transfer_lite0_tuning": Study(grid.transfer_tuning, grid.lite0_tuning_grid(), TUNING_SEEDS[:2], 40),
    "transfer_lite0": Study(grid.transfer, grid.lite0_grid(), range(10), 150, 1, KNOBS_LITE0, TRANSFER_MEASURES),
    "stages_tuning": Study(frozen.stages_tuning, OURS + frozen.pixels_grid(), TUNING_SEEDS, 10, measures=EACH),
    "stages": Study(frozen.stages, OURS, range(10), 30, 1, TUNED, frozen.MEASURES, TEN_LETTERS | LAYER3),
    "stages_photonets": Study(frozen.stages, REST, range(10), 20, 1, TUNED, frozen.MEASURES),
    "stages_lite0_tuning": Study(frozen.stages_tuning, LITE0, TUNING_SEEDS, 10, measures=EACH),
    "stages_lite0": Study(frozen.stages, LITE0, range(10), 40, 1, TUNED_LITE0, frozen.MEASURES),
    "heads": Study(frozen.heads, HEADS, range(10), 30, 4, TUNED, HEADS_MEASURES, TEN_LETTERS),
    "heads_photonets": Study(frozen.heads, HEADLINE, range(10), 2, 1, TUNED, HEADS_MEASURES),
    "heads_lite0": Study(
        frozen.heads, frozen.heads_grid([grid.LITE0], grid.SIZES), range(10), 10, 1, TUNED_LITE0, HEADS_MEASURES
    ),
}
