"""Where a copy of the course lives on GitHub, set everywhere at once: the command `address`."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from course_utils.errors import CourseError
from course_utils.tools.build import write_if_new
from course_utils.tools.run import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "CITATION.cff")
PLACEHOLDER = "OWNER/REPOSITORY"  # in texts, for what a reader fills in
BADGE = re.compile(r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/")


def set_address(copy: str, root: Path = ROOT) -> list[str]:
    """Point every link to the course's own repository, Binder's badge among them, at `copy`; the pages that changed.

    Raises:
        CourseError: `copy` is no owner and name, a page cannot be read or written, or README.md has no badge.
    """
    copy = copy.removeprefix("https://github.com/").removesuffix(".git").strip("/")
    if not re.fullmatch(r"[a-zA-Z0-9-]+/(?!\.+$)[a-zA-Z0-9._-]+", copy) or copy == PLACEHOLDER:
        raise CourseError(f"{copy!r} is no address of a copy.\nGive its owner and its name, such as jane/transfer.")
    try:
        texts = {page: (root / page).read_text(encoding="utf-8") for page in PAGES}
        if not (badge := BADGE.search(texts["README.md"])):
            raise CourseError("README.md has no Binder badge, which says where the course lives now.\n"
                              "Take README.md from the course again: git checkout README.md")  # fmt: skip
        links = re.compile(rf"(mybinder\.org/v2/gh/|github\.com/){re.escape(badge[1])}(?![\w-]|\.\w)")
        new = {page: links.sub(rf"\g<1>{copy}", text) for page, text in texts.items()}
        changed = [page for page in PAGES if new[page] != texts[page]]
        for page in changed:
            write_if_new(root / page, new[page].encode())
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"A page cannot be read or written: {error}.\nMend it, then run this again.") from error
    return changed


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils address", description=__doc__)
    parser.add_argument("copy", metavar=PLACEHOLDER, help="your copy on GitHub")
    options = parser.parse_args(arguments)
    try:
        changed = set_address(options.copy, root)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Changed: {', '.join(changed)}. Commit and push them." if changed else "Every link names it already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
