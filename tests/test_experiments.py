"""Stored experiments: resumed after a kill with nothing lost or doubled, stale rows refused; intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from course_utils import experiments
from course_utils.errors import CourseError
from course_utils.evidence import mean_interval, times_fewer
from course_utils.experiments import Study, grid_of, load_results, pack, run_grid
from course_utils.studies import STUDIES, pool_task


def toy(seed: int, strategy: str, lr: float) -> dict:
    return {"accuracy": round(seed / 100 + lr, 6), "correct": pack(np.arange(12) < seed)}


RUNS = grid_of(seed=range(4), strategy=("a", "b"), lr=(1e-4, 0.03))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    return tmp_path


def test_a_grid_is_stored_whole_and_read_back(results):
    table = run_grid(Study(toy, RUNS), "toy")
    assert len(table) == len(RUNS)
    assert not table.duplicated(["seed", "strategy", "lr"]).any()
    assert np.allclose(table.accuracy, table.seed / 100 + table.lr)
    assert {"seconds", "version", "weights", "torch", "machine", "commit"} <= set(table.columns)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.77, 0.99])
def test_a_file_cut_short_anywhere_is_completed(results, cut):
    whole = run_grid(Study(toy, RUNS), "toy")
    path = results / "toy.csv"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    again = run_grid(Study(toy, RUNS), "toy")
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), again.drop(columns="seconds"))


def test_finished_runs_are_not_run_again(results):
    run_grid(Study(toy, RUNS), "toy")
    before = (results / "toy.csv").read_bytes()
    run_grid(Study(toy, RUNS), "toy")
    assert (results / "toy.csv").read_bytes() == before


def test_rows_of_another_version_are_replaced_and_refused(results):
    run_grid(Study(toy, RUNS), "toy")
    with pytest.raises(CourseError, match="recompute toy"):
        load_results("toy", version=2)
    assert set(run_grid(Study(toy, RUNS[:3], version=2), "toy")["version"]) == {2}


def test_rows_of_other_weights_are_stale(results, monkeypatch):
    run_grid(Study(toy, RUNS), "toy")
    monkeypatch.setattr(experiments, "_weights", lambda: "another")
    assert set(run_grid(Study(toy, RUNS), "toy")["weights"]) == {"another"}


def test_unknown_names_say_what_there_is(results, capsys):
    with pytest.raises(CourseError, match="recompute nothing"):
        load_results("nothing")
    assert experiments.main(["nothing"]) == 1
    assert "lesson00" in capsys.readouterr().err


def test_packed_answers_come_back():
    right = np.random.default_rng(0).random(153) < 0.7
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(pack(right)), np.uint8))[:153]
    assert (bits.astype(bool) == right).all()


@pytest.mark.parametrize("name", list(STUDIES))
def test_shipped_results_are_whole_and_current(name):
    study = STUDIES[name]
    table = load_results(name, study.version)
    names = list(study.runs[0])
    wanted = pd.DataFrame(study.runs)[names].sort_values(names, ignore_index=True)
    stored = table[names].sort_values(names, ignore_index=True)
    pd.testing.assert_frame_equal(stored, wanted, check_dtype=False)
    assert set(table["weights"]) == {experiments._weights()}


def test_tuning_never_sees_the_test_split():
    task = pool_task("digits", per_class=5, seed=100)
    real = {picture.tobytes() for picture in __import__("course_utils").load_task("digits").test.x}
    assert not real & {picture.tobytes() for split in (task.train, task.test) for picture in split.x}
    assert not {p.tobytes() for p in task.train.x} & {p.tobytes() for p in task.test.x}


# --- intervals ---


def test_the_interval_is_students_t():
    values = np.array([0.61, 0.7, 0.66, 0.72, 0.64])
    mean, low, high, n = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert (mean, n) == (pytest.approx(values.mean()), 5)


def test_one_value_has_no_interval():
    assert np.isnan(mean_interval([0.5])[1:3]).all()


def curve(method, control, noise=0.0, sizes=(2, 5, 10, 20, 40, 80)):
    draw = np.random.default_rng(0)
    rows = [
        {"strategy": name, "per_class": n, "seed": seed, "accuracy": f(n) + noise * draw.standard_normal()}
        for name, f in (("method", method), ("control", control))
        for n in sizes
        for seed in range(10)
    ]
    return pd.DataFrame(rows)


def test_times_fewer_reads_off_the_crossing():
    table = curve(lambda n: 0.5 + 0.1 * np.log2(n), lambda n: 0.4 + 0.08 * np.log2(n) + 0.0001, noise=0.003)
    fewer = times_fewer(table, "method", "control")
    level = 2 ** ((0.4 + 0.08 * np.log2(80) - 0.5) / 0.1)
    assert fewer.examples == pytest.approx(level, rel=0.03)
    assert fewer.factor == pytest.approx(80 / fewer.examples)
    assert fewer.low < fewer.factor < fewer.high


def test_times_fewer_at_the_ends():
    always = times_fewer(curve(lambda n: 0.9, lambda n: 0.5, 0.001), "method", "control")
    never = times_fewer(curve(lambda n: 0.4, lambda n: 0.5, 0.001), "method", "control")
    assert always.examples == 0 and always.factor == float("inf")
    assert never.examples == float("inf") and never.factor == 0
