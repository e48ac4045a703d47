"""Figures along a backbone's stages: what each sees in a picture, and how far a probe gets with it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.evidence.claims import mean_interval
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
HUE, CONTRASTS = "#3f90da", (3.2, 4.7, 7.5, 13.0)  # one hue, darker with more examples


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
def best_stages(
    table: pd.DataFrame,
    titles: dict[str, str],
    untrained: pd.DataFrame,
    views: dict[str, dict],
    chance: dict[str, float],
) -> Figure:
    """Accuracy of probes against the stage, a line a number of examples, a star on each line's best stage.

    The star stands where the mean accuracy on held-out images is highest, which are not those on the axis. It is
    hollow where that stage is not clearly the best, see `best_stage`.

    Args:
        table: one row a run, with columns task, stage, per_class, seed, accuracy and apart (on held-out images).
        titles: task -> what stands above its panel, from left to right.
        untrained: the same of an untrained network, of which each task's largest number of examples is drawn.
        views: task -> stage -> a picture as that stage sees it, H x W; stages in order.
        chance: task -> the accuracy of always naming the largest class, a dotted line.
    """
    stages = list(next(iter(views.values())))
    figure = Drawing(figsize=(11, 5.4), layout="constrained")
    axes = figure.subplots(2, len(titles), sharex=True, height_ratios=(1, 4.4), squeeze=False)
    sizes = sorted(table["per_class"].unique())
    said = []
    for (task, title), top, ax in zip(titles.items(), *axes, strict=True):
        _views(top, views[task], title)
        twin = untrained.query("task == @task").query("per_class == per_class.max()")
        means = twin.groupby("stage")["accuracy"].mean()[stages]
        ax.plot(stages, means, color=ground().grey, ls=(0, (4, 2)), lw=2, marker="D", ms=5)
        ax.axhline(chance[task], color=ground().grey, ls=":", lw=1.8)
        lines, ends = _lines(ax, table.query("task == @task"), stages, sizes)
        name_ends(ax, ends)
        said.append(f"{title}: {lines}")
        ax.set(ylim=(0, 1.02), xlim=(-0.35, len(stages) - 0.65))
        ax.tick_params(axis="x", labelsize=11)
        if ax is not axes[1, 0]:
            ax.set_yticklabels([])
    axes[1, 0].set_ylabel("accuracy on the test split")
    figure.supxlabel(
        "blue: 1 to 80 examples of each class, 95 % intervals; star: best stage on other pictures (hollow: not clear)"
        "\ngrey dashes: untrained network, with as many as the darkest line; dots: always naming the largest class",
        fontsize=11,
    )
    return say(figure, " ".join(said))


def _views(ax: Axes, pictures: dict[str, np.ndarray], title: str) -> None:
    """The same picture as each stage sees it, above that stage."""
    for x, picture in enumerate(pictures.values()):
        inset = ax.inset_axes((x - 0.44, 0, 0.88, 0.88), transform=ax.transData)
        inset.imshow(picture, cmap="viridis", interpolation="nearest")
        inset.axis("off")
        inset.patch.set_visible(False)
    ax.set(ylim=(0, 0.9))
    ax.set_title(title)
    ax.axis("off")


def _lines(ax: Axes, table: pd.DataFrame, stages: list[str], sizes: list[int]) -> tuple[str, list]:
    """One panel's lines and stars: where the stars stand, in words, and the lines' ends with their names."""
    said, ends = [], []
    for size, least in zip(sizes, CONTRASTS, strict=False):
        runs = table[table["per_class"] == size]
        if runs.empty:
            continue
        found = [mean_interval(runs.loc[runs["stage"] == stage, "accuracy"]) for stage in stages]
        mean, low, high = np.array([interval[:3] for interval in found]).T
        colour = colour_of(HUE, least)
        ax.errorbar(stages, mean, (mean - low, high - mean), color=colour, lw=2.5, elinewidth=1.2, capsize=3)
        best, clear = best_stage(runs.pivot(index="seed", columns="stage", values="apart")[stages].to_numpy())
        inside, edge = (colour, ground().paper) if clear else (ground().paper, colour)
        ax.plot(stages[best], mean[best], marker="*", ms=18, mfc=inside, mec=edge, mew=1.5, ls="", zorder=5)
        ends.append((len(stages) - 1, mean[-1], str(size), colour_of(HUE, max(least, 4.7))))
        said.append(f"with {size} of each, {stages[best]} ({mean[best]:.2f}{'' if clear else ', not clear'})")
    return f"best {'; '.join(said)}.", ends


def best_stage(held_out: np.ndarray) -> tuple[int, bool]:
    """The stage with the best mean accuracy, and whether it is clearly the best: ahead of each other stage by itself.

    Clear means that the 95 % interval of its lead over every other stage, paired by seed, lies above zero. Choosing
    the best after looking needs no further correction: when two or more stages are equally good, at most 1 in 20
    draws calls one of them the best.

    Args:
        held_out: accuracies on held-out images, seeds x stages.
    Source: Gutmann & Maymin 1987, "Is the selected population the best?"
    """
    best = int(held_out.mean(axis=0).argmax())
    leads = held_out[:, [best]] - np.delete(held_out, best, axis=1)
    return best, all(mean_interval(lead).low > 0 for lead in leads.T)


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
