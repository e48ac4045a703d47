"""The letters of the course with what was a nuisance until now: by how much each is turned, in degrees."""

import numpy as np

from course_utils.data import letters


def turned_letters(part: str, per_class: int, size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of `load_task("letters")`, the turn of each and the family of its font.

    Args:
        part: "train", or "test" with families of fonts that are not in "train".
        per_class: how many of each letter, the first ones: at most 2,500 to train and 100 to test.
        size: height and width in pixels.
    Returns:
        x, uint8 N x 3 x size x size; degrees, N numbers from -15 to 15, above zero where the letter is
        turned clockwise; families, N names.
    """
    classes = range(len(letters.letter_classes("letter")))
    numbers = np.add.outer(np.array(classes) * letters.COUNT[part], np.arange(per_class))
    settings = [letters.settings_of("letter", part, c) for c in classes]
    degrees, families = (np.concatenate([one[name][:per_class] for one in settings]) for name in ("angle", "family"))
    return letters.draw_letters("letter", part, numbers.ravel(), size), degrees, families
