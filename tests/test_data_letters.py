"""Letters: what the fonts keep apart, and that each picture is always the same and can be read."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from course_utils.data import letters
from course_utils.data.tasks import load_task

# --- letters ---


def test_letters_are_tested_in_unseen_fonts():
    assert len(letters.FONTS) == 21
    assert set(letters.SEEN_FONTS) & set(letters.UNSEEN_FONTS) == set()
    assert set(letters.SEEN_FONTS) | set(letters.UNSEEN_FONTS) == set(letters.FONTS)
    seen = {re.match("DejaVuSansMono|DejaVuSans|DejaVuSerif|STIX|cm", f)[0] for f in letters.SEEN_FONTS}
    unseen = {re.match("DejaVuSansMono|DejaVuSans|DejaVuSerif|STIX|cm", f)[0] for f in letters.UNSEEN_FONTS}
    assert seen == {"DejaVuSans", "DejaVuSansMono", "STIX"} and unseen == {"DejaVuSerif", "cm"}


@pytest.mark.parametrize("label", ["letter", "font"])
def test_training_and_test_letters_are_drawn_from_what_is_kept_apart(label, monkeypatch):
    drawn, blank = {"train": set(), "test": set()}, np.zeros((8, 8), np.uint8)
    for part, pairs in drawn.items():
        with monkeypatch.context() as patch:
            patch.setattr(letters, "_draw", lambda font, letter, *_, p=pairs: p.add((font, letter)) or blank)
            classes = len(letters.letter_classes(label))
            letters.draw_letters(label, part, np.arange(classes * letters.COUNT[part]), 8)
    kept_apart = 0 if label == "letter" else 1  # fonts, or letters
    sides = [{pair[kept_apart] for pair in drawn[part]} for part in ("train", "test")]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    if label == "letter":
        assert sides[1] == set(letters.UNSEEN_FONTS) and len({x for _, x in drawn["test"]}) == 26
    else:
        assert {font for font, _ in drawn["train"]} == {font for font, _ in drawn["test"]} == set(letters.FONTS)


def test_every_font_has_every_capital():
    folder = Path(letters.matplotlib.get_data_path(), "fonts", "ttf")
    for name in letters.FONTS:
        face = ImageFont.truetype(str(folder / f"{name}.ttf"), 40)
        missing = bytes(face.getmask("\uffff"))
        shapes = [bytes(face.getmask(letter)) for letter in letters.ascii_uppercase]
        assert len(set(shapes)) == 26 and missing not in shapes, name


def test_a_letter_is_the_same_whatever_else_is_drawn():
    some = letters.draw_letters("letter", "train", np.array([7, 1_007, 25_999]), 32)
    alone = letters.draw_letters("letter", "train", np.array([1_007]), 32)
    assert np.array_equal(some[1], alone[0])


def test_letters_stand_out_from_their_ground():
    x = letters.draw_letters("letter", "train", np.arange(0, 26_000, 40), 32)[:, 0].astype(int)
    assert (np.ptp(x.reshape(len(x), -1), axis=1) > 45).all()
    corner = np.median(x[:, [0, 0, -1, -1], [0, -1, 0, -1]], axis=1)[:, None, None]
    ink = np.abs(x - corner) > 35
    share = ink.mean((1, 2))
    assert share.min() > 0.02 and share.max() < 0.5


def test_fonts_are_classes_too(warm_cache):
    task = load_task("letters", per_class=3, label="font")
    assert len(task.classes) == 21 and "DejaVu Sans Bold" in task.classes and len(task.test) == 2_100
