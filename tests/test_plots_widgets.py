"""Figures behind a slider: another value gives another picture of the same size, and nothing is swallowed."""

import base64
import re
from functools import partial

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from ipywidgets import HTML, Dropdown, SelectionSlider
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from toys import refused

from course_utils.errors import CourseError
from course_utils.plots import style, widgets

SIZES = (2, 5, 10)


@pytest.fixture(autouse=True)
def light(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)  # in which every picture is drawn at once
    yield
    style.use("light")


@style.styled
def draw(per_class):
    if per_class not in SIZES:
        raise CourseError(f"No run has {per_class} examples of each class.")
    ax = style.axes_of(None, (8, 2.3))
    ax.barh(["fine-tuning"], [50 + 2 * per_class], color=style.look("fine_tuning").line)
    ax.set(xlim=(0, 100), xlabel="accuracy (%)")
    return style.say(ax.figure, f"Accuracy with {per_class} examples of each class: {50 + 2 * per_class} %.")


class Counted:
    """`draw`, with the values it was asked for."""

    def __init__(self):
        self.values = []

    def __call__(self, value):
        self.values.append(value)
        return draw(value)


def slide(function=draw, **more):
    return widgets.slider(function, SIZES, "photographs of each class", **more)


def image(shown):
    """Source, words, width and height of the picture in the widget."""
    return re.search(r'<img src="([^"]+)" alt="([^"]*)" width="(\d+)" height="(\d+)"', shown.frame.value).groups()


def test_another_value_gives_another_picture_of_the_same_size():
    shown = slide()
    source, words, *size = image(shown)
    shown.control.value = 10
    assert image(shown)[0] != source and list(image(shown)[2:]) == size == ["800", "230"]
    assert words.startswith("Accuracy with 2 examples") and image(shown)[1] == draw(10).words
    assert base64.b64decode(image(shown)[0].partition(",")[2]) == style.png(draw(10))


def test_the_box_keeps_its_size_and_shrinks_with_the_window_alone():
    shown = slide()
    box = re.match(r'<div style="([^"]+)">', shown.frame.value)[1]
    assert "max-width:800px" in box and "width:100%" in box and "aspect-ratio:800/230" in box
    shown.control.value = 5
    assert shown.frame.value.startswith(f'<div style="{box}">')


def test_a_picture_is_drawn_once_and_once_more_in_another_style():
    counted = Counted()
    shown = slide(counted)
    for value in (5, 2, 5, 10, 2):
        shown.control.value = value
    assert counted.values == [2, 5, 10]
    style.use("dark")
    shown.control.value = 5
    assert counted.values == [2, 5, 10, 5]


