"""How many minutes a lesson takes, worked out section by section and written into its headings.

A heading of level 1 or 2 ends in ` · N min`: the title carries the whole lesson, each `##` its own section.
A heading that starts with "Exercise" keeps the minutes its author declared, and they cover all that stands
beneath it up to the next heading. Declare what a newcomer takes, wrong tries included: about twice what the
author takes.

The three constants are round numbers for somebody to whom all of it is new. Technical prose is read at about
150 words a minute, well below the 238 of everyday non-fiction (Brysbaert 2019, "How many words do we read per
minute?"). Walked line by line by newcomers, lessons took half as long again as words and code alone would give:
figures and tables want to be looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from course_utils.errors import CourseError

WORDS_A_MINUTE = 150
SECONDS_A_LINE = 5  # to read a line of code and see what it does
SECONDS_A_CELL = 60  # to run a cell and look at the figure, the table or the question that it shows
# A computed value this near to the stated minutes leaves them as they are: run times waver, and a heading
# that flips with them would change source and notebook at every build.
SLACK = 0.75
HEADING = re.compile(r"^(?P<hashes>#{1,6}) +(?P<title>.*?)(?: · (?P<minutes>\d+) min)?\s*$")
TAG = re.compile(r"<[^>]*>")


@dataclass
class Section:
    """One heading and what stands under it: `own` minutes worked out, `declared` ones of its exercises."""

    cell: int
    line: int
    level: int
    title: str
    stated: int | None
    own: float = 0.0
    declared: int = 0

    @property
    def is_exercise(self) -> bool:
        """Whether its minutes are the author's."""
        return self.title.startswith("Exercise")

    @property
    def minutes(self) -> int:
        """Whole minutes, as the heading says them; a title says those of the `whole_lesson` instead."""
        return self.declared if self.is_exercise else settle(self.own + self.declared, self.stated)


def settle(value: float, stated: int | None) -> int:
    """`value` in whole minutes, at least one; `stated` when that is near enough."""
    if stated is not None and abs(value - stated) <= SLACK:
        return stated
    return max(1, int(value + 0.5))


def visible_lines(markdown: str) -> Iterator[tuple[int, str, bool]]:
    """(number, line, in code) of the lines outside `<details>` folds; `in code` is True within fences."""
    folds, in_code = 0, False
    for number, line in enumerate(markdown.splitlines()):
        folds += line.count("<details")
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code
        if not folds:
            yield number, line, in_code
        folds -= line.count("</details>")


def count_words(text: str) -> int:
    """Words as whitespace separates them, HTML tags left out."""
    return len(TAG.sub(" ", text).split())


def cell_minutes(source: str, seconds: float) -> float:
    """Minutes to read a code cell, run it (`seconds`) and look at what it shows; blank lines count nothing."""
    lines = sum(bool(line.strip()) for line in source.splitlines())
    return (SECONDS_A_LINE * lines + SECONDS_A_CELL + seconds) / 60


def sections(notebook: NotebookNode, cell_seconds: list[float]) -> list[Section]:
    """The title, the `##` sections and the exercises of a notebook, in order, each with its minutes.

    `cell_seconds` holds the measured run time of each cell. What is folded away (`<details>`, cells tagged
    `solution`) is not on the way through and counts nothing. Raises `CourseError` when the title or the
    minutes of an exercise are missing.
    """
    found: list[Section] = []
    current: Section | None = None
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for number, line, in_code in visible_lines(cell.source):
                heading = None if in_code else HEADING.match(line)
                if heading:
                    current = _open(found, index, number, heading)
                if current:
                    current.own += count_words(line) / WORDS_A_MINUTE
        elif current and "solution" not in cell.metadata.get("tags", []):
            current.own += cell_minutes(cell.source, cell_seconds[index])
    if not found or found[0].level != 1 or any(section.level == 1 for section in found[1:]):
        raise CourseError("A lesson has one title, '# …', before its '## …' sections; this one has not.\n"
                          "Give the first text cell of the source a title and build again.")
    return found


def _open(found: list[Section], cell: int, line: int, heading: re.Match[str]) -> Section:
    """The section that a heading starts, or the one it goes on with (a plain `###` under a `##`)."""
    stated = heading["minutes"] and int(heading["minutes"])
    section = Section(cell, line, len(heading["hashes"]), heading["title"], stated)
    parent = next((old for old in reversed(found) if not old.is_exercise), None)
    if section.is_exercise:
        if stated is None:
            raise CourseError(f"The heading '{section.title}' does not say how long the exercise takes.\n"
                              f"Write, for example, '{heading[0].rstrip()} · 8 min' and build again.")
        section.declared = stated
        if section.level > 2 and parent:
            parent.declared += stated
    elif section.level > 2 and parent:
        return parent
    found.append(section)
    return section


def whole_lesson(found: list[Section]) -> int:
    """Minutes of the lesson whose title is `found[0]`: what stands under the title, and its sections."""
    title, *rest = found
    parts = sum(section.minutes for section in rest if section.level == 2)
    return settle(title.own + title.declared + parts, title.stated)


def write_minutes(notebook: NotebookNode, cell_seconds: list[float]) -> None:
    """Put the minutes into the headings of `notebook`, in place; nothing else changes."""
    found = sections(notebook, cell_seconds)
    for section in found:
        minutes = whole_lesson(found) if section.level == 1 else section.minutes
        lines = notebook.cells[section.cell].source.split("\n")
        lines[section.line] = f"{'#' * section.level} {section.title} · {minutes} min"
        notebook.cells[section.cell].source = "\n".join(lines)
