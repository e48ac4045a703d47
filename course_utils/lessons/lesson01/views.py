"""A photograph to look into, and what the stages of a network make of it."""

import numpy as np
from PIL import Image

from course_utils.data.images import read_picture
from course_utils.data.tasks import load_task
from course_utils.errors import CourseError
from course_utils.features import extract
from course_utils.models.backbones import Model

SIDE = 128  # pixels: twice as many as PhotoNet was trained on, so that the maps of late stages can be read


def photograph_of(which: int | str) -> np.ndarray:
    """A photograph to look into, uint8 3 x 128 x 128: one of the course's by its number, or yours by its file.

    Raises:
        CourseError: there is no such number, or the file holds no picture.
    """
    if isinstance(which, str):
        try:
            with open(which, "rb") as file:
                return read_picture(file, SIDE)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise CourseError(
                f"{which!r} cannot be read as a picture: {error}\n"
                'Drag a JPEG or PNG into the list of files, beside the lesson, and give its name, as "mine.jpg".'
            ) from error
    ours = load_task("ants_bees", per_class=10, image_size=SIDE, fallback="textures").train.x
    if not isinstance(which, (int, np.integer)) or isinstance(which, bool) or not 0 <= which < len(ours):
        raise CourseError(f"There is no photograph {which!r}: choose one from 0 to {len(ours) - 1}, or give a path.")
    return ours[which]


def as_seen(model: Model, picture: np.ndarray) -> dict[str, np.ndarray]:
    """Stage -> the mean over its channels, H x W, for one picture (uint8 3 x H x W)."""
    maps = extract(model, picture[None], "all", pooled=False)
    return {stage: found[0].mean(axis=0) for stage, found in maps.items()}