def test_strict_mode_draws_every_picture_at_once(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    counted = Counted()
    slide(counted, start=5)
    assert sorted(counted.values) == [2, 5, 10]
    with pytest.raises(CourseError, match="No run has 7 examples"):
        widgets.slider(draw, (2, 7), "photographs of each class")


def test_the_slider_waits_until_it_rests_and_starts_where_it_is_told():
    shown = slide(start=10)
    assert isinstance(shown.control, SelectionSlider) and isinstance(shown.frame, HTML)
    assert shown.control.value == 10 and not shown.control.continuous_update
    assert image(shown)[1] == draw(10).words


def test_a_slider_over_a_dictionary_draws_by_its_names():
    counted = Counted()
    widgets.slider(counted, {size: [np.zeros(2), np.ones(2)] for size in SIZES}, "photographs of each class")
    assert counted.values == [SIZES[0]]


def test_a_choice_shows_names_and_draws_what_they_stand_for():
    shown = widgets.choice(draw, {"few": 2, "many": 10}, "how many")
    assert isinstance(shown.control, Dropdown) and shown.control.options == (("few", 2), ("many", 10))
    shown.control.value = 10
    assert image(shown)[1] == draw(10).words
    assert shown._repr_mimebundle_()[0]["text/plain"].startswith("how many: few. Accuracy with 2")


def test_a_notebook_gets_the_widget_and_what_stands_for_it():
    shown = slide(start=5)
    data, metadata = shown._repr_mimebundle_()
    assert set(data) == {widgets.VIEW, "image/png", "text/plain"} and data[widgets.VIEW]["model_id"]
    assert base64.b64decode(data["image/png"]) == style.png(draw(5))
    assert data["text/plain"] == f"photographs of each class: 5. {draw(5).words}"
    assert metadata["image/png"]["alt"] == draw(5).words
    shown.control.value = 10
    assert shown._repr_mimebundle_()[0]["image/png"] == data["image/png"]  # the value to begin with


def faulty(value):
    if value == 5:
        return 1 / (value - 5)
    if value == 10:
        raise CourseError("Nothing is stored for <ten>.\nChoose 2.")
    return draw(value)


def test_what_goes_wrong_is_shown_in_the_place_of_the_picture_and_the_slider_goes_on():
    shown = slide(faulty)
    picture, box = shown.frame.value, re.match(r"<div[^>]+>", shown.frame.value)[0]
    shown.control.value = 5
    assert "ZeroDivisionError: division by zero" in shown.frame.value and shown.frame.value.startswith(box)
    assert re.search(r"line \d+: return 1 / \(value - 5\)", shown.frame.value) and "<img" not in shown.frame.value
    shown.control.value = 10
    assert "Nothing is stored for &lt;ten&gt;.\nChoose 2." in shown.frame.value
    assert "CourseError" not in shown.frame.value and "line 1" not in shown.frame.value
    shown.control.value = 2
    assert shown.frame.value == picture


def test_a_mistake_in_the_first_picture_stops_the_cell():
    with pytest.raises(ZeroDivisionError):
        slide(faulty, start=5)


def test_an_interrupt_is_not_taken_for_a_mistake():
    def stopped(value):
        if value == 5:
            raise KeyboardInterrupt
        return draw(value)

    shown = slide(stopped)
    with pytest.raises(KeyboardInterrupt):
        shown.control.value = 5


def test_a_function_that_forgets_its_return_is_told_so():
    with pytest.raises(CourseError, match="gave a NoneType for 2, not a figure"):
        slide(lambda value: None)


NO_CONTROLS = {
    "nothing": (lambda: widgets.slider(draw, [], "size"), r"for 'size' has nothing to choose from\.\nGive it"),
    "no options": (lambda: widgets.choice(draw, {}, "size"), "has nothing to choose from"),
    "another start": (lambda: widgets.slider(draw, SIZES, "size", 7), "has no value 7"),
    "None": (lambda: widgets.slider(draw, None, "size"), "takes a function and values, not a function and a NoneType"),
    "a number": (lambda: widgets.choice(draw, 5, "size"), "takes a function and values, not a function and a int"),
    "swapped": (lambda: widgets.slider(SIZES, draw, "size"), "not a tuple and a function"),
    "a figure": (lambda: widgets.slider(draw(2), SIZES, "size"), "not a Drawing and a tuple"),
    "arrays": (lambda: widgets.choice(draw, {"a": np.zeros(2), "b": np.ones(2)}, "a"), "no arrays"),
    "tables": (lambda: widgets.choice(draw, {"a": pd.DataFrame({"b": [1, 2]})}, "a"), "no arrays"),
    "tensors": (lambda: widgets.choice(draw, [torch.zeros(2), torch.ones(2)], "a"), "no arrays"),
    "lists of arrays": (lambda: widgets.choice(draw, [[np.zeros(2)], [np.ones(2)]], "a"), "no arrays"),
    "nan": (lambda: widgets.slider(draw, [1.0, float("nan")], "a"), "no arrays or nan"),
}


@pytest.mark.parametrize("what", NO_CONTROLS)
def test_what_makes_no_control_is_an_error(what):
    refused(*NO_CONTROLS[what])


def test_values_need_no_order_and_may_come_one_by_one():
    shown = widgets.slider(lambda value: draw(2), (value for value in (None, "a", 1, (2, 3))), "x", "a")
    assert shown.control.value == "a" and len(shown.control.options) == 4


def test_words_and_labels_are_escaped():
    def marked(value):
        figure = draw(value)
        figure.words = 'a "quote" & a <tag>'
        return figure

    assert 'alt="a &quot;quote&quot; &amp; a &lt;tag&gt;"' in slide(marked).frame.value


def test_a_learners_own_figure_will_do_and_is_closed():
    def own(value):
        figure, ax = plt.subplots(figsize=(4, 3))
        ax.plot([0, value])
        return figure

    shown = slide(own)
    assert image(shown)[2:] == ("400", "300") and not plt.get_fignums()


CELL = """
factor, other = 1, 10

def count(n):
    return n if n < 2 else 1 + count(n - 1)  # reads itself

def scaled(n, times=count):
    return factor * times(n)

def both(n):
    return scaled(n) + other

def made():
    bonus = 100
    first = lambda n: both(n) + bonus

    def second(n):
        return first(n) if n else second(n + 1)
    return second
"""
LATER = "factor = other = None\ndef count(n): raise ValueError\nscaled = both = made = count"


@pytest.mark.parametrize("written", ["both", "lambda n: both(n)", "made()", "partial(lambda a, n: both(n), 0)",
                                     "lambda n: [(lambda k: both(k))(m) for m in [n]][0]"])
def test_a_function_keeps_what_it_reads_when_a_later_cell_rebinds_it(written):
    notebook = {"partial": partial}
    exec(CELL, notebook)
    late = eval(written, notebook)
    early = widgets.bound(late)
    expected = [late(n) for n in SIZES]
    exec(LATER, notebook)
    assert [early(n) for n in SIZES] == expected
    with pytest.raises((TypeError, ValueError)):
        late(5)


def test_closures_of_a_loop_are_bound_one_by_one():
    early, late = [], []
    for size in SIZES:
        late.append(lambda: size)  # noqa: B023
        early.append(widgets.bound(late[-1]))
    assert [function() for function in early] == list(SIZES) and late[0]() == SIZES[-1]


def test_what_is_no_plain_function_and_what_others_own_stay_as_they_are():
    counted = Counted()
    assert widgets.bound(counted) is counted and widgets.bound(print) is print
    notebook = {"draw": draw, "nothing_else": 1}
    exec("def show(n): return draw(n)", notebook)
    kept = widgets.bound(notebook["show"]).__globals__
    assert kept["draw"] is draw and "nothing_else" not in kept


def test_a_slider_moved_after_its_names_were_rebound_draws_what_it_drew():
    notebook = {"draw": draw, "plus": 0}
    exec("def show(n): return draw(n + plus)", notebook)
    shown = slide(notebook["show"])
    notebook["plus"] = {}
    shown.control.value = 10
    assert image(shown)[1] == draw(10).words


def test_in_a_kernel_it_is_one_output_and_on_paper_a_picture(tmp_path):
    source = (
        "import numpy as np\nfrom course_utils import plots, widgets\nx = np.zeros((2, 3, 8, 8), np.uint8)\n"
        "widgets.slider(lambda n: plots.picture_grid(x, [f'{n} examples'] * 2), (2, 5), 'size')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert {widgets.VIEW, "image/png", "text/plain"} <= set(output.data)
    del output.data[widgets.VIEW], notebook.metadata["widgets"]  # as `build` stores it
    page = HTMLExporter(template_name="classic").from_notebook_node(notebook)[0]
    (shown,) = [tag for tag in re.findall(r"<img[^>]+>", page) if "data:image/png" in tag]
    assert 'alt="2 pictures, titled 2 examples' in shown
