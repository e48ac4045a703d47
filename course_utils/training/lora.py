"""LoRA: a network stays as it is and learns through two thin factors beside each chosen layer (Hu et al. 2021)."""

import copy
import difflib
import json
import re
from collections import Counter
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils.errors import CourseError, check_number
from course_utils.files import replacing
from course_utils.models.backbones import HEAD, Model
from course_utils.models.loading import digest_of
from course_utils.training.freezing import freeze, freeze_batch_norm, unfreeze

KINDS = (nn.Linear, nn.Conv2d, nn.Embedding)  # themselves: a subclass may use its weight in another way
FUSED = r"(.*\.)?(\w*qkv\w*|c_attn|in_proj|query_key_value)"  # layers that compute query, key and value in one
BASE = "0"  # whose head is the base's own; no adapter can be called so


class Factors(nn.Sequential):
    """A layer's change, alpha / rank · B A: A leads to `rank` numbers, and B, zero at first, back (section 4.1).

    As in PEFT, an embedding's A is the zero one, and a convolution's A has its kernel, stride and padding, B 1 x 1.
    """

    def __init__(self, layer: nn.Module, rank: int, alpha: float) -> None:
        super().__init__()
        self.rank, self.alpha, self.scale, size = rank, alpha, alpha / rank, layer.weight.shape
        if isinstance(layer, nn.Embedding):
            self.A, self.B = nn.Embedding(size[0], rank, layer.padding_idx), nn.Linear(rank, size[1], bias=False)
            nn.init.normal_(self.B.weight)
        elif isinstance(layer, nn.Conv2d):
            window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            self.A = nn.Conv2d(size[1], rank, *window, bias=False, padding_mode=layer.padding_mode)
            self.B = nn.Conv2d(rank, size[0], 1, bias=False)
        else:
            self.A, self.B = nn.Linear(size[1], rank, bias=False), nn.Linear(rank, size[0], bias=False)
        nn.init.zeros_(self.A.weight if isinstance(layer, nn.Embedding) else self.B.weight)
        self.to(layer.weight)  # its device and number format

    def change(self) -> torch.Tensor:
        """What merging adds to the layer's weight, in its shape."""
        a, b = self.A.weight.flatten(1), self.B.weight.flatten(1)
        product = a @ b.T if isinstance(self.A, nn.Embedding) else (b @ a).view(-1, *self.A.weight.shape[1:])
        return product * self.scale


class LoRA(nn.Module):
    """A frozen layer and the factors of its adapters, of which one at most acts."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.base_layer, self.factors, self.active = freeze(layer), nn.ModuleDict(), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output and what the active adapter adds."""
        y, active = self.base_layer(x), self.factors._modules.get(self.active)
        return y if active is None else y + active(x) * active.scale


def add_lora(
    model: nn.Module, rank: int = 8, alpha: float = 16, targets: str | list[str] = "all-linear", name: str = "default"
) -> nn.Module:
    """Freeze `model`, batch-norm statistics included, and put factors beside the layers that `targets` names.

    Outputs stay bit-equal until the factors train and, on a course model, the adapter's own head, a copy of the base's.
    Factors are drawn from torch's generator. Changes `model` in place, with `name` as active adapter, and returns it.
    `targets` is as PEFT's: "all-linear", a list of names or of their ends (["query", "layer4.conv1"]), or a regular
    expression for whole names. A course model's names start at its stages; its head is no target.
    """
    check_number("rank", rank, least=1, below=2**16, whole=True)
    check_number("alpha", alpha, above=0)
    if name in [None, *_names(model)] or not str(name).isidentifier() or hasattr(nn.ModuleDict(), name):
        raise CourseError(f"No new adapter can be called {name!r}: it is taken, or no plain word. Choose another name.")
    layers, wrapped = _find(model, targets), _wrapped(model)
    set_adapter(model, None)
    for path, layer in layers.items():
        wrapper = wrapped.get(path) or LoRA(layer)
        wrapper.factors[name] = Factors(layer, rank, alpha)
        _backbone(model).set_submodule(path, wrapper)
    if isinstance(model, Model):
        model.heads = getattr(model, "heads", nn.ModuleDict())  # of the adapters that wait
        model.heads[name] = copy.deepcopy(model.head)
    return set_adapter(model, name)


