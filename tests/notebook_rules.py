"""What every committed notebook must keep to: each rule takes a `Lesson` and returns what is wrong."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from prose_numbers import is_shown, shown, stated

from course_utils.registry import declared
from course_utils.tools.build import ANSI, SIZE_LIMIT, WIDGET, as_text
from course_utils.tools.handout import SOLUTION, local_links
from course_utils.tools.minutes import HEADING, count_words, visible_lines

MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|work|var|private|opt|mnt)/\w|\b[A-Z]:\\\w")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
MARK = re.compile(r"^\s*#+\s*NBVAL_CHECK_OUTPUT\s*$", re.MULTILINE)
FOLD = re.compile(r"<details[^>]*>\s*<summary>.*?</summary>(.*?)</details>", re.DOTALL)
HTML_PICTURE = re.compile(r"<(?:img|svg)\b")
NAMES_A_SOLUTION = re.compile(r"(?:^#+ |<summary>).*\bsolution", re.MULTILINE | re.IGNORECASE)
DIFFICULTY, MINUTES = re.compile(r" · (?:easy|medium|hard)\b"), re.compile(r" · \d+ min\b")
HOLE = re.compile(r"\bNaN\b|\bnan\b")
YOUR_CODE = re.compile(r"# your code|\.\.\.")
NO_ALT_TEXT = re.compile(r"!\[\s*\]\(|<img\b(?![^>]*\balt=[\"'][^\"'])")
LINES = 25  # of a cell
WORDS, CODE_CELLS, CODE_LINES = 1_100, 20, 120  # of a core's main line: folds and solutions apart
MOST_FIGURES, LEAST_FIGURES = 4, 2
CLAIMS = 2
SECTIONS, LAB_WORDS, LAB_LINES = 8, 2_500, 600  # of a lab, its set-up apart
SLOT = 45  # minutes of a core
LINE = 92  # characters; JupyterLab at 1,280 px cuts what is longer
PRAISE = ("✓ Passed", "✓ Solution")  # how the cards begin, of a learner's answer and of the course's
DESCRIPTION = 15  # words that say at least what a figure shows
DESK_LINE = """\
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)"""
OWN_NAMES = 4  # what a notebook may import from the package besides the desk line


@dataclass
class Lesson:
    """A notebook and the text it is built from."""

    path: Path
    notebook: NotebookNode
    text: str

    @property
    def source(self) -> NotebookNode:
        """The text as a notebook without outputs."""
        return jupytext.reads(self.text, fmt="py:percent")

    @property
    def is_core(self) -> bool:
        """Whether it is a lesson's main notebook and not its menu of extras."""
        return not self.path.stem.endswith("_lab")

    def cells(self, kind: str) -> Iterator[tuple[int, NotebookNode]]:
        """(number, cell) of the `code` or `markdown` cells, counted from 1 as the tools report them."""
        return ((n, cell) for n, cell in enumerate(self.notebook.cells, start=1) if cell.cell_type == kind)


def read_lesson(path: Path) -> Lesson:
    """The notebook at `path` and its source, which must exist."""
    source = path.parent / "source" / f"{path.stem}.py"
    return Lesson(path, nbformat.read(path, as_version=4), source.read_text(encoding="utf-8"))


def in_step(lesson: Lesson) -> list[str]:
    """Notebook and source hold the same cells, with the same tags and folds, and JupyterLab opens them as a pair."""
    def essence(cell: NotebookNode) -> tuple:
        metadata = cell.metadata
        return cell.cell_type, cell.source, sorted(metadata.get("tags", [])), metadata.get("jupyter", {})

    pairs = zip(map(essence, lesson.notebook.cells), map(essence, lesson.source.cells), strict=False)
    wrong = [f"cell {n} differs from its source" for n, (a, b) in enumerate(pairs, start=1) if a != b]
    if len(lesson.notebook.cells) != len(lesson.source.cells):
        wrong.append("notebook and source have different numbers of cells")
    if not wrong and as_text(lesson.notebook) != lesson.text:
        wrong.append("the source is laid out in another way than JupyterLab's: build the lesson")
    return wrong


