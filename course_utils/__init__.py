"""The course's package. Its public names load on first use, so that the launcher imports nothing heavy."""

import sys

if sys.version_info < (3, 6):  # noqa: UP036 (the launcher cannot be read by these; this file can, and has the word)
    sys.exit("This is Python " + sys.version.split()[0] + ", and the course needs 3.11, 3.12 or 3.13.\n"
             "Start it with one of those, as: python3.12 -m course_utils lab")  # fmt: skip

from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the whole course: notebooks, data, package, tests


def lazy_names(package, homes):  # no annotations, no f-strings: Python 2.7 must be able to read this file too
    """`__getattr__`, `__dir__` and `__all__` of a package whose public names load when they are first asked for.

    Args:
        package: the package's `__name__`.
        homes: a module of the package -> the public names that live in it; a name that it does not hold is its own.
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    loaded = import_module(package).__dict__  # the package itself, half made

    def get(name):
        if name not in home_of:
            raise AttributeError("module {!r} has no attribute {!r}".format(package, name))  # noqa: UP032
        home = import_module(package + "." + home_of[name])
        loaded[name] = getattr(home, name, home)
        return loaded[name]

    return get, lambda: sorted(set(loaded) | set(home_of)), sorted(home_of)


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
