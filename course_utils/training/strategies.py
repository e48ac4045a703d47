"""Strategies: which weights may change, when, at which rate, and what else the loss holds."""

import difflib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from course_utils.errors import CourseError, check_function, check_number, check_switch
from course_utils.models.backbones import Model
from course_utils.training.freezing import freeze, freeze_batch_norm, unfreeze

# What `fit` does when told nothing else: updates, the rate of the new head (of all weights from scratch), and
# by how much the backbone's rate is smaller. Each rate was the one of 1e-3, 3e-3, 1e-2 and 3e-2 with the best mean
# accuracy on held-out parts of the training pools of textures and letters, ten per class. With today's letters
# (data/results/defaults.csv) four of five still are; for fine-tuning 3e-3 would be 0.7 points better.
DEFAULTS = {
    #                      steps, lr, backbone's share of lr
    "from_scratch": (200, 3e-2, 1.0),
    "feature_extraction": (200, 3e-2, 0.0),
    "fine_tuning": (200, 1e-2, 0.1),
    "partial_fine_tuning": (200, 3e-3, 0.3),
    "head_first": (200, 3e-3, 0.1),
}
HEAD_FIRST_SHARE = 0.5  # of the steps go to the head alone

KEYS = ("params", "lr", "lr_scale", "weight_decay")  # of a group

Setup = Callable[[Model], Iterable]


@dataclass(frozen=True)
class Strategy:
    """How `fit` trains a model.

    Args:
        setup: freezes and unfreezes `model`, then returns what may change: parameters, or groups of them as
            an optimiser takes them. A group may carry `lr_scale` (its share of `fit`'s rate, 1 if absent),
            `lr` (a rate of its own) and `weight_decay`.
        steps: updates, unless `fit` is told otherwise.
        lr: the highest rate of the schedule, unless `fit` is told otherwise.
        phases: what follows `setup`, as (share of the steps, setup) pairs; the first setup has the rest.
        penalty: `penalty(model)`, a scalar tensor, is added to the loss of each step (L2-SP, EWC).
        extra_data: a split with labels of the same classes; each step sees a batch of it too (rehearsal).
        stage, positions: where a new head reads the backbone, if not where the model has it; see `feature_extraction`.
    """

    setup: Setup
    steps: int
    lr: float
    phases: Sequence[tuple[float, Setup]] = ()
    penalty: Callable[[Model], torch.Tensor] | None = None
    extra_data: Any = None
    stage: str | None = None
    positions: int = 1

    def __post_init__(self) -> None:
        pairs = [pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (0, 0) for pair in self.phases]
        shares = [share for share, _ in pairs]
        if not all(isinstance(share, float) and share > 0 for share in shares) or sum(shares) >= 1:
            raise CourseError(
                f"phases={self.phases!r} is not possible.\nGive pairs (share of the steps, setup), in all below 1:\n"
                "the first setup has the rest, so phases=[(0.5, setup)] splits the steps in halves."
            )
        for function in (self.setup, self.penalty or len, *(setup for _, setup in pairs)):
            check_function("setup or penalty", function, "def setup(model): return model.head.parameters()")

    def schedule(self, steps: int) -> list[tuple[int, Setup]]:
        """How many of `steps` each setup has, in order."""
        shares = [1 - sum(share for share, _ in self.phases), *(share for share, _ in self.phases)]
        ends = [round(steps * sum(shares[: i + 1])) for i in range(len(shares))]
        counts = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return list(zip(counts, [self.setup, *(setup for _, setup in self.phases)], strict=True))


def from_scratch() -> Strategy:
    """All weights as they are, all at one rate, batch norm as usual: the control without transfer."""

    def setup(model: Model) -> list[dict]:
        if model.pretrained:
            warnings.warn(
                f"from_scratch starts from {model.name}'s pretrained weights, so it is no control.\n"
                "For one, load_model(..., pretrained=False).",
                stacklevel=2,
            )
        return _groups(unfreeze(model), list(model.stages), "from_scratch")

    return _strategy("from_scratch", setup)


def feature_extraction(stage: str | None = None, positions: int = 1) -> Strategy:
    """The backbone stays as it is, batch-norm statistics included; the new head learns from its features.

    Args:
        stage: the stage whose output the head reads; None leaves it to what the model's head reads, at first the last.
        positions: 1 averages over all positions; 4 keeps the means of a 4 x 4 grid, which tell where something is.
    """
    return _strategy("feature_extraction", _head_alone, stage=stage, positions=positions)


def fine_tuning(update_statistics: bool = False, share: float | None = None) -> Strategy:
    """Everything learns, the backbone at a lower rate than the new head.

    Args:
        update_statistics: let pretrained batch-norm layers follow the new pictures. Off, they stay as they
            are: a few small batches estimate them badly. Those of an untrained network always follow.
        share: the backbone's rate as a share of the head's; default: a tenth.
    """
    check_switch("update_statistics", update_statistics)
    check_number("share", share, above=0, optional=True)
    return _strategy("fine_tuning", _from_stage(0, "fine_tuning", update_statistics, share=share))


def partial_fine_tuning(stages: int = 1) -> Strategy:
    """The last `stages` stages and the head learn; the stages before them stay frozen and are run once."""
    check_number("stages", stages, least=1, whole=True)
    return _strategy("partial_fine_tuning", _from_stage(-stages, "partial_fine_tuning"))


