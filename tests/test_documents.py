"""The documents for maintainers and strangers: what they name is there, and what they show runs."""

import inspect
import re

import pandas as pd
import pytest

from course_utils import ROOT, registry
from course_utils.evidence import load_results, paired_difference
from course_utils.evidence.items import measure_of
from course_utils.evidence.results import ITEMS, RESULTS, settings_of
from course_utils.lessons.lesson00.fewer import times_fewer
from course_utils.lessons.lesson01.stages import probed, stages_of
from course_utils.lessons.lesson02.compared import gap, ways_to_use
from course_utils.lessons.lesson02.epoch_selection import reported
from course_utils.plots.comparisons import TASKS

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
    first = re.findall(r"^\| (`\w+\.csv`[^|]*) \|", RESULTS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"\w+\.csv", " ".join(first))
    assert sorted(named) == [path.name for path in FILES]


def test_primary_claims_stand_where_the_results_page_says():
    rows = re.findall(r"^\| `(\w+)\.csv` .*\| `([\w/]+\.py)` \|$", RESULTS_PAGE.read_text(encoding="utf-8"),
                      re.MULTILINE)
    assert len(rows) >= 6
    for name, module in rows:
        function = registry.study(name).function
        assert inspect.getsourcefile(function) == str(ROOT / "course_utils" / module)
        assert "Primary claim" in function.__doc__, name


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


def of_lesson00():
    rows = load_results("lesson00").query("per_class == 10 and not (strategy == 'from_scratch' and steps == 100)")
    return paired_difference(rows, "feature_extraction", "from_scratch")


def of_stages():
    rows = load_results("stages").query("task == 'letters' and per_class == 10 and positions == 1")
    return paired_difference(rows[rows["network"] == "pretrained"], "layer3", "layer4", on="stage")


def of_stages_lite0():
    rows = probed("stages_lite0").query("task == 'letters' and network == 'pretrained'")
    return paired_difference(rows, rows["chosen"].iloc[0], "last", on="stage")


def of_transfer(network):
    return gap(ways_to_use(network), "letters", 10)


def of_optimism():
    halves = reported(load_results("optimism"), [76]).query("strategy == 'fine_tuning' and per_class == 40")
    return paired_difference(halves, "the same photographs", "other photographs", on="reported_on")


PROMISES = {  # (study, network) -> the difference that its primary claim is about, and what it must exceed
    ("lesson00", "PhotoNet"): (of_lesson00, 0),
    ("ants_bees_64", "PhotoNet"): (
        lambda: paired_difference(load_results("ants_bees_64"), "feature_extraction", "from_scratch"), 0.1),
    ("stages", "PhotoNet"): (of_stages, 0),
    ("stages_lite0", "EfficientNet-Lite0"): (of_stages_lite0, 0),
    ("transfer", "PhotoNet"): (lambda: of_transfer("photonet"), 0),
    ("transfer_photonets", "photonet-1"): (lambda: of_transfer("photonet-1"), 0),
    ("transfer_photonets", "photonet-2"): (lambda: of_transfer("photonet-2"), 0),
    ("transfer_lite0", "EfficientNet-Lite0"): (lambda: of_transfer("efficientnet_lite0"), 0),
    ("optimism", "PhotoNet"): (of_optimism, 0),
}  # fmt: skip
PROMISED = re.findall(
    r"^\| `(\w+)` \| [^|]+ \| ([\w-]+) \| ([^|]+) \| (\w+) \|$", RESULTS_PAGE.read_text(encoding="utf-8"), re.MULTILINE
)


def said(effect):
    mean, low, high = (100 * value for value in effect[:3])
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def test_the_results_page_tells_what_came_of_every_promise():
    assert [(study, network) for study, network, *_ in PROMISED] == list(PROMISES)
    for study, network, measured, verdict in PROMISED:
        effect, least = PROMISES[study, network][0](), PROMISES[study, network][1]
        assert measured == said(effect), study
        assert verdict == ("holds" if effect.low > least else "refuted" if effect.high < least else "unknown"), study


def of_fewer():
    runs = load_results("lesson00").query("not (strategy == 'from_scratch' and steps == 100)")
    for control in ("from_scratch", "untrained_frozen"):
        found = times_fewer(runs, "feature_extraction", control)
        yield f"{found.factor:.0f} times fewer", f"{found.low:.0f} or more"


def of_the_stem(study):
    stems = probed(study).query("stage == 'stem' and task != 'textures'")
    for task, rows in stems.groupby("task"):
        gain = paired_difference(rows, "pretrained", "untrained", on="network", measure=measure_of(task))
        yield f"{TASKS[task]} {said(gain)}"


def of_the_last(study):
    trained = probed(study).query("network == 'pretrained' and task != 'textures'")
    for task, rows in trained.groupby("task"):
        chosen, last, told = rows["chosen"].iloc[0], stages_of(rows)[-1], ""
        if chosen != last:
            told = f" {said(paired_difference(rows, chosen, last, on='stage', measure=measure_of(task)))}"
        yield f"{TASKS[task]} {chosen}{told}"


def of_freezing(network):
    rows = ways_to_use(network)
    for task, part in rows.groupby("task"):
        sizes = sorted(part["per_class"].unique())
        gaps = ", ".join(said(gap(rows, task, size)) for size in sizes)
        yield f"{TASKS[task]} ({', '.join(map(str, sizes))}): {gaps}"


RULES = {  # what people say begins so -> what the two networks' cells must tell
    '"Transfer needs': (lambda: [word for pair in of_fewer() for word in pair], list),
    '"Early layers': (lambda: of_the_stem("stages"), lambda: of_the_stem("stages_lite0")),
    '"Late layers': (lambda: of_the_last("stages"), lambda: of_the_last("stages_lite0")),
    '"Below 500': (lambda: of_freezing("photonet"), lambda: of_freezing("efficientnet_lite0")),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_results_page_tells_each_rule_on_both_networks(rule):
    (line,) = (line for line in RESULTS_PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {rule}"))
    cells = line.split(" | ")[1:3]
    for cell, told in zip(cells, RULES[rule], strict=True):
        assert [words for words in told() if words not in cell] == []
        assert cell.count("[") == sum(words.count("[") for words in told())
