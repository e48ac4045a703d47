"""Letters drawn from the fonts that come with matplotlib: each image from its own random numbers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from string import ascii_uppercase

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

VERSION = 1  # raise it when a letter comes out differently than before
COUNT = {"train": 1_000, "test": 100}  # images a class
FONTS = {  # the bundled fonts that hold Latin letters; the others hold symbols only
    "DejaVuSans": "DejaVu Sans",
    "DejaVuSans-Oblique": "DejaVu Sans Oblique",
    "DejaVuSans-Bold": "DejaVu Sans Bold",
    "DejaVuSans-BoldOblique": "DejaVu Sans Bold Oblique",
    "DejaVuSansMono": "DejaVu Sans Mono",
    "DejaVuSansMono-Oblique": "DejaVu Sans Mono Oblique",
    "DejaVuSansMono-Bold": "DejaVu Sans Mono Bold",
    "DejaVuSansMono-BoldOblique": "DejaVu Sans Mono Bold Oblique",
    "STIXGeneral": "STIX",
    "STIXGeneralItalic": "STIX Italic",
    "STIXGeneralBol": "STIX Bold",
    "STIXGeneralBolIta": "STIX Bold Italic",
    "DejaVuSerif": "DejaVu Serif",
    "DejaVuSerif-Italic": "DejaVu Serif Italic",
    "DejaVuSerif-Bold": "DejaVu Serif Bold",
    "DejaVuSerif-BoldItalic": "DejaVu Serif Bold Italic",
    "cmr10": "Computer Modern",
    "cmti10": "Computer Modern Italic",
    "cmb10": "Computer Modern Bold",
    "cmss10": "Computer Modern Sans",
    "cmtt10": "Computer Modern Typewriter",
}
_ALL_FONTS = list(FONTS)
SEEN_FONTS, UNSEEN_FONTS = _ALL_FONTS[:12], _ALL_FONTS[12:]  # whole families: a bold face is no unseen font
UNSEEN_LETTERS = "BGKRTY"  # round, straight, slanted and tailed: what a font can be told by
SEEN_LETTERS = "".join(sorted(set(ascii_uppercase) - set(UNSEEN_LETTERS)))


def draw_letters(label: str, part: str, chosen: np.ndarray, size: int) -> np.ndarray:
    """The images numbered `chosen` of one part, as uint8 N x 3 x size x size, grey in three equal channels.

    `label` is "letter" (26 classes; part "train" uses `SEEN_FONTS`, "test" the others) or "font" (21 classes;
    "train" uses `SEEN_LETTERS`, "test" the others). Number k belongs to class k // n for n images a class, so
    only the images asked for are drawn, and each is the same whatever else is drawn.
    """
    count = COUNT[part]
    fonts, letters = parts(label, part)
    out = np.empty((len(chosen), size, size), np.uint8)
    tables = {c: settings_of(label, part, c, count) for c in set((chosen // count).tolist())}
    for row, number in enumerate(chosen.tolist()):
        c, k = divmod(number, count)
        setting = {name: values[k] for name, values in tables[c].items()}
        other = int(setting["other"] * (len(fonts) if label == "letter" else len(letters)))
        font, letter = (fonts[other], letters[c]) if label == "letter" else (fonts[c], letters[other])
        out[row] = _draw(font, letter, size, setting)
    return np.repeat(out[:, None], 3, axis=1)


def letter_classes(label: str) -> list[str]:
    """The class names: 26 capitals for "letter", 21 fonts for "font"."""
    return list(ascii_uppercase) if label == "letter" else list(FONTS.values())


def parts(label: str, part: str) -> tuple[list[str], str]:
    """The fonts and the letters of the training or the test part of a task."""
    if label == "letter":
        return (SEEN_FONTS if part == "train" else UNSEEN_FONTS), ascii_uppercase
    return _ALL_FONTS, (SEEN_LETTERS if part == "train" else UNSEEN_LETTERS)


def settings_of(label: str, part: str, c: int, count: int) -> dict[str, np.ndarray]:
    """Random numbers of all images of class `c`; lengths are shares of the picture's side, angles degrees."""
    rng = np.random.default_rng([int(label == "font"), int(part == "test"), c])
    ground = rng.uniform(0, 255, count)
    contrast = rng.uniform(70, 200, count)
    sign = np.where(ground + contrast > 255, -1, np.where(ground - contrast < 0, 1, rng.choice([-1, 1], count)))
    return {
        "other": rng.uniform(size=count),
        "height": rng.uniform(0.48, 0.74, count),
        "angle": rng.uniform(-15, 15, count),
        "x": rng.uniform(-0.08, 0.08, count),
        "y": rng.uniform(-0.08, 0.08, count),
        "ground": ground,
        "ink": np.clip(ground + sign * contrast, 0, 255),
    }


def _draw(font: str, letter: str, size: int, setting: dict[str, float]) -> np.ndarray:
    """One letter: the glyph turned, scaled and shifted at twice the size in one step, then halved."""
    glyph, height = _glyph(font, letter, round(2.4 * size))
    scale = height / (2 * size * setting["height"])  # glyph pixels for one pixel of the doubled picture
    angle = np.deg2rad(setting["angle"])
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    x, y = size * (1 + 2 * setting["x"]), size * (1 + 2 * setting["y"])
    middle = glyph.width / 2
    matrix = (a, b, middle - a * x - b * y, -b, a, middle + b * x - a * y)
    doubled = glyph.transform((2 * size, 2 * size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    share = np.asarray(doubled.reduce(2), np.float32) / 255
    return np.round(setting["ground"] + share * (setting["ink"] - setting["ground"])).astype(np.uint8)


@lru_cache(maxsize=2_000)
def _glyph(font: str, letter: str, points: int) -> tuple[Image.Image, float]:
    """White on black, the letter's box in the middle of a square; and the height of the font's capitals."""
    face = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")), points)
    left, top, right, bottom = face.getbbox(letter)
    side = 2 * max(right - left, bottom - top)
    square = Image.new("L", (side, side))
    ImageDraw.Draw(square).text(((side - left - right) / 2, (side - top - bottom) / 2), letter, 255, face)
    capitals = face.getbbox("H")
    return square, capitals[3] - capitals[1]
