"""Figures of how alike features are, stage by stage."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.plots.contrast import readable
from course_utils.plots.style import Drawing, colour_of, ground, say, styled

MOST = 21.0  # the contrast of black and white: so numbers are the one or the other


@styled
def similarity_maps(maps: dict[str, pd.DataFrame]) -> Figure:
    """Tables of CKA as heat maps side by side, a value from 0 (paper) to 1 (dark) in each cell.

    Args:
        maps: title -> a table with a row for each stage of one network and a column for each stage of another,
            as `cka` compares them. The names of its index and columns say which networks these are. The first
            stages stand at the lower left, stages of the same name in bold.
    Raises:
        CourseError: no maps, or something else than tables.
    """
    if not maps or not all(isinstance(table, pd.DataFrame) for table in maps.values()):
        raise CourseError(
            "similarity_maps draws a dictionary: title -> a table of pandas, stages of one network by stages of "
            "another.\npd.DataFrame(values, index=stages, columns=stages) makes such a table."
        )
    figure = Drawing(figsize=(1 + 3.15 * len(maps), 4.2), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    said = []
    for ax, (title, table) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        _map(ax, table)
        ax.set_title(title)
        said.append(f"{title}: {_in_words(table)}")
    join = "; " if len(maps) > 1 else "\n"
    figure.supxlabel(f"CKA, from 0 (unrelated) to 1 (the same){join}stages of the same name in bold", fontsize=12)
    return say(figure, " ".join(said))


def _map(ax: Axes, table: pd.DataFrame) -> None:
    shades = LinearSegmentedColormap.from_list("similarity", [ground().paper, colour_of("#3f90da", 7)])
    ax.imshow(table, cmap=shades, vmin=0, vmax=1, origin="lower")
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        ink = readable(ground().ink, to_hex(shades(float(np.clip(value, 0, 1)))), MOST)
        weight = "bold" if table.index[row] == table.columns[column] else "normal"
        ax.text(column, row, _short(value), ha="center", va="center", color=ink, fontsize=12, weight=weight)
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=90)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)


def _short(value: float) -> str:
    """Two digits after the point and none before it: .07, 1.0 for one, and no sign before a nought."""
    text = f"{value:.2f}"
    return {"1.00": "1.0", "-0.00": ".00"}.get(text, text.replace("0.", ".", 1)).replace("-", "\N{MINUS SIGN}")


def _in_words(table: pd.DataFrame) -> str:
    """The similarity of stages of the same name, and of the two stages that are least alike."""
    same = [f"{name} {_short(table.loc[name, name])}" for name in table.index if name in table.columns]
    start = f"the same stages have {', '.join(same)}; " if same else ""
    values = table.to_numpy()
    row, column = np.unravel_index(values.argmin(), values.shape)
    return f"{start}least alike are {table.index[row]} and {table.columns[column]} with {_short(values.min())}."