def executed(lesson: Lesson) -> list[str]:
    """Every code cell ran, once, from the top; only cells that are meant to fail hold an error."""
    wrong = []
    for expected, (n, cell) in enumerate(lesson.cells("code"), start=1):
        if cell.execution_count != expected:
            wrong.append(f"cell {n} has execution count {cell.execution_count}, not {expected}")
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and "raises-exception" not in tags(cell):
            wrong.append(f"cell {n} holds an error")
    return wrong


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def comparable(lesson: Lesson) -> list[str]:
    """Cells marked for comparison hold something to compare, and give it under nbval too.

    nbval passes a cell without an execution count unseen. It also ignores a closing semicolon, so such a
    cell would show a value there that the notebook does not hold.
    """
    wrong = []
    for n, cell in lesson.cells("code"):
        marked = "nbval-check-output" in tags(cell) or MARK.search(cell.source)
        if marked and (cell.execution_count is None or not cell.outputs):
            wrong.append(f"cell {n} is marked for comparison and holds nothing to compare")
        if marked and cell.source.rstrip().endswith(";"):
            wrong.append(f"cell {n} is marked for comparison and ends in a semicolon")
    return wrong


def texts(cell: NotebookNode) -> Iterator[str]:
    """All that the outputs of a cell say in words; pictures other than SVG are left out."""
    for output in cell.outputs:
        yield output.get("text", "") + "\n".join(output.get("traceback", []))
        for mime, data in output.get("data", {}).items():
            if mime.startswith("text/") or mime == "image/svg+xml":
                yield data


def clean_outputs(lesson: Lesson) -> list[str]:
    """No output tells whose machine made it, holds colour codes, addresses or a widget without its kernel."""
    wrong = ["widget state is stored"] if "widgets" in lesson.notebook.metadata else []
    for n, cell in lesson.cells("code"):
        for text in texts(cell):
            wrong += [f"cell {n} shows {found[0]!r}" for rule in (MACHINE_PATH, ANSI, ADDRESS)
                      if (found := rule.search(text))]
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            wrong.append(f"cell {n} stores a live widget")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            wrong.append(f"cell {n} stores stderr")
    return wrong


def without_holes(lesson: Lesson) -> list[str]:
    """No table says NaN, which tells a learner nothing: it is left empty or says why there is no number."""
    return [f"cell {n} shows NaN" for n, cell in lesson.cells("code") if any(map(HOLE.search, texts(cell)))]


def count_figures(cell: NotebookNode) -> int:
    """How many pictures a cell shows, those within HTML included (as a widget's static part)."""
    bundles = [output.get("data", {}) for output in cell.outputs]
    return sum(any(mime.startswith("image/") for mime in data) or bool(HTML_PICTURE.search(data.get("text/html", "")))
               for data in bundles)


def described(lesson: Lesson) -> list[str]:
    """A fold right after each figure, and a word with each picture in the text, say what it shows."""
    wrong = []
    for n, cell in lesson.cells("code"):
        after = "".join(text.source for text in lesson.notebook.cells[n:n + 1] if text.cell_type == "markdown")
        fold = FOLD.search(re.split(r"^#", after, flags=re.MULTILINE)[0])  # a heading would come between
        if count_figures(cell) and (fold is None or count_words(fold[1]) < DESCRIPTION):
            wrong.append(f"cell {n} shows a figure with no fold after it that describes it in {DESCRIPTION} words")
    for n, cell in lesson.cells("markdown"):
        if NO_ALT_TEXT.search(cell.source):
            wrong.append(f"cell {n} has a picture without alt text")
    return wrong


def course_imports(lesson: Lesson) -> list[ast.ImportFrom | ast.Import]:
    """The statements that import from the package, in order, wherever they stand."""
    code = "\n".join(TransformerManager().transform_cell(cell.source) for _, cell in lesson.cells("code"))
    found: list[ast.ImportFrom | ast.Import] = []
    for node in ast.walk(ast.parse(code)):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        if any(module.split(".")[0] == "course_utils" for module in modules):
            found.append(node)
    return sorted(found, key=lambda node: node.lineno)


def desk_line(lesson: Lesson) -> list[str]:
    """The first thing imported from the package are the few names that every lesson needs, always the same."""
    first = next((cell.source for _, cell in lesson.cells("code") if "course_utils" in cell.source), "")
    return [] if first.startswith(DESK_LINE) else ["the lesson does not begin with the desk line"]


