"""The style: colours that can be read on both papers, faults that are found, strict mode, settings left alone."""

import base64

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import pictures
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb

from course_utils import plots
from course_utils.errors import CourseError
from course_utils.grids.transfer_grid import ARMS
from course_utils.plots import style
from course_utils.plots.contrast import contrast, readable


@pytest.fixture(autouse=True)
def light():
    yield
    style.use("light")


@style.styled
def plain():
    ax = style.axes_of(None, (4, 3))
    ax.plot([0, 1], [0, 1], color=style.ground().ink)
    return style.say(ax.figure, "A line that rises.")


def ratio(a, b):
    return contrast(np.array(to_rgb(a)), np.array(to_rgb(b)))


def test_contrast_is_that_of_the_guidelines():
    assert ratio("black", "white") == pytest.approx(21) and ratio("white", "white") == pytest.approx(1)
    assert ratio("#777777", "white") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("paper", ["white", "#15181c", "#3f90da", "#777777"])
@pytest.mark.parametrize("colour", ["#ffa90e", "#bd1f01", "#3f90da", "black", "white"])
def test_a_colour_is_moved_no_further_than_it_must(colour, paper):
    found = readable(colour, paper, 4.5)
    assert ratio(found, paper) >= 4.5
    assert found == colour or ratio(found, paper) < 5 or ratio(colour, paper) >= 4.5


@pytest.mark.parametrize("paper", style.GROUNDS)
@pytest.mark.parametrize("strategy", [*style.LOOKS, "my_own_way"])
def test_every_arm_can_be_read_on_paper_and_on_the_grey_band(strategy, paper):
    style.use(paper)
    arm, grounds = style.look(strategy), (style.ground().paper, style.ground().faint)
    assert min(ratio(arm.line, ground) for ground in grounds) >= 3
    assert min(ratio(arm.letters, ground) for ground in grounds) >= 4.5
    assert min(ratio(ink, grounds[0]) for ink in (style.ground().ink, style.ground().grey)) >= 4.5


def test_the_arms_of_the_shared_grid_have_looks_of_their_own():
    assert {strategy for strategy, _ in ARMS} <= set(style.LOOKS)
    arms = [style.look(strategy) for strategy in style.LOOKS]
    assert len({arm.line for arm in arms}) == len({arm.marker for arm in arms}) == len(arms)
    assert style.look("my_own_way").name == "my own way"


def test_there_are_two_styles():
    with pytest.raises(CourseError, match=r"There is no style 'pink'\. Choose 'light' or 'dark'"):
        style.use("pink")


def test_dark_draws_on_dark_paper_from_then_on():
    style.use("dark")
    assert plain().get_facecolor()[:3] == to_rgb(style.GROUNDS["dark"].paper)
    style.use("light")
    assert plain().get_facecolor()[:3] == (1, 1, 1)


def test_a_learners_own_settings_change_neither_the_figure_nor_are_changed():
    usual = style.png(plain())
    with plt.style.context("dark_background"):
        plt.rcParams.update({"font.size": 30, "savefig.bbox": "tight"})
        assert style.png(plain()) == usual and plt.rcParams["font.size"] == 30


def planted(name):
    """A figure with one fault."""
    figure = style.Drawing(figsize=(4, 3), facecolor="0.97")
    ax = figure.add_axes((0.15, 0.15, 0.8, 0.7), facecolor="0.97")
    FAULTS[name][0](ax)
    return figure


