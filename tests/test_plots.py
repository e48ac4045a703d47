"""Each figure against a stored picture, in light and in dark; its words say its values; settings are left alone.

After a wanted change, look at the new figures and store them: COURSE_RENEW_REFERENCES=1, then this file's tests.
"""

import io
import os
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from figures import (
    ARMS,
    FIGURES,
    controls,
    history,
    pictures,
    probed,
    runs,
    seen,
    the_arrow,
    the_borrowed,
    the_differences,
    the_dreams,
    the_exciting_patches,
    the_neighbours,
    the_predictions,
    the_similarities,
    the_stars,
    the_tasks,
)
from PIL import Image

from course_utils import plots
from course_utils.errors import CourseError
from course_utils.evidence.claims import mean_interval
from course_utils.lessons.lesson00 import diagram
from course_utils.lessons.lesson00 import figures as figures00
from course_utils.lessons.lesson00.fewer import times_fewer
from course_utils.lessons.lesson01 import figures as figures01
from course_utils.lessons.lesson01.figures.stages import best_stage
from course_utils.lessons.lesson02 import figures as figures02
from course_utils.plots import style

REFERENCES = Path(__file__).parent / "references"
TOLERANCE = 3.0  # root mean square over all pixels and colours, of 255; a line that is missing makes 7 or more


@pytest.fixture(autouse=True)
def light():
    yield
    style.use("light")


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def small(figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, dpi=50)
    return Image.open(file).convert("RGB")


def distance(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size
    return float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))


def assert_like(figure, name: str) -> None:
    path, drawn = REFERENCES / f"{name}.png", small(figure)
    if os.environ.get("COURSE_RENEW_REFERENCES") == "1":
        REFERENCES.mkdir(exist_ok=True)
        drawn.save(path, optimize=True)
    assert path.exists(), f"no {path.name}: see the top of this file"
    assert distance(drawn, Image.open(path).convert("RGB")) < TOLERANCE


@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_is_the_stored_one_and_leaves_all_as_it_was(name):
    before = dict(plt.rcParams)
    assert_like(FIGURES[name](), name)
    assert dict(plt.rcParams) == before and not plt.get_fignums()


def test_dark_figures_are_the_stored_ones():
    style.use("dark")
    assert_like(the_arrow(controls=controls()), "dark_accuracy_against_examples_controls")
    assert_like(the_neighbours(), "dark_neighbours")


def drawn(room):
    """The figures of a module or of a room whose names load on first use."""
    for name in dir(room):
        if hasattr(it := getattr(room, name), "__wrapped__"):
            yield name, it


def test_every_figure_is_tried_and_every_reference_used():
    drawing = [name for room in (plots, diagram, figures00, figures01, figures02) for name, it in drawn(room)]
    assert [name for name in drawing if not any(known.startswith(name) for known in FIGURES)] == []
    stored = {path.stem for path in REFERENCES.iterdir()}
    assert stored == {*FIGURES, "dark_accuracy_against_examples_controls", "dark_neighbours"}
    assert max(path.stat().st_size for path in REFERENCES.iterdir()) <= 40_000


def longest_line(figure):
    return max(figure.findobj(matplotlib.lines.Line2D), key=lambda line: len(line.get_xdata()) * line.get_linewidth())


@pytest.mark.parametrize("name", ["accuracy_against_examples", "learning_curves", "learning_curves_seeds"])
def test_the_comparison_sees_that_a_line_is_missing(name):
    figure = FIGURES[name]()
    longest_line(figure).set_visible(False)
    assert distance(small(figure), Image.open(REFERENCES / f"{name}.png").convert("RGB")) > TOLERANCE


def test_the_comparison_sees_another_colour_and_another_value():
    figure = FIGURES["seeds_as_dots"]()
    figure.axes[0].texts[-1].set_text("mean of 3 seeds: +0.9")
    assert distance(small(figure), Image.open(REFERENCES / "seeds_as_dots.png").convert("RGB")) > TOLERANCE
    other = plots.confusion_matrix([[5, 30, 0], [12, 22, 1], [0, 0, 35]], ["ant", "bee", "moth"])
    assert distance(small(other), Image.open(REFERENCES / "confusion_matrix.png").convert("RGB")) > TOLERANCE


