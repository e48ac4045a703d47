"""The figures of lesson 02, one function a figure."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "by_task": ("accuracy_by_task", "differences_by_task"),
    "embeddings": ("picture_maps",),
    "epochs": ("chosen_epochs", "splits_and_folds"),
    "leakage": ("leaked_and_clean",),
    "letters": ("letters_shown",),
    "nearest": ("neighbours",),
})  # fmt: skip
