"""The command `python3 -m course_utils pretrain`: make PhotoNet, or measure it again."""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from course_utils.data.images import resize
from course_utils.device import autocast, number_format, pick_device
from course_utils.errors import CourseError
from course_utils.files import replacing
from course_utils.models.backbones import PhotoNet
from course_utils.models.loading import WEIGHTS, load_model
from course_utils.pretraining import model_card, recipe, tiny_imagenet
from course_utils.pretraining.tiny_imagenet import ZIP


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
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"classes": json.dumps(classes)})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pretrain(zip_path: Path, out: Path, seed: int) -> None:
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
    model, seconds = recipe.train(source, out.with_suffix(".checkpoint"), device, seed)
    checksum = export(model, out, source.classes)
    val = tiny_imagenet.read_zip(zip_path, "val")
    measured = {size: top1(model, val, size) for size in recipe.SIZES}
    facts = _recipe_in_numbers(device) | {
        "minutes": seconds / 60,
        "images": len(source.y),
        "classes": len(source.classes),
        "dropped": len(dropped),
        "checksum": checksum,
    }
    model_card.write(out, measured, len(val.y), seed, facts)
    out.with_suffix(".checkpoint").unlink()
    print(f"Wrote {out} after {(time.time() - start) / 60:.0f} min.")
    report(measured)


def _recipe_in_numbers(device: torch.device) -> dict:
    """What the card says about the recipe and the machine."""
    return {
        "epochs": recipe.EPOCHS - recipe.FINISH,
        "finish": recipe.FINISH,
        "finish_rate": recipe.FINISH_RATE,
        "batch": recipe.BATCH,
        "rate": recipe.PEAK_RATE,
        "decay": recipe.WEIGHT_DECAY,
        "smoothing": recipe.SMOOTHING,
        "sizes": "48 px in its first quarter, then 64 px" if device.type == "cpu" else "64 px",
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores",
    }


def report(measured: dict[int, float]) -> None:
    """One line a size, as `top-1 at 64 px: 0.523`."""
    for size, accuracy in measured.items():
        print(f"top-1 at {size} px: {accuracy:.3f}")


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils pretrain", description=__doc__)
    parser.add_argument("--data", type=Path, help=f"{ZIP} (default: the one in COURSE_DATA_DIR)")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="draws the first weights, the order and the views of the pictures (default: 0)")
    parser.add_argument("--out", type=Path, help="the weights (default: the shipped file, photonet-N for a seed N)")
    parser.add_argument("--evaluate", action="store_true", help="only measure the shipped weights")
    options = parser.parse_args(words)
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}; it counts from 0 on")
    name = "photonet" if options.seed == 0 else f"photonet-{options.seed}"
    try:
        path = options.data or tiny_imagenet.find_zip(f"Give its path with --data PATH/{ZIP}")
        if not options.evaluate:
            pretrain(path, options.out or WEIGHTS.with_name(f"{name}.safetensors"), options.seed)
            return 0
        model = load_model(name).to(pick_device())
        val = tiny_imagenet.read_zip(path, "val")
        report({size: top1(model, val, size) for size in recipe.SIZES})
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
