"""The launcher, `python3 -m course_utils COMMAND`: makes the environment where need be, starts the command.

Standard library only, as nothing is installed yet, and readable by Python 3.6: an old one gets a sentence.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
FILES = [ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"]  # for lessons; for tests too
UV = "uv==0.13.8"  # the installer; not among the requirements, as pip does where it cannot be had
SUPPORTED = [(3, 11), (3, 12), (3, 13)]  # requirements.txt resolves for these
PYTHON = "python" if os.name == "nt" else "python3"
AGAIN = " ".join([PYTHON, "-m course_utils", *sys.argv[1:]])
NO_NETWORK = ("connection broken", "Max retries", "error responses", "NameResolution", "timed out", "Timeout",
              "Connection refused", "Connection reset", "NewConnectionError", "unreachable", "SSLError")
COMMANDS = {  # what it does; what further words may be
    "setup": ("make or refresh the environment, and nothing else", ""),
    "lab": ("open JupyterLab on lesson 00, for this machine only", "options of jupyter lab, as --no-browser"),
    "run": ("run lessons in fresh kernels: seconds, peak memory", "lesson numbers, as 00 01; all if none"),
    "test": ("run every test and every notebook", "--all for slow ones too; options of pytest, as -k data"),
    "build": ("execute notebooks/source into notebooks", "lesson numbers; --force gives up a notebook's own edits"),
    "pretrain": ("train PhotoNet, or measure the one that ships", "--data ZIP --out FILE, or --evaluate"),
    "recompute": ("compute stored results again", "names of experiments, as lesson00; --list says what is stale"),
    "handout": ("write copies for a class, without the solutions", "a folder; --solutions keeps and shows them"),
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


class Stop(Exception):
    """Ends the launcher with a message of at most three lines."""


def environment() -> tuple:
    """The environment to use and its Python: the one we are in where it is meant for work, else `.venv`."""
    here = Path(sys.prefix)
    base = os.environ.get("CONDA_DEFAULT_ENV") == "base" or (here / "condabin").exists()
    conda = (here / "conda-meta").is_dir() and not base
    binder = os.environ.get("NB_PYTHON_PREFIX") == sys.prefix  # repo2docker sets it, for building and running
    if sys.prefix != sys.base_prefix or conda or binder or "COLAB_RELEASE_TAG" in os.environ:
        return here, sys.executable
    return VENV, str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def works(*words: str) -> bool:
    """Whether a command starts and ends well; what it prints is dropped, and uv asks its index only once."""
    with contextlib.suppress(OSError):
        env = {**os.environ, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10"}
        return subprocess.call(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    return False


def check_version() -> None:
    """Refuse a Python for which the pinned versions do not exist, naming one that would do."""
    if sys.version_info[:2] not in SUPPORTED:
        names = ["py -3.12"] if os.name == "nt" else ["python3.12", "python3.13", "python3.11"]
        found = next((name for name in names if works(*name.split(), "-c", "")), None)
        mend = AGAIN.replace(PYTHON, found or names[0], 1)
        raise Stop(f"This is Python {sys.version.split()[0]}, and the course needs 3.11, 3.12 or 3.13.\n"
                   + (f"Run: {mend}" if found else f"Install Python 3.12, then run: {mend}"))


def check_space() -> None:
    """Refuse to start an installation that cannot end."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < 1:
        raise Stop(f"The disk is full: {free:.2f} GB free at {ROOT}, and 1 GB is the least.\n"
                   f"Make room (8 GB is ample), then again: {AGAIN}")


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
    with open(ROOT / ".setup.lock", "w") as file:
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


def pip(python: str, *words: str) -> str:
    """Install with pip, its progress in view; what it complained of if it failed, otherwise nothing."""
    command = [python, "-m", "pip", "install", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, close_fds=False)
    return (done.stderr or "ERROR: pip failed") if done.returncode else ""


def explain(log: str) -> Stop:
    """One message for what pip complained of."""
    errors = [line for line in log.splitlines() if line.startswith("ERROR")] or log.splitlines()
    what = f"The packages could not be installed. {errors[-1]}\nMend that"
    if "No space left" in log:
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
    words = [*uv, "--torch-backend", "cpu", *(line for line in lines if line.startswith("torch"))]
    driver = os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi")
    if sys.platform.startswith("linux") and not driver and works(*words, "--dry-run"):
        subprocess.call(words, close_fds=False)


def install(python: str, *steps: list) -> None:
    """Install with uv, or with pip where uv cannot be had or fails (it does not read pip's settings)."""
    uv = find_uv(python)
    if uv:
        small_torch(uv)
    for words in steps:
        if not uv or subprocess.call([*uv, *words], close_fds=False):
            check_space()
            print("uv is not to be had, or failed: going on with pip, which is slower.", flush=True)
            log = pip(python, *words)
            if log:
                raise explain(log)


def prepare(*files: Path) -> str:
    """Make sure that the environment holds what these requirement files pin; the path of its Python."""
    prefix, python = environment()
    stamp = prefix / "course.stamp"  # which versions are installed, and for which place of this folder
    wanted = {hashlib.sha256(file.read_bytes() + str(ROOT).encode()).hexdigest() for file in files}

    def ready() -> bool:
        return os.path.exists(python) and stamp.exists() and wanted <= set(stamp.read_text().split())

    if not ready():
        with alone():
            if not ready():  # another launcher may have seen to it meanwhile
                check_space()
                make_venv(python) if prefix == VENV and python != sys.executable else check_version()
                size = "" if stamp.exists() else " (1 to 5 GB to download, some minutes)"
                print(f"Installing packages into {prefix}{size}", flush=True)
                listed = [word for file in files for word in ("-r", str(file))]
                install(python, listed, ["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
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
        env["COURSE_DATA_DIR"] = str(ROOT / Path(env["COURSE_DATA_DIR"]).expanduser())
    if os.name != "nt":
        os.execve(python, [python, "-m", *words], env)  # signals and Ctrl-C then reach it alone
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
    python = environment()[1] if command == "doctor" else prepare(*FILES[: 1 + (command == "test")])
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
    except (Stop, OSError) as problem:
        sys.exit(str(problem))  # to stderr, with code 1
    except KeyboardInterrupt:
        print(f"\nStopped. To go on: {AGAIN}")
        sys.exit(130)
