"""Tasks cut from the photographs that come inside scikit-image and scikit-learn: no network is used.

One side of each photograph trains and the other tests, with a strip between them that neither uses, so no
pixel is in both splits.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import skimage
import sklearn
from PIL import Image, ImageDraw

from course_utils.data.images import to_rgb, to_square
from course_utils.errors import DataUnavailable

VERSION = 1  # raise it when a picture comes out differently than before
PHOTOGRAPHS = {  # class: file. Not used: pictures too plain to tell apart, or without a stated licence
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "flower": "flower.jpg",
    "galaxies": "hubble_deep_field.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "pagoda": "china.jpg",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
}
SIDES = {"train": (0.0, 0.56), "test": (0.62, 1.0)}  # shares of a photograph's width; the gap is between
TEXTURES_COUNT = {"train": 200, "test": 60}  # patches a photograph
PLAIN = 6.0  # grey levels; a patch with a smaller standard deviation is empty sky, the same in any photograph
DEFECTS = ["intact", "crack", "pit", "scratch"]
DEFECTS_COUNT = {"train": (1_200, 60), "test": (800, 40)}  # intact, and of each defect: 20 to 1


def textures(part: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of 14 photographs, uint8 N x 3 x size x size, and the photograph (0 to 13) that each is from.

    The task is recognising a photograph by a part of it that was not trained on. A patch is a square of a
    fifth to two fifths of the photograph's height; empty ones are left out.
    """
    patches = []
    for number, name in enumerate(PHOTOGRAPHS):
        rng = np.random.default_rng([1, number, int(part == "test")])
        side = _side(name, part)
        wanted = len(patches) + TEXTURES_COUNT[part]
        while len(patches) < wanted:
            patch = _patch(side, rng, side.height * rng.uniform(0.2, 0.38))
            if np.asarray(patch.convert("L")).std() > PLAIN:
                patches.append(to_square(patch, size))
    return np.stack(patches), np.repeat(np.arange(len(PHOTOGRAPHS)), TEXTURES_COUNT[part])


def defects(part: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Brick, gravel and grass, intact or with a drawn defect: uint8 N x 3 x size x size, and kind (0 to 3).

    Twenty intact pictures for one of each defect. The ground is cut at any place of its side of the
    photograph, turned by quarters, mirrored and lit differently.
    """
    intact, each = DEFECTS_COUNT[part]
    kinds = np.repeat(np.arange(len(DEFECTS)), [intact] + [each] * (len(DEFECTS) - 1))
    rng = np.random.default_rng([2, int(part == "test")])
    grounds = [_side(name, part) for name in ("brick", "gravel", "grass")]
    pictures = []
    for kind in kinds.tolist():
        ground = _patch(grounds[rng.integers(3)], rng, rng.uniform(96, 150))
        ground = ground.transpose(Image.Transpose(rng.integers(7)))  # a mirror image or a quarter turn
        values = to_square(ground, size)[0] * rng.uniform(0.75, 1.15)
        if kind:
            values = values + _DRAW[DEFECTS[kind]](rng, size)
        pictures.append(np.clip(np.round(values), 0, 255).astype(np.uint8))
    return np.repeat(np.stack(pictures)[:, None], 3, axis=1), kinds


@cache
def photograph(name: str) -> Image.Image:
    """One of `PHOTOGRAPHS` as it comes with its package, in colour."""
    file = PHOTOGRAPHS[name]
    homes = Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"
    path = next((home / file for home in homes if (home / file).exists()), None)
    if path is None:
        raise DataUnavailable(
            f"The photograph {file} is not in the installed scikit-image or scikit-learn.\n"
            "Expected the versions in requirements.txt. Run: python3 -m course_utils setup"
        )
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            return to_rgb(picture)
    except (OSError, SyntaxError) as error:
        raise DataUnavailable(f"{path} is damaged ({error}).\nRun: python3 -m course_utils setup") from error


def _side(name: str, part: str) -> Image.Image:
    whole = photograph(name)
    left, right = (round(share * whole.width) for share in SIDES[part])
    return whole.crop((left, 0, right, whole.height))


def _patch(side: Image.Image, rng: np.random.Generator, length: float) -> Image.Image:
    """A square of `length` pixels at a random place; cut before resizing, so nothing beside it leaks in."""
    length = int(min(length, side.width, side.height))
    left, top = rng.integers(side.width - length + 1), rng.integers(side.height - length + 1)
    return side.crop((left, top, left + length, top + length))


def _smooth_mask(size: int, lines: list[np.ndarray], width: float) -> np.ndarray:
    """Lines through points (shares of the side) as size x size from 0 to 1, drawn four times as large."""
    canvas = Image.new("L", (4 * size, 4 * size))
    pen = ImageDraw.Draw(canvas)
    for points in lines:
        pen.line([tuple(p) for p in (points * 4 * size).tolist()], 255, max(1, round(4 * width * size)), "curve")
    return np.asarray(canvas.reduce(4), np.float32) / 255


def _scratch(rng: np.random.Generator, size: int) -> np.ndarray:
    """A long, thin, nearly straight line, lighter or darker than its ground."""
    angle, length = rng.uniform(0, np.pi), rng.uniform(0.45, 0.9)
    along = np.array([np.cos(angle), np.sin(angle)])
    t = np.linspace(-0.5, 0.5, 12)[:, None]
    bend = rng.uniform(-0.08, 0.08) * (1 - 4 * t**2) * along[::-1] * [-1, 1]
    line = rng.uniform(0.35, 0.65, 2) + t * length * along + bend
    return rng.choice([-1, 1]) * rng.uniform(60, 115) * _smooth_mask(size, [line], rng.uniform(0.018, 0.034))


def _crack(rng: np.random.Generator, size: int) -> np.ndarray:
    """A dark line that wanders and branches, thinner in its branches."""
    main = _walk(rng, rng.uniform(0.2, 0.8, 2), rng.uniform(0, 2 * np.pi), 14)
    branches = [_walk(rng, main[rng.integers(3, 11)], rng.uniform(0, 2 * np.pi), 6) for _ in range(2)]
    width = rng.uniform(0.022, 0.04)
    mask = np.maximum(_smooth_mask(size, [main], width), _smooth_mask(size, branches, width * 0.65))
    return -rng.uniform(60, 115) * mask


def _walk(rng: np.random.Generator, start: np.ndarray, angle: float, steps: int) -> np.ndarray:
    angles = angle + np.cumsum(rng.normal(0, 0.55, steps))
    moves = 0.06 * np.column_stack([np.cos(angles), np.sin(angles)])
    return np.vstack([start, start + np.cumsum(moves, axis=0)])


def _pit(rng: np.random.Generator, size: int) -> np.ndarray:
    """One to three round holes: dark, with a lighter rim on the side away from the light."""
    y, x = np.mgrid[0:size, 0:size] / size
    out = np.zeros((size, size))
    turn = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(1, 4)):
        (cx, cy), radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.05, 0.11)
        away, angle = np.hypot(x - cx, y - cy) / radius, np.arctan2(y - cy, x - cx)
        light = (1 + np.cos(angle - turn)) / 2  # 1 on the side that faces the light
        hole = np.clip((1 - away) * radius * size + 0.5, 0, 1)  # an edge one pixel wide
        rim = np.exp(-(((away - 1.2) / 0.2) ** 2)) * light
        floor = -rng.uniform(55, 100) * (1 - 0.6 * light * np.minimum(away, 1))
        out = out * (1 - hole) + floor * hole + rng.uniform(20, 50) * rim
    return out


_DRAW = {"crack": _crack, "pit": _pit, "scratch": _scratch}
