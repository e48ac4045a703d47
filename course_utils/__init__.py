"""The course's package. Its public names load on first use, so that the launcher imports nothing heavy."""

from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the whole course: notebooks, data, package, tests


def lazy_names(package, homes):  # without annotations: an old Python must be able to read this file too
    """`__getattr__`, `__dir__` and `__all__` of a package whose public names load when they are first asked for.

    Args:
        package: the package's `__name__`.
        homes: a module of the package -> the public names that live in it; a name that it does not hold is its own.
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    loaded = import_module(package).__dict__  # the package itself, half made

    def get(name):
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(f"{package}.{home_of[name]}")
        loaded[name] = getattr(home, name, home)
        return loaded[name]

    return get, lambda: sorted({*loaded, *home_of}), sorted(home_of)


__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "data": ("Task", "load_task", "task_from_csv", "task_from_folder"),
    "device": ("describe", "pick_device"),
    "evidence": ("claim", "load_results", "paired_difference", "run_grid", "spot_check"),
    "exercises": ("check", "quiz", "recall"),
    "features": ("extract", "probe"),
    "training.freezing": ("assert_frozen", "count_parameters", "freeze", "unfreeze"),
    "training.lora": (
        "add_lora", "load_adapter", "lora_parameters", "merge_lora", "save_adapter", "set_adapter", "unmerge_lora",
    ),
    "models": ("PhotoNet", "load_model"),
    "plots.widgets": ("widgets",),
    "similarity": ("cka",),
    "training.strategies": (
        "Strategy", "feature_extraction", "fine_tuning", "from_scratch", "head_first", "partial_fine_tuning",
    ),
    "training": ("History", "evaluate", "fit"),
})  # fmt: skip
