"""The letters of the course with what was a nuisance until now: by how much each is turned, in degrees."""

import numpy as np

from course_utils.data import letters


def turned_letters(part: str, per_class: int, size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of `load_task("letters")`, the turn of each and the font it is drawn in.

    Args:
        part: "train", or "test" with fonts that are not in "train".
        per_class: how many of each letter, the first ones: at most 1,000 to train and 100 to test.
        size: height and width in pixels.
    Returns:
        x, uint8 N x 3 x size x size; degrees, N numbers from -15 to 15, above zero where the letter is
        turned clockwise; fonts, N names.
    """
    count, (fonts, shown) = letters.COUNT[part], letters.parts("letter", part)
    numbers = np.arange(len(shown))[:, None] * count + np.arange(per_class)
    x = letters.draw_letters("letter", part, numbers.ravel(), size)
    settings = [letters.settings_of("letter", part, k, count) for k in range(len(shown))]
    degrees = np.concatenate([setting["angle"][:per_class] for setting in settings])
    other = np.concatenate([setting["other"][:per_class] for setting in settings])
    return x, degrees, np.array(fonts)[(other * len(fonts)).astype(int)]
