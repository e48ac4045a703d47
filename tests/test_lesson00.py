"""What lesson 00, the README and the defaults say, held against the stored rows."""

import base64
import re
from pathlib import Path

import nbformat
import pytest

from course_utils.evidence import mean_interval, times_fewer
from course_utils.experiments import load_results
from course_utils.strategies import DEFAULTS
from course_utils.studies import TRYING

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def gap(table, a, b):
    """The interval of a - b in accuracy, paired by seed."""
    wide = table.pivot(index="seed", columns="strategy", values="accuracy")
    return mean_interval(wide[a] - wide[b])


@pytest.fixture(scope="module")
def runs():
    return load_results("lesson00")


@pytest.fixture(scope="module")
def fewer(runs):
    curves = runs[(runs.steps == 100) & (runs.strategy != "fine_tuning") & (runs.seed < 10)]
    return times_fewer(curves, "feature_extraction", "from_scratch")


def test_the_primary_claim_holds_in_the_stored_rows(runs):
    at_ten = runs[(runs.per_class == 10) & (runs.seed < 10)]
    arms = at_ten[(at_ten.strategy == "feature_extraction") | (at_ten.steps == 400)]
    assert gap(arms, "feature_extraction", "from_scratch").low > 0


def test_readme_and_lesson_state_the_measured_factor(fewer):
    stated = f"{fewer.factor:.0f} times fewer"
    said = "".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    assert stated in README and stated in said


def test_readme_states_the_lessons_minutes():
    minutes = re.search(r" · (\d+) min", NOTEBOOK.cells[0].source)[1]
    row = next(line for line in README.splitlines() if "](notebooks/00_start_here.ipynb)" in line)
    assert f"| {minutes} |" in row


def test_the_readmes_figure_is_the_lessons():
    path = re.search(r"!\[[^\]]+\]\(([^)]+\.png)\)", README)[1]
    pictures = [
        output.data["image/png"]
        for cell in NOTEBOOK.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert (ROOT / path).read_bytes() in [base64.b64decode(picture) for picture in pictures]


def test_two_of_the_twenty_seeds_crown_opposite_winners(runs):
    at_ten = runs[(runs.per_class == 10) & (runs.steps == 100)]
    wide = at_ten.pivot(index="seed", columns="strategy", values="accuracy")
    difference = wide["feature_extraction"] - wide["fine_tuning"]
    assert len(difference.dropna()) == 20 and difference.min() < 0 < difference.max()


def test_ants_and_bees_with_everything_as_it_comes():
    """Feature extraction leads, by .080 and not by the .10 that the study hoped for: .763 against .684."""
    table = load_results("ants_bees_64")
    lead = gap(table, "feature_extraction", "from_scratch")
    assert lead.low > 0.05 and table[table.strategy == "feature_extraction"].accuracy.mean() > 0.75


@pytest.mark.parametrize("task", TRYING)
@pytest.mark.parametrize("strategy", DEFAULTS)
def test_defaults_are_close_to_the_best_rate_on_tasks_that_did_not_choose_them(task, strategy):
    table = load_results("defaults").query("task == @task and strategy == @strategy")
    means = table.groupby("lr")["accuracy"].mean()
    assert means[DEFAULTS[strategy][1]] >= means.max() - 0.03
