"""How PhotoNet was made, on Tiny-ImageNet, by `python3 -m course_utils pretrain`; and measured again."""

import argparse
import hashlib
import json
import os
import random
import sys
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
from course_utils.device import autocast, number_format, pick_device
from course_utils.errors import CourseError
from course_utils.models.backbones import PhotoNet
from course_utils.models.loading import WEIGHTS, load_model
from course_utils.pretraining import model_card, tiny_imagenet
from course_utils.pretraining.tiny_imagenet import ZIP

SEED = 0  # named before the first run; no other was tried
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
    beside = path.with_suffix(".part")
    save_file(tensors, beside, metadata={"state": json.dumps(state)})
    os.replace(beside, path)


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


@torch.no_grad()
def top1(model: PhotoNet, source: tiny_imagenet.Source, size: int) -> float:
    """Share of pictures whose class comes first, at `size` px."""
    device, right = model.mean.device, 0
    model.eval()
    for rows in torch.arange(len(source.y)).split(500):
        x = resize(torch.from_numpy(source.x[rows]).to(device), size)
        with autocast(device):
            guess = model(model.prepare(x)).argmax(1).cpu()
        right += int((guess == torch.from_numpy(source.y[rows])).sum())
    return right / len(source.y)


def export(model: PhotoNet, path: Path, classes: list[str]) -> str:
    """Write the weights in half precision (statistics in full) with the class names; returns the sha256."""
    tensors = {k: v.half() if v.ndim > 1 else v for k, v in model.state_dict().items()}
    tensors = {k: v.contiguous().cpu() for k, v in tensors.items()}
    beside = path.with_suffix(".part")
    save_file(tensors, beside, metadata={"classes": json.dumps(classes)})
    os.replace(beside, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pretrain(zip_path: Path, out: Path) -> None:
    """Train PhotoNet on `zip_path`; write weights, model card and the list of dropped images beside `out`."""
    device, start = pick_device(), time.time()
    dtype, why = number_format(device)
    print(f"On {device.type} in {dtype} ({why}). Reading {zip_path.name} ...", flush=True)
    source = tiny_imagenet.read_zip(zip_path, "train")
    dropped = tiny_imagenet.matching(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    tiny_imagenet.write_rows(dropped, out.with_name(f"{out.stem}_dropped.csv"))
    source = tiny_imagenet.without(source, dropped)
    print(f"{len(source.y):,} pictures of {len(source.classes)} classes; {len(dropped)} dropped.", flush=True)
    model, seconds = train(source, out.with_suffix(".checkpoint"), device)
    checksum = export(model, out, source.classes)
    val = tiny_imagenet.read_zip(zip_path, "val")
    measured = {size: top1(model, val, size) for size in SIZES}
    facts = {
        "epochs": EPOCHS - FINISH,
        "finish": FINISH,
        "finish_rate": FINISH_RATE,
        "batch": BATCH,
        "rate": PEAK_RATE,
        "decay": WEIGHT_DECAY,
        "smoothing": SMOOTHING,
        "sizes": "48 px in its first quarter, then 64 px" if device.type == "cpu" else "64 px",
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores",
        "minutes": seconds / 60,
        "images": len(source.y),
        "classes": len(source.classes),
        "dropped": len(dropped),
        "checksum": checksum,
        "seed": SEED,
    }
    model_card.write(out, measured, len(val.y), facts)
    out.with_suffix(".checkpoint").unlink()
    print(f"Wrote {out} after {(time.time() - start) / 60:.0f} min.")
    report(measured)


def train(source: tiny_imagenet.Source, checkpoint: Path, device: torch.device) -> tuple[PhotoNet, float]:
    """The training run: a checkpoint and a line with the time left after every epoch."""
    torch.manual_seed(SEED)
    model = PhotoNet(pretrained=True)
    model.head = nn.Linear(model.width, len(source.classes))
    model.to(device, memory_format=torch.channels_last)
    optimizer = make_optimizer(model)
    x, y = torch.from_numpy(source.x).to(device), torch.from_numpy(source.y).to(device)
    state = {"seed": SEED, "epochs": EPOCHS, "images": len(y), "epoch": 0}
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


def report(measured: dict[int, float]) -> None:
    """One line a size, as `top-1 at 64 px: 0.523`."""
    for size, accuracy in measured.items():
        print(f"top-1 at {size} px: {accuracy:.3f}")


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils pretrain", description=__doc__)
    parser.add_argument("--data", type=Path, help=f"{ZIP} (default: the one in COURSE_DATA_DIR)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the weights (default: the shipped file)")
    parser.add_argument("--evaluate", action="store_true", help="only measure the shipped weights")
    options = parser.parse_args(words)
    try:
        path = options.data or tiny_imagenet.find_zip(f"Give its path with --data PATH/{ZIP}")
        if not options.evaluate:
            pretrain(path, options.out)
            return 0
        model = load_model("photonet").to(pick_device())
        val = tiny_imagenet.read_zip(path, "val")
        report({size: top1(model, val, size) for size in SIZES})
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