def imports(lesson: Lesson) -> list[str]:
    """What is imported from the package exists, and is the desk line and at most four names."""
    found = course_imports(lesson)
    wrong = [f"line '{ast.unparse(node)}' imports what is not there" for node in found if not _exists(node)]
    own = {alias.name for node in found[1:] for alias in node.names}  # a lab's sections may each import the same
    if len(own) > OWN_NAMES or "*" in own:
        wrong.append(f"imports {', '.join(sorted(own))} besides the desk line")
    return wrong


def _exists(node: ast.ImportFrom | ast.Import) -> bool:
    try:
        if isinstance(node, ast.Import):
            return all(importlib.import_module(alias.name) for alias in node.names)
        module = importlib.import_module(node.module)
        return all(name == "*" or hasattr(module, name) or importlib.import_module(f"{node.module}.{name}")
                   for name in (alias.name for alias in node.names))
    except ImportError:
        return False


def solutions_folded(lesson: Lesson) -> list[str]:
    """Solutions are folded, and what is folded is a solution: code that matters is never hidden.

    What names a solution carries the tag too, or it would stay in a copy without solutions.
    """
    wrong = [f"cell {n}: tag '{SOLUTION}' and source_hidden go together" for n, cell in lesson.cells("code")
             if (SOLUTION in tags(cell)) != bool(cell.metadata.get("jupyter", {}).get("source_hidden"))]
    return wrong + [f"cell {n} names a solution and lacks the tag" for n, cell in lesson.cells("markdown")
                    if SOLUTION not in tags(cell) and NAMES_A_SOLUTION.search(cell.source)]


def called(cell: NotebookNode, function: str) -> list[str]:
    """What each call of `function` in a cell has for its first argument, as it is written; "" for none."""
    code = ast.parse(TransformerManager().transform_cell(cell.source))
    return [ast.unparse(node.args[0]) if node.args else "" for node in ast.walk(code)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function]


def exercises(lesson: Lesson) -> list[str]:
    """Each exercise: minutes and difficulty, a cell for the attempt, then a solution with the same check."""
    lines = (line for _, cell in lesson.cells("markdown") for line in cell.source.splitlines())
    wrong = [f"'{line}' lacks minutes or difficulty" for line in lines
             if (heading := HEADING.match(line)) and heading["title"].startswith("Exercise")
             and not (MINUTES.search(line) and DIFFICULTY.search(line))]
    attempted: set[str] = set()
    solved: set[str] = set()
    for n, cell in lesson.cells("code"):
        names = set(called(cell, "check"))
        if SOLUTION in tags(cell):
            solved |= names
            wrong += [] if names and names <= attempted else [f"cell {n} solves nothing that was tried before it"]
        else:
            attempted |= names
            wrong += [f"cell {n} has no '# your code' or '...'" for _ in names if not YOUR_CODE.search(cell.source)]
    return wrong + [f"exercise {name} has no solution" for name in sorted(attempted - solved)]


def cards(lesson: Lesson) -> list[str]:
    """A solution says so in its first line and on its card; other cells pass nothing, and hint at nothing, untried."""
    wrong = []
    for n, cell in ((n, cell) for n, cell in lesson.cells("code") if called(cell, "check")):
        said = " ".join(texts(cell))
        if SOLUTION not in tags(cell):
            wrong += [f"cell {n} shows {word!r} before anybody tried" for word in (*PRAISE, "Hint") if word in said]
        elif not cell.source.startswith("# Solution\n") or PRAISE[0] in said or PRAISE[1] not in said:
            wrong.append(f"cell {n} and its card do not say that this is the solution")
    return wrong


def declared_there(lesson: Lesson) -> list[str]:
    """What a notebook checks and asks is declared by the lesson that its name begins with."""
    wrong = []
    for function, shelf in (("check", "EXERCISES"), ("quiz", "QUESTIONS")):
        for n, cell in lesson.cells("code"):
            for written in called(cell, function):
                name = written.strip("'")
                there = [entry.name for entry in declared(shelf, name[:2])]
                wrong += [] if name in there else [f"cell {n}: {function}({written}) is not declared by it"]
    return wrong


def quizzes(lesson: Lesson) -> list[str]:
    """A question can be read without a kernel: the notebook holds it as HTML."""
    return [f"cell {n} holds no static form of its question" for n, cell in lesson.cells("code")
            if called(cell, "quiz") and not any("text/html" in output.get("data", {}) for output in cell.outputs)]


