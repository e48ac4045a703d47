"""The recipe card: what to do with the pictures that one has, each row answered by the lesson that measured it."""

from IPython.display import Markdown

from course_utils import registry

SITUATIONS = {  # key: what a reader has, and the lesson that measures what to do
    "few": ("up to 10 pictures of each class", "00"),
    "far": ("about 10 of each, unlike the source, as letters are", "02"),
    "near": ("about 10 of each, photographs", "02"),
    "many": ("1,000 of each, and time", "03"),
    "worse": ("a pretrained network that does worse than none", "04"),
    "text": ("messages instead of pictures", "05"),
    "small": ("a large network, a small machine", "06"),
}


def recipe_card() -> Markdown:
    """A table, a row a situation: what to do, and the lesson that says how far it is known.

    Lessons fill their own rows, by a function `advice` that gives {situation: sentence} from their stored rows. A row
    that none has measured yet is left out.
    """
    known = registry.advice()
    rows = [f"| {have} | {known[key]} | {lesson} |" for key, (have, lesson) in SITUATIONS.items() if key in known]
    return Markdown("\n".join(["| you have | do this | lesson |", "|---|---|---|", *rows]))
