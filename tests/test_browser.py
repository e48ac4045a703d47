"""Lesson 00 in a real JupyterLab: run, moved, answered and solved in a browser, at two widths."""

import io
import os

import jupytext
import pytest
from browser import SELECT, Lesson, find_browser, jupyterlab
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

from course_utils.lessons.lesson00.exercises import QUESTIONS, SIGN
from course_utils.tools.run import ROOT

pytestmark = pytest.mark.slow  # a real browser, for CI and for whoever changes a lesson
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 800, "height": 900}
RADIO, CHOICE, SLIDER = "input[type=radio]", ".widget-dropdown", ".widget-hslider"
NEW_PICTURE = """([output, old]) => { const picture = output.querySelector("img");
    return picture?.src !== old && picture?.naturalWidth > 0; }"""
WRONG = '''def who_is_better(differences):
    return "a" if differences.mean() > 0 else "b"

check("00-interval", who_is_better)'''


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            pytest.skip("No Chromium or Chrome was found: install one, or run `playwright install chromium`.")
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    with jupyterlab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module", params=[
    pytest.param(WIDE, id="1280px"), pytest.param(NARROW, id="800px")])
def lesson(request, browser, lab):
    """Lesson 00, opened and run from top to bottom in a fresh kernel."""
    lab.start_afresh()
    page = browser.new_page(viewport=request.param)
    lesson = Lesson(page, lab)
    lesson.open()
    lesson.run_all()
    yield lesson
    if lesson.pictures:
        lesson.take_pictures()  # with the answers given
    page.close()


def solution():
    """The text of the folded cell that solves the exercise."""
    cells = jupytext.read(ROOT / "notebooks" / "source" / "00_start_here.py", fmt="py:percent").cells
    return next(cell.source for cell in cells
                if "solution" in cell.metadata.get("tags", []) and '"00-interval"' in cell.source)


def test_every_cell_runs_without_an_error(lesson):
    assert lesson.error == ""


def test_nothing_pops_up_that_a_learner_would_have_to_answer(lesson):
    assert lesson.page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []


def test_another_photograph_gets_its_name(lesson):
    output = lesson.output(CHOICE)
    old = output.locator("img").first.get_attribute("src")
    output.locator("select").first.select_option(index=1)
    lesson.page.wait_for_function(NEW_PICTURE, arg=[output.element_handle(), old])
    lesson.take_picture("choice")


def test_a_quiz_is_answered_by_keyboard_alone(lesson):
    question = next(question for question in QUESTIONS if question.right)
    place = lesson.cell(f'quiz("{question.name}")')
    lesson.page.evaluate(SELECT, place)
    lesson.tab_to(RADIO)
    lesson.tab_to(RADIO)  # the second option
    lesson.page.keyboard.press("Space")
    lesson.tab_to("button")
    lesson.page.keyboard.press("Enter")
    reason = lesson.node(place).get_by_role("alert")
    reason.wait_for()
    assert question.lettered["B"].reason in reason.inner_text()
    lesson.take_picture("quiz")


def test_an_exercise_fails_with_a_hint_and_then_passes(lesson):
    place = lesson.cell('check("00-interval"')
    said = lesson.rewrite(place, WRONG)
    assert "Not yet" in said and SIGN in said
    lesson.take_picture("not-yet")
    assert "Passed" in lesson.rewrite(place, solution().replace(", solution=True", ""))
    lesson.take_picture("passed")


def test_the_console_of_the_browser_holds_no_error(lesson):
    assert lesson.complaints == []


def test_the_readme_shows_what_a_learner_sees(browser, lab):
    """A slider that is moved, a check with its hint, and the arrow: the README's picture, taken again."""
    lab.start_afresh()
    page = browser.new_page(viewport={"width": 1040, "height": 900}, device_scale_factor=2)
    lesson = Lesson(page, lab)
    lesson.open("01_layer_hierarchies")
    lesson.run_to(lesson.cell("widgets.slider("))
    output = lesson.output(SLIDER)
    old = output.locator("img").first.get_attribute("src")
    output.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(NEW_PICTURE, arg=[output.element_handle(), old])
    slider = picture_of(output)
    lesson.open("00_start_here")
    lesson.run_all()
    place = lesson.cell('check("00-interval"')
    assert "Not yet" in lesson.rewrite(place, WRONG)
    check = picture_of(lesson.node(place))
    page.close()
    whole = side_by_side(slider, check, Image.open(ROOT / "data/results/00_start_here.png"))
    shown = ROOT / "data" / "results" / "readme.png"
    if os.environ.get("COURSE_RENEW_REFERENCES") == "1":
        whole.quantize(256).save(shown, optimize=True)
    assert abs(whole.height / Image.open(shown).height - 1) < 0.1, "Look at it, then COURSE_RENEW_REFERENCES=1."


def picture_of(part):
    """A part of the page, as a picture."""
    part.scroll_into_view_if_needed()
    return Image.open(io.BytesIO(part.screenshot())).convert("RGB")


def side_by_side(slider, check, arrow, width=1600, gap=24):
    """The slider over the whole width, below it the check and the arrow, each under what one does with it."""
    half = (width - 3 * gap) // 2
    parts = [(slider, width - 2 * gap, "Move a slider: what does each stage see?"),
             (check, half, "Write code: a wrong answer gets a hint"),
             (arrow.convert("RGB"), half, "See it measured, with intervals")]
    parts = [(part.resize((wide, round(part.height * wide / part.width)), Image.Resampling.LANCZOS), words)
             for part, wide, words in parts]
    font, line = ImageFont.load_default(34), 60
    top = parts[0][0].height + line + gap
    whole = Image.new("RGB", (width, top + line + gap + max(part.height for part, _ in parts[1:])), "white")
    draw = ImageDraw.Draw(whole)
    for (part, words), corner in zip(parts, ((gap, 0), (gap, top), (2 * gap + half, top)), strict=True):
        draw.text((corner[0], corner[1] + 14), words, "#222222", font)
        whole.paste(part, (corner[0], corner[1] + line))
    return whole
