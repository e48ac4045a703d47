"""Evaluation: accuracy over examples, per class, and how far the probabilities can be believed."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_utils.device import choose_device, in_chunks, out_of_memory
from course_utils.errors import CourseError, check_finite
from course_utils.models.backbones import Model
from course_utils.threads import share_of_processor
from course_utils.training.batches import class_logits, labels_of


@dataclass(frozen=True)
class Score:
    """What a model achieves on a split; all means are over examples, so a small last batch biases nothing.

    Attributes:
        accuracy: share of examples that are right.
        balanced_accuracy: mean over the classes present of the share that is right.
        loss: mean cross-entropy in nats.
        calibration_error: mean gap between confidence and accuracy over 15 equal bins of confidence,
            weighted by their counts.
            Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
        per_class: a row a class: `recall` (NaN where the split has none of it) and `n`.
        correct: N booleans, in the order of the split.
        probabilities: N x C, float32.
    """

    accuracy: float
    balanced_accuracy: float
    loss: float
    calibration_error: float
    per_class: pd.DataFrame = field(repr=False)
    correct: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)

    def __repr__(self) -> str:
        return f"accuracy {self.accuracy:.3f} (n = {len(self.correct)})"


def evaluate(model: Model, split: Any, device: torch.device | str | None = None) -> Score:
    """Score `model` on `split`, whatever mode it is in, and leave it in that mode (on `device`).

    Raises:
        CourseError: the split is empty, or is a task, or holds labels for which the model has no output.
    """
    _check(model, split)
    y = labels_of(split)
    device = choose_device(device)
    model.to(device)
    x = model.encode(split.x).to(device)
    advice = "Load it with num_classes=len(task.classes), and train it on the same task."
    with explained(model, advice), share_of_processor(device.type), inference(model):
        logits = torch.cat(in_chunks(lambda part: class_logits(model, model.prepare(part)), x)).cpu()
        outputs = logits.shape[1]
    if int(y.max()) >= outputs or int(y.min()) < 0:
        raise CourseError(f"The labels go from {y.min()} to {y.max()}, the model has {outputs} outputs.\n{advice}")
    check_finite(logits.isfinite().all(), f"{model.name} gives logits that are not finite: there is nothing to score")
    return score_from(logits, y, model.classes)


@contextlib.contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Inference mode without gradients inside; every layer in its own mode again outside."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def explained(model: Model, advice: str) -> Iterator[None]:
    """Inside, what torch says of shapes and kinds becomes an error that says what it means, and gives `advice`."""
    try:
        yield
    except (RuntimeError, AttributeError, TypeError, IndexError) as error:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise
        raise CourseError(
            f"{model.name} does not run on these pictures, or its head does not take {model.width} features\n"
            f"({str(error).splitlines()[0][:200]}).\n{advice}"
        ) from error


def _check(model: Model, split: Any) -> None:
    if model.head is None:
        raise CourseError(f"{model.name} has no head: load it with num_classes, then train it.")
    if model.has_source_head:
        warnings.warn(
            f"{model.name} still has the head of its source, with classes that are not this split's.\n"
            "For the classes of a task: load_model(..., num_classes=len(task.classes)), then fit.",
            stacklevel=3,
        )


def score_from(logits: torch.Tensor, y: torch.Tensor, classes: list[str] | None = None) -> Score:
    """A `Score` from logits (N x C) and labels (N)."""
    probabilities = logits.softmax(1)
    confidence, guess = probabilities.max(1)
    correct = guess == y
    count = torch.bincount(y, minlength=logits.shape[1])
    hits = torch.bincount(y[correct], minlength=logits.shape[1])
    recall = (hits / count).numpy()  # 0/0, a class without examples, is NaN
    names = classes if classes and len(classes) == len(recall) else range(len(recall))
    return Score(
        accuracy=correct.double().mean().item(),
        balanced_accuracy=float(np.nanmean(recall, dtype=np.float64)),
        loss=nn.functional.cross_entropy(logits.double(), y).item(),
        calibration_error=calibration_error(confidence, correct),
        per_class=pd.DataFrame({"recall": recall, "n": count.numpy()}, index=pd.Index(names, name="class")),
        correct=correct.numpy(),
        probabilities=probabilities.numpy(),
    )


def calibration_error(confidence: torch.Tensor, correct: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error of N confidences (0 to 1) and N booleans; see `Score`."""
    which = (confidence * bins).ceil().clamp(1, bins).long() - 1  # bins are open below and closed above
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, which, correct.double() - confidence.double())
    return gaps.abs().sum().item() / len(confidence)
