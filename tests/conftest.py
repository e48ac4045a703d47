"""What holds for every test: where data lie, how many threads, strict mode, and which tests are slow."""

import os
from pathlib import Path

import pytest
from green_labs import GreenLabs
from hypothesis import settings
from launching import bare_venv, course, index, ready, with_pip, with_uv  # noqa: F401 (fixtures)
from machines import bare, no_network, one_cache, warm_cache  # noqa: F401 (fixtures)
from sliders import with_moves
from studies import at_once, declared, results  # noqa: F401 (fixtures)

ROOT = Path(__file__).resolve().parent.parent

if os.environ.get("COURSE_DATA_DIR"):  # counts from here; notebooks run in their own folder
    os.environ["COURSE_DATA_DIR"] = str(ROOT / Path(os.environ["COURSE_DATA_DIR"]).expanduser())
os.environ["COURSE_STRICT"] = "1"  # a stored verdict that changed is an error, in the tests' kernels too
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes side by side, each with one thread
for name, examples in (("few", 100), ("many", 500)):  # of what hypothesis thinks up, the same each time
    settings.register_profile(name, max_examples=examples, deadline=None, derandomize=True)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the tests marked slow too")


def pytest_configure(config):
    settings.load_profile("many" if config.getoption("--all") else "few")
    config.pluginmanager.register(GreenLabs(ROOT, config.args, config.getoption("--all")), "green_labs")


@pytest.hookimpl(trylast=True)  # once it is settled which cells run
def pytest_collection_modifyitems(config, items):
    items[:] = with_moves(items)
    if not config.getoption("--all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run with --all"))
