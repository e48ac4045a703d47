"""Your own pictures as a task: a folder for each class, with or without a split of your own."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_utils.data.archives import Archive, existing
from course_utils.data.cache import Arrays
from course_utils.data.decoding import decode
from course_utils.data.images import matches, thumbnails
from course_utils.data.splits import Task, announce, assemble, check_size, group_pairs, hold_out, show_some
from course_utils.errors import BadData

SPLITS = {  # what people call the folders of a split, in small letters
    "train": "train(ing)?", "test": "test(ing)?|hold[_-]?out", "val": "val(id(ation)?)?|dev(elopment)?|eval(uation)?",
}  # fmt: skip
SPLITS["several"] = rf"(fold|split|{'|'.join(SPLITS.values())})[ _-]?\d+"  # of which nobody knows which one trains
LINKS = "Links to folders, and names that point outside,"
DARK = 31  # of 255; as dark are 10 and 12 bits, as microscopes give them, in files of 16 bits
SAME = 0.99  # thumbnail correlation of copies; scaled and re-encoded copies of photographs reach it
ALIKE = 5  # pairs a picture above which the pictures are alike by nature (X-rays, product shots), not copies


@dataclass(frozen=True)
class _Layout:
    """Which files are pictures of which class and split, and what was set aside."""

    names: list[str]
    classes: list[str]
    y: np.ndarray
    parts: np.ndarray  # "train", "val" or "test"; "" for all where the folder has no split of its own
    loose: list[str]  # files in no class folder


def task_from_folder(path: str | Path, per_class: int | None = None, seed: int = 0, image_size: int = 64) -> Task:
    """Your pictures as a task: `path` is a folder (or a zip of one) with a folder of pictures for each class.

    With folders `train/` and `test/` of those, they are the split, and `val/` joins the training pictures;
    with `train/` and `val/` alone, `val/` is the test split. Otherwise a fifth of each class tests, the
    same whatever the seed, and copies of a picture stay on one side. `per_class` training pictures of each
    class are drawn by `seed` (None: all); each is cut to its middle square, `image_size` pixels wide.

    JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, PPM, TGA and JPEG 2000 will do, and links to such files; links to folders
    are not followed. Files that cannot be read are left out, in one warning; so are links to folders, and empty
    classes. Copies across your own splits are a warning. `BadData` when there are fewer than two classes, or no
    pictures. A large set stays on disk, in the cache folder, and is memory-mapped.
    """
    check_size(image_size)
    image_size = image_size or 64
    archive = Archive(existing(path, "a folder with a folder of pictures for each class"))
    layout = _lay_out(archive)

    def split(x: np.ndarray, why: np.ndarray) -> Arrays:
        return _arrange(layout, x, why)

    arrays = decode(archive, layout.names, image_size, arrange=split)
    order, n = arrays["order"], int(arrays["n_train"])
    if len(kept := np.unique(layout.y[order[:n]])) < 2:
        raise _too_few(archive, layout, arrays["why"])
    told = announce(_problems(archive, layout, arrays), _notices(layout, arrays))
    x, y = arrays["x"], np.searchsorted(kept, layout.y[order])
    classes = [layout.classes[c] for c in kept]
    whole = archive.path.resolve()
    name = whole.name if whole.is_dir() else whole.stem
    return assemble(name, classes, (x[:n], y[:n]), (x[n:], y[n:]), True, per_class, seed, told)


def _lay_out(archive: Archive) -> _Layout:
    tops = {folder for folder in archive.folders if "/" not in folder}
    inside_train = any(_part(folder) == "train" and "/" in folder for folder in archive.folders)
    own = inside_train and any(_part(top) in ("test", "val") for top in tops)
    if not own:
        _check_split_folders(archive, tops)
    rows, loose = [], []
    for name in archive.names:
        parts = name.split("/")
        part = _part(name) if own else ""
        if part in (None, "several") or len(parts) < (3 if own else 2):
            loose.append(name)
        else:
            rows.append((name, part, unicodedata.normalize("NFC", parts[1 if own else 0])))  # a Mac's ä is two signs
    classes = sorted({row[2] for row in rows})
    y = np.array([classes.index(row[2]) for row in rows], np.int64)
    layout = _Layout([row[0] for row in rows], classes, y, np.array([row[1] for row in rows]), loose)
    if not rows:
        raise _too_few(archive, layout, np.array([]))
    return layout


def _part(name: str) -> str | None:
    """The kind of split of `SPLITS` that the first folder of a name is called like; None for another name."""
    first, end = name.split("/")[0].lower(), "([_-]?set|_data|_images)?"
    return next((part for part, words in SPLITS.items() if re.fullmatch(f"({words}){end}", first)), None)


def _check_split_folders(archive: Archive, tops: set[str]) -> None:
    """`BadData` where all folders are called like splits and hold class folders, but which one trains is not clear."""
    deep = {folder.split("/")[0] for folder in archive.folders if "/" in folder}
    if len(tops) > 1 and deep == tops and all(map(_part, tops)):
        raise BadData(
            f"{archive.path} has the splits {show_some(sorted(tops))}, and not one train/ with a test/ or val/.\n"
            "Expected those, each with a folder for each class.\n"
            "Rename one of them to train and one to test, or give the path of a folder with class folders."
        )


def _arrange(layout: _Layout, x: np.ndarray, why: np.ndarray) -> Arrays:
    """The split: `order` (first the training pictures), `n_train`, and `pairs` that look the same."""
    good = why == ""
    if layout.parts[0]:
        tests = good & (layout.parts == ("test" if "test" in layout.parts else "val"))
        trains = good & ~tests
        tests &= np.isin(layout.y, layout.y[trains])
        pairs, alike = _copies(x, np.flatnonzero(tests), np.flatnonzero(trains))
    else:
        kept = np.flatnonzero(good)
        pairs, alike = _copies(x, kept, kept)
        groups = group_pairs(len(x), pairs)[kept]
        tests = np.zeros(len(x), bool)
        if len(kept):
            tests[kept] = hold_out(layout.y[kept], [layout.names[k] for k in kept], groups)
        trains = good & ~tests
    order = np.concatenate([np.flatnonzero(trains), np.flatnonzero(tests)])
    pairs = np.array(pairs, np.int64).reshape(-1, 2)
    dark = np.array([k for k in order if x[k].max() <= DARK], np.int64)
    return {"order": order, "n_train": np.array(trains.sum()), "pairs": pairs, "alike": np.array(alike), "dark": dark}


def _copies(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of positions, one from `a` and one from `b`, that show one picture; and whether most look alike.

    Where most pictures look alike by nature, only identical ones count.
    """
    small = thumbnails(x)
    limit = ALIKE * len(x) + len(a)
    near = [(int(a[i]), int(b[j])) for i, j, _ in matches(small[a], small[b], SAME, limit)]
    alike = len(near) > limit
    first: dict[bytes, int] = {}
    for k in b.tolist():
        first.setdefault(_digest(x[k]), k)
    same = [(k, first[d]) for k in a.tolist() if (d := _digest(x[k])) in first]
    within = len(a) == len(b) and bool((a == b).all())
    pairs = {(i, j) for i, j in (same if alike else same + near) if i > j or not within}
    return sorted(pairs), alike


