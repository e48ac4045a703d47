"""What many tests need: small models and tasks, seconds, no weights, no files; and what a clear error is."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from course_utils.data.splits import Split, Task
from course_utils.errors import CourseError
from course_utils.models.backbones import PhotoNet
from course_utils.training.fit import fit
from course_utils.training.freezing import estimate_batch_norm


def digits_task(n=80, classes=10, photographs=False):
    """`n` training and 200 test digits of 32 px, of the first `classes` classes."""
    bunch = load_digits()
    rows = np.flatnonzero(bunch.target < classes)
    x = (bunch.images[rows] / 16 * 255).astype(np.uint8).repeat(4, 1).repeat(4, 2)[:, None].repeat(3, 1)
    y = bunch.target[rows].astype(np.int64)
    train, test = Split(x[:n], y[:n]), Split(x[-200:], y[-200:])
    return Task("toy digits", [f"digit {i}" for i in range(classes)], train, test, photographs, "")


def small_net(classes=10, seed=0, pretrained=False):
    """A PhotoNet a sixteenth as wide; `pretrained` only says so, and gives it statistics to hold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PhotoNet(widths=(4, 8, 8, 16))
        model.head = torch.nn.Linear(16, classes)
        if pretrained:
            model.pretrained = model.has_statistics = True
            estimate_batch_norm(model, torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8))
    return model


def quick(model, task, strategy="fine_tuning", **settings):
    """A short, silent `fit` on the CPU."""
    return fit(model, task, strategy, **({"steps": 6, "device": "cpu", "progress": False} | settings))


def state(module):
    """A copy of all weights and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    """Whether two states are equal bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name].cpu(), b[name].cpu()) for name in a)


def refused(call, said):
    """`call` ends in an error of the course that says `said`, a regular expression, in at most three lines."""
    with pytest.raises(CourseError, match=said) as error:
        call()
    assert str(error.value).count("\n") <= 2
