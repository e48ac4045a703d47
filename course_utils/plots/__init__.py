"""Figures that several lessons draw, each with its words; their style, and widgets around them."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "images": ("picture_grid", "predictions"),
})  # fmt: skip
