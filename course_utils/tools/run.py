"""Run lessons headless, and build them from their text: the commands `run` and `build`."""

import argparse
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from course_utils import ROOT
from course_utils.errors import CourseError
from course_utils.tools.doctor import hint

try:
    from course_utils.tools.build import build
    from course_utils.tools.kernels import Execution, Failure, execute, read_notebook
except (ImportError, AttributeError) as error:
    if told := hint():
        sys.exit(f"{error}\n{told}")
    raise

LOST = ("ImportError", "ModuleNotFoundError", "AttributeError")  # what a package that has lost files raises
LESSON = re.compile(r"(\d\d)_\w+")
SECONDS, GIGABYTES = 90, 1.5  # the budget of one notebook, on two plain cores


def lessons(root: Path = ROOT) -> dict[str, list[Path]]:
    """The notebooks of each lesson: its number, "00" and up, to the paths of its core and its lab."""
    return _by_number((root / "notebooks").glob("*.ipynb"))


def sources(root: Path = ROOT) -> dict[str, list[Path]]:
    """The percent-format texts of each lesson, ordered as `lessons` orders the notebooks."""
    return _by_number((root / "notebooks" / "source").glob("*.py"))


def _by_number(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(paths, key=lambda path: (path.stem[:2], path.stem.endswith("_lab"), path.stem)):
        if match := LESSON.fullmatch(path.stem):
            found.setdefault(match[1], []).append(path)
    return found


def chosen(numbers: Sequence[str], there: dict[str, list[Path]]) -> list[Path]:
    """The files of the lessons numbered ("0" means "00"), of all lessons when `numbers` is empty.

    Raises `CourseError` for a number that is not there, or when there is no lesson at all.
    """
    wanted = [number.zfill(2) if number.isdigit() else repr(number) for number in numbers] or list(there)
    unknown = [number for number in wanted if number not in there]
    if unknown:
        raise CourseError(f"There is no lesson {', '.join(unknown)}.\n"
                          f"Choose from: {', '.join(there) or 'none, for no lesson is here yet'}.")
    if not there:
        raise CourseError("No lesson was found in the notebooks folder.\nIs this a whole copy of the course?")
    return [path for number in dict.fromkeys(wanted) for path in there[number]]


def run_notebook(path: Path) -> Execution:
    """Execute the notebook as it lies there, in memory: the file is not changed, its outputs are ignored."""
    try:
        notebook = read_notebook(path)
    except CourseError as error:
        return Execution(failure=Failure(0, 0, "no cell yet", str(error)))
    return execute(notebook, path.parent)


def run(paths: Sequence[Path]) -> int:
    """Run the notebooks one after the other, a line each; 1 if one of them fails, else 0."""
    failures = 0
    for path in paths:
        print(f"{path.stem:<28}", end="", flush=True)
        execution = run_notebook(path)
        print(summary(execution), flush=True)
        failures += execution.failure is not None
        if execution.failure and execution.failure.message.startswith(LOST) and (told := hint()):
            print(_indented(told), flush=True)
    return 1 if failures else 0


def summary(execution: Execution) -> str:
    """Seconds, peak memory and how they stand to the budget; the failing cell on lines of its own."""
    figures = f"{execution.seconds:6.1f} s {execution.peak / 1e9:6.2f} GB"
    if execution.failure:
        return f"{figures}  FAILED\n" + _indented(str(execution.failure))
    over = [f"over {SECONDS} s"] if execution.seconds > SECONDS else []
    over += [f"over {GIGABYTES} GB"] if execution.peak > GIGABYTES * 1e9 else []
    return f"{figures}  {'budget: ' + ', '.join(over) if over else 'ok'}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def build_all(paths: Sequence[Path], force: bool = False) -> int:
    """Build the notebooks one after the other, a line each; 1 if one of them fails, else 0."""
    failures = 0
    for path in paths:
        print(f"{path.stem:<28}", end="", flush=True)
        try:
            built = build(path, force)
        except (CourseError, OSError) as error:  # the latter for a folder that may not be written, a full disk
            print(f"not built\n{_indented(str(error))}", flush=True)
            failures += 1
            continue
        print(f"{summary(built.execution)}, {built.size / 1e6:.2f} MB,"
              f" {'written' if built.changed else 'unchanged'}", flush=True)
        for warning in built.warnings:
            print(_indented(f"left out, from stderr of {warning}"), flush=True)
    return 1 if failures else 0


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status (130 after Ctrl-C, with no kernel left behind)."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("run", "run lessons in fresh kernels, writing nothing"),
                       ("build", "make the executed notebooks from notebooks/source")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("lesson", nargs="*", metavar="NN", help="a lesson's number; none means all")
    command.add_argument("--force", action="store_true", help="give up edits of notebooks that are not in their texts")
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            return run(chosen(options.lesson, lessons(root)))
        return build_all(chosen(options.lesson, sources(root)), options.force)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; every kernel is closed.", file=sys.stderr)
        return 130


def heed_signals() -> None:
    """Let Ctrl-C and a polite kill end this process through `finally`, so that neither leaves kernels behind.

    Both are set, as what is started in the background of a shell begins deaf to Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


if __name__ == "__main__":
    heed_signals()
    sys.exit(main())
