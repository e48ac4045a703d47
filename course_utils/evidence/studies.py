"""The experiments whose rows the lessons quote; `python3 -m course_utils recompute NAME` runs one."""

from collections.abc import Iterable
from functools import cache

from course_utils.choosing import optimism
from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import TUNING_SEEDS, Study, grid_of, load_results
from course_utils.evidence.results import pack
from course_utils.evidence.transfer_grid import transfer, transfer_grid, transfer_tuning, tuning_grid
from course_utils.heads import heads, heads_grid, heads_tuning, heads_tuning_grid
from course_utils.leak import PAIRS as LEAK_PAIRS
from course_utils.leak import SOURCES as LEAK_SOURCES
from course_utils.leak import leak
from course_utils.models.loading import load_model
from course_utils.probing import SIZES as PROBED
from course_utils.probing import probes, probes_grid, probes_tuning, source_distance
from course_utils.probing import tuning_grid as penalties_grid
from course_utils.training.evaluation import Score, evaluate
from course_utils.training.fit import fit
from course_utils.training.strategies import STRATEGIES
from course_utils.yosinski import PAIRS, TUNING_PAIR, yosinski, yosinski_base, yosinski_grid, yosinski_tuning
from course_utils.yosinski import RATES as YOSINSKI_RATES

SIZES = (2, 5, 10, 20, 40, 80, 120)  # photographs a class
ARMS = (("from_scratch", 100), ("from_scratch", 400), ("feature_extraction", 100), ("fine_tuning", 100))
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
# For `fit`'s defaults: tasks to choose them by, and others to try them on (photographs a class).
CHOOSING = {"textures": 10, "letters": 10}
TRYING = {"digits": 10, "ants_bees": 40}


def trained(task: Task, strategy: str, seed: int, **settings) -> Score:
    """One run of a grid over strategies (batches of 16, no mirror images), scored on `task.test`."""
    return _as_it_comes(task, strategy, seed, batch_size=16, augment=False, **settings)


def defaults(seed: int, task: str, strategy: str, lr: float) -> dict:
    """The rates of `fit`: everything else as it comes, pictures at 32 px, scored on the rest of each pool.

    Primary claim: on tasks that were not used to choose it, each strategy's rate in
    `course_utils.training.strategies.DEFAULTS` is within .03 of the best of 1e-3 to 3e-2.
    """
    within = pool_task(load_task(task, image_size=32), (CHOOSING | TRYING)[task], seed)
    return {"accuracy": round(_as_it_comes(within, strategy, seed, lr=lr).accuracy, 4)}


def ants_bees_64(seed: int, strategy: str) -> dict:
    """Ants and bees at 64 px, all training photographs, `fit` as it comes, scored on the test photographs.

    Primary claim: feature extraction is more accurate than training from scratch, by .10 or more.
    """
    score = _as_it_comes(load_task("ants_bees", seed=seed), strategy, seed)
    return {"accuracy": round(score.accuracy, 4), "correct": pack(score.correct)}


def _as_it_comes(task: Task, strategy: str, seed: int, **settings) -> Score:
    """The score on `task.test` after `fit` with nothing said but the strategy."""
    model = load_model("photonet", len(task.classes), pretrained=strategy != "from_scratch", seed=seed)
    fit(model, task, strategy, seed=seed, progress=False, **settings)
    return evaluate(model, task.test)


def lesson00_tuning(seed: int, strategy: str, steps: int, lr: float) -> dict:
    """The rate for each arm of lesson 00: ants and bees at 48 px, 40 a class, scored on the pool's rest."""
    task = pool_task(load_task("ants_bees", image_size=48), 40, seed)
    return {"accuracy": round(trained(task, strategy, seed, steps=steps, lr=lr).accuracy, 4)}


@cache
def tuned_rate(strategy: str, steps: int) -> float:
    """The rate with the best mean accuracy among the tuning runs of an arm."""
    runs = load_results("lesson00_tuning").query("strategy == @strategy and steps == @steps")
    return float(runs.groupby("lr")["accuracy"].mean().idxmax())


def lesson00(seed: int, strategy: str, steps: int, per_class: int) -> dict:
    """Ants and bees at 48 px, scored on the 153 test photographs.

    Primary claim, named before the grid ran: at ten photographs a class, feature extraction is more accurate
    than training from scratch with four times the updates. All other comparisons are exploratory.
    """
    task = load_task("ants_bees", per_class=per_class, seed=seed, image_size=48)
    score = trained(task, strategy, seed, steps=steps, lr=tuned_rate(strategy, steps))
    return {"accuracy": round(score.accuracy, 4), "correct": pack(score.correct)}


def _over(arms: Iterable[tuple], **choices: Iterable) -> list[dict]:
    """A grid over arms, each (strategy, steps), and further choices."""
    named = [{"strategy": strategy, "steps": steps} for strategy, steps in arms]
    return [arm | rest for arm in named for rest in grid_of(**choices)]


STUDIES = {
    "defaults": Study(
        defaults,
        grid_of(task=CHOOSING | TRYING, strategy=STRATEGIES, lr=RATES[1:]),
        TUNING_SEEDS[:2],
        minutes=15,
    ),
    "ants_bees_64": Study(
        ants_bees_64, grid_of(strategy=("feature_extraction", "from_scratch")), range(10), minutes=5
    ),
    "lesson00_tuning": Study(lesson00_tuning, _over(ARMS, lr=RATES), TUNING_SEEDS, minutes=7),
    "lesson00": Study(
        lesson00, _over(ARMS[:3], per_class=SIZES), range(10), minutes=25, needs=("lesson00_tuning",)
    ),
    "lesson00_race": Study(  # the same runs at ten photographs a class, over more seeds
        lesson00,
        _over((ARMS[0], *ARMS[2:]), per_class=(10,)),
        range(20),
        minutes=5,
        needs=("lesson00_tuning",),
    ),
    "transfer_tuning": Study(transfer_tuning, tuning_grid(), TUNING_SEEDS, minutes=35),
    "transfer": Study(transfer, transfer_grid(), range(10), minutes=50, needs=("transfer_tuning",)),
    "probes_tuning": Study(probes_tuning, penalties_grid(), TUNING_SEEDS, minutes=10),
    "probes": Study(probes, probes_grid(), range(10), minutes=10, needs=("probes_tuning",)),
    "source_distance": Study(source_distance, grid_of(task=(*PROBED, "source")), range(10), minutes=2),
    "heads_tuning": Study(heads_tuning, heads_tuning_grid(), TUNING_SEEDS, minutes=6),
    "heads": Study(heads, heads_grid(), range(10), version=3, minutes=10, needs=("heads_tuning",)),
    "optimism": Study(
        optimism,
        grid_of(strategy=("feature_extraction", "fine_tuning"), per_class=(40, 120)),
        range(10),
        minutes=8,
        needs=("transfer_tuning",),
    ),
    "leak": Study(leak, grid_of(pretrained_with=LEAK_SOURCES), LEAK_PAIRS, minutes=20),
    "yosinski_tuning": Study(yosinski_tuning, grid_of(lr=YOSINSKI_RATES), (TUNING_PAIR,), minutes=5),
    "yosinski_base": Study(
        yosinski_base, grid_of(half_of=("A", "B")), PAIRS, minutes=8, needs=("yosinski_tuning",)
    ),
    "yosinski": Study(
        yosinski, yosinski_grid(), PAIRS, minutes=60, needs=("yosinski_base",)
    ),
}
