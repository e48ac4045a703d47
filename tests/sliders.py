"""Sliders moved once more when the last cell of their notebook has run: a test more for each notebook with one.

In strict mode every picture of a slider is drawn when it is made. Afterwards, in the same kernel, each slider is moved
to another value, and what it draws then must be the picture that it drew at once.
"""

import re
from collections import defaultdict

import nbformat
from nbval.plugin import IPyNbCell, IPyNbFile

MADE = re.compile(r"\bwidgets\.(?:slider|choice)\(")
MOVES = """
def _move_each_slider_again():
    import gc
    from course_utils.plots.widgets import Control

    sliders = [thing for thing in gc.get_objects() if type(thing) is Control]
    assert len(sliders) == {expected}, f"expected {expected} sliders, found {{len(sliders)}}"
    for slider in sliders:
        at_once = dict(slider._drawn)
        slider._drawn.clear()
        values = [value for _, value in slider.control.options]
        slider.control.value = values[-1] if slider.control.value != values[-1] else values[-2]
        drawn = slider._drawn.items()
        assert len(drawn) == 1, f"the slider {{slider._label!r}} drew nothing: {{slider.frame.value[-300:]}}"
        assert drawn <= at_once.items(), f"the slider {{slider._label!r}} drew another picture than at once"

_move_each_slider_again()
"""


def with_moves(items: list) -> list:
    """`items`, and behind the last cell of each notebook that is run whole, one that moves its sliders."""
    files = {item.parent: None for item in items if isinstance(item, IPyNbCell)}
    last = {}
    for file in files:
        code = [cell.source for cell in file.nb.cells if cell.cell_type == "code"]
        mine = [item for item in items if item.parent is file]
        expected = sum(len(MADE.findall(source)) for source in code)
        if expected and len(mine) == len(code):
            last[mine[-1]] = _moves(file, len(code), expected)
    return [thing for item in items for thing in ((item, last[item]) if item in last else (item,))]


def _moves(file: IPyNbFile, number: int, expected: int) -> IPyNbCell:
    cell = nbformat.v4.new_code_cell(MOVES.format(expected=expected), execution_count=number + 1)
    return IPyNbCell.from_parent(file, name="Sliders", cell_num=number, cell=cell, options=defaultdict(bool))
