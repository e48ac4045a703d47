"""The recipe of PhotoNet, on Tiny-ImageNet: sizes, rates, views of the pictures, and the run over all epochs."""

import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import update_bn

from course_utils.data.images import resize
from course_utils.device import autocast
from course_utils.errors import CourseError
from course_utils.files import replacing
from course_utils.models.backbones import PhotoNet
from course_utils.pretraining import tiny_imagenet

BATCH, PEAK_RATE, WEIGHT_DECAY, SMOOTHING = 256, 0.2, 5e-4, 0.1
EPOCHS, FINISH = 25, 3  # the last FINISH epochs are a second, small cycle
FINISH_RATE = 0.03
SIZES = (32, 48, 64)  # px; lessons use all three
MIXTURE = (32, 48, 64, 64, 64)  # each batch of the main cycle's last fifth draws one of these
FINISH_MIXTURE = (32, 48, 64, 64, 64, 64, 64, 64)
SETTLING = 20_000  # pictures that settle the batch-norm statistics at the end


def sizes_of(epoch: int, epochs: int, slow: bool) -> tuple[int, ...]:
    """The picture sizes (px) that batches of this epoch draw from: small first where the chip is slow."""
    main = epochs - FINISH
    if epoch >= main:
        return FINISH_MIXTURE
    if epoch >= 0.8 * main:
        return MIXTURE
    return (48,) if slow and epoch < main / 4 else (64,)


def work_of(epochs: range, slow: bool) -> float:
    """Pixels an image that these epochs compute on: what their time is proportional to."""
    return sum(np.mean(np.square(sizes_of(epoch, EPOCHS, slow))) for epoch in epochs)


def augment(x: torch.Tensor, size: int, draw: torch.Generator) -> torch.Tensor:
    """Zoom (70 to 100 % of the area), shift, mirror: uint8 N x 3 x 64 x 64 to float N x 3 x size x size."""
    n = len(x)
    zoom = torch.empty(n).uniform_(0.7, 1, generator=draw).sqrt()
    stretch = torch.empty(n).uniform_(-0.1, 0.1, generator=draw).exp()
    width, height = (zoom * stretch).clamp(max=1), (zoom / stretch).clamp(max=1)
    shift = torch.empty(n, 2).uniform_(-1, 1, generator=draw)
    mirror = torch.randint(0, 2, (n,), generator=draw) * 2 - 1
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2], theta[:, 1, 2] = shift[:, 0] * (1 - width), shift[:, 1] * (1 - height)
    grid = F.affine_grid(theta.to(x.device, non_blocking=True), [n, 3, *x.shape[2:]], align_corners=False)
    x = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return x if size == x.shape[-1] else resize(x, size)


def make_optimizer(model: nn.Module) -> torch.optim.SGD:
    """SGD with Nesterov momentum; weight decay on weight matrices and kernels alone."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=PEAK_RATE, momentum=0.9, nesterov=True)


def rate_at(epoch: float, epochs: int) -> float:
    """One cycle: up over its first tenth, down along a cosine. Then from FINISH_RATE straight to nought."""
    main = epochs - FINISH
    if epoch >= main:
        return FINISH_RATE * (epochs - epoch) / FINISH
    if epoch < 0.1 * main:
        return PEAK_RATE * (0.04 + 9.6 * epoch / main)
    return PEAK_RATE * 0.5 * (1 + np.cos(np.pi * (epoch / main - 0.1) / 0.9))


def settle_statistics(model: PhotoNet, x: torch.Tensor) -> None:
    """Average the batch-norm statistics anew over clean pictures of 64 px.

    Those kept in training are a moving average of the last ten or so batches, whatever sizes these had.
    """
    parts = x[:: max(1, len(x) // SETTLING)].split(BATCH)
    update_bn((model.prepare(part) for part in parts), model)


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.SGD, state: dict) -> None:
    """Weights, momentum and progress in one safetensors file, written beside and renamed."""
    tensors = {f"model.{k}": v.contiguous().cpu() for k, v in model.state_dict().items()}
    for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"]):
        if p in optimizer.state:
            tensors[f"momentum.{i}"] = optimizer.state[p]["momentum_buffer"].contiguous().cpu()
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"state": json.dumps(state)})


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.SGD, state: dict) -> int:
    """Put a checkpoint of the same run back and return the next epoch; 0 when there is none."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()["state"])
        if {**stored, "epoch": 0} != {**state, "epoch": 0}:
            raise CourseError(
                f"{path.name} belongs to a run with other settings or data: {stored}.\n"
                f"This run has {state}. Remove the file to start afresh, or give another --out."
            )
        names = list(file.keys())
        model.load_state_dict({k[6:]: file.get_tensor(k) for k in names if k.startswith("model.")})
        for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"]):
            if f"momentum.{i}" in names:
                optimizer.state[p]["momentum_buffer"] = file.get_tensor(f"momentum.{i}").to(p.device)
    print(f"Resumes after epoch {stored['epoch'] + 1} of {stored['epochs']}.")
    return stored["epoch"] + 1


def run_epoch(
    model: PhotoNet, optimizer: torch.optim.SGD, x: torch.Tensor, y: torch.Tensor, epoch: int, state: dict
) -> float:
    """One pass over the data in an order drawn from the seed and the epoch; returns the mean loss."""
    draw = torch.Generator().manual_seed(1000 * state["seed"] + epoch)
    pick = random.Random(1000 * state["seed"] + epoch)
    sizes = sizes_of(epoch, state["epochs"], slow=x.device.type == "cpu")
    batches = torch.randperm(len(x), generator=draw).split(BATCH)[: len(x) // BATCH]
    total = torch.zeros((), device=x.device)
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(epoch + step / len(batches), state["epochs"])
        rows = rows.to(x.device, non_blocking=True)
        views = augment(x[rows], pick.choice(sizes), draw)
        with autocast(x.device):
            logits = model(model.prepare(views))
        loss = F.cross_entropy(logits.float(), y[rows], label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return float(total) / len(batches)


def train(
    source: tiny_imagenet.Source, checkpoint: Path, device: torch.device, seed: int
) -> tuple[PhotoNet, float]:
    """The training run and its seconds: a checkpoint and a line with the time left after every epoch.

    The `seed` draws the first weights, and for every epoch the order and the views of the pictures.
    """
    torch.manual_seed(seed)
    model = PhotoNet(pretrained=True)
    model.head = nn.Linear(model.width, len(source.classes))
    model.to(device, memory_format=torch.channels_last)
    optimizer = make_optimizer(model)
    x, y = torch.from_numpy(source.x).to(device), torch.from_numpy(source.y).to(device)
    state = {"seed": seed, "epochs": EPOCHS, "images": len(y), "epoch": 0}
    first, start = load_checkpoint(checkpoint, model, optimizer, state), time.time()
    slow = device.type == "cpu"
    for epoch in range(first, state["epochs"]):
        model.train()
        loss = run_epoch(model, optimizer, x, y, epoch, state)
        save_checkpoint(checkpoint, model, optimizer, {**state, "epoch": epoch})
        pace = (time.time() - start) / work_of(range(first, epoch + 1), slow)
        left = pace * work_of(range(epoch + 1, EPOCHS), slow) / 60
        print(f"epoch {epoch + 1}/{EPOCHS}  loss {loss:.3f}  {left:.1f} min left", flush=True)
    settle_statistics(model, x)
    return model, time.time() - start
