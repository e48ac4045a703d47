"""Features: what a backbone's stages see in pictures, and how far a linear classifier gets with it."""

import hashlib
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.data import cache
from course_utils.device import autocast, choose_device, in_chunks, number_format
from course_utils.errors import CourseError, check_finite, check_number, check_switch
from course_utils.models.backbones import Model
from course_utils.threads import share_for_numpy, share_of_processor
from course_utils.training.evaluation import inference
from course_utils.training.freezing import estimate_batch_norm, stay_in_eval

VERSION = 2  # of how features are computed; part of their keys
LIBRARIES = ("course_utils", "timm", "torch", "torchvision")  # whose layers are what their names say
REPLACEABLE = {"encode", "forward", "pool", "prepare", "run"}  # methods that one may set on an object
SIMPLE = (str, int, float, bool, type(None), tuple)  # kinds of settings that a layer's key covers
LARGEST = np.float64(1e100)  # the squares of larger features may be too large for a number; a float32 cannot hold it


def extract(
    model: Model,
    x: np.ndarray,
    stage: str | None = None,
    pooled: bool = True,
    device: torch.device | str | None = None,
    positions: int = 1,
) -> np.ndarray | dict[str, np.ndarray]:
    """The features of pictures at a stage, computed once and then read from disk while nothing has changed.

    Args:
        x: pictures, uint8 N x 3 x H x W, as `task.train.x`.
        stage: a stage's name; None for the last one; "all" for a dictionary of all of them from one pass.
        pooled: the mean over positions, N x D; False gives the maps, N x C x H x W.
        positions: 4 gives the means of a 4 x 4 grid of positions, N x 16D, or a smaller map as it is.
    Returns:
        float32, one row a picture. An untrained network has no batch-norm statistics yet: they are taken from
        the first pictures it is given (see `estimate_batch_norm`), so give it training pictures first.
    Raises:
        CourseError: no such stage, or `x` is not what the model takes.
    """
    if hasattr(x, "x") or hasattr(x, "train"):
        raise CourseError(f"extract takes pictures, not a {type(x).__name__}. Try extract(model, task.train.x).")
    check_number("positions", positions, least=1, whole=True)
    check_switch("pooled", pooled)
    names = list(model.stages)
    wanted = names if stage == "all" else names[-1:] if stage is None else model.names(stage, stage)
    device = choose_device(device)
    model.to(device)
    x = np.asarray(x)
    if not model.has_statistics and x.size:
        with share_of_processor(device.type):
            estimate_batch_norm(model, model.encode(x).to(device))
        model.has_statistics = True
    found = _extract(model, x, wanted, positions if pooled else None, device)
    return found if stage == "all" else found[wanted[0]]


def _extract(model: Model, x: np.ndarray, wanted: list[str], positions: int | None, device: torch.device) -> dict:
    keys = _keys(model, x, positions, device)
    stored = {name: cache.recall(keys[name]) for name in wanted} if keys else {}
    found = {name: array for name, array in stored.items() if array is not None}
    missing = [name for name in wanted if name not in found]
    if missing:
        computed = _compute(model, model.encode(x), missing, positions, device)
        for name, array in computed.items():
            if keys:
                cache.remember(keys[name], array)
        found |= computed
    finite = all(np.isfinite(array).all() for array in found.values())
    check_finite(finite, f"{model.name} gives features that are not finite numbers")
    return {name: found[name] for name in wanted}


def _keys(model: Model, x: np.ndarray, positions: int | None, device: torch.device) -> dict[str, str] | None:
    """A key for each stage's features of `x`; None where content does not tell what the stages compute.

    A key covers the pictures' bytes, the preparation, the number format, and of every layer up to the stage
    its kind, settings, weights and buffers. Forward hooks, layers that somebody wrote and methods replaced (in
    an object or a class) may do anything: with one of them there is no key.
    """
    if x.dtype.hasobject or any(_may_do_anything(layer) for layer in (model, *model.stages.modules())):
        return None
    digest = hashlib.blake2b(digest_size=20)
    dtype, _ = number_format(device, model.depthwise)
    _add(digest, VERSION, torch.__version__, device.type, dtype, positions, type(model), model.native_size)
    for part in (*model.buffers(recurse=False), x):
        _add_array(digest, part)
    keys = {}
    for name, stage in model.stages.items():
        _add_module(digest, stage)
        keys[name] = digest.hexdigest()
    return keys


