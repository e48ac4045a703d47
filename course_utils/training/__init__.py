"""The one training loop: `fit`, strategies, what is frozen and what is not, and `evaluate`."""

from course_utils.training.evaluation import Score, evaluate
from course_utils.training.fit import fit  # the function; the module of this name is in sys.modules
from course_utils.training.history import History

__all__ = ["History", "Score", "evaluate", "fit"]
