"""Backbones as chains of stages: PhotoNet, which ships, those of the well-known libraries, and how to load them."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "backbones": ("Model", "PhotoNet"),
    "loading": ("load_model", "raw_pixels"),
})  # fmt: skip
