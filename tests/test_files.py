"""Files that are never half-written, whatever ends the writing."""

import os

import pytest

from course_utils.files import DAY, replacing


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("half")
        assert path.read_text() == "old" and beside.parent == tmp_path
        beside.write_text("whole")
    assert path.read_text() == "whole" and os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_what_ends_the_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path, kind):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(kind), replacing(path) as beside:
        beside.write_text("half")
        raise kind
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.csv"]


def test_two_writers_at_once_do_not_share_a_file(tmp_path):
    path = tmp_path / "a.csv"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["a.csv"]


def test_what_a_kill_left_behind_goes_a_day_later(tmp_path):
    path, left, fresh = tmp_path / "a.csv", tmp_path / ".a.csv.0123.part", tmp_path / ".a.csv.4567.part"
    for file in (left, fresh):
        file.write_text("half")
    os.utime(left, (0, left.stat().st_mtime - DAY - 1))
    with replacing(path) as beside:
        beside.write_text("whole")
    assert not left.exists() and fresh.exists()
