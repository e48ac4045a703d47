"""What every figure of the course must keep, and the made-up numbers that many of them are drawn from.

After a wanted change, look at the new figures and store them: COURSE_RENEW_REFERENCES=1, then the tests of that file.
"""

import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.textpath import TextPath
from PIL import Image

from course_utils.data.letters import letter_classes
from course_utils.data.surfaces import PHOTOGRAPHS
from course_utils.plots import style

REFERENCES = Path(__file__).parent / "references"
TOLERANCE = 3.0  # root mean square over all pixels and colours, of 255; a line that is missing makes 7 or more


class FigureTests:
    """The figures of a room or of a lesson; a test file names them, and where their stored pictures lie."""

    figures: dict[str, Callable] = {}
    rooms: tuple = ()  # the modules whose figures must all be tried
    folder = ""  # in tests/references
    dark: tuple[str, ...] = ()  # also stored as they are on dark paper

    def pytest_generate_tests(self, metafunc):
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.figures)

    def test_the_figure_is_the_stored_one(self, name):
        assert_like(drawn(self.figures[name]), reference(name, self.folder))

    def test_dark_figures_are_the_stored_ones(self):
        for name in self.dark:
            assert_like(drawn(self.figures[name], "dark"), reference(f"dark_{name}", self.folder))

    @pytest.mark.parametrize("paper", ["light", pytest.param("dark", marks=pytest.mark.slow)])
    def test_everyone_can_read_the_figure(self, name, paper):
        figure = drawn(self.figures[name], paper)  # raises what `style.contrast_faults` finds
        sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
        assert min(sizes) >= 11 and 20 < len(figure.words) < 900

    def test_every_figure_is_tried_and_every_reference_used(self):
        names = [name for room in self.rooms for name in drawing_in(room)]
        assert names and [name for name in names if not any(known.startswith(name) for known in self.figures)] == []
        stored = list((REFERENCES / self.folder).glob("*.png"))
        assert {path.stem for path in stored} == {*self.figures, *(f"dark_{name}" for name in self.dark)}
        assert max(path.stat().st_size for path in stored) <= 40_000


@functools.cache
def drawn(draw: Callable, paper: str = "light") -> style.Drawing:
    """The figure, drawn once for all tests, in strict mode; they must leave it as it is, as drawing leaves the rest."""
    before, strict = dict(plt.rcParams), os.environ.get("COURSE_STRICT")
    os.environ["COURSE_STRICT"] = "1"
    style.use(paper)
    try:
        figure = draw()
    finally:
        style.use("light")
        os.environ.pop("COURSE_STRICT")
        if strict is not None:
            os.environ["COURSE_STRICT"] = strict
    assert dict(plt.rcParams) == before and not plt.get_fignums()
    return figure


def drawing_in(room: object) -> Iterator[str]:
    """The names of the figures of a module, or of a room whose names load on first use."""
    yield from (name for name in dir(room) if hasattr(getattr(room, name), "__wrapped__"))


def reference(name: str, folder: str = "") -> Path:
    return REFERENCES / folder / f"{name}.png"


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def small(figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, dpi=50)
    return Image.open(file).convert("RGB")


def distance(figure, path: Path) -> float:
    """How far a figure lies from a stored picture, from 0 to 255."""
    one, other = small(figure), Image.open(path).convert("RGB")
    assert one.size == other.size
    return float(np.sqrt(np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)))


def assert_like(figure, path: Path) -> None:
    if os.environ.get("COURSE_RENEW_REFERENCES") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        small(figure).save(path, optimize=True)
    assert path.exists(), f"no {path.name}: see the top of {Path(__file__).name}"
    assert distance(figure, path) < TOLERANCE


def widest_names(count: int) -> list[str]:
    """The class names that take the most room, the widest first: fonts and photographs have longer ones than others."""
    names = {*letter_classes("font"), *PHOTOGRAPHS}
    return sorted(names, key=lambda name: TextPath((0, 0), name).get_extents().width, reverse=True)[:count]


def longest_line(figure):
    return max(figure.findobj(matplotlib.lines.Line2D), key=lambda line: len(line.get_xdata()) * line.get_linewidth())


def some_runs():
    """Three arms at five sizes, ten seeds each, accuracy rising with the logarithm of the size."""
    draw = np.random.default_rng(0)
    gains = {"feature_extraction": 0.06, "from_scratch": 0.03, "fine_tuning": 0.06}
    return pd.DataFrame(
        {"strategy": name, "per_class": n, "seed": seed, "accuracy": 0.5 + gain * np.log2(n) + 0.01 * draw.normal()}
        for name, gain in gains.items()
        for n in (2, 5, 10, 20, 40)
        for seed in range(10)
    )  # fmt: skip


def pictures(n, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
