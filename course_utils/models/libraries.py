"""Backbones of torchvision and timm as the course's `Model`: their own weights, statistics and stages."""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn

from course_utils.data.downloads import ask
from course_utils.errors import CourseError, DataUnavailable, ModelUnavailable
from course_utils.models.backbones import Model

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _resnet(net: nn.Module) -> tuple[OrderedDict, nn.Module]:
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    blocks = {name: getattr(net, name) for name in ("layer1", "layer2", "layer3", "layer4")}
    return OrderedDict(stem=stem, **blocks), net.fc


def _mobilenet(net: nn.Module) -> tuple[OrderedDict, nn.Module]:
    cuts = {"stem": (0, 1), "layer1": (1, 2), "layer2": (2, 4), "layer3": (4, 9), "layer4": (9, 13)}
    return OrderedDict((name, net.features[a:b]) for name, (a, b) in cuts.items()), net.classifier


# name -> (torchvision's weights, how to cut the network, features after pooling)
TORCHVISION: dict[str, tuple[str, Callable, int]] = {
    "resnet18": ("ResNet18_Weights.IMAGENET1K_V1", _resnet, 512),
    "resnet50": ("ResNet50_Weights.IMAGENET1K_V2", _resnet, 2048),
    "mobilenet_v3_small": ("MobileNet_V3_Small_Weights.IMAGENET1K_V1", _mobilenet, 576),
}


def from_torchvision(name: str, pretrained: bool) -> Model:
    """One of torchvision's networks in its own stages (`stem`, `layer1` ... `layer4`), with its ImageNet head.

    Weights come from torchvision's own address with the checksum in their name, read as tensors alone.
    """
    import torchvision.models

    weights_name, cut, width = TORCHVISION[name]
    weights = torchvision.models.get_weight(weights_name)
    net = getattr(torchvision.models, name)()
    if pretrained:
        net.load_state_dict(_torchvision_state(name, weights))
    stages, head = cut(net)
    return Model(
        name, stages, width, IMAGENET_STATISTICS, 224, head, list(weights.meta["categories"]), pretrained
    )


def _torchvision_state(name: str, weights: object) -> dict:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        _discard_if_damaged(file)
        if not file.exists():
            ask(weights.url, name).close()  # or torch would wait for a network that swallows its request
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except DataUnavailable:
        reason = "its address does not answer"
    except (URLError, OSError) as error:
        reason = f"its address does not answer ({error})"
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = f"the download is damaged ({str(error).split('. ')[0][:90]})"
    raise ModelUnavailable(
        f"{name}'s pretrained weights are not on this machine, and {reason}.\n"
        "Try again when the network is up, or go on with load_model('photonet'), which ships with the course."
    )


def _discard_if_damaged(file: Path) -> None:
    """Remove a cached file whose bytes do not match the hash in its name: torch checks only while it downloads."""
    if file.exists():
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if not digest.startswith(file.stem.rsplit("-", 1)[-1]):
            file.unlink()


def from_timm(name: str, pretrained: bool) -> Model:
    """Any picture model of timm as one stage that ends in pooled features, with its own statistics and size."""
    import timm

    if name.split(".")[0] not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:4]) or "timm.list_models() lists all"
        raise CourseError(f"timm has no model {name!r}. Near it: {near}.")
    try:
        net = timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # the hub's client raises its own kinds for no network, no file, no weights
        raise ModelUnavailable(
            f"timm's {name} could not be loaded ({type(error).__name__}: {str(error).splitlines()[0][:120]}).\n"
            "Its weights come from the Hugging Face hub: try again when the network is up,\n"
            "or go on with load_model('photonet'), which ships with the course."
        ) from error
    print(f"{name} is one stage here: its parts cannot be run apart.")
    config = net.pretrained_cfg
    head = net.get_classifier()
    net.reset_classifier(0)
    statistics = (tuple(config["mean"]), tuple(config["std"]))
    return Model(
        f"timm:{name}",
        OrderedDict(backbone=net),
        head.in_features,
        statistics,
        config["input_size"][-1],
        head,
        pretrained=pretrained,
    )
