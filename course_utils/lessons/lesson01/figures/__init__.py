"""The figures of lesson 01, one function a figure."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "dissection": ("dreams", "exciting_patches"),
    "images": ("feature_maps", "filters"),
    "similarity": ("similarity_maps",),
    "stages": ("best_stages", "borrowed_stages", "panels"),
})  # fmt: skip
