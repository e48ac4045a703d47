"""The experiments of lesson 00: how many photographs, which rate for each arm, and the race over twenty seeds."""

from collections.abc import Iterable

from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import HITS, TUNING_SEEDS, Study, grid_of, tuned
from course_utils.evidence.results import pack
from course_utils.evidence.studies import RATES, as_it_comes
from course_utils.training.evaluation import Score

SIZES = (2, 5, 10, 20, 40, 80, 120)  # photographs a class
ARMS = (("from_scratch", 100), ("from_scratch", 400), ("feature_extraction", 100), ("fine_tuning", 100))


def trained(task: Task, strategy: str, seed: int, **settings) -> Score:
    """One run of a grid over strategies (batches of 16, no mirror images), scored on `task.test`."""
    return as_it_comes(task, strategy, seed, batch_size=16, augment=False, **settings)


def ants_bees_64(seed: int, strategy: str) -> dict:
    """Ants and bees at 64 px, all training photographs, `fit` as it comes, scored on the test photographs.

    Primary claim: feature extraction is more accurate than training from scratch, by .10 or more.
    """
    score = as_it_comes(load_task("ants_bees", seed=seed), strategy, seed)
    return {"accuracy": round(score.accuracy, 4), "correct": pack(score.correct)}


def lesson00_tuning(seed: int, strategy: str, steps: int, lr: float) -> dict:
    """The rate for each arm of lesson 00: ants and bees at 48 px, 40 a class, scored on the pool's rest."""
    task = pool_task(load_task("ants_bees", image_size=48), 40, seed)
    return {"accuracy": round(trained(task, strategy, seed, steps=steps, lr=lr).accuracy, 4)}


def tuned_rate(strategy: str, steps: int) -> float:
    """The rate with the best mean accuracy among the tuning runs of an arm."""
    return tuned("lesson00_tuning", "lr", strategy=strategy, steps=steps)


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
    "ants_bees_64": Study(
        ants_bees_64, grid_of(strategy=("feature_extraction", "from_scratch")), range(10), minutes=5, measures=HITS
    ),
    "lesson00_tuning": Study(lesson00_tuning, _over(ARMS, lr=RATES), TUNING_SEEDS, minutes=7),
    "lesson00": Study(
        lesson00, _over(ARMS[:3], per_class=SIZES), range(10), minutes=25, needs=("lesson00_tuning",), measures=HITS
    ),
    "lesson00_race": Study(  # the same runs at ten photographs a class, over more seeds
        lesson00,
        _over((ARMS[0], *ARMS[2:]), per_class=(10,)),
        range(20),
        minutes=5,
        needs=("lesson00_tuning",),
        measures=HITS,
    ),
}
