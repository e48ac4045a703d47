"""Bring the stored results up to date: run what is missing or stale of the declared experiments."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

import pandas as pd

from course_utils import registry
from course_utils.data.tasks import load_task
from course_utils.errors import CourseError, DataUnavailable
from course_utils.evidence import items, results
from course_utils.evidence.experiments import Study, missing_runs, run_study
from course_utils.files import replacing


def _named(names: Sequence[str]) -> dict[str, Study]:
    """The studies of these names (none: all), in the order in which they need each other."""
    for name in names:
        registry.study(name)  # which raises for an unknown one
    return {name: study for name, study in registry.studies().items() if not names or name in names}


def _state(name: str, study: Study) -> str:
    """What is missing or stale of a study, in words; "current" where nothing is."""
    missing, stale = len(missing_runs(study, name)), results.stale(name, study.version)
    if missing or stale:
        return f"{missing:,} missing" + (f", {stale:,} stale" if stale else "")
    return "current" if results.settled(name, study.version) else "complete, but not put in place"


def _list(studies: dict[str, Study]) -> str:
    """A line a study: its rows, what is left to do, what all of it costs."""
    lines = [f"{'experiment':18} {'rows':>6} {'left':>8} {'in all':>8}  state"]
    for name, study in studies.items():
        count = len(study.grid) * len(study.seeds)
        left = study.minutes * len(missing_runs(study, name)) / count
        lines.append(f"{name:18} {count:6,} {left:4.0f} min {study.minutes:4.0f} min  {_state(name, study)}")
    return "\n".join([*lines, "Minutes are for two plain cores."])


def _run(name: str, study: Study) -> None:
    for needed in study.needs:
        state = _state(needed, registry.study(needed))
        if state != "current":
            raise CourseError(f"{name} needs {needed}, of which rows are {state}.\n{results.remedy(needed)}")
    print(f"{name}: {len(run_study(study, name)):,} rows stored.")


def _list_items(tasks: set) -> None:
    """List the test items of these tasks anew where they differ from `items.csv`; what is not here stays."""
    path, stored, parts = results.RESULTS / f"{results.ITEMS}.csv", items.stored(), {}
    for name in items.TASKS:
        parts[name] = stored[stored["task"] == name]
        with suppress(DataUnavailable):
            parts |= {name: _items_of(name)} if name in tasks else {}
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    after = pd.concat(parts.values()).to_csv(index=False, lineterminator="\n") if parts else ""
    if after and not (path.exists() and path.read_text(encoding="utf-8") == after):
        with replacing(path) as beside:
            beside.write_text(after, encoding="utf-8")
        print(f"{path.name} lists the test items of {', '.join(parts)} anew.")


def _items_of(name: str) -> pd.DataFrame:
    test = load_task(name, per_class=1, image_size=8).test  # classes and groups do not depend on the size
    number = range(len(test))
    return pd.DataFrame(
        {"task": name, "item": number, "label": test.y, "group": number if test.groups is None else test.groups}
    )


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m course_utils recompute", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which experiments (default: all)")
    parser.add_argument("--list", action="store_true", help="say what is missing or stale, and what each costs")
    options = parser.parse_args(words)
    try:
        studies = _named(options.names)
        if options.list:
            print(_list(studies))
            return 0
        _list_items({setting.get("task") for study in studies.values() for setting in study.grid})
        for name, study in studies.items():
            _run(name, study)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"{error}\nMend that, then the same command again: what is finished is stored.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What is finished is stored; the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
