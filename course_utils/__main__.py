"""The launcher, `python3 -m course_utils COMMAND`: makes the environment where need be, starts the command.

Standard library only, as nothing is installed yet, and readable by Python 3.6: an old one gets a sentence.
"""

import contextlib
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from course_utils.tools.installing import (
    AGAIN,
    CONSTRAINTS,
    FILES,
    PYTHON,
    ROOT,
    Stop,
    check_space,
    forget_damaged,
    install,
    works,
)

VENV = ROOT / ".venv"
SUPPORTED = [(3, 11), (3, 12), (3, 13)]  # requirements.txt resolves for these
COMMANDS = {  # what it does; what further words may be
    "setup": ("make or refresh the environment, and nothing else", ""),
    "lab": ("open JupyterLab on lesson 00, for this machine only", "options of jupyter lab, as --no-browser"),
    "run": ("run lessons in fresh kernels: seconds, peak memory", "lesson numbers, as 00 01; all if none"),
    "test": ("run every test and every notebook", "--all for slow ones too; options of pytest, as -k data"),
    "build": ("execute notebooks/source into notebooks", "lesson numbers; --force gives up a notebook's own edits"),
    "pretrain": ("train PhotoNet, or measure the one that ships", "--data ZIP --out FILE, or --evaluate"),
    "recompute": ("compute stored results again", "names of experiments, as lesson00; --list says what is stale"),
    "handout": ("write copies for a class, without the solutions", "a folder; --solutions keeps and shows them"),
    "address": ("point the links and Binder's badge at your own copy", "OWNER/REPOSITORY"),
    "doctor": ("tell what this machine has; exit 1 if something needed is missing", ""),
}
STARTS = {  # the module that carries it out, unless it has the command's name, with its first words
    "lab": "jupyterlab --ip=127.0.0.1 --allow-root "  # a container's user is root, who is refused otherwise
    "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
    "run": "course_utils.tools.run run",
    "test": "pytest -n2 --dist=loadfile",
    "build": "course_utils.tools.run build",
    "pretrain": "course_utils.pretraining.command",
}


def environment() -> tuple:
    """The environment to use and its Python: the one we are in where it is meant for work, else `.venv`."""
    here = Path(sys.prefix)
    base = os.environ.get("CONDA_DEFAULT_ENV") == "base" or (here / "condabin").exists()
    conda = (here / "conda-meta").is_dir() and not base
    binder = os.environ.get("NB_PYTHON_PREFIX") == sys.prefix  # repo2docker sets it, for building and running
    if sys.prefix != sys.base_prefix or conda or binder or "COLAB_RELEASE_TAG" in os.environ:
        return here, sys.executable
    return VENV, str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def check_version() -> None:
    """Refuse a Python for which the pinned versions do not exist, naming one that would do."""
    if sys.version_info[:2] not in SUPPORTED:
        names = ["py -3.12"] if os.name == "nt" else ["python3.12", "python3.13", "python3.11"]
        found = next((name for name in names if works(*name.split(), "-c", "")), None)
        mend = AGAIN.replace(PYTHON, found or names[0], 1)
        raise Stop(f"This is Python {sys.version.split()[0]}, and the course needs 3.11, 3.12 or 3.13.\n"
                   + (f"Run: {mend}" if found else f"Install Python 3.12, then run: {mend}"))


def take(file) -> bool:
    """Try to lock an open file; the system lets go of it when the process ends, however it ends."""
    try:
        if os.name == "nt":
            import msvcrt
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl
            os.set_inheritable(file.fileno(), True)  # so that an installer that outlives us keeps the lock
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # any other error is a file system without locks: go on, do not wait for ever
        return not isinstance(error, (BlockingIOError, PermissionError))
    return True


