"""The course's package. Its public names load on first use, so that the launcher imports nothing heavy."""

from importlib import import_module

_HOMES = {
    "data": ("Task", "load_task", "task_from_csv", "task_from_folder"),
    "device": ("describe", "pick_device"),
    "evidence": ("claim", "paired_difference"),
    "exercises": ("check",),
    "experiments": ("load_results", "run_grid", "spot_check"),
    "features": ("extract", "probe"),
    "freezing": ("assert_frozen", "count_parameters", "freeze", "unfreeze"),
    "models": ("PhotoNet", "load_model"),
    "quizzes": ("quiz", "recall"),
    "similarity": ("cka",),
    "strategies": (
        "Strategy", "feature_extraction", "fine_tuning", "from_scratch", "head_first", "partial_fine_tuning",
    ),
    "training": ("History", "evaluate", "fit"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    """Import the module in which a public name lives, the first time it is asked for."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list:
    return sorted({*globals(), *__all__})