def set_adapter(model: nn.Module, name: str | None) -> nn.Module:
    """Let the adapter `name` act, on a course model with its head and classes; None is the base. Returns `model`."""
    layers = _wrapped(model).values()
    if name not in [None, *_names(model)]:
        raise CourseError(f"There is no adapter {name!r} here. Choose one of {_names(model)}, or None for the base.")
    before = next((layer.active for layer in layers), None)
    for layer in layers:
        layer.active = name
    if isinstance(model, Model) and name != before:
        model.head.about = {key: getattr(model, key) for key in HEAD}
        model.heads[before or BASE], model.head = model.head, model.heads.pop(name or BASE)
        vars(model).update(vars(model.head).pop("about", {}))  # a new head has read what the base's reads
    if name:
        lora_parameters(model)
    return model


def lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Freeze all but the active factors and a course model's head, and return these: a strategy for `fit`."""
    parts = _active(model)
    model.requires_grad_(False)
    if getattr(model, "has_statistics", True):  # those of an untrained network follow the pictures
        freeze_batch_norm(model)
    return [parameter for part in parts.values() for parameter in unfreeze(part).parameters()]


@torch.no_grad()
def merge_lora(model: nn.Module) -> nn.Module:
    """Add the active adapter's change to the weights and take all factors out, for `unmerge_lora`. Returns `model`."""
    parts, layers = _active(model), _wrapped(model)
    weights = {path: layer.base_layer.weight for path, layer in layers.items()}
    heads = {"heads": model._modules.pop("heads")} if isinstance(model, Model) else {}
    model.unmerged = [*getattr(model, "unmerged", []), (layers, weights, heads)]
    for path, layer in layers.items():
        _backbone(model).set_submodule(path, layer.base_layer)
        if path in parts:
            layer.base_layer.weight = nn.Parameter(weights[path] + parts[path].change(), requires_grad=False)
    return model


def unmerge_lora(model: nn.Module) -> nn.Module:
    """Undo `merge_lora`: the old weights, bit by bit, and all adapters are back. Returns `model`."""
    if not getattr(model, "unmerged", []):
        raise CourseError("Nothing is merged here: unmerge_lora(model) undoes merge_lora(model).")
    if late := _names(model):
        raise CourseError(f"{late} came after merging and would be lost.\nMerge it too, or keep it by save_adapter.")
    device = next(model.parameters()).device
    layers, weights, heads = model.unmerged.pop()
    for path, layer in layers.items():
        layer.base_layer.weight = weights[path]
        _backbone(model).set_submodule(path, layer)
    model._modules.update(heads)
    return model.to(device)


def save_adapter(model: nn.Module, path: str | Path) -> None:
    """Write the active adapter as safetensors: factors, a course model's head and classes, the base's checksum."""
    parts = _active(model)
    first, targets = next(iter(parts.values())), [p for p, part in parts.items() if isinstance(part, Factors)]
    about = {"rank": first.rank, "alpha": first.alpha, "targets": targets, "base": _checksum(model)}
    if isinstance(model, Model):
        about |= {"model": model.name, "head": {key: getattr(model, key) for key in HEAD}}
    tensors = {f"{place}.{k}": t.contiguous() for place, part in parts.items() for k, t in part.state_dict().items()}
    try:
        (path := Path(path).expanduser()).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            save_file(tensors, beside, {"lora": (said := json.dumps(about)), "sha256": digest_of(tensors, said)})
    except (OSError, TypeError, ValueError, SafetensorError) as error:  # the last on a full or closed disk
        raise CourseError(f"The adapter cannot be written: {error}.\nGive the path of a file, elsewhere.") from error


def load_adapter(model: nn.Module, path: str | Path, name: str = "default") -> nn.Module:
    """Add what `save_adapter` wrote, head and classes included, as the active adapter `name`. Returns `model`."""
    try:
        with safe_open(path, framework="pt") as file:
            said, tensors = file.metadata(), load_file(path)
        if said["sha256"] != digest_of(tensors, said["lora"]):
            raise ValueError("its content does not have the checksum that it names")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"{path} is not a file of save_adapter, or a damaged one ({type(error).__name__}: {error})"
        raise CourseError(f"{reason}.\nGive the path that save_adapter was given.") from error
    about = json.loads(said["lora"])
    if about["base"] != (found := _checksum(model)):
        reason = f"This adapter was trained on other weights: their checksum is {about['base'][:8]}, here {found[:8]}"
        raise CourseError(f"{reason}.\nLoad its base, {about.get('model', 'unchanged')}, and then the adapter at once.")
    own = {f"head.{key}" for key in model.head.state_dict()} if isinstance(model, Model) else set()
    if "head.weight" not in tensors and not own <= tensors.keys():
        raise CourseError("This adapter's head is no linear layer.\nGive the model such a head first, then load it.")
    add_lora(model, about["rank"], about["alpha"], "|".join(map(re.escape, about["targets"])), name)
    if "head.weight" in tensors:
        outputs, inputs = tensors["head.weight"].shape
        model.head = nn.Linear(inputs, outputs, "head.bias" in tensors).to(model.mean.device)
        vars(model).update(about["head"])
    for place, part in _active(model).items():
        part.load_state_dict({key: tensors[f"{place}.{key}"] for key in part.state_dict()})
    return model