DARK_PICTURE = np.zeros((2, 2, 3))
FAULTS = {
    "pale text": (lambda ax: ax.text(0.5, 0.5, "pale", color="0.6"), "'pale' has a contrast of 2"),
    "faint by alpha": (lambda ax: ax.text(0.5, 0.5, "faint", alpha=0.4), "'faint' has a contrast"),
    "text over a picture": (
        lambda ax: (ax.imshow(DARK_PICTURE), ax.text(0, 0, "lost", color="0.2")), "'lost' has a contrast of 1"),
    "own box": (
        lambda ax: ax.text(0.5, 0.5, "boxed", color="0.1", bbox={"facecolor": "0.3"}), "'boxed' has a contrast"),
    "tiny text": (lambda ax: ax.text(0.5, 0.5, "tiny", fontsize=8), "'tiny' has 8 points"),
    "cut off": (lambda ax: ax.text(0.9, 0.5, "longer than the paper"), "'longer than the paper' is cut off"),
    "overlap": (lambda ax: (ax.text(0.5, 0.5, "one"), ax.text(0.52, 0.5, "two")), "'two' overlaps 'one'"),
    "pale label": (lambda ax: ax.set_xlabel("below", color="0.7"), "'below' has a contrast"),
    "pale line": (lambda ax: ax.plot([0, 1], [0, 1], color="0.8"), "a Line2D in #cccccc has a contrast of 1.5"),
    "pale markers": (lambda ax: ax.plot([0, 1], [0, 1], "o", color="#ffe08a"), "a Line2D in #ffe08a"),
    "pale dots": (lambda ax: ax.scatter([0, 1], [0, 1], color="#ffe08a"), "a PathCollection in #ffe08a"),
    "one pale dot": (lambda ax: ax.scatter([0, 1], [0, 1], c=["black", "#ffe08a"]), "a PathCollection in #ffe08a"),
    "faint dots": (lambda ax: ax.scatter([0, 1], [0, 1], color="#3f90da", alpha=0.5), "a PathCollection"),
    "pale bars": (lambda ax: ax.bar([0, 1], [1, 2], color="0.85"), "a Rectangle in #d9d9d9"),
    "pale error bars": (lambda ax: ax.errorbar([0], [0], [1], color="0.8", fmt="none"), "a LineCollection"),
    "pale arrow": (
        lambda ax: ax.annotate("", (0, 0), (1, 1), arrowprops={"color": "0.8"}), "a FancyArrowPatch in #cccccc"),
    "line over a dark area": (
        lambda ax: (ax.axvspan(0, 1, color="0.3", zorder=0.5), ax.plot([0, 1], [0, 1], color="0.2")), "a Line2D"),
}  # fmt: skip
FINE = {
    "grid": lambda ax: ax.grid(color="0.9"),
    "an area below the data": lambda ax: ax.axhspan(0.2, 0.4, color="0.9", zorder=0.5),
    "a pale face in a dark edge": lambda ax: ax.scatter([0, 1], [0, 1], color="0.95", edgecolor="black"),
    "a dark face in a pale edge": lambda ax: ax.plot([0, 1], [0, 1], "o", color="black", mec="white"),
    "white on a dark picture": lambda ax: (
        ax.imshow(DARK_PICTURE), ax.axis("off"), ax.text(0, 0, "found", color="white")),
    "a box that saves": lambda ax: (
        ax.imshow(DARK_PICTURE), ax.axis("off"), ax.text(0, 0, "found", bbox={"facecolor": "white"})),
    "large and bold": lambda ax: ax.text(0.2, 0.5, "large", color="#3f90da", fontsize=14, weight="bold"),
    "hidden": lambda ax: ax.text(0.5, 0.5, "hidden", color="0.9", visible=False),
    "axes turned off": lambda ax: (ax.tick_params(labelcolor="0.9"), ax.axis("off")),
    "ticks out of view": lambda ax: (ax.set_xticks([0, 1, 5], ["a", "b", "far too long for its place"]),
                                     ax.set_xlim(0, 1)),
    "a line across guides": lambda ax: (ax.axhline(0.5, color="0.5", lw=1, zorder=0.6),
                                        ax.plot([0, 1], [0.5, 0.5], color="0.2")),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name):
    assert any(FAULTS[name][1] in fault for fault in style.contrast_faults(planted(name)))


@pytest.mark.parametrize("name", FINE)
def test_what_can_be_read_is_no_fault(name):
    figure = style.Drawing(figsize=(4, 3), layout="constrained")
    FINE[name](figure.subplots())
    assert style.contrast_faults(figure) == []


def test_looking_for_faults_leaves_the_figure_as_it_was():
    figure = planted("overlap")
    before = style.png(figure)
    style.contrast_faults(figure)
    assert style.png(figure) == before


@style.styled
def unreadable():
    ax = style.axes_of(None, (4, 3))
    for height in (0.1, 0.3, 0.5, 0.7):
        ax.text(0.5, height, "pale", color="0.9")
    return style.say(ax.figure, "Four times the same pale word.")


@style.styled
def silent():
    return style.axes_of(None, (4, 3)).figure


def test_strict_mode_lets_no_bad_figure_through(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT")
    unreadable(), silent()
    monkeypatch.setenv("COURSE_STRICT", "1")
    plain()
    with pytest.raises(CourseError, match=r"figure `unreadable` .* 'pale' has a contrast of .* \(and 1 more\)"):
        unreadable()
    with pytest.raises(CourseError, match=r"`silent` .* says nothing in words"):
        silent()


def test_a_notebook_gets_the_picture_with_its_words():
    data, metadata = DisplayFormatter().format(plain())
    assert data["image/png"] == style.png(plain()) and data["text/plain"] == "A line that rises."
    assert metadata["image/png"]["alt"] == "A line that rises."
    assert base64.b64encode(data["image/png"]).decode().startswith("iVBOR")


def test_a_class_called_like_a_formula_keeps_its_name():
    figure = plots.picture_grid(pictures(2), ["$5-$10", "$10-$20"], columns=2)
    titles = [ax.title for ax in figure.axes]
    assert [title.get_text() for title in titles] == ["$5-$10", "$10-$20"]
    assert not any(title.get_parse_math() for title in titles)
