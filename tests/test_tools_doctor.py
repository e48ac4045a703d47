"""The doctor: what is missing counts only when the course cannot do without it."""

import hashlib
import shutil
import types

import pytest
from launching import NO_SERVER, ROOT, finish, launch

from course_utils.tools import doctor, packages


def test_the_doctor_comes_before_any_set_up(course):
    code, out, _ = finish(launch(course, None, "doctor"))
    assert code == 1
    assert "Packages    MISSING: " in out
    assert "To do: python3 -m course_utils setup" in out
    assert "does not answer" in out  # the network, which is not among what is to be done
    assert not (course / ".venv").exists()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the packages and the weights, but with no network, no data sets and no test packages."""
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    (tmp_path / "constraints.txt").write_text("numpy==0.1\n")
    (tmp_path / "tests" / "requirements.txt").write_text("a-package-that-nobody-has==1.0\n")
    weights = tmp_path / "data" / "weights" / "photonet.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    (weights.parent / "README.md").write_text(f"sha256 `{hashlib.sha256(b'weights').hexdigest()}`")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "WEIGHTS", weights)
    monkeypatch.setenv("PIP_INDEX_URL", NO_SERVER)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("COURSE_DATA_DIR", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    return types.SimpleNamespace(weights=weights, set=monkeypatch)


def test_nothing_needed_is_missing_without_network_data_sets_or_test_packages(machine, capsys):
    assert doctor.main() == 0
    out = capsys.readouterr().out
    for label in ["Python", "Packages", "Processor", "Number", "Memory", "GPU", "Disk", "Weights", "Data"]:
        assert label in out
    assert "the package index does not answer" in out
    assert "added by `python3 -m course_utils test`" in out
    assert "digits: in the installed packages" in out
    assert "Everything needed is here." in out


@pytest.mark.parametrize("fault", ["gone", "damaged", "without its card", "the second damaged", "the second gone"])
def test_weights_that_are_gone_or_damaged_are_needed(machine, capsys, fault):
    if fault == "damaged":
        machine.weights.write_bytes(b"weighty")
    elif "second" in fault:
        machine.weights.with_name("photonet-1.md").write_text("sha256 `of other weights`")
        if fault == "the second damaged":
            machine.weights.with_name("photonet-1.safetensors").write_bytes(b"weights")
    else:
        (machine.weights if fault == "gone" else machine.weights.parent / "README.md").unlink()
    assert doctor.main() == 1
    assert "To do: git checkout -- data/weights" in capsys.readouterr().out


def test_a_gigabyte_of_disk_is_needed(machine, capsys):
    machine.set.setattr(doctor.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2**29))
    assert doctor.main() == 1
    assert "Disk        MISSING: 0.50 GB free" in capsys.readouterr().out


def test_packages_are_compared_with_their_pins():
    installed = packages.metadata.version("numpy")
    assert packages.compare({"numpy": installed, "NumPy": "0.1", "nobody-has-this": "1.0"}) == (
        ["nobody-has-this"],
        [f"NumPy {installed}"],
    )
    assert packages.pins(ROOT / "requirements.txt").keys() >= {"torch", "scikit-learn", "jupyterlab"}


def test_a_processor_build_is_the_pinned_version(monkeypatch):
    monkeypatch.setattr(packages.metadata, "version", lambda name: "2.12.1+cpu")
    assert packages.compare({"torch": "2.12.1"}) == ([], [])


def place_package(folder, rows, installer="pip"):
    """A package `gamma` of three files in `folder`, whose list of files is `rows`."""
    info = folder / "gamma-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "gamma").mkdir()
    for name, text in (("gamma/__init__.py", "x = 1"), ("gamma/none.py", ""), ("gamma-1.0.dist-info/METADATA", "Name")):
        (folder / name).write_text(text)
    (info / "INSTALLER").write_text(f"{installer}\n")
    (info / "RECORD").write_text("".join(f"{row}\n" for row in rows))
    return info


RECORD = ["gamma/__init__.py,sha256=abc,5", "gamma/none.py,sha256=abc,0", "gamma/__pycache__/x.pyc,,",
          "gamma-1.0.dist-info/METADATA,sha256=abc,4", "gamma-1.0.dist-info/RECORD,,"]  # fmt: skip
FAULTS = {
    "whole": lambda folder: None,
    "a file gone": lambda folder: (folder / "gamma" / "__init__.py").unlink(),
    "a file cut off": lambda folder: (folder / "gamma" / "__init__.py").write_text("x"),
    "a file empty": lambda folder: (folder / "gamma" / "__init__.py").write_text(""),
    "all gone but its description": lambda folder: shutil.rmtree(folder / "gamma"),
    "its description gone": lambda folder: (folder / "gamma-1.0.dist-info" / "METADATA").unlink(),
    "its list of files gone": lambda folder: (folder / "gamma-1.0.dist-info" / "RECORD").unlink(),
    "its list of files garbage": lambda folder: (folder / "gamma-1.0.dist-info" / "RECORD").write_bytes(b"\xff\0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_package_that_has_lost_files_is_seen_and_forgotten(tmp_path, monkeypatch, capsys, fault):
    info = place_package(tmp_path / "site", RECORD)
    (tmp_path / "constraints.txt").write_text("Gamma==1.0\n")
    (tmp_path / "requirements.txt").write_text("numpy==0.1\nnobody_has.this==1.0\n")
    monkeypatch.setattr(packages, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
    FAULTS[fault](tmp_path / "site")
    lost = ["gamma"] if fault != "whole" else []
    assert list(packages.damaged(tmp_path / "constraints.txt")) == lost
    monkeypatch.setattr(packages.damaged, "__defaults__", (tmp_path / "constraints.txt",))
    assert packages.main() == 0
    assert capsys.readouterr().out.split() == [*lost, "nobody-has-this", "numpy"]
    assert info.exists() is not bool(lost)


def test_what_others_have_installed_is_left_alone(tmp_path, monkeypatch):
    place_package(tmp_path / "site", RECORD, "conda")
    shutil.rmtree(tmp_path / "site" / "gamma")
    (tmp_path / "constraints.txt").write_text("gamma==1.0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
    assert packages.damaged(tmp_path / "constraints.txt") == {}


def test_a_package_that_cannot_even_be_asked_is_no_end_of_the_report(machine, capsys):
    machine.set.setattr(doctor, "damaged", lambda file: {"torch": None})

    def broken():
        raise AttributeError("module 'torch' has no attribute 'device'")

    machine.set.setattr(doctor, "machine", broken)
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert "MISSING: files are gone of: torch" in out and "cannot be told: module 'torch' has no" in out
    assert "To do: python3 -m course_utils setup" in out


def test_a_wrong_setting_is_named_and_the_rest_goes_on(machine, capsys):
    machine.set.setenv("COURSE_PRECISION", "fp8")
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert "cannot be told: COURSE_PRECISION is 'fp8'" in out and "To do: mend what cannot be told, above" in out