def _digest(picture: np.ndarray) -> bytes:
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def _problems(archive: Archive, layout: _Layout, arrays: Arrays) -> list[str]:
    """What the owner of the folder should look at, a sentence or two each."""
    names, why, order, n = layout.names, arrays["why"], arrays["order"], int(arrays["n_train"])
    problems = []
    if (why != "").any():
        listed = [f"{names[k]} ({why[k]})" for k in np.flatnonzero(why != "")]
        problems.append(f"{len(listed)} of {len(names)} files cannot be read and are left out: {show_some(listed)}.")
    if layout.loose:
        left_out = show_some(layout.loose)
        problems.append(f"{len(layout.loose)} files lie in no class folder and are left out: {left_out}.")
    if archive.links:
        problems.append(f"{LINKS} are not followed, so these are left out: {show_some(archive.links)}.")
    if len(dark := arrays["dark"]):
        shown = show_some([names[k] for k in dark])
        problems.append(f"{len(dark)} pictures are nearly black (no value above {DARK} of 255): {shown}. If they hold "
                        "10 or 12 bits in files of 16, scale all alike and save them anew.")  # fmt: skip
    if not layout.parts[0] and all(map(_part, layout.classes)):
        problems.append(f"No class folders lie in {show_some(layout.classes)}, so these are taken for the classes.")
    depth = 2 if layout.parts[0] else 1
    inner = Counter(folder.split("/")[-1] for folder in archive.folders if folder.count("/") == depth)
    if shared := sorted(name for name, count in inner.items() if count > 1):
        problems.append(f"The classes hold folders of the same names ({show_some(shared)}), which count for nothing. "
                        "Are those the classes? Then call the folders around them train and test.")  # fmt: skip
    train, test = (Counter(layout.y[part].tolist()) for part in (order[:n], order[n:]))
    every = sorted({*layout.classes, *_class_folders(archive, layout)})
    trained, tested = ({layout.classes[c] for c in count} for count in (train, test))
    if empty := [name for name in every if name not in trained]:
        problems.append(f"No training picture that can be read, so left out: class {show_some(empty)}.")
    if untested := [name for name in every if name in trained - tested]:
        problems.append(f"No picture to test on, so its accuracy stays unknown: class {show_some(untested)}.")
    return problems + _pair_problems(layout, arrays["pairs"])


