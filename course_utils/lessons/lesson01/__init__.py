"""Lesson 01, layer hierarchies: what does each stage of a network know?"""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {  # modules
    "dissection": ("dissection",),
    "figures": ("figures",),
    "stages": ("stages",),
    "views": ("views",),
})
