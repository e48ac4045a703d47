"""The leak study: what its two networks share, which photographs count as leaked, and what is measured."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import load_results
from course_utils.data.downloads import find_data
from course_utils.data.tasks import Split, Task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence.results import unpack
from course_utils.lessons.lesson02 import leakage as leak
from course_utils.lessons.lesson02.figures import leaked_and_clean
from course_utils.pretraining import recipe as pretraining
from course_utils.pretraining import tiny_imagenet
from course_utils.tools.run import ROOT

needs_source = pytest.mark.skipif(
    find_data(tiny_imagenet.ZIP) is None, reason=f"{tiny_imagenet.ZIP} is not in COURSE_DATA_DIR"
)
PICTURES = np.random.default_rng(0).integers(0, 256, (30, 3, 64, 64), dtype=np.uint8)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A source of three classes beside the bees, six pictures each, one of them on the list of dropped ones."""
    with zipfile.ZipFile(tmp_path / tiny_imagenet.ZIP, "w") as archive:
        for c, wnid in enumerate(("n01", "n02", "n03", tiny_imagenet.LEFT_OUT)):
            for k in range(6):
                stream = io.BytesIO()
                Image.fromarray(PICTURES[6 * c + k].transpose(1, 2, 0)).save(stream, "png")
                archive.writestr(f"t/train/{wnid}/images/{wnid}_{k}.png", stream.getvalue())
        archive.writestr("t/words.txt", "".join(f"{w}\tthing\n" for w in ("n01", "n02", "n03")))
    dropped = tmp_path / "dropped.csv"
    dropped.write_text("image,class,task,correlation\nn02_3,n02,ants_bees,0.97\n")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    for name, value in {"CLASSES": 3, "DROPPED": dropped, "WIDTHS": (2, 2, 2, 4), "EPOCHS": 4}.items():
        monkeypatch.setattr(leak, name, value)
    monkeypatch.setattr(pretraining, "BATCH", 8)


def test_a_pair_shares_all_classes_but_one_and_no_other_picture_of_a_task(small):
    (with_bees, y), (without, other_y) = (leak._source(0, source) for source in leak.SOURCES)
    shared, other = int((y < 2).sum()), int((other_y < 2).sum())
    assert shared == other and np.array_equal(with_bees[:shared], without[:shared])
    assert np.array_equal(with_bees[shared:], PICTURES[18:24]) and set(y) == set(other_y) == {0, 1, 2}
    assert len(without) == 17 and not (without == PICTURES[9]).all((1, 2, 3)).any()
    assert not any((without == bee).all((1, 2, 3)).any() for bee in PICTURES[18:24])


def test_other_pairs_draw_other_classes(small):
    firsts = {leak._arrays(pair)["other_x"].tobytes() for pair in range(6)}
    assert len(firsts) > 1


def test_a_photograph_is_leaked_however_the_source_cut_it(small, monkeypatch):
    ours = {"centre": PICTURES[[24, 18, 25]], "squash": PICTURES[[26, 27, 20]]}
    monkeypatch.setattr(leak.photographs, "ants_bees", lambda size, crop: (None, (ours[crop], None)))
    assert leak.leaked_bees().tolist() == [False, True, True]


def test_networks_of_a_pair_start_alike_and_are_trained_once(small, monkeypatch):
    assert all(torch.equal(a, b) for a, b in zip(leak._new(1).parameters(), leak._new(1).parameters(), strict=True))
    first = leak.pretrained(0, "bee")
    assert not torch.equal(first.head.weight, leak._new(0).head.weight) and first.has_statistics
    monkeypatch.setattr(leak, "train", None)
    again = leak.pretrained(0, "bee")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_shares_are_taken_over_the_right_photographs(monkeypatch):
    """Features that tell ants from clean bees, and call leaked bees ants."""
    y = np.repeat([0, 1], 90)
    train, test = Split(np.zeros(180), y), Split(np.ones(10), np.repeat([0, 1], 5))
    leaked = np.arange(10) >= 7
    sign = np.where((test.y == 1) & ~leaked, 1.0, -1.0)[:, None]
    monkeypatch.setattr(leak, "extract", lambda _, x: sign if x[0] else 2.0 * y[:, None] - 1)
    found = leak.rights(None, Task("toy", ["ants", "bees"], train, test, True), leaked)
    assert found == {"accuracy": 0.7, "leaked_bees": 0.0, "clean_bees": 1.0, "ants": 1.0}


def test_without_the_source_one_is_sent_to_the_stored_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataUnavailable, match="load_results") as caught:
        leak._zip()
    assert isinstance(caught.value, CourseError) and len(str(caught.value).splitlines()) <= 3


def test_stored_rows_are_whole_and_the_lab_quotes_them():
    runs = load_results("leak")
    assert sorted(zip(runs.seed, runs.pretrained_with, strict=True)) == sorted(
        (pair, source) for pair in leak.PAIRS for source in leak.SOURCES
    )
    leaked = unpack(runs["copies"], 153)
    assert set(leaked.sum(1)) == {25} and not leaked[:, :70].any()  # the first 70 test photographs are ants
    total = (70 * runs.ants + 25 * runs.leaked_bees + 58 * runs.clean_bees) / 153
    assert np.allclose(total, runs.accuracy, atol=2e-4)
    assert leaked_and_clean(runs).words.count(" to ") == 1 + 2 * len(leak.PAIRS)
    lab = ROOT / "notebooks" / "source" / "02_lab.py"
    assert "25 of the 83" in " ".join(lab.read_text(encoding="utf-8").replace("\n# ", " ").split())


@needs_source
def test_the_leaked_bees_are_found_again():
    stored = unpack(load_results("leak")["copies"][:1], 153)[0]
    assert np.array_equal(leak.leaked_bees(), stored)
