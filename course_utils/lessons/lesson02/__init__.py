"""Lesson 02, feature extraction: freeze the backbone: how, and when does it pay?"""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {  # modules
    "compared": ("compared",),
    "epoch_selection": ("epoch_selection",),
    "figures": ("figures",),
    "neighbourhood": ("neighbourhood",),
})
