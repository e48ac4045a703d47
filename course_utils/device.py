"""Processor, number format and memory: what this machine computes on, and why."""

import functools
import os
import platform

import torch

from course_utils.errors import CourseError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@functools.cache
def pick_device() -> torch.device:
    """The fastest processor here: a CUDA GPU, else Apple's, else the CPU. Says so once when a GPU fails."""
    for name, module in (("cuda", torch.cuda), ("mps", torch.backends.mps)):
        if module.is_available():
            try:
                torch.ones(1, device=name) + 1
                return torch.device(name)
            except RuntimeError as error:
                print(f"The {name} GPU does not answer ({str(error).splitlines()[0]}): using the processor.")
    return torch.device("cpu")


def number_format(device: torch.device | None = None) -> tuple[torch.dtype, str]:
    """The number format for network arithmetic on `device`, and a phrase that says why.

    The chip is asked, never guessed: a training step of PhotoNet in bfloat16 ran 7 times faster than in
    float32 on a CPU with AMX tiles, 1.7 times faster on one with AVX-512 BF16 alone, and half as fast on
    one with neither. `COURSE_PRECISION` (fp32, bf16, fp16) overrides.
    """
    device = device or pick_device()
    wanted = os.environ.get("COURSE_PRECISION", "")
    if wanted:
        if wanted not in PRECISIONS:
            raise CourseError(f"COURSE_PRECISION is {wanted!r}; it may be {', '.join(PRECISIONS)}, or unset.")
        return PRECISIONS[wanted], "COURSE_PRECISION says so"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return torch.bfloat16, "this GPU has bfloat16 units"
        return torch.float32, "this GPU has no bfloat16 units"
    if device.type == "cpu" and not os.environ.get("ONEDNN_MAX_CPU_ISA"):  # a cap hides what the chip has
        if torch.cpu._is_amx_tile_supported():
            return torch.bfloat16, "this processor has AMX tiles"
        if torch.cpu._is_avx512_bf16_supported():
            return torch.bfloat16, "this processor has AVX-512 BF16"
    return torch.float32, "no unit here is faster in a shorter format"


def autocast(device: torch.device) -> torch.autocast:
    """A context in which network arithmetic on `device` runs in the number format of `number_format`."""
    dtype, _ = number_format(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def describe() -> str:
    """Three lines on the machine at hand: processor, number format and why, memory."""
    import psutil

    device = pick_device()
    dtype, why = number_format(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    memory = psutil.virtual_memory()
    return "\n".join(
        [
            f"Computes on: {device.type} ({name}), {torch.get_num_threads()} threads",
            f"Number format: {str(dtype).removeprefix('torch.')} ({why})",
            f"Memory: {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free",
        ]
    )
