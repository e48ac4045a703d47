"""Lesson 00, start here: how many photographs do you need?"""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "figures": ("figures",), "fewer": ("times_fewer",), "photographs": ("photographs",), "recipe": ("recipe_card",),
})  # fmt: skip
