"""The truth about what is frozen: parameters, and the batch-norm statistics that `train()` moves."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from course_utils.device import autocast, chunk_size
from course_utils.errors import NotFrozen
from course_utils.models.backbones import Model

NORMS = (nn.modules.batchnorm._NormBase,)  # batch and instance norm in every dimension: layers that own statistics


def stay_in_eval(module: nn.Module, args: tuple) -> None:
    """Forward pre-hook: whatever `train()` said, this module runs in inference mode."""
    module.training = False


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Keep the batch-norm statistics inside `module` as they are, also in `train()` mode.

    The layers' scale and shift still train if their `requires_grad` is on. Works through a hook, so it
    survives `copy.deepcopy`. Returns `module`.
    """
    return _hold(module, NORMS)


def freeze(module: nn.Module) -> nn.Module:
    """Freeze `module` for good: no gradients, and batch norm and dropout in inference mode in `train()` too.

    Setting `requires_grad = False` alone is not enough: a batch-norm layer moves its running mean and
    variance on every forward pass in `train()` mode, gradients or not. Returns `module`.
    Source: keras.io, "Transfer learning & fine-tuning", on `trainable` against inference mode.
    """
    module.requires_grad_(False)
    return _hold(module, (nn.Module,))


def unfreeze(module: nn.Module) -> nn.Module:
    """Undo `freeze` and `freeze_batch_norm` on all of `module`. Returns `module`."""
    module.requires_grad_(True)
    for layer in module.modules():
        for key, hook in list(layer._forward_pre_hooks.items()):
            if hook is stay_in_eval:
                del layer._forward_pre_hooks[key]
    return module


def _hold(module: nn.Module, kinds: tuple[type, ...]) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, kinds) and stay_in_eval not in layer._forward_pre_hooks.values():
            layer.register_forward_pre_hook(stay_in_eval)
    return module


def is_frozen(module: nn.Module) -> bool:
    """Whether nothing in `module` can change: no parameter trains and no batch-norm layer keeps moving."""
    moving = (m for m in module.modules() if isinstance(m, NORMS) and m.track_running_stats)
    return not any(p.requires_grad for p in module.parameters()) and all(
        stay_in_eval in m._forward_pre_hooks.values() for m in moving
    )


@contextlib.contextmanager
def assert_frozen(module: nn.Module) -> Iterator[None]:
    """`with assert_frozen(module): train()` raises `NotFrozen` if a parameter *or a buffer* changed inside.

    Compares bit by bit and names what moved.
    """
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    yield
    after = module.state_dict()
    moved = [name for name, tensor in before.items() if not _same(tensor, after.get(name))]
    if moved:
        shown = ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
        kind = "running statistics" if all("running" in m or "num_batches" in m for m in moved) else "values"
        raise NotFrozen(
            f"not frozen: the {kind} of {shown} changed.\n"
            "Expected every parameter and buffer to stay bit-equal. Call freeze(...) on this part before training."
        )


def _same(before: torch.Tensor, after: torch.Tensor | None) -> bool:
    if after is None or (before.shape, before.dtype) != (after.shape, after.dtype):
        return False
    return bool(torch.isclose(before, after.to(before.device), rtol=0, atol=0, equal_nan=True).all())


class Parameters(NamedTuple):
    """How many numbers a module has, and how many of them training may change."""

    total: int
    trainable: int

    @property
    def frozen(self) -> int:
        """How many numbers training may not change."""
        return self.total - self.trainable

    def __str__(self) -> str:
        share = self.trainable / self.total if self.total else 0
        return f"{self.trainable:,} of {self.total:,} parameters train ({share:.1%})"


def count_parameters(module: nn.Module) -> Parameters:
    """Count the parameters of `module`: total and trainable (buffers are not parameters)."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return Parameters(sum(n for n, _ in sizes), sum(n for n, train in sizes if train))


@torch.no_grad()
def estimate_batch_norm(model: Model, x: torch.Tensor) -> None:
    """Set the backbone's batch-norm statistics to those of encoded pictures, frozen or not, in one pass.

    An untrained network starts with mean 0 and variance 1, which are nobody's statistics: its features would
    be far from what the same network computes in training. The averages are cumulative over the pass.
    """
    # PyTorch's update_bn would reset the statistics of frozen layers and leave them so, since their hooks overrule it.
    count = max(1, round(len(x) / chunk_size(x)))  # even parts: a last batch of one picture has no variance
    with _measuring([layer for layer in model.stages.modules() if isinstance(layer, NORMS)]):
        for part in x.tensor_split(count):
            with autocast(x.device, model.depthwise):
                model.run(model.prepare(part))


@contextlib.contextmanager
def _measuring(layers: list[nn.Module]) -> Iterator[None]:
    """Inside, these norm layers average their statistics anew; the hooks of `freeze` are overruled."""

    def measure(layer: nn.Module, args: tuple) -> None:
        layer.training = True

    before = [(layer, layer.momentum, layer.training) for layer in layers]
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum, training in before:
            layer.momentum, layer.training = momentum, training