@contextlib.contextmanager
def alone():
    """Hold the set-up lock of this folder, waiting for another launcher that has it."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(ROOT / ".setup.lock", "w"))
        except OSError as error:
            raise Stop(f"Nothing can be written to {ROOT} ({error.strerror}), and set-up has to.\n"
                       f"Copy the whole course to a folder of your own. There, again: {AGAIN}") from error
        if not take(file):
            print("Another set-up is at work in this folder; waiting for it to end.", flush=True)
            while not take(file):
                time.sleep(0.2)
        yield


def make_venv(python: str) -> None:
    """Make `.venv`, unless a sound one with a supported Python is there (one that was interrupted is not)."""
    sound = f"import pip, sys; assert sys.prefix != sys.base_prefix and sys.version_info[:2] in {SUPPORTED}"
    if works(python, "-c", sound):
        return
    check_version()
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Stop("This Python cannot make environments: its venv module is missing. On Debian or Ubuntu:\n"
                   f"sudo apt install python3.{sys.version_info[1]}-venv\nThen again: {AGAIN}")
    print(f"Making the environment in {VENV}", flush=True)
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)], close_fds=False):
        raise Stop(f"{VENV} could not be made; the reason stands above.\nMend it, then again: {AGAIN}")


def digest(file: Path) -> str:
    """What is to be installed for a requirements file: a text that changes with it, and with this folder's place."""
    parts = [file.read_bytes(), CONSTRAINTS.read_bytes(), str(ROOT).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def prepare(*files: Path, look: bool = False) -> str:
    """Make sure that the environment holds what these requirement files pin; the path of its Python.

    With `look`, what a finished set-up has installed is looked through too, for packages that have lost files.
    """
    prefix, python = environment()
    stamp = prefix / "course.stamp"  # which versions are installed, and for which place of this folder
    wanted = {digest(file) for file in files}
    own = prefix == VENV and python != sys.executable

    def ready() -> bool:
        whole = os.path.exists(python) and (not own or (VENV / "pyvenv.cfg").exists())
        return whole and stamp.is_file() and wanted <= set(stamp.read_bytes().decode("ascii", "replace").split())

    if not ready() or look:
        with alone():
            lost = forget_damaged(python) if os.path.exists(python) else []
            if ready():  # another launcher may have seen to it meanwhile
                if not lost:
                    return python
                print(f"Files are missing of {', '.join(lost)}: to be installed again.", flush=True)
            check_space()
            make_venv(python) if own else check_version()
            size = "" if stamp.exists() else " (1 to 5 GB to download, some minutes)"
            print(f"Installing packages into {prefix}{size}", flush=True)
            install(python, *files)
            stamp.write_text("\n".join(wanted))
    return python


def start(python: str, *words: str) -> int:
    """Become `python -m words`, this environment's programs and kernels first; the exit code is its own."""
    env, folder = dict(os.environ), Path(python).parent
    share = (folder if os.name == "nt" else folder.parent) / "share" / "jupyter"
    quiet = ROOT / "course_utils"  # its labconfig/ keeps JupyterLab from asking a newcomer about news
    for name, path in (("PATH", folder), ("JUPYTER_PATH", share), ("JUPYTER_CONFIG_PATH", quiet)):
        env[name] = os.pathsep.join(filter(None, [str(path), env.get(name)]))
    if env.get("COURSE_DATA_DIR"):  # made absolute, since notebooks run in their own folder
        env["COURSE_DATA_DIR"] = str(ROOT / os.path.expanduser(env["COURSE_DATA_DIR"]))
    if os.name != "nt":
        try:
            os.execve(python, [python, "-m", *words], env)  # signals and Ctrl-C then reach it alone
        except OSError as error:
            raise Stop(f"{python} cannot be started ({error.strerror}).\n"
                       f"Make it anew: {PYTHON} -m course_utils setup") from error
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows has no exec: leave Ctrl-C to the child
    return subprocess.call([python, "-m", *words], env=env)


def main(command: str = "", *rest: str) -> int:
    """Carry out one command."""
    helped = {"-h", "--help"} & {command, *rest}
    if command not in COMMANDS:
        print(f"There is no command {command!r}.\n" if command and not helped else "", end="")
        print(f"Usage: {PYTHON} -m course_utils COMMAND [--help]\n")
        print("\n".join(f"  {name:11}{what}" for name, (what, _) in COMMANDS.items()))
        return 0 if helped else 2
    what, further = COMMANDS[command]
    if helped or (rest and not further):
        print(f"{PYTHON} -m course_utils {command}: {what}.\nFurther words: {further or 'none'}")
        return 0 if helped else 2
    files = FILES[: 1 + (command == "test")]
    python = environment()[1] if command == "doctor" else prepare(*files, look=command == "setup")
    if not os.path.exists(python):  # the doctor comes before any environment too
        python = check_version() or sys.executable
    if command == "setup":
        print(f"The environment is ready: {python}\nNext: {PYTHON} -m course_utils lab")
        return 0
    if command in ("lab", "test", "doctor"):
        os.chdir(ROOT)
    given = {word.split("=")[0].replace("ServerApp.", "") for word in rest}  # Jupyter takes an option once
    words = STARTS.get(command, f"course_utils.tools.{command}").split()
    return start(python, *[word for word in words if word.split("=")[0] not in given], *rest)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs deaf to Ctrl-C
    try:
        sys.exit(main(*sys.argv[1:]))
    except Stop as problem:
        sys.exit(str(problem))  # to stderr, with code 1
    except OSError as problem:
        sys.exit(f"{problem}\nMend that, then again: {AGAIN}")
    except KeyboardInterrupt:
        print(f"\nStopped. To go on: {AGAIN}")
        sys.exit(130)
