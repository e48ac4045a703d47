"""Evaluation: what is counted, and that nothing moves."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from toys import digits_task, quick, same, small_net, state

from course_utils.data.splits import Split
from course_utils.device import CHUNK
from course_utils.errors import CourseError
from course_utils.training.evaluation import calibration_error, evaluate, score_from


@pytest.fixture(autouse=True)
def plain_numbers(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")


def test_a_ragged_last_batch_weighs_what_it_holds():
    model = small_net(pretrained=True)
    x = np.random.default_rng(0).integers(0, 256, (CHUNK + 1, 3, 32, 32), dtype=np.uint8)
    y = evaluate(model, Split(x, np.zeros(len(x), np.int64)), device="cpu").probabilities.argmax(1)
    y[-1] = (y[-1] + 1) % 10
    score = evaluate(model, Split(x, y), device="cpu")
    assert score.accuracy == pytest.approx(CHUNK / (CHUNK + 1), abs=1e-12)
    assert score.correct.tolist() == [True] * CHUNK + [False]
    assert repr(score) == f"accuracy {score.accuracy:.3f} (n = 257)"


def test_scores_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    scores, y = torch.randn(90, 4, generator=generator) * 2, torch.randint(0, 3, (90,), generator=generator)
    score = score_from(scores, y, ["a", "b", "c", "d"])
    assert score.accuracy == pytest.approx((scores.argmax(1) == y).double().mean().item())
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert score.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, scores.argmax(1)))
    assert score.loss == pytest.approx(log_loss(y, score.probabilities, labels=range(4)), rel=1e-5)
    assert score.probabilities.shape == (90, 4) and score.correct.dtype == bool
    assert list(score.per_class.index) == ["a", "b", "c", "d"] and score.per_class.n.tolist()[3] == 0
    assert math.isnan(score.per_class.recall["d"])
    hits = (score.per_class.recall * score.per_class.n).sum()
    assert hits == pytest.approx(score.correct.sum())


def test_calibration_error_by_hand():
    confidence = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.35, 0.35])
    correct = torch.tensor([True, True, True, False, True, False])
    by_hand = 4 / 6 * abs(0.75 - 0.95) + 2 / 6 * abs(0.5 - 0.35)
    assert calibration_error(confidence, correct) == pytest.approx(by_hand, abs=1e-6)
    assert calibration_error(torch.ones(5), torch.ones(5, dtype=torch.bool)) == 0
    edges = torch.arange(1, 16) / 15  # each the upper end of its own bin
    assert calibration_error(edges, torch.zeros(15, dtype=torch.bool)) == pytest.approx(
        edges.mean().item(), abs=1e-6
    )


def test_evaluate_leaves_the_model_as_it_was():
    model, task = small_net(pretrained=True), digits_task()
    model.train()
    model.stages["layer1"].eval()
    modes, before = [m.training for m in model.modules()], state(model)
    in_training_mode = evaluate(model, task.test, device="cpu")
    assert [m.training for m in model.modules()] == modes
    assert same(before, state(model))
    model.eval()
    assert np.array_equal(
        in_training_mode.probabilities, evaluate(model, task.test, device="cpu").probabilities
    )
    assert model.head.weight.grad is None


def test_what_evaluate_cannot_score():
    model, task = small_net(), digits_task()
    with pytest.raises(CourseError, match=r"task\.test"):
        evaluate(model, task)
    with pytest.raises(CourseError, match="empty"):
        evaluate(model, Split(task.test.x[:0], task.test.y[:0]))
    with pytest.raises(CourseError, match="10 outputs"):
        evaluate(model, Split(task.test.x[:2], np.array([0, 10])), device="cpu")
    model.head = None
    with pytest.raises(CourseError, match="no head"):
        evaluate(model, task.test)


def test_training_learns_and_names_the_classes():
    model, task = small_net(), digits_task(300)
    quick(model, task, "from_scratch", lr=1e-2, steps=80)
    score = evaluate(model, task.test, device="cpu")
    assert score.accuracy > 0.6  # chance is .1, and how far 80 steps get depends on the chip
    assert list(score.per_class.index) == task.classes
    assert score.per_class.n.sum() == 200
