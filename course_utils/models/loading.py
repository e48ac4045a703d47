"""Backbones by name, with a new head; and no backbone at all."""

import functools
import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from course_utils import ROOT
from course_utils.errors import CourseError, ModelUnavailable, check_number, check_switch
from course_utils.models import libraries
from course_utils.models.backbones import PHOTONET_STATISTICS, Model, PhotoNet

PHOTONETS = ("photonet", "photonet-1", "photonet-2")  # of the seeds 0, 1 and 2
WEIGHTS = ROOT / "data" / "weights" / "photonet.safetensors"


def load_model(
    name: str = "photonet",
    num_classes: int | None = None,
    pretrained: bool = True,
    seed: int = 0,
    image_size: int | None = None,
) -> Model:
    """A backbone as a chain of stages, with a new head.

    Args:
        name: "photonet", "photonet-1", "photonet-2" (ship with the course; they differ in their seed alone),
            "efficientnet_lite0" (ImageNet weights from an installed package), "resnet18", "resnet50",
            "mobilenet_v3_small" (torchvision) or "timm:NAME" (any picture model of timm, as one stage).
        num_classes: outputs of the new head; None keeps the head that the weights were trained with.
        pretrained: False gives the same network with random weights: the control.
        seed: draws the new head and, without pretraining, all weights.
        image_size: height and width in px to which `encode` resizes: a multiple of 32 from 64 on, for photonet any
            size from 32 on. Default: 128 for efficientnet_lite0, the size that libraries' other networks were trained
            at; photonet takes pictures as they are.
    Raises:
        ModelUnavailable: the weights are neither on this machine nor to be had.
        CourseError: no such model, or fewer than two classes.
    """
    check_number("num_classes", num_classes, least=2, below=10**6, whole=True, optional=True)
    check_number("seed", seed, least=0, whole=True, below=2**63)
    check_switch("pretrained", pretrained)
    check_number("image_size", image_size, least=32 if name in PHOTONETS else 64, whole=True, optional=True)
    if image_size and name not in PHOTONETS and image_size % 32:
        raise CourseError(f"image_size={image_size} is not possible for {name}.\nGive a multiple of 32.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build(name, pretrained, image_size)
        if num_classes is not None:
            torch.manual_seed(seed)  # the same head on the pretrained and on the untrained network
            model.head, model.classes = nn.Linear(model.width, num_classes), None
    model.has_source_head = num_classes is None
    return model.to(memory_format=torch.channels_last)


def raw_pixels(size: int, num_classes: int, seed: int = 0) -> Model:
    """No backbone at all: a linear head on the normalised pixels of pictures of `size` px, a control."""
    width = 3 * size * size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(width, num_classes)
    return Model("raw pixels", OrderedDict(pixels=nn.Flatten()), width, PHOTONET_STATISTICS, None, head)


def _build(name: str, pretrained: bool, image_size: int | None) -> Model:
    if name in PHOTONETS:
        return _photonet(name, pretrained, image_size)
    if name == "efficientnet_lite0":
        return libraries.efficientnet_lite0(pretrained, image_size)
    if name in list(libraries.TORCHVISION):  # a list, which may be asked for anything
        return libraries.from_torchvision(name, pretrained, image_size)
    if isinstance(name, str) and name.startswith("timm:"):
        return libraries.from_timm(name.removeprefix("timm:"), pretrained, image_size)
    known = ", ".join([*PHOTONETS, "efficientnet_lite0", *libraries.TORCHVISION])
    raise CourseError(f"There is no model {name!r}. Choose {known}, or timm:NAME for a model of timm.")


def _photonet(name: str, pretrained: bool, image_size: int | None) -> PhotoNet:
    model, path = PhotoNet(pretrained), WEIGHTS.with_name(f"{name}.safetensors")
    model.name, model.native_size = name, image_size
    try:
        check_card(path)
        with safe_open(path, framework="pt") as file:
            model.classes = json.loads(file.metadata()["classes"])
            tensors = {key: file.get_tensor(key) for key in (file.keys() if pretrained else [])}
        model.head = nn.Linear(model.width, len(model.classes))
        if pretrained:
            model.load_state_dict({key: t.float() if t.is_floating_point() else t for key, t in tensors.items()})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelUnavailable(
            f"The weights of {name} cannot be used ({type(error).__name__}: {reason}).\n"
            f"They ship as data/weights/{path.name}: get it again with `git checkout -- data/weights`."
        ) from error
    return model


def check_card(path: Path) -> str:
    """The SHA-256 of weights of ours; `ValueError` unless their card names it: nothing else shows a flipped bit."""
    card = path.with_name("README.md" if path == WEIGHTS else f"{path.stem}.md")
    status = path.stat()
    found = _checksum(path, status.st_size, status.st_mtime_ns)
    if found not in card.read_text(encoding="utf-8"):
        raise ValueError(f"its sha256 checksum is not the one on its card, {card.name}: it is damaged or was replaced")
    return found


@functools.cache
def _checksum(path: Path, *state: int) -> str:
    """The SHA-256 of a file, worked out once for each `state` that the file is in."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_of(tensors: dict[str, torch.Tensor], said: str = "") -> str:
    """The SHA-256 of tensors in the order of their names, and of what is said of them."""
    digest = hashlib.sha256(said.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
