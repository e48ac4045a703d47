"""The reliability diagram: whether what a model calls 30 % happens in 30 of 100 cases, and what chance allows."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats
from sklearn.calibration import calibration_curve

from course_utils.errors import CourseError
from course_utils.plots.contrast import MARK
from course_utils.plots.style import Drawing, colour_of, ground, say, styled
from course_utils.training.evaluation import calibration_error

BINS = 15
COLOUR = "#832db6"
KEY = "grey: 95 % of what perfect calibration", "shows with so few pictures; ringed: outside"


@styled
def reliability(stated: dict[str, np.ndarray], happened: np.ndarray) -> Figure:
    """A panel a model: how often it happens against how likely the model says it is, over 15 bins.

    Grey bars reach over 95 % of what a perfectly calibrated model shows with as many pictures in the bin; a dot
    outside has a ring. Below, how many pictures are in each bin.

    Args:
        stated: model -> N probabilities (0 to 1), one a picture.
        happened: N booleans, whether it was so.
    Raises:
        CourseError: the probabilities are none, or are not as many as the outcomes.
    Source: DeGroot & Fienberg 1983, "The comparison and evaluation of forecasters"; the ranges are those of
        Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams", by the binomial distribution.
    """
    happened = np.asarray(happened, bool)
    stated = {name: np.asarray(values, float) for name, values in stated.items()}
    if not stated or any(v.shape != happened.shape or not ((v >= 0) & (v <= 1)).all() for v in stated.values()):
        raise CourseError(
            f"reliability draws probabilities from 0 to 1, one for each of the {len(happened)} outcomes.\n"
            'Try plots.reliability({"probe": head.predict_proba(features)[:, 1]}, labels == 1).'
        )
    figure = Drawing(figsize=(0.8 + 4.2 * len(stated), 5.2), layout="constrained")
    axes = figure.subplots(2, len(stated), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
    said = [_panel(*column, name, stated[name], happened) for name, column in zip(stated, axes.T, strict=True)]
    axes[0, 0].set_ylabel("share that happens")
    _powers_of_ten(axes[1, 0], max(np.bincount(_bins(values)).max() for values in stated.values()))
    key = (" " if len(stated) > 1 else "\n").join(KEY)
    figure.supxlabel(f"stated probability\n{key}", fontsize=12)
    return say(figure, " ".join(said))


def _panel(upper: Axes, lower: Axes, name: str, stated: np.ndarray, happened: np.ndarray) -> str:
    shares, means = calibration_curve(happened, stated, n_bins=BINS)
    counts = np.bincount(_bins(stated), minlength=BINS)
    low, high = (edge / counts[counts > 0] for edge in stats.binom.interval(0.95, counts[counts > 0], means))
    outside = (shares < low) | (shares > high)
    grey, colour = ground().grey, colour_of(COLOUR, MARK)
    upper.plot([0, 1], [0, 1], color=grey, lw=1.2)
    upper.vlines(means, low, high, color=grey, lw=5)
    upper.plot(means, shares, ls="", marker="o", ms=8, color=colour)
    upper.plot(means[outside], shares[outside], ls="", marker="o", ms=14, mfc="none", mec=colour, mew=1.5)
    upper.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), title=name)
    lower.bar((np.arange(BINS) + 0.5) / BINS, counts, 0.8 / BINS, color=grey)
    error = calibration_error(torch.as_tensor(stated), torch.as_tensor(happened), BINS)
    seen = f"{outside.sum()} outside the range of chance"
    if outside.any():
        seen += f", on average {'below' if (shares - means)[outside].mean() < 0 else 'above'} it"
    return (f"{name}: calibration error {error:.3f}; it says {stated.mean():.2f} on average, and {happened.mean():.2f} "
            f"happen. Of {len(shares)} bins with pictures, {seen}.")  # fmt: skip


def _powers_of_ten(ax: Axes, largest: int) -> None:
    """A log axis for counts from 1 to `largest`, with as few numbers as a low panel has room for."""
    ax.set(yscale="log", ylim=(0.7, 1.6 * largest), ylabel="pictures")
    ticks = [10**k for k in range(len(str(largest)))]
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()


def _bins(stated: np.ndarray) -> np.ndarray:
    """The bin (0 to 14) of each probability, as scikit-learn's `calibration_curve` and our error sort them."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], stated)
