"""Processor, number format, memory and random numbers: what this machine computes on, and why. Threads: `threads`."""

import contextlib
import functools
import math
import os
import platform
from collections.abc import Callable, Iterator
from typing import Any

import torch

from course_utils.errors import CourseError
from course_utils.threads import look_again, share_of_processor

CHUNK = 256  # inputs in a pass without gradients, and the pixels of all of them together (2 GB machines)
CHUNK_PIXELS = 128 * 64 * 64
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


def choose_device(wanted: torch.device | str | None = None) -> torch.device:
    """The device that a caller names, or the fastest one here.

    Raises:
        CourseError: there is no such device in this machine.
    """
    if wanted is None:
        return pick_device()
    try:
        device = torch.device(wanted)
        torch.ones(1, device=device).item()
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0][:90]
        raise CourseError(
            f"device={wanted!r} is not to be had here ({reason}).\nLeave it out, or say device='cpu'."
        ) from error
    return device


def number_format(device: torch.device | None = None, depthwise: bool = False) -> tuple[torch.dtype, str]:
    """The number format for network arithmetic on `device`, and a phrase that says why.

    The chip is asked, never guessed: a training step of PhotoNet in bfloat16 ran 7 times faster than in
    float32 on a CPU with AMX tiles, 1.7 times faster on one with AVX-512 BF16 alone, and half as fast on
    one with neither. A network with `depthwise` convolutions is the exception: a step of EfficientNet-Lite0 took
    twice as long in bfloat16 on AVX-512 BF16 alone. `COURSE_PRECISION` (fp32, bf16, fp16) overrides.
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
        if depthwise:
            return torch.float32, "depthwise convolutions are faster in it on this processor"
        if torch.cpu._is_avx512_bf16_supported():
            return torch.bfloat16, "this processor has AVX-512 BF16"
    return torch.float32, "no unit here is faster in a shorter format"


def autocast(device: torch.device, depthwise: bool = False) -> torch.autocast:
    """A context in which network arithmetic on `device` runs in the number format of `number_format`."""
    dtype, _ = number_format(device, depthwise)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def describe() -> str:
    """Three lines on the machine at hand: processor and the threads of a call now, number format, memory; and why."""
    import psutil

    device = pick_device()
    dtype, why = number_format(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    memory = psutil.virtual_memory()
    with share_of_processor() as share:
        threads = f"{share.threads} thread{'s' * (share.threads > 1)} ({share.why()})"
    return "\n".join(
        [
            f"Computes on: {device.type} ({name}), {threads}",
            f"Number format: {str(dtype).removeprefix('torch.')} ({why})",
            f"Memory: {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free",
        ]
    )


def chunk_size(x: torch.Tensor) -> int:
    """How many of the encoded inputs `x` go through a network at once where no gradients are needed."""
    return max(1, min(CHUNK, CHUNK_PIXELS // math.prod(x.shape[2:])))


def in_chunks(function: Callable, x: torch.Tensor) -> list:
    """`function` of each part of `x`; all anew in smaller parts when the GPU's memory does not suffice."""
    size = chunk_size(x)

    def one(part: torch.Tensor) -> Any:
        look_again()
        return function(part)

    while True:
        try:
            return [one(part) for part in x.split(size)]
        except RuntimeError as error:
            if not out_of_memory(error) or size == 1:
                raise
        size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: RuntimeError) -> bool:
    """Whether `error` is a GPU's "out of memory" (Apple's has no class of its own)."""
    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's random numbers (dropout) come from `seed`; outside, the generators are as before."""
    gpu = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    before, gpu_before = torch.get_rng_state(), gpu and gpu.get_rng_state()
    torch.default_generator.manual_seed(int(seed))  # NumPy's are no int
    if gpu:
        gpu.manual_seed(int(seed))
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if gpu:
            gpu.set_rng_state(gpu_before)
