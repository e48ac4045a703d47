"""The experiments of lesson 00: how many photographs, the race over twenty seeds, and `fit` as it comes."""

from course_utils.data.tasks import load_task
from course_utils.evidence.experiments import HITS, Study, grid_of
from course_utils.evidence.results import pack
from course_utils.grids.studies import TRANSFER_MEASURES, as_it_comes
from course_utils.grids.transfer_grid import transfer

SIZES = (2, 5, 10, 20, 40, 80, 120)  # photographs of each class
ARMS = (("from_scratch", 100), ("from_scratch", 400), ("untrained_frozen", 100), ("feature_extraction", 100))
HEADLINE = {"strategy": "feature_extraction", "steps": 100, "per_class": 10, "seed": 0}
RACE = (("from_scratch", 100), ("feature_extraction", 100), ("fine_tuning", 100))


def ants_bees_64(seed: int, strategy: str) -> dict:
    """Ants and bees at 64 px, all training photographs, `fit` as it comes, scored on the test photographs.

    Primary claim: feature extraction is more accurate than training from scratch, by .10 or more.
    """
    score = as_it_comes(load_task("ants_bees", seed=seed), strategy, seed)
    return {"accuracy": round(score.accuracy, 4), "correct": pack(score.correct)}


def lesson00(seed: int, backbone: str, task: str, strategy: str, steps: int, per_class: int) -> dict:
    """Runs of the shared grid at more sizes: ants and bees at 48 px, scored on the 153 test photographs.

    Primary claim, named before the grid first ran, and again on 2026-11-29 before every arm was tuned alike: at ten
    photographs of each class, feature extraction is more accurate than training from scratch with four times the
    updates. All other comparisons are exploratory.
    """
    return transfer(seed, backbone, task, strategy, steps, per_class)


def _over(arms: tuple[tuple[str, int], ...], sizes: tuple[int, ...]) -> list[dict]:
    named = [{"strategy": strategy, "steps": steps} for strategy, steps in arms]
    return [{"backbone": "photonet", "task": "ants_bees"} | arm | {"per_class": n} for arm in named for n in sizes]


STUDIES = {
    "ants_bees_64": Study(
        ants_bees_64, grid_of(strategy=("feature_extraction", "from_scratch")), range(10), minutes=5, measures=HITS
    ),
    "lesson00": Study(
        lesson00,
        _over(ARMS, SIZES),
        range(10),
        minutes=30,
        version=2,
        needs=("transfer_tuning",),
        measures=TRANSFER_MEASURES,
        headline={"backbone": "photonet", "task": "ants_bees"} | HEADLINE,
    ),
    "lesson00_race": Study(  # the same runs at ten photographs of each class, over more seeds
        lesson00, _over(RACE, (10,)), range(20), 5, 2, ("transfer_tuning",), TRANSFER_MEASURES
    ),
}
