"""The figures of lesson 01, one function a figure."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "borrowed": ("borrowed_stages", "panels"),
    "dissection": ("dreams", "exciting_patches"),
    "images": ("feature_maps", "filters"),
    "similarity": ("similarity_maps",),
    "stages": ("best_stages",),
})  # fmt: skip
