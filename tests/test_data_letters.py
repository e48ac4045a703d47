"""Letters: what the fonts keep apart, and that each picture is always the same and can be read."""

import numpy as np
import pytest
from PIL import ImageFont

from course_utils.data import letters
from course_utils.data.tasks import load_task
from course_utils.errors import DataUnavailable

# --- letters ---
PARTS = ("train", "test")
HANDS = ("DejaVu", "STIX", "Lato", "cm", "Source", "Caladea", "Manrope", "HankenGrotesk")
EVERY_FONT = sorted({font for part in PARTS for fonts in letters.FAMILIES[part].values() for font in fonts})


def hand_of(font):
    """Who drew a font, told by its file's name: what one hand drew has much in common, with serifs or without."""
    return next(hand for hand in HANDS if font.startswith(hand))


def test_no_family_and_no_sibling_stands_on_both_sides():
    train, test = (letters.FAMILIES[part] for part in PARTS)
    assert len(train) == 3 and len(test) == 5 and not set(train) & set(test)
    sides = [{font for fonts in side.values() for font in fonts} for side in (train, test)]
    assert not sides[0] & sides[1] and not set(map(hand_of, sides[0])) & set(map(hand_of, sides[1]))
    assert {"DejaVuSans", "DejaVuSansMono", "DejaVuSerif"} <= set(train["DejaVu"])
    assert {"SourceSansPro-Regular", "SourceSerifPro-Regular"} <= set(test["Source"])
    for families in (train, test):  # a hand has one family
        hands = [{hand_of(font) for font in fonts} for fonts in families.values()]
        assert all(len(one) == 1 for one in hands) and len(set.union(*hands)) == len(families)


@pytest.mark.parametrize("font", EVERY_FONT)
def test_every_font_is_installed_and_has_every_capital(font):
    face = ImageFont.truetype(str(letters._file(font)), 40)
    missing = bytes(face.getmask("\uffff"))
    shapes = [bytes(face.getmask(letter)) for letter in letters.ascii_uppercase]
    assert len(set(shapes)) == 26 and missing not in shapes


def test_no_two_fonts_are_the_same_under_two_names():
    shapes = [
        b"".join(bytes(ImageFont.truetype(str(letters._file(font)), 40).getmask(c)) for c in "AGRQ")
        for font in EVERY_FONT
    ]
    assert len(set(shapes)) == len(shapes) == 42


def test_a_font_that_is_not_installed_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(letters._PACKAGES, "Lato", "font_of_nobody")
    letters._file.cache_clear()
    with pytest.raises(DataUnavailable, match="font_of_nobody") as caught:
        letters._file("Lato-Bold")
    letters._file.cache_clear()
    assert "setup" in str(caught.value) and len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("label", ["letter", "font"])
def test_training_and_test_letters_are_drawn_from_what_is_kept_apart(label):
    kept_apart = "font" if label == "letter" else "letter"
    classes = range(len(letters.letter_classes(label)))
    drawn = {part: [letters.settings_of(label, part, c) for c in classes] for part in PARTS}
    sides = [{value for one in drawn[part] for value in one[kept_apart]} for part in PARTS]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    for part, side in zip(PARTS, sides, strict=True):
        for c, one in enumerate(drawn[part]):
            assert set(one[label]) == {letters.ascii_uppercase[c] if label == "letter" else list(letters.FONTS)[c]}
        if label == "letter":
            assert side == {font for fonts in letters.FAMILIES[part].values() for font in fonts}


@pytest.mark.parametrize("part", PARTS)
def test_every_family_has_its_share_of_every_letter(part):
    families, count = letters.families_of(part).reshape(26, -1), letters.COUNT[part]
    names = list(letters.FAMILIES[part])
    shares = np.array([[(row == name).mean() for name in names] for row in families])
    spread = np.sqrt(1 / len(names) / count)  # a little above the standard deviation of a share
    assert families.shape == (26, count) and np.abs(shares - 1 / len(names)).max() < 5 * spread
    for c in (0, 25):
        one = letters.settings_of("letter", part, c)
        assert all(f in letters.FAMILIES[part][n] for f, n in zip(one["font"], one["family"], strict=True))


def test_a_letter_is_the_same_whatever_else_is_drawn():
    for part, numbers in (("train", [7, 2_507, 64_999]), ("test", [0, 107, 2_599])):
        some = letters.draw_letters("letter", part, np.array(numbers), 32)
        alone = letters.draw_letters("letter", part, np.array(numbers[1:2]), 32)
        assert np.array_equal(some[1], alone[0]) and not np.array_equal(some[0], some[1])


def test_letters_stand_out_from_their_ground():
    x = letters.draw_letters("letter", "train", np.arange(0, 65_000, 100), 32)[:, 0].astype(int)
    assert (np.ptp(x.reshape(len(x), -1), axis=1) > 45).all()
    corner = np.median(x[:, [0, 0, -1, -1], [0, -1, 0, -1]], axis=1)[:, None, None]
    ink = np.abs(x - corner) > 35
    share = ink.mean((1, 2))
    assert share.min() > 0.02 and share.max() < 0.5


def test_fonts_are_classes_too(warm_cache):
    task = load_task("letters", per_class=3, label="font")
    assert len(task.classes) == 21 and "DejaVu Sans Bold" in task.classes and len(task.test) == 2_100
