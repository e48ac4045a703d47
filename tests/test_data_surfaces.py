"""Textures and defects: cut from photographs of the packages, left for training and right for testing."""

import numpy as np
import pytest
from machines import whole
from PIL import Image

from course_utils.data import surfaces
from course_utils.errors import DataUnavailable

# --- textures and defects ---


@pytest.mark.parametrize("make", [surfaces.textures, surfaces.defects])
def test_the_two_sides_of_a_photograph_share_no_column(make, monkeypatch):
    """Each photograph is replaced by one whose brightness is its column, with a little noise."""
    noise = np.random.default_rng(0).integers(-8, 9, (200, 500))
    ramp = Image.fromarray(np.clip(np.linspace(20, 230, 500)[None] + noise, 0, 255).astype(np.uint8)).convert("RGB")
    monkeypatch.setattr(surfaces, "photograph", lambda name: ramp)
    monkeypatch.setattr(surfaces, "TEXTURES_COUNT", {"train": 30, "test": 30})
    monkeypatch.setattr(surfaces, "DEFECTS_COUNT", {"train": (40, 0), "test": (40, 0)})
    crops = []
    original = surfaces._patch

    def remember(side, rng, length):
        crops.append(original(side, rng, length))
        return crops[-1]

    monkeypatch.setattr(surfaces, "_patch", remember)
    ends = {}
    for part in ("train", "test"):
        crops.clear()
        make(part, 16)
        columns = [np.asarray(crop.convert("L"), float).mean(0) for crop in crops]
        ends[part] = min(c.min() for c in columns), max(c.max() for c in columns)
    assert ends["train"][1] + 5 < ends["test"][0]


def test_all_fourteen_photographs_are_in_the_packages(monkeypatch):
    assert len(surfaces.PHOTOGRAPHS) == 14
    assert all(min(surfaces.photograph(name).size) >= 300 for name in surfaces.PHOTOGRAPHS)
    monkeypatch.setitem(surfaces.PHOTOGRAPHS, "brick", "no-such-file.png")
    surfaces.photograph.cache_clear()
    with pytest.raises(DataUnavailable, match="setup"):
        surfaces.photograph("brick")


def test_defects_are_twenty_to_one_and_can_be_seen(warm_cache):
    task = whole("defects")
    for split in (task.train, task.test):
        counts = np.bincount(split.y)
        assert (counts[0] / counts[1:] == 20).all()
    for name, draw in surfaces._DRAW.items():
        changes = np.stack([draw(np.random.default_rng(k), 64) for k in range(60)])
        visible = (np.abs(changes) > 25).mean((1, 2))
        assert np.median(visible) > 0.006 and visible.max() < 0.25, name