def _pair_problems(layout: _Layout, pairs: np.ndarray) -> list[str]:
    problems = []
    shown = [f"{layout.names[i]} = {layout.names[j]}" for i, j in pairs]
    if shown and layout.parts[0]:
        problems.append(
            f"{len(shown)} pictures are in the training and in the test split, so results will flatter: "
            f"{show_some(shown)}. Remove them from one side."
        )
    if torn := [text for text, (i, j) in zip(shown, pairs, strict=True) if layout.y[i] != layout.y[j]]:
        problems.append(f"{len(torn)} pictures are in two classes: {show_some(torn)}. Decide on one.")
    return problems


def _notices(layout: _Layout, arrays: Arrays) -> list[str]:
    parts, notices = set(layout.parts.tolist()), []
    if "val" in parts and "test" in parts:
        notices.append("val/ joins the training pictures; test/ is the test split.")
    elif "val" in parts:
        notices.append("There is no test/, so val/ is the test split: choose nothing on it.")
    elif len(arrays["pairs"]):
        count = len(np.unique(arrays["pairs"]))
        notices.append(f"{count} pictures look the same as another; copies stay on one side of the split.")
    if arrays["alike"]:
        notices.append("The pictures look so much alike that only identical ones count as copies.")
    return notices


def _class_folders(archive: Archive, layout: _Layout) -> set[str]:
    depth = 2 if layout.parts[0] else 1
    parts = [unicodedata.normalize("NFC", folder).split("/") for folder in archive.folders]
    return {p[-1] for p in parts if len(p) == depth and (depth == 1 or _part(p[0]))}


def _too_few(archive: Archive, layout: _Layout, why: np.ndarray) -> BadData:
    path, own = archive.path, "train" in layout.parts
    if not archive.names and not archive.folders and not archive.links:
        found = f"{path} is empty."
    elif layout.names and (why != "").all():
        found = f"None of the {len(why)} files in {path} can be read: {layout.names[0]} ({why[0]}), …"
    elif layout.names:
        trains = (why == "") & (layout.parts != ("test" if "test" in layout.parts else "val"))
        readable = sorted({layout.classes[c] for c in layout.y[trains]})
        lost = [f"{layout.names[k]} ({why[k]})" for k in np.flatnonzero(why != "")]
        kind = "training pictures" if own else "pictures"
        found = f"{path} has one class with {kind}, {readable[0]}." if readable else f"{path} has no {kind}."
        found += f" Unreadable: {show_some(lost, 3)}." if lost else ""
    else:
        has = layout.loose + archive.folders + archive.links
        found = f"{path} has no class folders with files; it has {show_some(has)}."
    hint = "Sort the pictures into folders named by class."
    inner = [f for f in archive.folders if len([g for g in archive.folders if g.startswith(f"{f}/")]) > 1]
    if archive.links:
        hint = f"{LINKS} are not followed ({show_some(archive.links)}): make folders of the files themselves."
    elif inner and not own:
        hint = f"Did you mean {path / inner[0]}?"
    return BadData(f"{found}\nExpected two folders of pictures or more, one for each class.\n{hint}")
