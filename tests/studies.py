"""A made-up study, stored in a folder of its own; the fixtures reach the tests through conftest.py."""

import joblib
import numpy as np
import pytest

from course_utils.evidence.experiments import (
    HITS,
    Study,
    grid_of,
)
from course_utils.evidence.results import pack
from course_utils.grids.studies import STUDIES


def toy(seed: int, strategy: str, lr: float) -> dict:
    return {"accuracy": round(seed / 100 + lr, 6), "correct": pack(np.arange(12) < seed)}


GRID, SEEDS = grid_of(strategy=("a", "b"), lr=(1e-4, 0.03)), range(6)


@pytest.fixture
def at_once():
    """Runs take place in this process; that they get workers of their own has a test, and those take long to start."""
    with joblib.parallel_config(backend="sequential"):
        yield


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.evidence.results.RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def declared(results, monkeypatch):
    """A declared study of the toy, whose version a test may raise."""

    def declare(**changes):
        study = Study(toy, GRID, SEEDS, minutes=12, measures=HITS)._replace(**changes)
        monkeypatch.setitem(STUDIES, "toy", study)
        return study

    return declare
