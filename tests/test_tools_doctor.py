"""The doctor: what is missing counts only when the course cannot do without it."""

import hashlib
import shutil
import types

import pytest
from launching import NO_SERVER, ROOT, finish, launch

from course_utils.tools import doctor


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


@pytest.mark.parametrize("fault", ["gone", "damaged", "without its card"])
def test_weights_that_are_gone_or_damaged_are_needed(machine, capsys, fault):
    if fault == "damaged":
        machine.weights.write_bytes(b"weighty")
    else:
        (machine.weights if fault == "gone" else machine.weights.parent / "README.md").unlink()
    assert doctor.main() == 1
    assert "To do: git checkout -- data/weights" in capsys.readouterr().out


def test_a_gigabyte_of_disk_is_needed(machine, capsys):
    machine.set.setattr(doctor.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2**29))
    assert doctor.main() == 1
    assert "Disk        MISSING: 0.50 GB free" in capsys.readouterr().out


def test_packages_are_compared_with_their_pins():
    installed = doctor.metadata.version("numpy")
    assert doctor.compare({"numpy": installed, "NumPy": "0.1", "nobody-has-this": "1.0"}) == (
        ["nobody-has-this"],
        [f"NumPy {installed}"],
    )
    assert doctor.pins(ROOT / "requirements.txt").keys() >= {"torch", "scikit-learn", "jupyterlab"}


def test_a_processor_build_is_the_pinned_version(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.12.1+cpu")
    assert doctor.compare({"torch": "2.12.1"}) == ([], [])


def test_a_wrong_setting_is_named_and_the_rest_goes_on(machine, capsys):
    machine.set.setenv("COURSE_PRECISION", "fp8")
    assert doctor.main() == 0
    assert "cannot be told: COURSE_PRECISION is 'fp8'" in capsys.readouterr().out
