"""The one training loop: `fit` trains a model on a task by a strategy, and reads only the training split."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch

from course_utils.device import choose_device, out_of_memory, seeded
from course_utils.errors import CourseError, TrainingDiverged, check_finite, check_function, check_number, check_switch
from course_utils.models.backbones import HEAD, Model
from course_utils.threads import share_of_processor
from course_utils.training.batches import hold_out, load
from course_utils.training.evaluation import Score, evaluate, explained, inference
from course_utils.training.history import History
from course_utils.training.loop import Callback, Run
from course_utils.training.strategies import Setup, Strategy, as_strategy

__all__ = ["History", "Score", "evaluate", "fit"]


@torch.inference_mode(False)  # wherever it is called
@torch.enable_grad()
def fit(
    model: Model,
    task: Any,
    strategy: str | Strategy | Setup = "fine_tuning",
    lr: float | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    validation: float | None = None,
    augment: bool | None = None,
) -> History:
    """Train `model` on `task.train` in place. The test split is never read.

    AdamW; the rate of each phase rises, then falls to zero along a cosine. What is frozen at the front is
    run once. The model stays on the device, in inference mode, with the freezing of the last phase.

    Args:
        strategy: a name ("fine_tuning", "feature_extraction", ...), a `Strategy`, or a function that freezes
            what it wants and returns the parameters to train.
        lr: the highest rate, of the new head (from scratch: of all weights); default: the strategy's.
        steps: updates; or `epochs`, passes over the training split. Default: the strategy's.
        seed: draws the batches, the mirror images and dropout: the same batches for every strategy.
        callbacks: called as `callback(step, model, row)` after each step, `row` being the history's new line.
        validation: this share of each class is kept aside, drawn by `seed` and scored about ten times; the
            weights that do best on it are kept.
        augment: mirror half of the pictures; None means where the task's pictures are photographs.
    Raises:
        TrainingDiverged: the loss is no longer finite; the model has the weights again that it came with.
        CourseError: settings, head and task do not fit together.
    """
    plan = as_strategy(strategy)
    lr = plan.lr if lr is None else lr
    _check_settings(lr, steps, epochs, batch_size, validation, seed, callbacks, augment, progress)
    check_number("steps", plan.steps if steps is None else steps, least=1, whole=True)
    seed = int(seed)  # NumPy's whole numbers are no int for torch
    _check_fit(model, task)
    device = choose_device(device)
    model.to(device, memory_format=torch.channels_last)
    data, held_out = hold_out(load(model, task.train, len(task.classes), device), validation, seed)
    _try_out(model, data.x[:1], task)
    head, about = model.head, {key: getattr(model, key) for key in HEAD}
    model.classes, model.has_source_head = list(task.classes), False
    extra = None if plan.extra_data is None else load(model, plan.extra_data, len(task.classes), device)
    if (plan.stage, plan.positions) != (None, 1):
        with seeded(seed, device):
            model.read_from(plan.stage, plan.positions, data.x, len(task.classes))
    mirror = task.photographs if augment is None else augment
    size = int(min(batch_size, len(data)))
    while True:
        count = (steps or plan.steps) if epochs is None else math.ceil(epochs * len(data) / size)
        try:
            with share_of_processor(device.type), seeded(seed, device), _deterministic(device):
                run = Run(model, plan, lr, seed, data, held_out, extra, mirror, callbacks, count, size, progress)
                return run.go()
        except TrainingDiverged:
            model.head = head  # its weights are the old ones again
            vars(model).update(about)
            raise
        except RuntimeError as error:
            if "already a kernel registered" in str(error):  # torch imports for seconds at its first optimiser
                raise CourseError("torch was interrupted while it was loaded, and can train no more.\n"
                                  "Restart the kernel, then run the cells again.") from error  # fmt: skip
            if not out_of_memory(error) or size == 1:
                raise
        size //= 2
        print(f"The GPU's memory is too small for batches of {2 * size}: starting again with batches of {size}.")


def _deterministic(device: torch.device) -> contextlib.AbstractContextManager:
    """Convolutions that add in the same order every time: a seed gives the same weights on a GPU too."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True)  # off, if it is not said


def _check_settings(
    lr: float, steps: int | None, epochs: float | None, batch_size: int, validation: float | None, seed: int,
    callbacks: Sequence, augment: bool | None, progress: bool,
) -> None:  # fmt: skip
    if steps is not None and epochs is not None:
        raise CourseError(f"Both steps={steps} and epochs={epochs} are given; they say the same thing: give one.")
    check_number("lr", lr, above=0)
    check_number("batch_size", batch_size, least=1, whole=True)
    check_number("seed", seed, least=0, whole=True, below=2**63)
    check_number("epochs", epochs, above=0, optional=True)
    check_number("validation", validation, above=0, below=1, optional=True)
    check_switch("progress", progress)
    if augment is not None:
        check_switch("augment", augment)
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise CourseError(f"callbacks={callbacks!r} is not possible.\nGive a list of functions: callbacks=[look].")
    for callback in callbacks:
        check_function("callback", callback, "def look(step, model, row): ...", 3)


def _check_fit(model: Model, task: Any) -> None:
    """Whether this is a course model with finite weights, and a whole task."""
    if not isinstance(model, Model):
        raise CourseError(f"fit takes a model of load_model; this is a {type(model).__name__}.")
    if not hasattr(task, "train"):
        raise CourseError(f"fit takes a whole task, whose train split it reads; this is a {type(task).__name__}.")
    tensors = model.state_dict().values()
    if any(tensor.is_inference() for tensor in tensors):
        raise CourseError(f"{model.name} was made inside of torch.inference_mode(), so its weights cannot change.\n"
                          "Load or copy it outside, then train it.")  # fmt: skip
    finite = all(tensor.isfinite().all() for tensor in tensors)
    check_finite(finite, f"{model.name} has weights that are not finite numbers before the first step: it cannot learn")


def _try_out(model: Model, picture: torch.Tensor, task: Any) -> None:
    """Whether the model runs on an encoded picture, and gives an output for each class."""
    count = len(task.classes)
    advice = f'Load it with load_model("{model.name}", num_classes={count}).'
    if model.head is None:
        raise CourseError(f"{model.name} has no head yet.\n{advice}")
    with explained(model, advice), share_of_processor(picture.device.type), inference(model):
        outputs = model(model.prepare(picture)).shape[1]
    if outputs != count:
        raise CourseError(f"{model.name}'s head has {outputs} outputs, the task {count} classes.\n{advice}")
