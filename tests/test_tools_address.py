"""The command `address`: every link to the course's own repository, set at once."""

import shutil

import pytest

from course_utils.tools.address import PAGES, main
from course_utils.tools.run import ROOT


@pytest.fixture
def copy(tmp_path):
    for page in PAGES:
        shutil.copy(ROOT / page, tmp_path)
    return tmp_path


def texts(folder):
    return {page: (folder / page).read_text(encoding="utf-8") for page in PAGES}


@pytest.mark.parametrize("given", ["jane/transfer", "https://github.com/jane/transfer", "https://github.com/jane/transfer.git"])
def test_every_link_is_pointed_at_the_copy(copy, capsys, given):
    assert main([given], copy) == 0 and "README.md" in capsys.readouterr().out
    after = texts(copy)
    assert "mybinder.org/v2/gh/jane/transfer/" in after["README.md"]
    assert all("OWNER/REPOSITORY" not in text.replace("address OWNER/REPOSITORY", "") for text in after.values())
    assert main([given], copy) == 0 and "already" in capsys.readouterr().out and texts(copy) == after


@pytest.mark.parametrize("given", ["jane", "https://example.org/jane/transfer", "jane/transfer/tree/main", "",
                                   "OWNER/REPOSITORY", "https://github.com/OWNER/REPOSITORY"])
def test_what_is_no_copy_is_refused_and_nothing_changes(copy, capsys, given):
    before = texts(copy)
    assert main([given], copy) == 2 and texts(copy) == before
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda page: page.unlink(), "cannot be read"),
    (lambda page: page.write_bytes(b"\xff\xfe"), "cannot be read"),
    (lambda page: page.write_text("# A course\n"), "no Binder badge"),
])
def test_a_page_that_is_gone_or_spoilt_is_named(copy, capsys, spoil, says):
    spoil(copy / "README.md")
    assert main(["jane/transfer"], copy) == 2
    said = capsys.readouterr().err
    assert says in said and len(said.splitlines()) == 2
