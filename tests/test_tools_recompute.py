"""The command `recompute`: what is missing or stale, what it costs, and what it needs first."""

import pytest
from studies import GRID, toy

from course_utils import registry
from course_utils.evidence.experiments import missing_runs, run_grid, run_study
from course_utils.grids.studies import STUDIES
from course_utils.tools import recompute

pytestmark = pytest.mark.usefixtures("at_once")
ALL = registry.studies()


# --- recompute ---


def test_the_list_says_what_is_missing_and_stale_and_what_it_costs(results, declared, capsys):
    study = declared()
    run_grid(toy, GRID, range(3), "toy")
    assert len(missing_runs(study, "toy")) == 12
    assert recompute.main(["toy", "--list"]) == 0
    said = capsys.readouterr().out
    assert "12 missing" in said and " 6 min" in said and " 12 min" in said
    declared(version=2)
    recompute.main(["toy", "--list"])
    assert "24 missing, 12 stale" in capsys.readouterr().out


def test_recompute_runs_what_is_missing(results, declared, capsys):
    declared()
    run_grid(toy, GRID, range(3), "toy")
    assert recompute.main(["toy"]) == 0 and "24 rows" in capsys.readouterr().out
    recompute.main(["toy", "--list"])
    assert "current" in capsys.readouterr().out


def test_recompute_asks_first_for_what_a_study_needs(results, declared, monkeypatch, capsys):
    monkeypatch.setitem(STUDIES, "first", declared())
    declared(needs=("first",))
    assert recompute.main(["toy"]) == 1
    assert "recompute first" in capsys.readouterr().err
    run_study(STUDIES["first"], "first")
    assert recompute.main(["toy"]) == 0


def test_stopping_by_hand_says_that_it_goes_on(results, declared, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    declared()
    monkeypatch.setattr(recompute, "run_study", stop)
    assert recompute.main(["toy"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_a_list_of_items_that_is_damaged_is_kept_and_named(results, declared, capsys):
    declared()
    (results / "items.csv").write_text("<<<<<<< HEAD\ntask,item,label,group\ntiles,0,2,7\n")
    before = (results / "items.csv").read_bytes()
    assert recompute.main(["toy"]) == 1
    said = capsys.readouterr().err
    assert "items.csv is no list of test items" in said and "git checkout" in said and len(said.splitlines()) <= 3
    assert (results / "items.csv").read_bytes() == before


def test_a_folder_that_may_not_be_written_is_said(results, declared, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "toy.csv")

    declared()
    monkeypatch.setattr(recompute, "run_study", refuse)
    assert recompute.main(["toy"]) == 1
    assert "Permission denied: 'toy.csv'\nMend that" in capsys.readouterr().err


def test_unknown_names_say_what_there_is(results, capsys):
    assert recompute.main(["nothing"]) == 1
    assert "lesson00" in capsys.readouterr().err


def test_every_needed_study_is_declared_before():
    names = list(ALL)
    for name, study in ALL.items():
        assert all(names.index(needed) < names.index(name) for needed in study.needs)
