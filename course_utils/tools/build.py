"""From a lesson's text in notebooks/source to the executed notebook beside it, the same bytes every time."""

import base64
import contextlib
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from jupytext.config import load_jupytext_configuration_file
from nbformat import NotebookNode
from PIL import Image

from course_utils import ROOT
from course_utils.errors import CourseError
from course_utils.files import replacing
from course_utils.tools.kernels import Execution, execute
from course_utils.tools.minutes import sections, write_minutes

PAIRING = ROOT / "pyproject.toml"  # how notebooks and texts belong together
SIZE_LIMIT = 3_000_000  # bytes; a bigger notebook is slow to open and to compare
TEXT_DIGEST = "text_sha256"  # in a notebook's metadata: of the text that it had when it was built
WIDGET = "application/vnd.jupyter.widget-view+json"
# Progress bars are for those who wait; sets of strings print in the same order with a fixed hash seed; what
# must not be committed, such as a stored verdict that changed, is an error.
BUILD_ENVIRONMENT = {"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", "COURSE_STRICT": "1"}
PROGRESS_BAR = re.compile(r"\d+%\||\[\d+:\d\d[<,]|\r")  # tqdm's, with and without a total
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Built:
    """What one build did: where the notebook lies, its bytes, whether it changed, what was left out of it."""

    path: Path
    size: int
    changed: bool
    execution: Execution
    warnings: list[str]


def build(source: Path, force: bool = False) -> Built:
    """Execute `source` (`notebooks/source/NN_topic.py`) into `notebooks/NN_topic.ipynb`.

    The minutes worked out on the way go into the headings of both files, and the text is laid out as JupyterLab
    would save it. Both are written beside and renamed, and only once every cell has run: otherwise a
    `CourseError` is raised and the old ones stay. So it is for a notebook that was edited apart from its text,
    unless `force` gives its edits up.
    """
    folder = source.parents[1]
    target = folder / f"{source.stem}.ipynb"
    before = text, _ = _text_of(source), _content(target)
    if not force:
        refuse_edited(target, source)
    notebook = jupytext.reads(text, fmt="py:percent")
    sections(notebook, [0.0] * len(notebook.cells))  # a heading that is wrong shows before the long part
    execution = execute(notebook, folder, BUILD_ENVIRONMENT)
    if execution.failure:
        raise CourseError(f"{source.stem} failed in {execution.failure}")
    warnings = tidy(notebook)
    write_minutes(notebook, execution.cell_seconds)
    name_cells(notebook)
    nbformat.validate(notebook)
    laid_out = as_text(nbformat.reads(nbformat.writes(notebook), as_version=4))  # as stored, keys sorted
    notebook.metadata[TEXT_DIGEST] = _digest(laid_out)
    content = (nbformat.writes(notebook) + "\n").encode()
    if len(content) > SIZE_LIMIT:
        raise CourseError(f"{source.stem} would be {len(content) / 1e6:.1f} MB; a notebook may have "
                          f"{SIZE_LIMIT / 1e6:.0f} MB.\nDraw fewer or smaller figures and build again.")
    if (_text_of(source), _content(target)) != before:
        raise CourseError(f"{source.stem} was changed while it was being executed.\nBuild it again.")
    changed = write_if_new(target, content)
    write_if_new(source, laid_out.encode())
    for picture in readme_figures(notebook):
        write_if_new(folder.parent / "data" / "results" / f"{source.stem}.png", picture)
    return Built(target, len(content), changed, execution, warnings)


def as_text(notebook: NotebookNode) -> str:
    """The text that Jupytext pairs with `notebook`.

    Written in any other way, it would keep JupyterLab from opening a notebook that is newer than its text.
    """
    return jupytext.writes(notebook, fmt="py:percent", config=load_jupytext_configuration_file(str(PAIRING)))


