"""The documents for maintainers and strangers: what they name is there, and what they show runs."""

import re

import pandas as pd
import pytest

from course_utils import ROOT
from course_utils.evidence import load_results, paired_difference
from course_utils.evidence.results import ITEMS, RESULTS, settings_of

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "data/README.md", "data/weights/README.md", "data/results/README.md",
             "course_utils/pretraining/model_card.py"]
PATH = re.compile(r"`((?:course_utils|tests|data|notebooks|binder)/[\w./]*)`")
RESULTS_PAGE = RESULTS / "README.md"
FILES = sorted(RESULTS.glob("*.csv"))
RUNS = [path for path in FILES if path.stem != ITEMS]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_a_document_names_are_there(document):
    found = PATH.findall((ROOT / document).read_text(encoding="utf-8"))
    assert [path for path in found if "NN" not in path and not (ROOT / path).exists()] == []


def test_a_lesson_has_the_parts_that_the_contributing_page_names():
    named = [path for path in PATH.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) if "NN" in path]
    assert "course_utils/lessons/lessonNN/" in named
    rooms = [path.replace("NN", number) for path in named if "lessons" in path for number in ("00", "01", "02")]
    assert all((ROOT / room).exists() or (ROOT / f"{room}.py").exists() for room in rooms)


def test_the_results_page_names_every_file_and_no_other():
    named = re.findall(r"^\| `(\w+\.csv)` \|", RESULTS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == [path.name for path in FILES]


def test_primary_claims_stand_where_the_results_page_says():
    rows = re.findall(r"^\| `(\w+)\.csv` .*\| `([\w/]+\.py)` \|$", RESULTS_PAGE.read_text(encoding="utf-8"),
                      re.MULTILINE)
    assert len(rows) >= 6
    for name, module in rows:
        body = (ROOT / "course_utils" / module).read_text(encoding="utf-8").split(f"def {name}(")[1]
        assert "Primary claim" in body.split("\ndef ")[0], name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_columns_are_explained(path):
    page = RESULTS_PAGE.read_text(encoding="utf-8")
    assert [column for column in pd.read_csv(path).columns if f"`{column}`" not in page] == []


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_settings_come_once(path):
    table = pd.read_csv(path)
    assert not table.duplicated(settings_of(table)).any()


def test_the_page_s_own_code_unpacks_hits_and_finds_the_lesson_s_verdict(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", RESULTS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec("\n".join(blocks), {})
    runs = load_results("lesson00").query("per_class == 10 and strategy in ['feature_extraction', 'from_scratch']")
    arms = runs.query("not (strategy == 'from_scratch' and steps == 100)")
    ours = paired_difference(arms, "feature_extraction", "from_scratch")
    said = f"{ours.mean:+.3f} (95 % interval {ours.low:+.3f} to {ours.high:+.3f})"
    assert f"{said}, {ours.n} seeds, {ours.groups} groups" in capsys.readouterr().out