def head_first() -> Strategy:
    """The head alone, then everything at the backbone's rate: the new head's first errors spoil nothing.

    Source: Kumar et al. 2022, "Fine-tuning can distort pretrained features", section 3.
    """
    _, _, share = DEFAULTS["head_first"]
    everything = _from_stage(0, "head_first", head_scale=share)
    return _strategy("head_first", _head_alone, phases=((1 - HEAD_FIRST_SHARE, everything),))


def _strategy(name: str, setup: Setup, **rest: Any) -> Strategy:
    steps, lr, _ = DEFAULTS[name]
    return Strategy(setup, steps, lr, **rest)


def _head_alone(model: Model) -> list[dict]:
    freeze(unfreeze(model).stages)
    return [{"params": model.head.parameters()}]


def _from_stage(
    first: int, name: str, update_statistics: bool = False, head_scale: float = 1.0, share: float | None = None
) -> Setup:
    """A setup that trains the stages from index `first` on, and the head."""

    def setup(model: Model) -> list[dict]:
        names = list(model.stages)
        if -first > len(names):
            raise CourseError(f"{model.name} has {len(names)} stages ({', '.join(names)}); {-first} cannot train.")
        unfreeze(model)
        trained = names[first:]
        for stage in names[: len(names) - len(trained)]:
            freeze(model.stages[stage])
        for stage in trained:
            if model.has_statistics and not update_statistics:
                freeze_batch_norm(model.stages[stage])
        return _groups(model, trained, name, head_scale, share)

    return setup


def _groups(
    model: Model, stages: list[str], name: str, head_scale: float = 1.0, share: float | None = None
) -> list[dict]:
    share = DEFAULTS[name][2] if share is None else share
    read = model.names(stop=model.last)
    backbone = [p for stage in stages if stage in read for p in model.stages[stage].parameters()]
    return [
        {"params": model.head.parameters(), "lr_scale": head_scale},
        {"params": backbone, "lr_scale": share},
    ]


STRATEGIES = {f.__name__: f for f in (from_scratch, feature_extraction, fine_tuning, partial_fine_tuning, head_first)}


def as_strategy(strategy: "str | Strategy | Setup") -> Strategy:
    """A strategy from its name, from itself, or from a bare function `model -> parameters or groups`."""
    if isinstance(strategy, Strategy):
        return strategy
    if isinstance(strategy, str) and strategy in STRATEGIES:
        return STRATEGIES[strategy]()
    if strategy in STRATEGIES.values():  # the function itself, its brackets forgotten
        return strategy()
    if callable(strategy):
        return _strategy("fine_tuning", strategy)
    near = difflib.get_close_matches(str(strategy), STRATEGIES, 2, 0.4) or list(STRATEGIES)
    raise CourseError(
        f"There is no strategy {strategy!r}. Near it: {', '.join(near)}.\n"
        "A strategy is one of these names, a Strategy, or a function: model -> parameters to train."
    )


def _listed(given: Any) -> list:
    several = isinstance(given, Iterable) and not isinstance(given, (torch.Tensor, dict, str))
    return list(given) if several else [] if given is None else [given]


def parameter_groups(model: Model, setup: Setup, lr: float, weight_decay: float) -> list[dict]:
    """Run `setup` and turn what it returns into an optimiser's groups, weight decay on weights alone.

    Norm layers' scales and shifts and all biases (one axis or none) are spared the decay.
    """
    given = _listed(setup(model))
    plain = [one for one in given if not isinstance(one, dict)]
    groups, left = [], {id(p): name for name, p in model.named_parameters()}
    for group in [one for one in given if isinstance(one, dict)] + [{"params": plain}]:
        if unknown := ", ".join(map(str, group.keys() - KEYS)):
            raise CourseError(f"A strategy's group has the key {unknown}.\nExpected only {', '.join(KEYS)}.")
        check_number("lr_scale", group.get("lr_scale", 1.0), least=0)
        rate = group.get("lr", lr * group.get("lr_scale", 1.0))
        decay = group.get("weight_decay", weight_decay)
        check_number("lr", rate, least=0)
        check_number("weight_decay", decay, least=0)
        params = _listed(group.get("params"))
        names = [left.pop(id(p), None) for p in params]
        if None in names:
            kind = type(params[names.index(None)]).__name__
            raise CourseError(
                f"The strategy gives a {kind} that is not this model's parameter, or comes twice, so it cannot train.\n"
                "Take them from the model that the function is handed: def strategy(model): return model.parameters()."
            )
        if any(".base_layer." in name and p.requires_grad for name, p in zip(names, params, strict=True)):
            warnings.warn(f"{model.name} has adapters, and this trains the weights below them too.\n"
                          "For the adapter and its head alone: strategy=lora_parameters.", stacklevel=2)  # fmt: skip
        for kind, decayed in ((True, decay), (False, 0.0)):
            chosen = [p for p in params if p.requires_grad and (p.ndim > 1) is kind]
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decayed})
    if not groups:
        raise CourseError(
            "Nothing would train: the strategy gives no parameter that needs a gradient.\n"
            "Expected at least the head; does the freezing freeze it too? Try return model.head.parameters()."
        )
    return groups
