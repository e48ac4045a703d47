"""The course's packages in the environment that runs this: which are there, in which version, and whole.

Standard library only. Run as a module, it makes installers see which packages are damaged: it takes their
descriptions away, and prints their names and those of packages that are not there at all.
"""

import csv
import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

from course_utils import ROOT

REQUIREMENTS, CONSTRAINTS = ROOT / "requirements.txt", ROOT / "constraints.txt"
INSTALLERS = ("pip", "uv")  # whose lists of files can be relied on


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: Path) -> dict[str, str]:
    """Package name -> exact version, as a requirements file has them."""
    return dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE))


def compare(wanted: dict[str, str]) -> tuple[list[str], list[str]]:
    """The names of `wanted` that are not installed here, and "name version" of those in another version."""
    missing, other = [], []
    for name, version in wanted.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = None
        if found is None:  # nor is there a version where the description is damaged
            missing.append(name)
        elif found.split("+")[0] != version:  # 2.12.1+cpu is a build of 2.12.1
            other.append(f"{name} {found}")
    return missing, other


def damaged(file: Path = CONSTRAINTS) -> dict[str, Path]:
    """Name -> folder with the description, of the packages of `file` of which an installed file is gone or cut off.

    What is compiled at the first import, and what others than pip and uv have installed, is not looked at.
    """
    wanted, found = {plain(name) for name in pins(file)}, {}
    for folder in (folder for place in sys.path for folder in Path(place or ".").glob("*.dist-info")):
        name = plain(folder.name.split("-")[0])
        if name in wanted and name not in found and not _whole(folder):
            found[name] = folder
    return found


def _whole(folder: Path) -> bool:
    try:
        if (folder / "INSTALLER").read_text().strip() not in INSTALLERS:
            return True
        with open(folder / "RECORD", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == 3 and not row[0].endswith(".pyc")]
    except (OSError, ValueError, csv.Error):
        return False
    for name, _, size in rows:
        try:
            if size not in ("", str(os.stat(os.path.join(folder.parent, name)).st_size)):
                return False
        except OSError:
            return False
    return bool(rows)


def main() -> int:
    """Take away the description of each damaged package; print its name, and the names of what is missing."""
    lost = damaged()
    for folder in lost.values():
        shutil.rmtree(folder)
    missing, _ = compare(pins(REQUIREMENTS))
    print(*sorted({*lost, *map(plain, missing)}), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
