"""What this machine has, a line each: `python3 -m course_utils doctor`.

The standard library alone is imported at the top, since the doctor also comes where nothing is installed yet.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from course_utils import ROOT
from course_utils.tools.packages import compare, damaged, pins

WEIGHTS = ROOT / "data" / "weights" / "photonet.safetensors"
LEAST_DISK = 1.0  # GB
NETWORK_PATIENCE = 15  # seconds
SETUP = "python3 -m course_utils setup"
UNTOLD = "mend what cannot be told, above"


class Missing(Exception):
    """Something that the course cannot do without: what is wrong, and the command that mends it."""

    def __init__(self, text: str, mend: str):
        super().__init__(text)
        self.mend = mend


def python() -> Iterator[str]:
    """The Python that runs the lessons."""
    yield f"{platform.python_version()}, {sys.executable}"


def packages() -> Iterator[str]:
    """Whether requirements.txt is installed, whole. If not, the launcher is made to look again at its next start."""
    wanted = pins(ROOT / "requirements.txt")
    missing, other = compare(wanted)
    lost = sorted({*damaged(ROOT / "constraints.txt")} - {*missing})
    for names, what in ((missing, f"{len(missing)} of {len(wanted)} are not installed"), (lost, "files are gone of")):
        if names:
            (Path(sys.prefix) / "course.stamp").unlink(missing_ok=True)
            more = " ..." if len(names) > 6 else ""
            raise Missing(f"{what}: {', '.join(names[:6])}{more}", SETUP)
    yield f"all {len(wanted)} of requirements.txt"
    if other:
        yield f"in other versions than the lessons were measured with: {', '.join(other)}"
    absent, _ = compare(pins(ROOT / "tests" / "requirements.txt"))
    yield "those for tests: " + ("added by `python3 -m course_utils test`" if absent else "installed")


def hint() -> str:
    """What is wrong with the installed packages, and what mends it: after an error that they may have caused."""
    try:
        list(packages())
    except Missing as need:
        return f"{need}\nTo do: {need.mend}"
    return ""


def processor() -> Iterator[str]:
    """The processor's own name where the system tells it, and its cores."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
        name = found[1] if found else name
    yield f"{name}, {os.cpu_count()} cores, {platform.system()}"


def machine() -> Iterator[str]:
    """What networks run on, the number format and why, memory."""
    from course_utils.device import describe

    yield from describe().splitlines()


def gpu() -> Iterator[str]:
    """The GPU that is used, or that none is needed."""
    from course_utils.device import pick_device

    kind = pick_device().type
    yield {"cuda": "used, through CUDA", "mps": "used, Apple's"}.get(kind, "none is used; none is needed")


def disk() -> Iterator[str]:
    """Free disk where the course lies."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < LEAST_DISK:
        raise Missing(f"{free:.2f} GB free at {ROOT}, and {LEAST_DISK:.0f} GB is the least", "make room")
    yield f"{free:.0f} GB free"


def weights() -> Iterator[str]:
    """The shipped weights of each network, compared with the checksum on their model card."""
    again = f"git checkout -- {WEIGHTS.parent.relative_to(ROOT).as_posix()}"
    others = {path.stem for path in WEIGHTS.parent.glob("photonet-*") if path.suffix in (".md", ".safetensors")}
    for name in ("photonet", *sorted(others)):
        file = WEIGHTS.with_name(f"{name}.safetensors")
        card = file.with_name("README.md" if file == WEIGHTS else f"{name}.md")
        for path in (file, card):
            if not path.exists():
                raise Missing(f"{path.relative_to(ROOT)} is not there", again)
        if hashlib.sha256(file.read_bytes()).hexdigest() not in card.read_text(encoding="utf-8"):
            raise Missing(f"{file.relative_to(ROOT)} is not the file that its model card describes", again)
        yield f"{name}: ships with the course, {file.stat().st_size / 1e6:.1f} MB, checksum as on its card"


def downloaded() -> Iterator[str]:
    """Pretrained networks that torchvision has fetched; they are fetched when a lesson first asks."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = sorted(file.name for file in folder.glob("*.pth"))
    yield f"{', '.join(files)} in {folder}" if files else "torchvision's: fetched when first asked for"


def data_sets() -> Iterator[str]:
    """Each data set, and where it is from or how to get it."""
    from course_utils.data.tasks import available

    yield from (f"{name}: {place}" for name, place in available().items())


def network() -> Iterator[str]:
    """Whether the package index that pip is set up for answers."""
    began = time.monotonic()
    ask = [sys.executable, "-m", "pip", "index", "versions", "pip", "--retries", "0", "--timeout", "5"]
    try:
        answers = subprocess.run(ask, capture_output=True, timeout=NETWORK_PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        answers = False
    if answers:
        yield f"the package index answers, in {time.monotonic() - began:.1f} s"
    else:
        yield "the package index does not answer; lessons need no network, set-up and downloads do"


def examine(label: str, look: Callable[[], Iterator[str]]) -> Missing | None:
    """Print what `look` finds, beside `label`; the need that it found unmet, or what it could not tell, if any."""
    try:
        for line in look():
            print(f"{label:12}{line}", flush=True)
            label = ""
    except Missing as need:
        print(f"{label:12}MISSING: {need}", flush=True)
        return need
    except Exception as error:  # before set-up; a setting is wrong; a damaged package can raise anything
        print(f"{label:12}cannot be told: {' '.join(str(error).split()) or type(error).__name__}", flush=True)
        return Missing("", UNTOLD)
    return None


def main() -> int:
    """Print the report; 1 if something needed is missing, with what to do."""
    looks = [
        ("Python", python), ("Packages", packages), ("Processor", processor), ("", machine), ("GPU", gpu),
        ("Disk", disk), ("Weights", weights), ("", downloaded), ("Data sets", data_sets),
        ("Network", network),
    ]
    needs = [need for label, look in looks if (need := examine(label, look))]
    print()
    mends = dict.fromkeys(need.mend for need in needs)
    for mend in [mend for mend in mends if mend != UNTOLD] or mends:  # what is missing may be why the rest is not told
        print(f"To do: {mend}")
    if not needs:
        print("Everything needed is here. Next: python3 -m course_utils lab")
    return bool(needs)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
