"""The figures of lesson 00, one function or class a figure."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "arrow": ("accuracy_against_examples",),
    "dots": ("seeds_as_dots",),
    "naming": ("named",),
    "race": ("Race",),
})  # fmt: skip
