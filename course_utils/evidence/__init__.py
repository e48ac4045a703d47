"""What the numbers show: differences with their intervals, claims, and experiments whose rows are stored."""

from course_utils import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "claims": ("claim", "mean_interval", "paired_difference"),
    "experiments": ("Study", "grid_of", "load_results", "run_grid"),
    "spot_checks": ("spot_check",),
})  # fmt: skip