def _may_do_anything(layer: torch.nn.Module) -> bool:
    things = (type(layer), *(getattr(type(layer), name, None) for name in REPLACEABLE), *vars(layer).values())
    foreign = any(callable(one) and (one.__module__ or "torch").split(".")[0] not in LIBRARIES for one in things)
    if foreign or REPLACEABLE & vars(layer).keys() or torch.nn.modules.module._has_any_global_hook():
        return True
    before = [hook for hook in layer._forward_pre_hooks.values() if hook is not stay_in_eval]
    return bool(before or layer._forward_hooks)


def _add(digest: Any, *items: Any) -> None:
    digest.update(repr(items).encode())


def _add_array(digest: Any, array: np.ndarray | torch.Tensor) -> None:
    _add(digest, tuple(array.shape), str(array.dtype))
    if isinstance(array, torch.Tensor):  # bytes in the order of its axes, whatever its layout in memory
        plain = array.detach().cpu().clone(memory_format=torch.contiguous_format)
        array = plain.reshape(-1).view(torch.uint8).numpy()
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _add_module(digest: Any, module: torch.nn.Module) -> None:
    for name, layer in module.named_modules():
        settings = {k: v for k, v in vars(layer).items() if isinstance(v, SIMPLE) and k != "training"}
        _add(digest, name, type(layer).__module__, type(layer).__qualname__, sorted(settings.items(), key=str))
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        _add(digest, name)
        _add_array(digest, tensor)


def _compute(model: Model, x: torch.Tensor, wanted: list[str], positions: int | None, device: torch.device) -> dict:
    """The features at all `wanted` stages from one pass through the backbone; no `positions` means the maps."""

    def one_pass(part: torch.Tensor) -> dict[str, torch.Tensor]:
        h, seen = model.prepare(part.to(device)), {}
        for name in model.names(stop=max(wanted, key=list(model.stages).index)):
            with autocast(device, model.depthwise):
                h = model.run(h, name, name)
            if name in wanted:
                seen[name] = (model.pool(h.float(), positions) if positions else h.float()).cpu()
        return seen

    with share_of_processor(device.type), inference(model):
        parts = in_chunks(one_pass, x)
    return {name: torch.cat([part[name] for part in parts]).contiguous().numpy() for name in wanted}


def probe(features: np.ndarray, y: np.ndarray, C: float = 1.0) -> Pipeline:
    """A linear classifier on features: standardise, then logistic regression, fitted.

    Where there are more features than examples, it is fitted in the examples' principal axes, all of them: a
    rotation changes neither the fit nor its penalty, and no weight leaves the examples' span.

    Args:
        features: N x D, as from `extract`.
        y: N labels.
        C: scikit-learn's inverse strength of regularisation.
    Returns:
        scikit-learn's pipeline: `probe(a, y).score(b, yb)` is its accuracy on other features.
    Source: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
    """
    features, y = np.asarray(features), np.asarray(y)
    check_number("C", C, above=0)
    whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool((y % 1 == 0).all()))
    named = whole or y.dtype.kind in "US" or all(isinstance(one, str) for one in y.flat)
    numbers = features.ndim == 2 and features.size and features.dtype.kind in "biuf"
    if not (named and numbers and y.shape == features.shape[:1] and len(np.unique(y)) > 1):
        raise CourseError(
            f"The features are {features.dtype} of shape {features.shape}, the labels {y.dtype} of shape {y.shape}.\n"
            "probe takes N x D features and N labels of two or more classes, whole numbers or names:\n"
            "probe(extract(model, task.train.x), task.train.y)."
        )
    wrong = np.count_nonzero(~(np.abs(features) <= LARGEST))
    check_finite(not wrong, f"{wrong} of the features are no numbers up to {LARGEST:g}, so nothing can be learned")
    turn = [PCA(svd_solver="full")] if features.shape[1] > len(features) else []
    with share_for_numpy():
        return make_pipeline(StandardScaler(), *turn, LogisticRegression(C=C, max_iter=2000)).fit(features, y)
