"""Figures of channels: where they look and what excites them most, and what they dream."""

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.lessons.lesson01.dissection import Field, Heat, Patch
from course_utils.lessons.lesson01.feature_visualization import Dream
from course_utils.plots.style import Drawing, colour_of, ground, say, styled

HOTTEST = "#bd1f01"  # the colour of the pixel to which a unit listens most


@styled
def exciting_patches(rows: dict[str, tuple[Field, Heat, list[Patch]]], channel: int) -> Figure:
    """A row a stage: where a channel looks, and beside it the patches that excite it most, the strongest first.

    On the left, each pixel's share of the gradient, deeper where it is larger. The dashed frame is the
    theoretical receptive field, the whole one holds half of the gradient. What is grey lies beyond the picture.

    Args:
        rows: stage -> its field, the heat of the channel and its patches, one or more.
        channel: what number it has, the same in every stage.
    """
    most = max(len(patches) for _, _, patches in rows.values())
    figure = Drawing(figsize=(1.06 * (most + 1) + 1.3, 1.17 * len(rows) + 0.45), layout="constrained")
    grid = figure.add_gridspec(len(rows), most + 2, width_ratios=[0.95, *[1] * (most + 1)])
    said = []
    for row, (stage, (field, heat, patches)) in enumerate(rows.items()):
        axes = [figure.add_subplot(grid[row, column]) for column in range(most + 2)]
        for ax in axes:
            ax.axis("off")
        label = f"{stage}\n{field.size} px (dashed)\nhalf in {heat.half} (box)"
        axes[0].text(0, 0.5, label, va="center", fontsize=11, transform=axes[0].transAxes)
        _heat(axes[1], field, heat)
        for ax, patch in zip(axes[2:], patches, strict=False):
            ax.imshow(patch.pixels.transpose(1, 2, 0), interpolation="nearest")
        if row == 0:
            axes[1].set_title("looks here", loc="center", fontsize=11)
            axes[2].set_title(f"excites channel {channel} most", loc="left", fontsize=11)
        named = list(dict.fromkeys(patch.scene.photograph for patch in patches))[:3]
        said.append(f"{stage}: a field of {field.size} px, half of the gradient in {heat.half}; {', '.join(named)}")
    return say(figure, f"Channel {channel} of each stage, and photographs that excite it most. {'. '.join(said)}.")


def _heat(ax: Axes, field: Field, heat: Heat) -> None:
    """The shares as colours, both frames, and grey where the field reaches beyond the picture."""
    paper, ink, _, faint = ground()
    shades = LinearSegmentedColormap.from_list("heat", [paper, colour_of(HOTTEST)])
    reach = max(field.size / 2, 3.5) * 1.04
    beyond = Rectangle((heat.centre - reach, heat.centre - reach), 2 * reach, 2 * reach, color=faint, lw=0, zorder=0.5)
    ax.add_patch(beyond)
    ax.imshow(heat.share, cmap=shades, interpolation="nearest", zorder=0.6)
    for side, line in ((field.size, (0, (3, 2))), (heat.half, "-")):
        corner = heat.centre - side / 2
        ax.add_patch(Rectangle((corner, corner), side, side, fill=False, edgecolor=ink, lw=1.5, linestyle=line))
    ax.set(xlim=(heat.centre - reach, heat.centre + reach), ylim=(heat.centre + reach, heat.centre - reach))


@styled
def dreams(trained: dict[str, Dream], untrained: dict[str, Dream]) -> Figure:
    """A row a stage: the dreams of some channels of a trained network, and beside them those of an untrained one.

    Args:
        trained: stage -> dream.
        untrained: the same of the control, with the same stages.
    """
    across = len(next(iter(trained.values())).pictures)
    figure = Drawing(figsize=(9.4, 4.2 / across * len(trained) + 0.4), layout="constrained")
    grid = figure.add_gridspec(len(trained), 2 * across + 2, width_ratios=[0.75, *[1] * across, 0.15, *[1] * across])
    sides = (("trained", trained, 1), ("untrained", untrained, across + 2))
    for row, stage in enumerate(trained):
        label = figure.add_subplot(grid[row, 0])
        label.text(0, 0.5, stage, va="center", transform=label.transAxes)
        label.axis("off")
        for title, dreamt, start in sides:
            for column, picture in enumerate(dreamt[stage].pictures):
                ax = figure.add_subplot(grid[row, start + column])
                ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
                ax.axis("off")
                if row == column == 0:
                    ax.set_title(title)
    rises = [f"{stage} from {one.first.mean():.1f} to {one.last.mean():.1f}" for stage, one in trained.items()]
    controls = [f"{stage} to {one.last.mean():.1f}" for stage, one in untrained.items()]
    return say(figure, (
        f"{across} dreams a stage of a trained network, and of an untrained one. The mean activation rises in the "
        f"trained one in {', '.join(rises)}; in the untrained one in {', '.join(controls)}."
    ))  # fmt: skip
