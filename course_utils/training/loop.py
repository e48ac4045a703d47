"""The loop inside `fit`: phases, steps, looks at the held-out part, and ways out of trouble."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from course_utils.device import chunk_size, number_format, out_of_memory
from course_utils.errors import CourseError, TrainingDiverged
from course_utils.models.backbones import Model
from course_utils.threads import Pace
from course_utils.training.batches import Data, Feed, batch_order, frozen_prefix
from course_utils.training.evaluation import inference
from course_utils.training.freezing import NORMS, estimate_batch_norm
from course_utils.training.history import History, progress_bar
from course_utils.training.strategies import Setup, Strategy, parameter_groups

WARM_UP = 0.2  # share of a phase's steps in which its rate rises
WEIGHT_DECAY = 0.01
LOOKS = 10  # how often a run is validated

Callback = Callable[[int, Model, dict], None]


@dataclass
class Run:
    """One run of `steps` updates in batches of `size`: its data on the device, and the loop over phases and steps."""

    model: Model
    plan: Strategy
    lr: float
    seed: int
    data: Data
    held_out: Data | None
    extra: Data | None
    mirror: bool
    callbacks: Sequence[Callback]
    steps: int
    size: int
    progress: bool

    def __post_init__(self) -> None:
        self.start = _snapshot(self.model)
        self.history = History(self.steps, self.size)
        self.best: tuple[int, tuple, dict] | None = None  # step, rank and weights of the best look so far
        self.began: float | None = None  # when the first step did
        self.bar: Any = None  # while the steps run
        self.order = batch_order(len(self.data), self.size, self.seed)
        self.extra_order = self.extra and batch_order(len(self.extra), self.size, self.seed)

    def go(self) -> History:
        """Train from the weights that the model came with."""
        try:
            with progress_bar(self.steps, self.progress) as self.bar:
                for phase, (count, setup) in enumerate(self.plan.schedule(self.steps), 1):
                    self._phase(phase, count, setup)
                self._check_weights()
        except KeyboardInterrupt:
            self.history.interrupted = True
            done = len(self.history.rows)
            print(f"Interrupted after {done} of {self.steps} steps: the model can be used as it is.")
        except (TrainingDiverged, RuntimeError) as error:
            if isinstance(error, TrainingDiverged) or out_of_memory(error):
                self.model.load_state_dict(self.start)
            raise
        finally:
            self.model.eval()
        if self.best:
            self.history.best_step, _, weights = self.best
            self.model.load_state_dict(weights)
        self.model.has_statistics = self.model.has_statistics or bool(self.history.rows)
        return self.history

    def _phase(self, phase: int, count: int, setup: Setup) -> None:
        groups = parameter_groups(self.model, setup, self.lr, WEIGHT_DECAY)
        optimiser = torch.optim.AdamW(groups, fused=True)
        self.began = self.began or time.perf_counter()  # torch imports for seconds at its first optimiser
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: one_cycle((step + 0.5) / max(count, 1)))
        if phase == 1 and not self.model.has_statistics:
            if frozen_prefix(self.model):
                estimate_batch_norm(self.model, self.data.x)
            elif self.size == 1 and not self.extra and any(isinstance(m, NORMS) for m in self.model.stages.modules()):
                raise CourseError(f"{self.model.name} is untrained, and one picture has no spread for its batch norm.\n"
                                  "Give batch_size=2 or more, and as many pictures; or begin pretrained.")  # fmt: skip
        pictures = count * self.size
        feed = Feed(self.model, self.data.x, self.mirror, pictures)
        extra_feed = self.extra and Feed(self.model, self.extra.x, self.mirror, pictures)
        held_out_feed = self.held_out and Feed(self.model, self.held_out.x, False, LOOKS * len(self.held_out))
        scaler = torch.amp.GradScaler(feed.x.device.type, enabled=number_format(feed.x.device)[0] == torch.float16)
        pace = Pace()
        for _ in range(count):
            began = time.perf_counter()
            loss, accuracy = self._step(feed, extra_feed, optimiser, scaler)
            pace.step(time.perf_counter() - began)
            rate = schedule.get_last_lr()[0]
            schedule.step()
            self._record(phase, loss, accuracy, rate, held_out_feed)

    def _step(
        self, feed: Feed, extra_feed: Feed | None, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> list[float]:
        """One update; returns the batch's loss and accuracy before it."""
        h, y = _draw(feed, self.data, self.order)
        if extra_feed:
            more_h, more_y = _draw(extra_feed, self.extra, self.extra_order)
            if more_h.shape[1:] != h.shape[1:]:
                raise CourseError(f"extra_data is {tuple(more_h.shape)}, the task {tuple(h.shape)}: load both alike.")
            h, y = torch.cat([h, more_h]), torch.cat([y, more_y])
        _training_mode(self.model, len(y))
        logits = feed.logits(h)
        loss = F.cross_entropy(logits, y)
        if self.plan.penalty:
            loss = loss + _number(self.plan.penalty(self.model))
        self.model.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        accuracy = (logits.argmax(1) == y).float().mean()
        return torch.stack([loss.detach().float(), accuracy]).tolist()  # both in one wait for the GPU

    def _record(self, phase: int, loss: float, accuracy: float, rate: float, held_out: Feed | None) -> None:
        step = len(self.history.rows) + 1
        if not math.isfinite(loss):
            self._diverged(f"The loss became {loss} at step {step}")
        row = {"step": step, "phase": phase, "loss": loss, "accuracy": accuracy, "lr": rate}
        row["seconds"] = time.perf_counter() - self.began
        if held_out:
            look = step % math.ceil(self.steps / LOOKS) == 0 or step == self.steps
            row["validation_accuracy"] = self._look(step, held_out) if look else math.nan
        self.history.rows.append(row)
        self.bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.2f}", refresh=False)
        self.bar.update()
        for callback in self.callbacks:
            callback(step, self.model, row)

    def _look(self, step: int, feed: Feed) -> float:
        """Score the held-out part; keep the best weights so far (in a tie, those of lower loss)."""
        y = self.held_out.y
        with inference(self.model):
            parts = torch.arange(len(y)).split(chunk_size(feed.x))
            logits = torch.cat([feed.logits(feed.batch(part)) for part in parts])
        accuracy = (logits.argmax(1) == y).float().mean().item()
        rank = (accuracy, -F.cross_entropy(logits, y).item())
        if self.best is None or rank > self.best[1]:
            self.best = (step, rank, _snapshot(self.model))
        return accuracy

    def _check_weights(self) -> None:
        if not all(p.isfinite().all() for p in self.model.parameters() if p.requires_grad):
            self._diverged("The last update made weights that are not finite")

    def _diverged(self, what: str) -> None:
        raise TrainingDiverged(
            f"{what}, with the rate lr={self.lr:g}.\n"
            "The model is back at the weights that it came with.\n"
            f"Try a tenth of that rate, or the strategy's own, lr={self.plan.lr:g}."
        )


def one_cycle(progress: float) -> float:
    """The share of the highest rate at `progress` (0 to 1) of a phase: a linear rise, then a cosine to zero.

    Source: Smith & Topin 2018, "Super-convergence", with the cosine of Loshchilov & Hutter 2017.
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def _number(penalty: Any) -> torch.Tensor | float:
    if isinstance(penalty, float) or getattr(penalty, "shape", None) == ():
        return penalty
    raise CourseError(f"The penalty is a {type(penalty).__name__}; expected one number: take .sum(), and return it.")


def _draw(feed: Feed, data: Data, order: Iterator) -> tuple[torch.Tensor, torch.Tensor]:
    indices, mirrored = next(order)
    return feed.batch(indices, mirrored), data.y[indices.to(data.y.device)]


def _training_mode(model: Model, count: int) -> None:
    """Training mode in every step, since a callback may have left another; one picture has no variance."""
    model.train()
    if count == 1:
        for layer in model.modules():
            if isinstance(layer, NORMS):
                layer.training = False


def _snapshot(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
