"""The photographs that the lesson names first: ten that come with installed packages, and the learner's own."""

from pathlib import Path

import numpy as np
from PIL import Image

from course_utils.data.images import read_picture, to_square
from course_utils.data.surfaces import photograph
from course_utils.errors import BadData

TEN = ("coffee", "cat", "rocket", "pagoda", "camera", "flower", "coins", "tissue", "galaxies", "retina")
SIDE = 224  # pixels, which the network was trained with


def photographs(path: str = "") -> dict[str, np.ndarray]:
    """Ten photographs of all kinds by name, uint8 3 x 224 x 224; before them the one at `path`, called "yours".

    Raises:
        BadData: no picture can be read at `path`.
    """
    yours = {"yours": _read(path)} if path else {}
    return yours | {name: to_square(photograph(name), SIDE) for name in TEN}


def _read(path: str) -> np.ndarray:
    file = Path(str(path))
    try:
        file = file.expanduser()
        return read_picture(file, SIDE)
    except (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        here = "is not a picture that the course reads" if file.is_file() else "is not a file on this machine"
        raise BadData(
            f"{file.name or path!r} {here} ({type(error).__name__}).\n"
            'Expected the path of one photograph, such as PHOTO = "holiday/dog.jpg".\n'
            'Give another one, or leave it empty (PHOTO = "") to go on with those that ship.'
        ) from error