@pytest.mark.parametrize("paper", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_everyone_can_read_the_figure(name, paper, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    style.use(paper)
    figure = FIGURES[name]()  # raises what `style.contrast_faults` finds
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(sizes) >= 11 and 20 < len(figure.words) < 900


def test_the_arrow_carries_the_measured_factor():
    fewer = times_fewer(runs(), "feature_extraction", "from_scratch")
    figure = the_arrow()
    said = words(figure)
    assert f"{fewer.factor:.0f} times fewer" in said and f"{fewer.examples:.0f} of each" in said
    assert "transfer" in said and "40 of each" in said and "always the\nlarger class" in said
    assert str(fewer) in figure.words and "transfer lies above from scratch at all 5 sizes" in figure.words


def test_no_arrow_where_the_lines_do_not_meet():
    fewer = times_fewer(runs(), "from_scratch", "feature_extraction")
    figure = figures00.accuracy_against_examples(runs(), {"from_scratch": "a", "feature_extraction": "b"}, fewer)
    assert "times fewer" not in words(figure) + figure.words
    assert "a lies above b at 0 of 5 sizes" in figure.words


def test_intervals_are_drawn_and_right():
    figure = figures00.accuracy_against_examples(runs(), {"fine_tuning": "fine-tuning"})
    (bars,) = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    at_ten = runs().query("strategy == 'fine_tuning' and per_class == 10")["accuracy"]
    half = 2.262157 * at_ten.std() / np.sqrt(10)  # Student's t for nine degrees of freedom
    assert np.diff(bars.get_segments()[2][:, 1])[0] == pytest.approx(2 * half, rel=1e-5)


def band(figure):
    """Lower and upper edge of the grey band: accuracies at its sizes."""
    return [line.get_ydata() for line in figure.axes[0].lines if line.get_zorder() == 0.6]


def test_the_band_reaches_from_the_lowest_to_the_highest_mean_of_the_controls():
    low, high = band(figures00.accuracy_against_examples(runs(), ARMS, controls=controls()))
    assert low == pytest.approx([0.5245, 0.5445, 0.5445]) and high == pytest.approx([0.5545, 0.5745, 0.5745])


def test_chance_becomes_part_of_the_band():
    figure = figures00.accuracy_against_examples(runs(), ARMS, controls=controls(), chance=0.6)
    low, high = band(figure)
    assert low == pytest.approx([0.5245, 0.5445, 0.5445]) and set(high) == {0.6}
    assert "no transfer" in words(figure) and "larger class" not in words(figure)
    assert "between 0.52 and 0.60" in figure.words


def test_nothing_but_the_dots_moves_from_size_to_size():
    few, many = (figures00.accuracies_at(runs(), n, ARMS) for n in (2, 40))
    for get in ("get_xlim", "get_ylim", "get_position"):
        assert np.array_equal(*(np.asarray(getattr(figure.axes[0], get)()) for figure in (few, many)))
    assert style.png(few) != style.png(many) and "40 examples of each class" in words(many)


def test_dots_and_words_say_the_mean_and_its_interval():
    figure = figures00.accuracies_at(runs(), 10, ARMS)
    values = runs().query("strategy == 'from_scratch' and per_class == 10")["accuracy"]
    mean, low, high, _ = mean_interval(values)
    assert f"from scratch {mean:.2f} (10 seeds, 95 % interval {low:.2f} to {high:.2f})" in figure.words
    dots = [c.get_offsets()[:, 0] for c in figure.axes[0].collections if len(c.get_offsets()) == 10]
    assert sorted(dots[1]) == pytest.approx(sorted(values)) and f"{mean:.2f}" in words(figure)


def test_an_arm_that_has_no_runs_at_a_size_leaves_its_row_empty():
    table = runs().query("strategy == 'from_scratch' or per_class != 10")
    assert figures00.accuracies_at(table, 10, ARMS).words.count("seeds") == 1


def test_a_size_that_was_not_measured_is_an_error():
    with pytest.raises(CourseError, match="No run has 7 examples of each class; there are runs with 2, 5, 10, 20, 40"):
        figures00.accuracies_at(runs(), 7, ARMS)


def test_learning_curves_show_the_mean_of_ten_updates_and_the_interval_over_seeds():
    table = history(0.02, seeds=4)
    figure = plots.learning_curves({"fine_tuning": table}, ["loss"])
    mean, low, _ = (line.get_ydata() for line in figure.axes[0].lines)
    last = [run["loss"].iloc[-10:].mean() for _, run in table.groupby("seed")]
    assert mean[-1] == pytest.approx(np.mean(last)) and low[-1] == pytest.approx(mean_interval(last).low)
    assert f"fine-tuning goes from {mean[0]:.2f} to {mean[-1]:.2f}" in figure.words


def test_what_is_measured_now_and_then_is_drawn_as_it_is():
    table = history(0.02).assign(validation_accuracy=np.where(np.arange(40) % 10 == 9, 0.8, np.nan))
    figure = plots.learning_curves({"fine_tuning": table}, ["validation_accuracy"])
    assert list(figure.axes[0].lines[0].get_xdata()) == [10, 20, 30, 40]
    assert "validation accuracy" in words(figure) and "means over" not in words(figure)


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(CourseError, match="They have step, loss, accuracy"):
        plots.learning_curves({"fine_tuning": history(0.1)}, ["losses"])


def test_the_two_most_opposite_seeds_are_named():
    wide = runs().query("per_class == 10").pivot(index="seed", columns="strategy", values="accuracy")
    gap = wide["feature_extraction"] - wide["fine_tuning"]
    figure = FIGURES["seeds_as_dots"]()
    said = words(figure)
    assert f"seed {gap.idxmax()}: feature extraction" in said and f"seed {gap.idxmin()}: fine-tuning" in said
    assert f"{(gap > 0).sum()} above zero, {(gap < 0).sum()} below" in figure.words
    assert f"{gap.mean():+.3f}" in figure.words


def test_the_confusion_matrix_counts_and_names_the_commonest_mistake():
    figure = FIGURES["confusion_matrix"]()
    assert figure.words == (
        "87 of 105 examples are right (83%). The commonest mistake: 12 of the 35 of class bee are called ant."
    )
    assert all(f" {count} " in f" {words(figure)} " for count in (30, 5, 12, 22, 1, 35, 0))


def test_a_matrix_of_another_shape_is_an_error():
    with pytest.raises(CourseError, match="3 classes need 3 x 3 counts, not 2 x 2"):
        plots.confusion_matrix(np.eye(2), ["ant", "bee", "moth"])


def test_many_classes_can_be_read_too(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    counts = np.random.default_rng(0).integers(0, 90, (26, 26))
    plots.confusion_matrix(counts, [chr(65 + k) for k in range(26)])
    plots.confusion_matrix(counts[:10, :10], [f"a long name {k}" for k in range(10)])


def test_predictions_say_what_is_wrong_by_a_sign_as_well():
    figure = the_predictions()
    said = words(figure)
    assert "✓ ant 0.90" in said and "✗ bee 0.65\nis ant" in said and "✓ bee 0.80" in said
    assert figure.words == "3 pictures with predictions, 2 of them right. Wrong: ant called bee (0.65)."


def test_filters_tell_smooth_kernels_from_noise():
    figure = FIGURES["filters"]()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["trained", "untrained"]
    assert "12 kernels of 7 x 7 weights" in figure.words
    learned, untrained = map(float, re.search(r"by ([\d.-]+), untrained ([\d.-]+):", figure.words).groups())
    assert learned > 0.5 > 0.2 > abs(untrained)


def test_filters_take_the_weights_of_a_network():
    assert "8 kernels of 3 x 3" in figures01.filters(torch.nn.Conv2d(3, 8, 3).weight).words
    with pytest.raises(CourseError, match="O x 3 x H x W; these are 8 x 4 x 3 x 3"):
        figures01.filters(torch.nn.Conv2d(4, 8, 3).weight)


def test_the_strongest_channels_come_first():
    maps = np.zeros((6, 4, 4)) + np.array([3, 9, 1, 7, 0, 5])[:, None, None]
    figure = figures01.feature_maps(pictures(1)[0], maps, "layer2", count=4)
    assert "channels 1, 3, 5, 0, with means from 9.00 to 3.00" in figure.words and "4 of the 6 maps" in figure.words


def frames(ax):
    """Side -> line style of the frames, the areas left out."""
    boxes = [part for part in ax.patches if not part.get_fill()]
    return {box.get_width(): "dashed" if box.get_linestyle() in ("--", "dashed") else "whole" for box in boxes}


def test_exciting_patches_stand_beside_both_receptive_fields():
    figure = the_exciting_patches()
    said = words(figure)
    assert "21 px (dashed)\nhalf in 9 (box)" in said and "channel 3" in said
    assert "layer1: a field of 21 px, half of the gradient in 9; coins" in figure.words
    heats = [ax for ax in figure.axes if ax.patches]
    assert [sorted(frames(ax)) for ax in heats] == [[5, 7], [9, 21]]
    assert all(box.get_x() + box.get_width() / 2 == 8 for ax in heats for box in ax.patches)


def test_dreams_stand_beside_those_of_the_untrained_network():
    figure = the_dreams()
    assert sum(bool(ax.images) for ax in figure.axes) == 2 * 2 * 3
    assert all(name in words(figure) for name in ("trained", "untrained", "stem", "layer4"))
    assert "layer4 from 0.5 to 4.0; in the untrained one in stem to 1.0" in figure.words


def test_neighbours_are_marked_by_sign_and_frame():
    figure = the_neighbours()
    said = words(figure)
    assert said.count("✓ bee") == 5 and said.count("✗ ant") == 1 and "52%" in said and "70%" in said
    frames = {ax.get_xlabel(): ax.spines["left"].get_linestyle() for ax in figure.axes if ax.get_xlabel()}
    assert frames["✓ bee"] == "-" and frames["✗ ant"] != "-"
    assert "by raw pixels 2 of 3 here and 52% over all" in figure.words and "by features 3 of 3" in figure.words


def test_a_panel_a_task_with_its_own_controls_and_differences():
    figure = the_tasks()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["photographs", "letters"]
    assert "letters, transfer: 0.26 with 2 of each, 0.46 with 20." in figure.words
    assert "No transfer there: 0.10 to 0.27." in figure.words
    differences = the_differences()
    rows = runs().query("per_class == 10").pivot(index="seed", columns="strategy", values="accuracy")
    gap = (rows["feature_extraction"] - rows["from_scratch"]).mean()
    assert f"{gap:+.3f} with 10" in differences.words and "above zero transfer better" in differences.words


def test_a_difference_that_may_be_none_is_hollow():
    half = runs().query("per_class == 2 and strategy != 'fine_tuning'").assign(task="photos")
    same = half.assign(accuracy=0.5 + 0.01 * (half.seed % 2 - 0.5) * (half.strategy == "from_scratch"))
    fills = [plots.differences_by_task(table, "feature_extraction", "from_scratch", {"photos": "photographs"},
                                       ("one", "other"), 500).axes[0].lines[2].get_markerfacecolor()
             for table in (half, same)]
    assert fills[0] != "#ffffff" and fills[1] == "#ffffff"


def test_a_grid_shows_each_picture_under_its_title():
    figure = FIGURES["picture_grid"]()
    assert all(f"picture {k}" in words(figure) for k in range(7))
    assert len(figure.axes) == 8 and figure.words.startswith("7 pictures, titled picture 0,")


def test_a_star_stands_where_held_out_images_say_and_not_on_the_best_test_accuracy():
    figure = the_stars()
    assert figure.words.count("layer2 (0") == 2 and figure.words.count("layer1 (0") == 2
    table = probed()
    table.loc[table["stage"] == "stem", "apart"] = 1.0
    figure = figures01.best_stages(table, {"photos": "x"}, table, {"photos": seen()}, {"photos": 0.5})
    assert "layer" not in figure.words


def test_a_star_is_hollow_where_no_stage_is_clearly_better():
    table = probed()
    noise = np.random.default_rng(5).normal(0, 0.1, len(table))
    table["apart"] = np.where(table["per_class"] == 2, 0.5 + noise, table["apart"])
    figure = figures01.best_stages(table, {"photos": "x"}, table, {"photos": seen()}, {"photos": 0.5})
    assert figure.words.count("not clear") == 1 and "with 20 of each, layer2 (0.7" in figure.words


def alike(rng, seeds):
    return rng.normal(0, 0.1, (seeds, 5))


def two_ahead(rng, seeds):
    return rng.normal(0, 0.1, (seeds, 5)) + [0, 0.9, 0.9, 0, 0]


def alike_by_seed(rng, seeds):
    return rng.normal(0, 0.3, (seeds, 1)) + rng.normal(0, 0.1, (seeds, 5)) * [1, 2, 3, 4, 5]


@pytest.mark.parametrize("draw", [alike, two_ahead, alike_by_seed])
def test_of_equal_stages_one_is_called_the_best_in_one_case_of_twenty_at_most(draw):
    rng = np.random.default_rng(0)
    filled = np.mean([best_stage(draw(rng, 10))[1] for _ in range(2000)])
    assert filled <= 0.062, "a share of .05, drawn 2,000 times, stays below this in 99 of 100 cases"


def test_a_stage_ahead_of_all_others_is_called_the_best():
    rng = np.random.default_rng(0)
    found = [best_stage(alike(rng, 10) + [0, 0, 0.3, 0, 0]) for _ in range(100)]
    assert all(stage == 2 for stage, _ in found) and np.mean([clear for _, clear in found]) > 0.9


def test_panels_hide_the_names_of_the_stages():
    figure = FIGURES["panels"]()
    assert set("ABCDE") <= set(words(figure)) and "layer" not in words(figure) + figure.words
    assert "Squares along a side: A 8, B 16, C 2, D 16, E 4." in figure.words


def test_borrowed_stages_stand_beside_random_ones_and_beside_nothing_borrowed():
    figure = the_borrowed()
    assert "Borrowing nothing gives 0.29 to 0.32." in figure.words
    assert "borrowed stages frozen, random: 0.24 with one stage, 0.12 with 3." in figure.words
    points = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in points] == [9] * 5, "a point a run"


def test_similarity_maps_name_networks_and_say_the_values():
    figure = the_similarities()
    said = words(figure)
    assert all(name in said for name in ("One pair", "seed 0", "seed 1", "before", "after", "layer1", ".80", "1.0"))
    assert "-" not in said and said.count(".00") == 2, "a hair below zero is written as zero"
    assert "One pair: the same stages have stem 1.0, layer1 1.0, layer2 1.0; least alike" in figure.words
    assert "Another: " in figure.words and "least alike are stem and layer2 with .00." in figure.words
    negative = pd.DataFrame([[-0.31]], ["stem"], ["layer4"])
    assert "least alike are stem and layer4 with −.31" in figures01.similarity_maps({"x": negative}).words
    assert "the same stages" not in figures01.similarity_maps({"x": negative}).words


@pytest.mark.parametrize("maps", [{}, {"x": np.eye(3)}])
def test_similarity_maps_of_what_is_no_table_are_an_error(maps):
    with pytest.raises(CourseError, match="title -> a table of pandas"):
        figures01.similarity_maps(maps)


def test_the_drawing_has_the_six_words():
    said = words(diagram.the_words()).lower()
    assert all(word in said for word in ("source", "target", "domain", "task", "backbone", "head"))


def test_two_drawings_in_one_figure_speak_one_after_the_other():
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    figures00.accuracies_at(runs(), 2, ARMS, ax=axes[0])
    assert figures00.accuracies_at(runs(), 40, ARMS, ax=axes[1]) is figure
    assert "with 2 examples" in figure.words and "with 40 examples" in figure.words and not plt.get_fignums()
