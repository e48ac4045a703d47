"""How the launcher installs: with uv or pip, the exact set of packages, and what they complain of in one message.

Standard library only, and readable by Python 3.6, as the launcher is.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"]  # for lessons; for tests too
CONSTRAINTS = ROOT / "constraints.txt"  # the versions of all packages that come with those
UV = "uv==0.13.8"  # the installer; not among the requirements, as pip does where it cannot be had
PYTHON = "python" if os.name == "nt" else "python3"
AGAIN = " ".join([PYTHON, "-m course_utils", *sys.argv[1:]])
NO_NETWORK = ("connection broken", "Max retries", "error responses", "NameResolution", "timed out", "Timeout",
              "Connection refused", "Connection reset", "NewConnectionError", "unreachable", "SSLError")
NO_SPACE = "No space left"


class Stop(Exception):
    """Ends the launcher with a message of at most three lines."""


def works(*words: str) -> bool:
    """Whether a command starts and ends well; what it prints is dropped, and uv asks its index only once."""
    with contextlib.suppress(OSError):
        env = {**os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10"}
        return subprocess.call(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    return False


def check_space() -> None:
    """Refuse to start an installation that cannot end."""
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < 1:
        raise Stop(f"The disk is full: {free:.2f} GB free at {ROOT}, and 1 GB is the least.\n"
                   f"Make room (8 GB is ample), then again: {AGAIN}")


def forget_damaged(python: str) -> list:
    """Make the installers see which packages of the course are damaged or gone; their names.

    An installer takes a package for whole as long as its description is there.
    """
    words = [python, "-m", "course_utils.tools.packages"]
    try:
        done = subprocess.run(words, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:  # it is no program any more
        return [python]
    return done.stdout.decode("utf-8", "replace").split()


def pip(python: str, *words: str) -> str:
    """Install with pip, its progress in view; what it complained of if it failed, otherwise nothing."""
    command = [python, "-m", "pip", "install", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, close_fds=False)
    return (done.stderr or "ERROR: pip failed") if done.returncode else ""


def explain(log: str) -> Stop:
    """One message for what pip complained of."""
    errors = [line for line in log.splitlines() if line.startswith("ERROR")] or log.splitlines()
    what = f"The packages could not be installed. {errors[-1]}\nMend that"
    if NO_SPACE in log:
        what = "The disk is full.\nMake room, here and where temporary files go (8 GB is ample)"
    elif any(sign in log for sign in (*NO_NETWORK, "from versions: none")):
        what = f"The package index cannot be reached. {errors[-1]}\nConnect to a network (set-up needs one)"
    return Stop(f"{what}, then again: {AGAIN}\nWhat is installed already is kept.")


def find_uv(python: str) -> list:
    """The start of an install command of uv, itself installed if need be; empty where it cannot be had."""
    uv = [python, "-m", "uv"]
    if not works(*uv, "--version"):
        log = pip(python, "--quiet", "--retries", "2", UV)
        if any(sign in log for sign in NO_NETWORK):
            raise explain(log)
        uv = [shutil.which("uv")] if log else uv
    return [*uv, "pip", "install", "--python", python] if uv[0] else []


def small_torch(uv: list) -> None:
    """On Linux without a GPU, install a torch without GPU code, a fifth of the size, if its index answers."""
    lines = [line.split("#")[0].strip() for line in FILES[0].read_text(encoding="utf-8").splitlines()]
    words = [*uv, "--torch-backend", "cpu", "-c", str(CONSTRAINTS), *(line for line in lines if line[:5] == "torch")]
    driver = os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi")
    if sys.platform.startswith("linux") and not driver and works(*words, "--dry-run"):
        subprocess.call(words, close_fds=False)


def install(python: str, *files: Path) -> None:
    """Install what `files` ask for, in the versions of `CONSTRAINTS`, and the course's package in place.

    With uv, or with pip where uv cannot be had or fails (it does not read pip's settings). Where the exact set
    cannot be had, as on a system for which a version of it was not built, the pins of `files` alone must do.
    """
    uv = find_uv(python)
    if uv:
        small_torch(uv)
    listed = [word for file in files for word in ("-r", str(file))]
    exact, package = ["-c", str(CONSTRAINTS)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    for words in (listed + exact, package):
        if uv and subprocess.call([*uv, *words], close_fds=False) == 0:
            continue
        check_space()
        print("uv is not to be had, or failed: going on with pip, which is slower.", flush=True)
        log = pip(python, *words)
        if log and words != package and not any(sign in log for sign in (*NO_NETWORK, NO_SPACE)):
            print(f"The exact set of {CONSTRAINTS.name} cannot be installed here: trying without it.", flush=True)
            log = pip(python, *listed)
        if log:
            raise explain(log)
