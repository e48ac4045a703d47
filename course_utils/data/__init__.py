"""Tasks: pictures or texts with their classes, by name or from your own files, and where data lie on this machine."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "folders": ("task_from_folder",),
    "splits": ("Split", "Task"),
    "tables": ("task_from_csv",),
    "tasks": ("all_task_images", "available", "load_task", "pool_task"),
})  # fmt: skip