def links(lesson: Lesson) -> list[str]:
    """Files that the text links to are there, and can go along with a copy of the lesson."""
    wrong = []
    for n, cell in lesson.cells("markdown"):
        for found in local_links(cell.source):
            file = lesson.path.parent / found[1]
            if not file.is_file():
                wrong.append(f"cell {n} links to {found[1]}, which is not there or no file")
            elif file.parent.name == "source":
                wrong.append(f"cell {n} links to {found[1]}, which holds the solutions")
    return wrong


def size(lesson: Lesson) -> list[str]:
    """The file is small enough to open quickly."""
    bytes_there = lesson.path.stat().st_size
    return [f"the notebook has {bytes_there / 1e6:.1f} MB"] if bytes_there > SIZE_LIMIT else []


def budget(lesson: Lesson) -> list[str]:
    """Short cells and lines; few enough words, cells, figures and claims for a core's slot, sections for a lab."""
    over = [f"cell {n} has a line of {len(line)} characters" for n, cell in lesson.cells("code")
            for line in cell.source.splitlines() if len(line) > LINE]
    counted = _of_a_core(lesson) if lesson.is_core else _of_a_lab(lesson)
    long = [f"{count} {what}, not {most} or fewer" for what, (count, most) in counted.items() if count > most]
    long += [f"cell {n} has {lines} lines" for n, cell in lesson.cells("code")
             if (lines := len(cell.source.splitlines())) > LINES]
    return over + long


def _of_a_core(lesson: Lesson) -> dict[str, tuple[int, int]]:
    """What -> how much of it a core has, and how much it may have."""
    code = [cell for _, cell in lesson.cells("code")]
    open_code = [cell for cell in code if SOLUTION not in tags(cell)]
    figures = sum(map(count_figures, code))
    return {
        "words": (_words(lesson), WORDS),
        "code cells": (len(open_code), CODE_CELLS),
        "lines of code": (sum(map(_lines, open_code)), CODE_LINES),
        "figures": (figures, MOST_FIGURES),
        "figures too few": (LEAST_FIGURES - figures, 0),
        "claims": (sum(bool(called(cell, "claim")) for cell in code), CLAIMS),
    }


def _of_a_lab(lesson: Lesson) -> dict[str, tuple[int, int]]:
    titles = [heading for _, cell in lesson.cells("markdown") for _, line, in_code in visible_lines(cell.source)
              if not in_code and (heading := HEADING.match(line)) and len(heading["hashes"]) == 2]
    sections = [heading for heading in titles if not heading["title"].startswith("Exercise")]
    return {"sections": (len(sections), SECTIONS), "words": (_words(lesson), LAB_WORDS),
            "lines of source": (sum(_lines(cell) for _, cell in lesson.cells("code")), LAB_LINES)}


def _words(lesson: Lesson) -> int:
    """Words of the main line: what stands in folds does not count."""
    return sum(count_words(line) for _, cell in lesson.cells("markdown") for _, line, _ in visible_lines(cell.source))


def _lines(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def minutes(lesson: Lesson) -> list[str]:
    """Title and sections say how long they take; a core fits its slot."""
    lines = (line for _, cell in lesson.cells("markdown") for line in visible_lines(cell.source))
    headings = [heading for _, line, in_code in lines
                if not in_code and (heading := HEADING.match(line)) and len(heading["hashes"]) <= 2]
    wrong = [f"'{heading[0]}' says no minutes" for heading in headings if not heading["minutes"]]
    titles = [heading for heading in headings if len(heading["hashes"]) == 1]
    if len(titles) != 1 or headings[0] is not titles[0]:
        return [*wrong, "the lesson has not one title that comes first"]
    taken = int(titles[0]["minutes"] or 0)
    return [*wrong, f"takes {taken} minutes; its slot is {SLOT}"] if lesson.is_core and taken > SLOT else wrong


def measured(lesson: Lesson) -> list[str]:
    """What the main line gives as measured stands in an output, which a build renews; a question is no result."""
    values = [value for _, cell in lesson.cells("code") if not (called(cell, "quiz") or called(cell, "recall"))
              for value in shown(cell.outputs)]
    return [f"cell {n} gives {number}, which no output shows" for n, cell in lesson.cells("markdown")
            for number in stated(cell.source) if not is_shown(number, values)]


RULES: list[Callable[[Lesson], list[str]]] = [
    in_step, executed, comparable, clean_outputs, without_holes, described, desk_line, imports, solutions_folded,
    exercises, cards, declared_there, quizzes, links, size, budget, minutes, measured]
