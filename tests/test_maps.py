"""Maps of pictures: whose neighbours are alike, which pictures are laid on them, and what a figure says of it."""

import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox

from course_utils.errors import CourseError
from course_utils.lessons.lesson02.figures import embeddings as maps

CLASSES = ["brick", "cat", "rocket"]


def places(apart=10.0, seed=0):
    """Sixty points of three classes, half of them from the right side: `apart` says how far classes lie apart."""
    y, right = np.repeat([0, 1, 2], 20), np.tile([False, True], 30)
    return np.random.default_rng(seed).normal(size=(60, 2)) + apart * y[:, None], y, right


def pictures():
    return np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)


def laid(figure):
    """How many pictures lie on each map."""
    return [sum(isinstance(part, AnnotationBbox) for part in ax.get_children()) for ax in figure.axes]


def test_neighbours_are_counted_among_the_other_side_alone():
    found, y, right = places(100.0)
    assert maps.neighbour_share(found, y, right) == 1.0
    moved = found + np.where(right & (y == 0), 100.0, 0.0)[:, None]  # the right bricks now lie among the cats
    assert maps.neighbour_share(moved, y, right) == pytest.approx(2 / 3)
    moved = found + np.where(~right & (y == 0), 1000.0, 0.0)[:, None]  # bricks only among left and right themselves
    assert maps.neighbour_share(moved, y, right) == pytest.approx(2 / 3)


def test_the_share_is_that_of_a_loop():
    found, y, right = places(1.0)
    same = []
    for k in np.flatnonzero(right):
        left = np.flatnonzero(~right)
        near = left[np.argsort(np.linalg.norm(found[left] - found[k], axis=1))[:5]]
        same += list(y[near] == y[k])
    assert maps.neighbour_share(found, y, right) == pytest.approx(np.mean(same))


def test_one_picture_of_each_class_and_side_stands_in_its_middle():
    found, y, right = places()
    chosen = maps._middles(found, y, right)
    assert sorted(zip(y[chosen], right[chosen], strict=True)) == [(k, s) for k in range(3) for s in (False, True)]
    for k in chosen:
        group = (y == y[k]) & (right == right[k])
        centre = np.median(found[group], axis=0)
        assert np.linalg.norm(found[k] - centre) < 1.0


def test_a_class_that_is_asked_for_is_shown_with_all_its_pictures():
    found, y, right = places()
    every = {"one": found, "two": found[::-1].copy(), "three": found}
    whole, cats = (maps.picture_maps(every, pictures(), y, right, CLASSES, shown) for shown in (None, "cat"))
    assert laid(whole)[:3] == [6, 6, 6] and laid(cats)[:3] == [20, 20, 20]
    assert "all patches of cat" in cats.words and "one 1.00" in cats.words


@pytest.mark.parametrize(("shown", "count", "said"), [("dog", 60, "no class 'dog'"), (None, 59, "60 x 2")])
def test_what_cannot_be_shown_gets_a_short_error(shown, count, said):
    found, y, right = places()
    with pytest.raises(CourseError, match=said) as error:
        maps.picture_maps({"one": found[:count]}, pictures(), y, right, CLASSES, shown)
    assert len(str(error.value).splitlines()) <= 3
