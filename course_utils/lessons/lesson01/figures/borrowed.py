"""Figures of stages by themselves: panels to be put in order, and networks built on borrowed stages."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_utils.plots.comparisons import name_ends
from course_utils.plots.contrast import readable
from course_utils.plots.style import Drawing, colour_of, ground, say, styled

BORROWED = {  # panel -> condition -> name, colour, marker
    "borrowed stages frozen": {
        "BnB": ("from B itself", "#3f90da", "o"),
        "AnB": ("from A", "#bd1f01", "s"),
        "random": ("random", "#717581", "D"),
    },
    "everything learns on": {"BnB+": ("from B itself", "#3f90da", "o"), "AnB+": ("from A", "#bd1f01", "s")},
}  # fmt: skip
SHUFFLED = ("layer2", "stem", "layer4", "layer1", "layer3")  # what panels A to E show


@styled
def panels(views: dict[str, np.ndarray]) -> Figure:
    """What five stages see in a picture, as panels A to E out of order, each scaled by itself.

    Args:
        views: as from `as_seen`, the five stages of PhotoNet.
    """
    figure = Drawing(figsize=(10, 2.4), layout="constrained")
    for letter, stage, ax in zip("ABCDE", SHUFFLED, figure.subplots(1, len(SHUFFLED)), strict=True):
        ax.imshow(views[stage], cmap="viridis", interpolation="nearest")
        ax.set_title(letter, loc="center", weight="bold")
        ax.axis("off")
    sides = ", ".join(f"{letter} {len(views[stage])}" for letter, stage in zip("ABCDE", SHUFFLED, strict=True))
    return say(figure, f"Panels of one picture as the stages see it, out of order. Squares along a side: {sides}.")


@styled
def borrowed_stages(table: pd.DataFrame, base: pd.Series) -> Figure:
    """Accuracy against the number of borrowed stages, a point a run, lines through the means; frozen, then not.

    Args:
        table: one row a run, with columns condition (of Yosinski: "AnB", "BnB", "AnB+", "BnB+" or "random"), depth,
            seed and accuracy.
        base: the accuracies of the networks that borrowed nothing, drawn as a grey band from lowest to highest.
    """
    figure = Drawing(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    depths = sorted(table["depth"].unique())
    said = [f"Borrowing nothing gives {base.min():.2f} to {base.max():.2f}."]
    for ax, title, conditions in zip(axes, BORROWED, BORROWED.values(), strict=True):
        ax.axhspan(base.min(), base.max(), color=ground().faint, lw=0, zorder=0.5)
        ends = []
        for condition, (name, colour, marker) in conditions.items():
            runs = table[table["condition"] == condition]
            means = runs.groupby("depth")["accuracy"].mean()
            drawn = readable(colour, ground().faint, 3.2)  # it may lie on the band
            ax.plot(runs["depth"], runs["accuracy"], ls="", marker=marker, ms=6, color=drawn)
            ax.plot(means.index, means, color=drawn, lw=2)
            ends.append((depths[-1], means.iloc[-1], name, colour_of(colour, 4.7)))
            said.append(f"{title}, {name}: {means.iloc[0]:.2f} with one stage, "
                        f"{means.iloc[-1]:.2f} with {depths[-1]}.")  # fmt: skip
        ax.set_title(title)
        ax.set(xticks=depths)
        name_ends(ax, ends)
    axes[0].set(ylabel="accuracy on half B, 50 classes", xlabel="stages borrowed; points: networks, line: their mean")
    axes[1].set_xlabel("stages borrowed; grey: networks that borrowed nothing")
    return say(figure, " ".join(said))