def refuse_edited(target: Path, source: Path) -> None:
    """`CourseError` where the notebook `target` holds edits that neither its text nor the last build has.

    JupyterLab writes both, other editors the notebook alone; a build from the text would lose those edits.
    """
    if not target.exists():
        return
    what = "cannot be read as a notebook"
    with contextlib.suppress(ValueError, KeyError, AttributeError):
        notebook = nbformat.reads(target.read_text(encoding="utf-8"), as_version=4)
        its_text = as_text(notebook)
        in_step = its_text == as_text(jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent"))
        if in_step or notebook.metadata.get(TEXT_DIGEST) == _digest(its_text):
            return
        what = "holds edits that are neither in its text nor from the last build"
    raise CourseError(
        f"{target} {what}; a build would lose what is in it.\n"
        f"Copy its edits into {source.name}, or all of it: jupytext --to py:percent -o {source} {target}\n"
        f"To give it up: python3 -m course_utils build {source.stem[:2]} --force"
    )


def _text_of(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")  # some editors put a mark before the first letter
    except (OSError, ValueError) as error:
        raise CourseError(f"{source} cannot be read ({error}).\nFetch it again: git checkout -- {source}") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def readme_figures(notebook: NotebookNode) -> list[bytes]:
    """The PNG of the cell tagged `readme`, which the README shows."""
    shown = [cell for cell in notebook.cells if "readme" in cell.metadata.get("tags", [])]
    outputs = [output for cell in shown for output in cell.outputs]
    return [base64.b64decode(o.data["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def tidy(notebook: NotebookNode) -> list[str]:
    """Keep of an executed notebook, in place, only what is the same on every machine and at every run.

    Returns what the cells wrote to stderr and is no progress bar: not stored, but worth a look. Raises
    `CourseError` for a widget that shows nothing without a kernel.
    """
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })
    warnings = []
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note on blank lines in the source
        if cell.cell_type == "code":
            said = [output.text for output in cell.outputs if output.get("name") == "stderr"]
            warnings += [f"cell {number}: {text.strip()}" for text in said if not PROGRESS_BAR.search(text)]
            if any(_is_only_a_widget(output) and not _is_progress(output) for output in cell.outputs):
                raise CourseError(f"Cell {number} shows a widget that is empty without a kernel, as on GitHub.\n"
                                  "Display it as one bundle with a static image/png or text/html part.")
            cell.outputs = _tidy_outputs(cell.outputs)
    return warnings


def _tidy_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = ANSI.sub("", output.text)
            # How many pieces a text arrives in is a matter of timing.
            if kept and kept[-1].output_type == "stream" and output.name == "stdout":
                kept[-1].text += output.text
            elif output.name == "stdout":
                kept.append(output)
        elif output.output_type == "error":
            output.traceback = [ANSI.sub("", f"{output.ename}: {output.evalue}")]  # no paths, no colours
            kept.append(output)
        elif not _is_only_a_widget(output):
            output.data.pop(WIDGET, None)
            if "image/png" in output.data:
                output.data["image/png"] = squeeze_png(output.data["image/png"])
            kept.append(output)
    return kept


def _is_only_a_widget(output: NotebookNode) -> bool:
    """Whether nothing but a line of text would be left of an output without its widget."""
    data = output.get("data", {})
    return WIDGET in data and set(data) <= {WIDGET, "text/plain"}


def _is_progress(output: NotebookNode) -> bool:
    """Whether a widget is a progress bar, which heeds no variable and is of no use to a reader."""
    return bool(PROGRESS_BAR.search(output.data.get("text/plain", "")))


def squeeze_png(encoded: str) -> str:
    """A base64 PNG without its metadata (program and version), an unused alpha channel and slack."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG",))
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
    squeezed = io.BytesIO()
    image.save(squeezed, "PNG", optimize=True)
    return base64.b64encode(squeezed.getvalue()).decode()


def name_cells(notebook: NotebookNode) -> None:
    """Ids from what the cells say, so that an edit changes one id and a rebuild none."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def write_if_new(path: Path, content: bytes) -> bool:
    """Make `path` hold `content`, all at once or not at all; False when it did already."""
    if path.exists() and path.read_bytes() == content:
        return False
    with replacing(path) as beside:
        beside.write_bytes(content)
    return True
