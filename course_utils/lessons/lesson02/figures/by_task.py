"""Ways to use a backbone compared task by task: accuracies, and fine-tuning against freezing."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.evidence.claims import Effect
from course_utils.evidence.items import chance_of
from course_utils.lessons.lesson02.compared import CONTROLS, gap
from course_utils.plots.comparisons import (
    BACKBONES,
    TASKS,
    draw_band,
    draw_curve,
    means_by_size,
    name_ends,
    signed,
)
from course_utils.plots.style import SIGNS, Drawing, ground, look, say, styled

ARMS = {"fine_tuning": "fine-tuning", "feature_extraction": "frozen", "from_scratch": "from scratch"}
TILES = 60  # per cent that the panel of tiles shows; the others 100
MARKERS = {"photonet": ("o", 0.9), "efficientnet_lite0": ("s", 1.11)}  # and where beside the size it stands
READ_AT = 10  # examples of each class at which the titles are told
HOLLOW = "bars: 95 % intervals for new seeds and new test pictures; hollow: they include zero"


@styled
def accuracy_by_task(*tables: pd.DataFrame) -> Figure:
    """Accuracy against examples of each class with 95 % intervals: a row of panels per backbone, a panel per task.

    A grey band reaches from chance to the best of heads on random weights and on pixels. The titles say by how much
    the better of frozen and fine-tuned leads the best without transfer, at ten examples of each class.

    Args:
        tables: the rows of one backbone each, as from `ways_to_use`.
    """
    figure = Drawing(figsize=(11, 0.7 + 3.3 * len(tables)), layout="constrained")
    grid, said = figure.subplots(len(tables), len(TASKS), squeeze=False), []
    for axes, table in zip(grid, tables, strict=True):
        network, there = BACKBONES[table["backbone"].iloc[0]], [task for task in TASKS if task in set(table["task"])]
        for ax, (task, title) in zip(axes, TASKS.items(), strict=True):
            if task not in there:
                ax.axis("off")
                continue
            rows = table[table["task"] == task]
            said.append(f"{network}, {title}: {_curves(ax, rows, last=table is tables[0] and task == there[-1])}")
            _sizes(ax, sorted(rows["per_class"].unique()))
        axes[0].set_ylabel(f"{network}\nright on the test pictures")
    figure.supxlabel(
        "training examples of each class (log scale); bars: 95 % intervals; tiles: mean over the kinds\n"
        f"titles: what transfer adds with {READ_AT} of each, over the best without it", fontsize=12
    )  # fmt: skip
    return say(figure, f"From the fewest examples to the most. {' '.join(said)}")


def _curves(ax: Axes, rows: pd.DataFrame, last: bool) -> str:
    """One task of one backbone: the band, then a line per arm, named at its end in the last panel."""
    task = rows["task"].iloc[0]
    of = {arm: means_by_size(part) for arm, part in rows.groupby("strategy")}
    controls = pd.DataFrame({arm: of[arm]["mean"] for arm in CONTROLS if arm in of}).assign(chance=chance_of(task))
    low, high = 100 * controls.min(axis=1), 100 * controls.max(axis=1)
    draw_band(ax, low, high)
    top = TILES if task == "tiles" else 100
    ax.set(ylim=(0, 1.04 * top), yticks=[0, top / 2, top])
    ax.yaxis.set_major_formatter("{x:.0f} %")
    without = max(high[READ_AT], 100 * of["from_scratch"]["mean"][READ_AT])
    gain = 100 * max(of[arm]["mean"][READ_AT] for arm in ("fine_tuning", "feature_extraction")) - without
    ax.set_title(f"{TASKS[task]}: {signed(gain)} points")
    ends, said = [], []
    for arm, name in ARMS.items():
        curve = of[arm].assign(**{column: 100 * of[arm][column] for column in ("mean", "low", "high")})
        draw_curve(ax, curve, look(arm))
        ends.append((curve.index[-1], curve["mean"].iloc[-1], f"{look(arm).sign} {name}", look(arm).letters))
        said.append(f"{name} {curve['mean'].iloc[0]:.0f} to {curve['mean'].iloc[-1]:.0f} %")
    if last:
        name_ends(ax, [*ends, (low.index[-1], (low.iloc[-1] + high.iloc[-1]) / 2, "no transfer", ground().grey)])
    return f"{'; '.join(said)}; no transfer {low.min():.0f} to {high.max():.0f} %."


@styled
def differences_by_task(*tables: pd.DataFrame) -> Figure:
    """Fine-tuning minus freezing in points, paired by seed, against examples of each class: a panel per task.

    Args:
        tables: the rows of one backbone each, as from `ways_to_use`.
    """
    figure = Drawing(figsize=(11, 4.2), layout="constrained")
    axes, said = figure.subplots(1, len(TASKS), sharey=True), []
    for ax, (task, title) in zip(axes, TASKS.items(), strict=True):
        ax.axhline(0, color=ground().ink, lw=1.2)
        found = {}
        for table in tables:
            sizes = sorted(table[table["task"] == task]["per_class"].unique())
            backbone = table["backbone"].iloc[0]
            found |= {(backbone, int(n)): gap(table, task, n) for n in sizes}
        for (backbone, n), effect in found.items():
            _point(ax, n, effect, *MARKERS[backbone])
        _sizes(ax, sorted({n for _, n in found}))
        ax.set_title(f"{title}: {_leader({b: effect for (b, n), effect in found.items() if n == READ_AT})}")
        said.append(f"{title}: " + ", ".join(
            f"{100 * e.mean:+.0f} points with {n} on {BACKBONES[b]}" for (b, n), e in found.items()) + ".")  # fmt: skip
    _explain(axes[0], [table["backbone"].iloc[0] for table in tables])
    figure.supxlabel(f"training examples of each class (log scale); {HOLLOW}", fontsize=12)
    return say(figure, f"Fine-tuning minus freezing, above zero fine-tuning is better. {' '.join(said)}")


def _leader(effects: dict[str, Effect]) -> str:
    """Who is clearly ahead, and by its sign on which network, where that is so on some of them alone."""
    said = []
    for way, sign in (("fine-tuning", 1), ("freezing", -1)):
        clear = [network for network, effect in effects.items() if min(sign * effect.low, sign * effect.high) > 0]
        marks = [SIGNS[MARKERS[network][0]] for network in clear if len(clear) < len(effects)]
        said += [" ".join([way, *marks])] if clear else []
    return ", ".join(said) or "not clear"


def _point(ax: Axes, size: int, effect: Effect, marker: str, beside: float) -> None:
    """One difference with its interval, in the colour of who is ahead; hollow where that is not clear."""
    arm = look("fine_tuning" if effect.mean > 0 else "feature_extraction")
    mean, low, high = (100 * value for value in effect[:3])
    face = arm.line if low > 0 or high < 0 else ground().paper
    ax.errorbar([size * beside], [mean], [[mean - low], [high - mean]], color=arm.line, marker=marker, ms=9, lw=2,
                capsize=4, mfc=face, ls="")  # fmt: skip


def _explain(ax: Axes, backbones: list[str]) -> None:
    """The scale, and what the two sides of zero and the markers mean."""
    low, high = ax.get_ylim()
    reach = 1.3 * max(-low, high)
    ax.set_ylim(-reach, reach)
    ax.yaxis.set_major_formatter(signed)
    ax.set_ylabel("fine-tuning ahead by so many points")
    sides = (("fine_tuning", "fine-tuning better", 0.97, "top"),
             ("feature_extraction", "freezing better,\nas the rule says", 0.03, "bottom"))  # fmt: skip
    for arm, words, height, end in sides:
        ax.text(0.03, height, words, transform=ax.transAxes, color=look(arm).letters, weight="bold", va=end)
    if len(backbones) > 1:
        for backbone in backbones:
            ax.plot([], [], ls="", marker=MARKERS[backbone][0], color=ground().ink, label=BACKBONES[backbone])
        ax.figure.legend(loc="outside upper right", ncols=len(backbones))


def _sizes(ax: Axes, sizes: list[int]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlim(sizes[0] * 0.7, sizes[-1] * 1.4)
    ax.grid(visible=False, axis="x")