def _find(model: nn.Module, targets: str | list[str]) -> dict[str, nn.Module]:
    """The layers that `targets` names, by their paths; of one that has factors already, the layer itself."""
    modules = {p: m for p, m in _backbone(model).named_modules() if p and ".factors" not in p}
    layers = {p.removesuffix(".base_layer"): m for p, m in modules.items()}
    last = getattr(model, "get_output_embeddings", lambda: None)()  # which PEFT's "all-linear" leaves out
    places = Counter(id(m) for _, m in _backbone(model).named_modules(remove_duplicate=False))
    able = {p: m for p, m in layers.items() if type(m) in KINDS and getattr(m, "groups", 1) == places[id(m)] == 1}
    found = {}
    for target in map(str, targets if isinstance(targets, (list, tuple, set)) and targets else [targets]):
        pattern = target if target is targets else rf"(.*\.)?{re.escape(target)}"
        try:
            hits = {p: m for p, m in layers.items() if re.fullmatch(pattern, p)}
        except re.error:  # "*query"
            hits = {}
        if target == "all-linear":
            hits = {p: m for p, m in layers.items() if isinstance(m, nn.Linear) and m is not last}
        if not hits or hits.keys() - able.keys():
            raise CourseError(_refusal(target, hits, layers, able))
        found |= hits
    return found


def _refusal(target: str, hits: dict, layers: dict, able: dict) -> str:
    ends = list(dict.fromkeys(path.rpartition(".")[2] for path in able))
    near = difflib.get_close_matches(target.rpartition(".")[2], ends, 3, 0.5) or ends[:6]
    kinds = (f"{path} is a {type(layer).__name__}" for path, layer in hits.items() if path not in able)
    reason = next(kinds, "no layer is called so")
    fused = [p for p, m in layers.items() if re.fullmatch(FUSED, p) or isinstance(m, nn.MultiheadAttention)]
    if fused and not hits and re.search("query|key|value|([^a-z]|^)[qkv]([^a-z]|$)", target):
        reason, near = f"{fused[0]} holds query, key and value in one", [fused[0].rpartition(".")[2]]
    return (
        f"targets={target!r} is not possible: {reason}.\n"
        f"Layers for factors (linear, embedding, ungrouped convolution, used once) end here in {', '.join(near)}.\n"
        'Give such ends as a list, ["query"], or as a string one regular expression for whole names, ".*query".'
    )


def _backbone(model: nn.Module) -> nn.Module:
    return model.stages if isinstance(model, Model) else model


def _wrapped(model: nn.Module) -> dict[str, LoRA]:
    return {path: layer for path, layer in _backbone(model).named_modules() if isinstance(layer, LoRA)}


def _names(model: nn.Module) -> list[str]:
    return list(dict.fromkeys(name for layer in _wrapped(model).values() for name in layer.factors))


def _active(model: nn.Module) -> dict[str, nn.Module]:  # what acts and trains: the factors, and a course model's head
    parts = {p: layer.factors[layer.active] for p, layer in _wrapped(model).items() if layer.active in layer.factors}
    if not parts:
        raise CourseError("No adapter is active here: add_lora(model) makes one, set_adapter(model, name) chooses one.")
    return parts | ({"head": model.head} if isinstance(model, Model) else {})


def _checksum(model: nn.Module) -> str:
    """sha256 over the base's tensors in the order of their names, whatever adapters and head the model carries."""
    state = _backbone(model).state_dict()
    return digest_of({n.replace(".base_layer", ""): tensor for n, tensor in state.items() if ".factors." not in n})
