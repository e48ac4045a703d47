"""Copies of the lessons for a class, with or without the solutions: the command `handout`."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import nbformat
from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode

from course_utils.errors import CourseError
from course_utils.tools.build import write_if_new
from course_utils.tools.kernels import read_notebook
from course_utils.tools.run import ROOT, chosen, lessons

SOLUTION = "solution"  # the tag of a cell that only a teacher's copy holds
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?:\]\(<?|\b(?:href|src)=[\"'])([^)\s>\"'#]+)")
ADDRESS = re.compile(r"[a-z][a-z+.-]+:|/")


def local_links(markdown: str) -> Iterator[re.Match[str]]:
    """What a text links to on this machine, as group 1 of each match; what stands in code is no link."""
    blanked = CODE.sub(lambda code: " " * len(code[0]), markdown)  # as long, so that positions stay
    return (found for found in LINK.finditer(blanked) if not ADDRESS.match(found[1]))


def copy_lesson(path: Path, solutions: bool) -> tuple[NotebookNode, int]:
    """The notebook at `path` without its solutions, or with all of them unfolded; how many cells those are.

    Raises `CourseError` when the file is no notebook.
    """
    notebook = read_notebook(path)
    solved = [cell for cell in notebook.cells if SOLUTION in cell.metadata.get("tags", [])]
    if not solutions:
        return TagRemovePreprocessor(remove_cell_tags={SOLUTION}).preprocess(notebook, {})[0], len(solved)
    for cell in solved:
        cell.metadata.get("jupyter", {}).pop("source_hidden", None)
    return notebook, len(solved)


def gather_links(notebook: NotebookNode, root: Path) -> dict[Path, bytes]:
    """The files outside the lessons' folder that a notebook links to, by their place beside its copy.

    The links are changed, in place, to where the files will lie: a copy has to work on other machines too.
    Links between lessons stay as they are, since all copies lie side by side.
    """
    found: dict[Path, bytes] = {}
    here = root / "notebooks"
    for cell in (cell for cell in notebook.cells if cell.cell_type == "markdown"):
        for link in reversed(list(local_links(cell.source))):  # the last first, as each change moves what follows
            file = (here / unquote(link[1])).resolve()
            if file.is_file() and file.is_relative_to(root) and not file.is_relative_to(here):
                place = file.relative_to(root)
                found[place] = file.read_bytes()
                cell.source = cell.source[:link.start(1)] + quote(place.as_posix()) + cell.source[link.end(1):]
    return found


def write_copies(files: dict[Path, bytes], folder: Path) -> None:
    """Write `files`, named by their place in `folder`; nothing that is there already is lost.

    Raises `CourseError` when something else lies in one of their places, or when it cannot be written there.
    """
    try:
        others = [place for place, content in files.items()
                  if (folder / place).exists() and (folder / place).read_bytes() != content]
        if others:
            more = f" and {len(others) - 1} more" if others[1:] else ""
            raise CourseError(f"{folder} holds another {others[0]}{more}; nothing was written.\n"
                              "Name a new folder, or move what is there away first.")
        for place, content in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            write_if_new(folder / place, content)
    except OSError as error:
        raise CourseError(f"The copies cannot be written to {folder}: {error.strerror or error}.\n"
                          "What was there is still there. Mend that, or name another folder.") from error


def handout(folder: str, solutions: bool, root: Path = ROOT) -> None:
    """Write a copy of every notebook, and the files they link to, into `folder`; a line each is printed.

    Raises `CourseError` when `folder` is a file, lies among the lessons or holds the course, and as its parts do.
    """
    given, root = folder, root.resolve()
    try:
        if not given.strip():
            raise RuntimeError("it has no name")
        folder = Path(given).expanduser().resolve()
        is_file = folder.exists() and not folder.is_dir()
    except (OSError, RuntimeError) as error:  # no right, no such user, far too long, a link in a circle
        why = getattr(error, "strerror", None) or error
        raise CourseError(f"{given[:99]!r} cannot be a folder for the copies ({why}).\n"
                          "Name a new one, such as ../handout.") from error
    among = folder.is_relative_to(root / "notebooks")
    if among or root.is_relative_to(folder):
        where = "lies among the lessons, where copies would pass for them" if among else "holds the course itself"
        raise CourseError(f"{folder} {where}.\nName a folder elsewhere, such as ../handout.")
    if is_file:
        raise CourseError(f"{folder} is a file, and the copies need a folder.\nName a new one, such as ../handout.")
    files: dict[Path, bytes] = {}
    lines = []
    for path in chosen([], lessons(root)):
        notebook, count = copy_lesson(path, solutions)
        files |= gather_links(notebook, root)
        files[Path(path.name)] = (nbformat.writes(notebook) + "\n").encode()
        word = f"{count} solution{'' if count == 1 else 's'}"
        lines.append(f"{path.stem:<28}{word} {'shown' if solutions else 'left out'}")
    write_copies(files, folder)
    print("\n".join(lines))


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils handout", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="where the copies go; made where need be")
    parser.add_argument("--solutions", action="store_true", help="keep the solutions, and unfold them")
    options = parser.parse_args(arguments)
    try:
        handout(options.folder, options.solutions, root)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
