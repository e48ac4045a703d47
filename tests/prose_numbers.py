"""Which numbers a lesson's prose gives as measured, and whether its outputs show them."""

import html
import re
from collections.abc import Iterable, Iterator

from nbformat import NotebookNode

from course_utils.tools.minutes import HEADING, TAG, visible_lines

# No results: what is written as code (settings are), addresses, what people say, an interval's name, versions.
NO_RESULT = re.compile(r"""
    `[^`]*` | \]\([^)]*\) | <https?:[^>]*> | "[^"]*"
    | \b9\d\ %\ (?:prediction\ )?intervals? | \b(?:PyTorch|Python)\ \d+\.\d+
    """, re.VERBOSE)
UNIT = r"(?: ?(%)| (times|points?)\b)"
STATED = re.compile(rf"(?<![\w.,])(?:(\d*\.?\d+){UNIT}|(\d*\.\d+)(?!\.?\d))")
SHOWN = re.compile(rf"(?<![\w.,])(\d+(?:,\d{{3}})+|\d*\.?\d+(?:e-?\d+)?){UNIT}?")
ALT = re.compile(r'\balt="([^"]*)"')
DRAWN_TEXT = re.compile(r"<(?:text|title|desc)\b[^>]*>(.*?)</", re.DOTALL)
ROUNDING = 1e-9  # what binary fractions leave of a half


def main_line(markdown: str) -> str:
    """What a reader is told: no fold, no code, no heading, and nothing of what an exercise asks."""
    kept = []
    for _, line, in_code in visible_lines(markdown):
        heading = None if in_code else HEADING.match(line)
        if heading and heading["title"].startswith("Exercise"):
            break
        if not (heading or in_code or line.lstrip().startswith("```")):
            kept.append(line.lstrip("> "))
    return NO_RESULT.sub(" ", TAG.sub(" ", "\n".join(kept).replace("\n", " ")))


def stated(markdown: str) -> list[str]:
    """The numbers that a text gives as measured: ".154", "85 %", "39 times", "2.7 points".

    Whole numbers without such a word (sizes, counts, years) are none: too many of them are settings.
    """
    found = (match.groups() for match in STATED.finditer(main_line(markdown)))
    return [plain or f"{value} {sign or unit}" for value, sign, unit, plain in found]


def shown(outputs: Iterable[NotebookNode]) -> Iterator[tuple[float, str]]:
    """(value, unit) of each number in the outputs, of figures those in their words; the unit may be ""."""
    for output in outputs:
        for text in _texts(output):
            for value, sign, unit in SHOWN.findall(text):
                yield float(value.replace(",", "")), sign or unit


def _texts(output: NotebookNode) -> Iterator[str]:
    yield output.get("text", "")
    data = output.get("data", {})
    yield data.get("text/plain", "")
    yield data.get("text/markdown", "")
    page = data.get("text/html", "")
    yield html.unescape(TAG.sub(" ", re.sub(r"<style.*?</style>", " ", page, flags=re.DOTALL)))
    yield from map(html.unescape, ALT.findall(page))
    yield from DRAWN_TEXT.findall(data.get("image/svg+xml", ""))
    yield from (part.get("alt", "") for part in output.get("metadata", {}).values() if isinstance(part, dict))


def is_shown(number: str, values: Iterable[tuple[float, str]]) -> bool:
    """Whether a stated number is among the values, up to rounding.

    .81 and 81 % are the same, so are .027 and 2.7 points.
    """
    written, _, unit = number.partition(" ")
    nearest = 0.5 * 10 ** -len(written.partition(".")[2]) + ROUNDING
    return any(abs(_meant(value, its_unit, unit) - float(written)) <= nearest for value, its_unit in values)


def _meant(value: float, its_unit: str, unit: str) -> float:
    """A shown value in the unit of the stated number; a factor is one only if the output says "times"."""
    if "times" in (unit, its_unit):
        return value if unit == its_unit else float("nan")
    share = value / 100 if its_unit else value
    return 100 * share if unit else share
