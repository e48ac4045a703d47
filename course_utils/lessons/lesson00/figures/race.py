"""Runs side by side: the accuracy on the test split, drawn while each of them trains."""

from collections.abc import Callable

import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.data.tasks import Task
from course_utils.lessons.lesson00.figures.dots import seeds_as_dots
from course_utils.models.backbones import Model
from course_utils.plots.comparisons import name_ends
from course_utils.plots.style import Drawing, ground, look, say, styled
from course_utils.training.evaluation import evaluate

EVERY = 10  # updates between two looks
PAIR = ("feature_extraction", "fine_tuning")  # compared in the stored races


class Race:
    """A figure that is drawn again whenever one of its runs has been looked at.

    Args:
        task: every look is the accuracy on its test split; nothing is chosen by it.
        stored: rows of the same race with other seeds, for a second panel; None for none.
    """

    def __init__(self, task: Task, stored: pd.DataFrame | None = None) -> None:
        self._task, self._stored = task, stored
        self.curves: dict[str, dict[int, float]] = {}
        self._shown = display(self.figure(), display_id=True)

    def lane(self, strategy: str) -> Callable[[int, Model, dict], None]:
        """A callback for `fit` that draws this strategy's run while it goes on."""
        curve = self.curves.setdefault(strategy, {})

        def look_at(step: int, model: Model, row: dict) -> None:
            if step % EVERY == 0 or step == 1:
                curve[step] = evaluate(model, self._task.test).accuracy
                self._shown.update(self.figure())

        return look_at

    @styled
    def figure(self) -> Figure:
        """The curves so far, and beside them the stored runs as dots."""
        figure = Drawing(figsize=(12, 4.2), layout="constrained")
        axes = figure.subplots(1, 1 if self._stored is None else 2, squeeze=False)[0]
        words = self._draw_curves(axes[0])
        if self._stored is not None:
            axes[1].set_title(f"{self._stored['seed'].nunique()} such races: who wins depends on the draw")
            seeds_as_dots(self._stored, *PAIR, ax=axes[1])
        return say(figure, words)

    def _draw_curves(self, ax: Axes) -> str:
        chance = 100 * max((self._task.test.y == k).mean() for k in range(len(self._task.classes)))
        ends, said = [(100, chance, "larger class", ground().grey)], []
        for strategy, curve in self.curves.items():
            if not curve:
                continue
            arm, values = look(strategy), [100 * accuracy for accuracy in curve.values()]
            ax.plot(list(curve), values, color=arm.line, marker=arm.marker, ms=7, lw=2.5)
            ends.append((100, values[-1], f"{arm.sign} {arm.name}", arm.letters))
            said.append(f"{arm.name} ends at {values[-1]:.0f} %")
        ax.axhline(chance, color=ground().grey, ls=":", lw=1.8)
        ax.set(xlim=(0, 100), ylim=(30, 100), xlabel="updates", ylabel="test photographs that are right (%)")
        ax.set_title("This race, while it runs")
        name_ends(ax, ends)
        return f"Accuracy while training: {', '.join(said) or 'nothing yet'}; always the larger class {chance:.0f} %."
