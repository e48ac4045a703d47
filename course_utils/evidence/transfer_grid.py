"""The shared grid, `transfer`: four tasks, four sizes, every way to transfer and every control."""

from functools import lru_cache

from course_utils.data.tasks import Task, load_task, pool_task
from course_utils.evidence.experiments import grid_of, tuned
from course_utils.evidence.results import pack
from course_utils.models.backbones import Model
from course_utils.models.loading import load_model, raw_pixels, truncate
from course_utils.training.evaluation import evaluate
from course_utils.training.fit import fit

SIZE = {"digits": 32, "faces": 32, "letters": 32, "ants_bees": 48}  # pixels
LARGEST = {"digits": 139, "faces": 77, "letters": 1000, "ants_bees": 120}  # of each class; 1,000 at most
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
# An arm: which strategy, after which stage the head sits, how many updates.
CONTROLS = (
    ("from_scratch", "layer4", 100),
    ("from_scratch", "layer4", 400),
    ("untrained_frozen", "layer4", 100),
    ("raw_pixels", "pixels", 100),
)
METHODS = (
    *(("feature_extraction", stage, 100) for stage in STAGES),
    ("head_first", "layer4", 100),
    ("partial_fine_tuning", "layer4", 100),
    ("fine_tuning", "layer4", 100),
    ("fine_tuning", "layer4", 400),
)
FROZEN = ("untrained_frozen", "raw_pixels", "feature_extraction")  # a linear head on what never changes
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
HEAD_RATES = (*RATES, 0.1, 0.3, 1.0)  # the features of early stages are small and want large weights
TUNED_AT = (10, 40)  # examples of each class


def transfer(seed: int, task: str, strategy: str, stage: str, steps: int, per_class: int) -> dict:
    """One arm on the test split of a task, at the rate tuned for this task and arm; batches of 16, no mirror images.

    Primary claim, named before the grid ran: at two examples a class, the mean over the four tasks of feature
    extraction at the last stage is above that of training from scratch with four times the updates. All other
    comparisons are exploratory, those that the lessons quote included, unless a lesson names its own beforehand.

    A head has 100 updates on features as they come, so the row of an early stage, whose features are small and
    alike, says what 100 updates get out of it and not all that is in it; a probe says that. `heads` has the same
    examples with a head that has converged.
    """
    lr = tuned_rate(task, strategy, stage, steps)
    examples = drawn(task, per_class, seed)
    score = _score(examples, strategy, stage, steps, lr, seed)
    return {"lr": lr, "accuracy": round(score.accuracy, 4), "correct": pack(score.correct)}


def transfer_tuning(seed: int, task: str, strategy: str, stage: str, steps: int, per_class: int, lr: float) -> dict:
    """One arm at one rate, trained and scored within the training pool of a task.

    It claims nothing: the rate with the best mean over seeds and sizes is the one that `transfer` uses.
    """
    within = pool_task(whole(task), per_class, seed)
    return {"accuracy": round(_score(within, strategy, stage, steps, lr, seed).accuracy, 4)}


def tuned_rate(task: str, strategy: str, stage: str, steps: int) -> float:
    """The rate of an arm on a task: the best mean accuracy over the tuning seeds and sizes."""
    return tuned("transfer_tuning", "lr", task=task, strategy=strategy, stage=stage, steps=steps)


def transfer_grid() -> list[dict]:
    """The settings of `transfer`."""
    sizes = {task: sorted({2, 10, 40, largest}) for task, largest in LARGEST.items()}
    return [arm | {"per_class": n} for arm in _arms() for n in sizes[arm["task"]]]


def tuning_grid() -> list[dict]:
    """The settings of `transfer_tuning`: eight rates for a linear head, five where the backbone learns."""
    rates = {arm: HEAD_RATES if arm[0] in FROZEN else RATES for arm in CONTROLS + METHODS}
    return [
        arm | rest
        for arm in _arms()
        for rest in grid_of(per_class=TUNED_AT, lr=rates[arm["strategy"], arm["stage"], arm["steps"]])
    ]


def _arms() -> list[dict]:
    names = ("strategy", "stage", "steps")
    return [{"task": task} | dict(zip(names, arm, strict=True)) for task in LARGEST for arm in CONTROLS + METHODS]


@lru_cache(maxsize=2)
def drawn(name: str, per_class: int, seed: int) -> Task:
    """The task as one run of the grid sees it: its examples drawn by seed, and its pictures at the grid's size."""
    return load_task(name, per_class=per_class, seed=seed, image_size=SIZE[name])


@lru_cache(maxsize=1)
def whole(name: str) -> Task:
    """The task with all its examples, at the grid's size."""
    return load_task(name, image_size=SIZE[name])


def _score(task: Task, strategy: str, stage: str, steps: int, lr: float, seed: int):
    model = _model(task, strategy, stage, seed)
    way = "feature_extraction" if strategy in FROZEN else strategy
    fit(model, task, way, lr=lr, steps=steps, batch_size=16, seed=seed, augment=False, progress=False)
    return evaluate(model, task.test)


def _model(task: Task, strategy: str, stage: str, seed: int) -> Model:
    classes = len(task.classes)
    if strategy == "raw_pixels":
        return raw_pixels(task.train.x.shape[-1], classes, seed)
    untrained = strategy in ("from_scratch", "untrained_frozen")
    model = load_model("photonet", classes, pretrained=not untrained, seed=seed)
    return model if stage == STAGES[-1] else truncate(model, stage, seed)
