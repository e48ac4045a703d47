"""Figures that several lessons draw, each with its words; their style, and widgets around them."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "comparisons": ("accuracy_by_task", "differences_by_task"),
    "confusion": ("confusion_matrix",),
    "images": ("picture_grid", "predictions"),
    "training_curves": ("learning_curves",),
})  # fmt: skip
