"""Letters drawn from fonts that come inside installed packages: each image from its own random numbers."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm

from course_utils.errors import DataUnavailable

VERSION = 2  # raise it when a letter comes out differently than before
COUNT = {"train": 2_500, "test": 100}  # images a class; so many that two draws of 1,000 share less than half
FONTS = {  # the fonts of matplotlib that hold Latin letters; the others hold symbols only
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
_FOUR = ("Regular", "Italic", "Bold", "BoldItalic")
_THREE = ("Regular", "It", "Bold")
# Families by part: what one hand drew stands on one side, serif and sans, upright and slanted, bold and light.
FAMILIES = {
    "train": {
        "DejaVu": tuple(font for font in FONTS if font.startswith("DejaVu")),
        "STIX": tuple(font for font in FONTS if font.startswith("STIX")),
        "Lato": tuple(f"Lato-{style}" for style in _FOUR),
    },
    "test": {
        "Computer Modern": tuple(font for font in FONTS if font.startswith("cm")),
        "Source": tuple(f"Source{kind}Pro-{style}" for kind in ("Sans", "Serif") for style in _THREE),
        "Caladea": tuple(f"Caladea-{style}" for style in _FOUR),
        "Manrope": tuple(f"Manrope-{style}" for style in ("Light", "Regular", "Bold")),
        "Hanken Grotesk": tuple(f"HankenGrotesk-{style}" for style in _FOUR),
    },
}
_PACKAGES = {  # how a font's file name begins: the package whose folder `files` it lies in
    "Caladea": "font_caladea",
    "HankenGrotesk": "font_hanken_grotesk",
    "Lato": "font_lato",
    "Manrope": "font_manrope",
    "SourceSansPro": "font_source_sans_pro",
    "SourceSerifPro": "font_source_serif_pro",
}
UNSEEN_LETTERS = "BGKRTY"  # round, straight, slanted and tailed: what a font can be told by
SEEN_LETTERS = "".join(sorted(set(ascii_uppercase) - set(UNSEEN_LETTERS)))


def draw_letters(label: str, part: str, chosen: np.ndarray, size: int) -> np.ndarray:
    """The images numbered `chosen` of one part, as uint8 N x 3 x size x size, grey in three equal channels.

    `label` is "letter" (26 classes; each part in its own `FAMILIES`) or "font" (the 21 `FONTS`; "train" uses
    `SEEN_LETTERS`, "test" the others). Number k belongs to class k // n for n images a class, so only the
    images asked for are drawn, and each is the same whatever else is drawn.
    """
    count, out = COUNT[part], np.empty((len(chosen), size, size), np.uint8)
    tables = {c: settings_of(label, part, c) for c in set((chosen // count).tolist())}
    for row, number in enumerate(tqdm(chosen.tolist(), "drawing letters", leave=False, disable=len(chosen) < 10_000)):
        c, k = divmod(number, count)
        out[row] = _draw(size, {name: values[k] for name, values in tables[c].items()})
    return np.repeat(out[:, None], 3, axis=1)


def letter_classes(label: str) -> list[str]:
    """The class names: 26 capitals for "letter", 21 fonts for "font"."""
    return list(ascii_uppercase) if label == "letter" else list(FONTS.values())


def families_of(part: str) -> np.ndarray:
    """The font family of every image of a part of the letters, in the order of their numbers."""
    return np.concatenate([settings_of("letter", part, c)["family"] for c in range(len(ascii_uppercase))])


def settings_of(label: str, part: str, c: int) -> dict[str, np.ndarray]:
    """What each image of class `c` shows, and how: `family`, `font` and `letter`, lengths, angles and grey levels.

    Lengths are shares of the picture's side, angles degrees, above zero where the letter is turned clockwise.
    """
    count = COUNT[part]
    rng = np.random.default_rng([int(label == "font"), int(part == "test"), c])
    ground = rng.uniform(0, 255, count)
    contrast = rng.uniform(70, 200, count)
    sign = np.where(ground + contrast > 255, -1, np.where(ground - contrast < 0, 1, rng.choice([-1, 1], count)))
    shown = _shown(label, part, c, rng.uniform(size=count))
    return shown | {
        "height": rng.uniform(0.48, 0.74, count),
        "angle": rng.uniform(-15, 15, count),
        "x": rng.uniform(-0.08, 0.08, count),
        "y": rng.uniform(-0.08, 0.08, count),
        "ground": ground,
        "ink": np.clip(ground + sign * contrast, 0, 255),
    }


def _shown(label: str, part: str, c: int, other: np.ndarray) -> dict[str, np.ndarray]:
    """The family, font and letter of images of class `c`; `other`, each 0 to 1, chooses what the class leaves open."""
    if label == "font":
        letters = np.array(list(SEEN_LETTERS if part == "train" else UNSEEN_LETTERS))
        shown = {"family": "", "font": list(FONTS)[c], "letter": letters[(other * len(letters)).astype(int)]}
    else:
        families = FAMILIES[part]
        number, rest = np.divmod(other * len(families), 1)
        names = np.array(list(families))[number.astype(int)]
        fonts = [families[name][int(r * len(families[name]))] for name, r in zip(names, rest, strict=True)]
        shown = {"family": names, "font": fonts, "letter": ascii_uppercase[c]}
    return {name: np.broadcast_to(values, other.shape) for name, values in shown.items()}


def _draw(size: int, setting: dict) -> np.ndarray:
    """One letter: the glyph turned, scaled and shifted at twice the size in one step, then halved."""
    glyph, height = _glyph(setting["font"], setting["letter"], round(2.4 * size))
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
    try:
        face = ImageFont.truetype(str(_file(font)), points)
    except OSError as error:
        raise DataUnavailable(f"{_file(font)} is damaged ({error}).\nRun: python3 -m course_utils setup") from error
    left, top, right, bottom = face.getbbox(letter)
    side = 2 * max(right - left, bottom - top)
    square = Image.new("L", (side, side))
    ImageDraw.Draw(square).text(((side - left - right) / 2, (side - top - bottom) / 2), letter, 255, face)
    capitals = face.getbbox("H")
    return square, capitals[3] - capitals[1]


@cache
def _file(font: str) -> Path:
    """Where a font lies; DataUnavailable where its package is not installed."""
    package = _PACKAGES.get(font.split("-")[0])
    spec = find_spec(package or "matplotlib")
    home = Path(spec.origin).parent / ("files" if package else "mpl-data/fonts/ttf") if spec and spec.origin else None
    found = [home / f"{font}{ending}" for ending in (".ttf", ".otf") if home and (home / f"{font}{ending}").exists()]
    if not found:
        raise DataUnavailable(
            f"The font {font} is not in the installed package {package or 'matplotlib'}.\n"
            "Expected the versions in requirements.txt. Run: python3 -m course_utils setup"
        )
    return found[0]
