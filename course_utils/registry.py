"""The one door to the lessons: their exercises, questions and studies, by name, when somebody asks.

Nothing of a lesson is imported before; then that lesson alone, or for a study as many as it takes to find it.
"""

import pkgutil
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from course_utils import lessons
from course_utils.errors import CourseError

SHARED = "course_utils.grids"  # the home of the studies that no single lesson owns


def lesson_numbers() -> list[str]:
    """The lessons that are here, as "00" and "01"; none of them is imported."""
    names = (module.name for module in pkgutil.iter_modules(lessons.__path__))
    return sorted(name.removeprefix("lesson") for name in names)


def declared(table: str, number: str) -> list:
    """The list `table`, EXERCISES or QUESTIONS, of a lesson, as "01"."""
    return getattr(import_module(f"{lessons.__name__}.lesson{number}.exercises"), table)


def advice() -> dict[str, str]:
    """What the lessons say for the recipe card: situation -> sentence, of every lesson with a module `advice`."""
    said: dict[str, str] = {}
    for number in lesson_numbers():
        home = f"{lessons.__name__}.lesson{number}"
        if find_spec(f"{home}.advice"):
            said |= import_module(f"{home}.advice").advice()
    return said


def find(name: str, table: str) -> Any:
    """The entry called `name` in the list `table` of its lesson.

    Raises:
        CourseError: there is no such lesson or entry; says the nearest names of the same lesson.
    """
    number = str(name)[:2]
    if number not in lesson_numbers():
        raise CourseError(f"There is nothing called {name!r} here, and no lesson {number!r}.\n"
                          f"A name starts with its lesson's number, one of {', '.join(lesson_numbers())}.")  # fmt: skip
    known = {entry.name: entry for entry in declared(table, number)}
    if name not in known:
        near = get_close_matches(str(name), known, n=3, cutoff=0.3) or sorted(known)
        raise CourseError(f"There is nothing called {name!r} here.\nNearest names: {', '.join(map(repr, near))}.")
    return known[name]


def studies() -> dict[str, Any]:
    """Every declared study by its name, in the order in which they need each other."""
    return {name: study for home in _homes() for name, study in home.items()}


def study(name: str) -> Any:
    """The study called `name`; lessons are imported one after the other until it is found.

    Raises:
        CourseError: nothing is declared under that name.
    """
    for home in _homes():
        if name in home:
            return home[name]
    raise CourseError(f"There is no experiment {name!r}; there is {', '.join(studies())}.")


def _homes() -> Iterator[dict[str, Any]]:
    for home in (SHARED, *(f"{lessons.__name__}.lesson{number}" for number in lesson_numbers())):
        yield import_module(f"{home}.studies").STUDIES
