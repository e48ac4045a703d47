"""Lesson 02's exercises: what is planted is what the solution finds; what `freeze` is judged by."""

import numpy as np
import torch
from torch import nn

from course_utils.lessons.lesson02.exercises.copies import copies, planted
from course_utils.lessons.lesson02.exercises.core import _tried, freeze


def test_two_copies_of_each_kind_are_planted_and_nothing_else_is_alike():
    for seed in range(20):
        train, test = planted(seed)
        found = copies(train, test)
        rows = test.reshape(len(test), -1).astype(float)
        table = np.corrcoef(rows, train.reshape(len(train), -1))[: len(test), len(test) :]
        gaps = [np.ptp(test[row].astype(int) - train[table[row].argmax()]) for row in found]
        assert len(found) == 6 and np.delete(table.max(axis=1), found).max() < 0.9
        assert sum(gap == 0 for gap in gaps) >= 2 and sum(gap > 20 for gap in gaps) >= 2
        assert sum(np.array_equal(test[row], train[table[row].argmax()]) for row in found) == 2


def test_a_loose_network_is_seen_to_move_and_a_frozen_one_not():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    loose = _tried(chain)
    freeze(chain)
    held = _tried(chain)
    assert len(loose["parameters that train"]) == 4 and "1.running_mean" in loose["run as a whole, it moves"]
    assert list(held.values()) == [[], [], True, [], True, True]
