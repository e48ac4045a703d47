"""One picture of any kind as an array, and which pictures are the same one."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    import torch

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow
_FLAT = 1.5  # grey levels; a thumbnail with a smaller standard deviation shows nothing to compare

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "TGA", "JPEG2000")  # others may start programs
BLOCK = 16 << 20  # correlations or pixels worked with at once (64 MB)
LARGE = 16_000_000  # pixels; larger pictures are decoded one at a time, since each may take half a gigabyte
_large_one = threading.Lock()


def read_picture(source: str | Path | BinaryIO, size: int, crop: str = "centre") -> np.ndarray:
    """The picture as uint8, 3 x size x size: turned as its camera says, in RGB, the first frame if it moves.

    `crop="centre"` scales the shorter side to `size` and cuts the middle square; `"squash"` keeps everything
    and distorts. Both smooth before they shrink. Raises what Pillow raises for an unreadable file, and
    `Image.DecompressionBombError` above Pillow's pixel limit.
    """
    Image.init()  # all formats that this Pillow was built with
    with Image.open(source, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as picture:
        if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{picture.width} x {picture.height} pixels")
        picture.draft(picture.mode, (2 * size, 2 * size))  # a JPEG is decoded at a fraction of its size
        with _large_one if picture.width * picture.height > LARGE else nullcontext():
            return to_square(to_rgb(ImageOps.exif_transpose(picture)), size, crop)


def to_square(picture: Image.Image, size: int, crop: str = "centre") -> np.ndarray:
    """An RGB picture as uint8, 3 x size x size (see `read_picture`)."""
    width, height = picture.size
    box = (0, 0, width, height)
    if crop == "centre":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    small = picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode that Pillow knows as RGB: 16 bits scaled to 8 (never clipped), transparency laid on white."""
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        picture = Image.fromarray(_to_bytes(np.asarray(picture).astype(np.float64)))
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return picture.convert("RGB")


class NotNumbers(ValueError):
    """A picture whose values are not numbers."""


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Numbers without a fixed range as 0 to 255: the smallest of the usual ranges that holds them all."""
    if not np.isfinite(values).all():
        raise NotNumbers("holds values that are not numbers")
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        return np.round((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    top = 1 if high <= 1 and (values % 1).any() else 255 if high <= 255 else 65535
    return np.round(values / top * 255).astype(np.uint8)


def thumbnails(images: np.ndarray, size: int = 16) -> np.ndarray:
    """Grey thumbnails (area means) of N x 3 x H x W images: float32 N x size², each of mean 0 and length 1.

    The product of two of them is their correlation. A flat picture becomes zeros and matches nothing. 16 x
    16 was chosen by measurement: all copies of ants-and-bees photographs in Tiny-ImageNet correlate above
    .95 (fewer do at 32 x 32), while at 8 x 8 dozens of unrelated pictures would (data/README.md).
    """
    rows, columns = _area_weights(images.shape[2], size), _area_weights(images.shape[3], size)
    out = np.empty((len(images), size * size), np.float32)
    step = max(1, BLOCK // max(1, images[:1].size))  # all of them as floats may be more than the memory holds
    for start in range(0, len(images), step):
        grey = np.einsum("nchw,c->nhw", images[start : start + step].astype(np.float32), _GREY)
        out[start : start + step] = (rows @ grey @ columns.T).reshape(len(grey), -1)
    out -= out.mean(1, keepdims=True)
    deviation = out.std(1, keepdims=True)
    out /= np.where(deviation < _FLAT, np.inf, deviation * size)
    return out


def _area_weights(length: int, size: int) -> np.ndarray:
    """size x length; each row averages its share of `length` pixels, parts of a pixel included."""
    edges = np.linspace(0, length, size + 1)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, 1) * size / length).astype(np.float32)


def matches(
    a: np.ndarray, b: np.ndarray, threshold: float = 0.95, limit: int | None = None
) -> list[tuple[int, int, float]]:
    """All (i, j, r) for which thumbnails `a[i]` and `b[j]` correlate with r above `threshold`, by i, then j.

    Worked out in blocks, so that 100,000 pictures can be compared with 30,000. With `limit`, it stops after
    the block in which more than so many are found.
    """
    found: list[tuple[int, int, float]] = []
    step = max(1, BLOCK // max(1, len(b)))
    for start in range(0, len(a), step):
        r = a[start : start + step] @ b.T
        i, j = np.nonzero(r > threshold)
        if limit is not None:
            i, j = i[: limit + 1], j[: limit + 1]  # a block may hold millions where all look alike
        found += zip((i + start).tolist(), j.tolist(), r[i, j].tolist(), strict=True)
        if limit is not None and len(found) > limit:
            break
    return found


def resize(x: torch.Tensor, size: int) -> torch.Tensor:
    """Pictures, N x 3 x H x W, as float32 at `size` px, smoothed first so that fine detail does not alias."""
    from torch.nn.functional import interpolate  # torch takes seconds to load, and other pictures do not need it

    return interpolate(x.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)


def smaller(x: np.ndarray, size: int) -> np.ndarray:
    """Pictures, uint8 N x 3 x H x W, at `size` px."""
    import torch

    from course_utils.device import chunk_size

    parts = torch.from_numpy(x).split(chunk_size(x))
    return torch.cat([resize(part, size).round().clamp(0, 255).to(torch.uint8) for part in parts]).numpy()
