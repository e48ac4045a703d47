"""What this machine computes on: chosen and described right, halved when memory runs out, the same on a GPU as here."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import digits_task, quick, small_net, state

from course_utils import device
from course_utils.device import autocast, in_chunks, number_format, out_of_memory, pick_device, seeded
from course_utils.errors import CourseError
from course_utils.features import extract
from course_utils.models.backbones import Model
from course_utils.training.batches import class_logits
from course_utils.training.evaluation import evaluate
from course_utils.training.fit import _deterministic

GPU = pick_device()
needs_gpu = pytest.mark.skipif(GPU.type == "cpu", reason="No GPU (CUDA or Apple's) answers on this machine.")
needs_cuda = pytest.mark.skipif(GPU.type != "cuda", reason="No CUDA GPU answers on this machine.")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("COURSE_PRECISION", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


# --- the choice, on made-up machines ---


@pytest.fixture
def machine(monkeypatch):
    """A machine with GPUs of these names, of which some do not answer."""

    def machine(*gpus, broken=()):
        def ones(size, device):
            if device in broken:
                raise RuntimeError("CUDA error: no kernel image is available\nand a long story")
            return 1

        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in gpus)
        monkeypatch.setattr(torch, "ones", ones)
        return pick_device.__wrapped__().type

    return machine


def test_the_fastest_that_answers_is_chosen(machine, capsys):
    assert [machine(), machine("mps"), machine("cuda", "mps"), machine("cuda")] == ["cpu", "mps", "cuda", "cuda"]
    assert capsys.readouterr().out == ""
    assert machine("cuda", broken=("cuda",)) == "cpu"
    said = capsys.readouterr().out
    assert "cuda GPU does not answer (CUDA error: no kernel image is available): using the processor" in said
    assert "long story" not in said
    assert machine("cuda", "mps", broken=("cuda",)) == "mps"


@pytest.mark.parametrize(
    ("kind", "has", "dtype", "why"),
    [
        ("cuda", (8, 0), torch.bfloat16, "bfloat16 units"),
        ("cuda", (9, 0), torch.bfloat16, "bfloat16 units"),
        ("cuda", (7, 5), torch.float32, "no bfloat16 units"),
        ("mps", None, torch.float32, "no unit here"),
        ("cpu", "amx", torch.bfloat16, "AMX"),
        ("cpu", "avx512", torch.bfloat16, "AVX-512 BF16"),
        ("cpu", None, torch.float32, "no unit here"),
    ],
)
def test_the_number_format_is_what_the_chip_has_units_for(monkeypatch, kind, has, dtype, why):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has == "amx")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has in ("amx", "avx512"))
    found, reason = number_format(torch.device(kind))
    assert found == dtype and why in reason
    if kind == "cpu":
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # the chip may have it; the library may not use it
        assert number_format(torch.device(kind))[0] == torch.float32
    for name, wanted in device.PRECISIONS.items():
        monkeypatch.setenv("COURSE_PRECISION", name)
        assert number_format(torch.device(kind)) == (wanted, "COURSE_PRECISION says so")


@pytest.mark.parametrize(("has", "dtype"), [("amx", torch.bfloat16), ("avx512", torch.float32), (None, torch.float32)])
def test_depthwise_convolutions_stay_out_of_the_format_that_slows_them(monkeypatch, has, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has == "amx")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has in ("amx", "avx512"))
    assert number_format(torch.device("cpu"), depthwise=True)[0] == dtype
    plain, depthwise = (
        Model("net", {"conv": torch.nn.Conv2d(3, 3, 3, groups=groups)}, 3, ((0,) * 3, (1,) * 3)) for groups in (1, 3)
    )
    assert (plain.depthwise, depthwise.depthwise) == (False, True)
    seen = []
    depthwise.stages["conv"].register_forward_hook(lambda layer, args, out: seen.append(out.dtype))
    depthwise.head = torch.nn.Linear(3, 2)
    class_logits(depthwise, torch.zeros(1, 3, 8, 8))
    assert seen == [dtype]


def test_a_format_that_there_is_not_is_named(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp8")
    with pytest.raises(CourseError, match="'fp8'; it may be fp32, bf16, fp16"):
        number_format()


def test_arithmetic_runs_in_that_format(monkeypatch):
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    for name, dtype in device.PRECISIONS.items():
        monkeypatch.setenv("COURSE_PRECISION", name)
        with autocast(torch.device("cpu")):
            assert layer(x).dtype == dtype


# --- memory that runs out, by a fake ---


def cramped(room, error=torch.OutOfMemoryError):
    """A function for which more than `room` inputs are too many; it remembers how many it was given."""
    seen = []

    def function(part):
        seen.append(len(part))
        if len(part) > room:
            raise error("MPS backend out of memory" if error is RuntimeError else "CUDA out of memory")
        return part + 1

    function.seen = seen
    return function


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("room", [1, 70, 128, 256])
def test_parts_are_halved_until_they_fit_and_nothing_is_lost_or_doubled(room, error):
    x, function = torch.arange(600), cramped(room, error)
    assert torch.equal(torch.cat(in_chunks(function, x)), x + 1)
    fits = next(size for size in (256, 128, 64, 32, 16, 8, 4, 2, 1) if size <= room)
    parts = function.seen[-math.ceil(600 / fits) :]
    assert max(parts) == fits and sum(parts) == 600 and len(function.seen) - len(parts) < 9


def test_what_halving_cannot_mend_is_raised_at_once():
    with pytest.raises(torch.OutOfMemoryError):
        in_chunks(cramped(0), torch.arange(600))
    wrong = SimpleNamespace(calls=0)

    def fail(part):
        wrong.calls += 1
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        in_chunks(fail, torch.arange(600))
    assert wrong.calls == 1 and not out_of_memory(RuntimeError("mat1"))


# --- on a GPU, where there is one ---


def test_random_numbers_come_from_the_seed_and_are_outside_as_before():
    drawn = []
    for where in {torch.device("cpu"), GPU}:
        torch.manual_seed(1)
        expected = torch.rand(3, device=where)
        torch.manual_seed(1)
        for seed in (5, 5, 6):
            with seeded(seed, where):
                drawn.append(torch.rand(3, device=where).tolist())
        assert drawn[-3] == drawn[-2] != drawn[-1]
        assert torch.equal(torch.rand(3, device=where), expected)


@needs_gpu
@pytest.mark.parametrize("strategy", ["from_scratch", "feature_extraction", "fine_tuning"])
def test_a_gpu_learns_what_the_processor_learns(strategy, monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    task, ends, accuracies = digits_task(), [], []
    for where in ("cpu", GPU):
        model = small_net(pretrained=strategy != "from_scratch")
        quick(model, task, strategy, device=where)
        accuracies.append(evaluate(model, task.test, device=where).accuracy)
        ends.append(state(model.to("cpu")))
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=1e-2, atol=1e-3)
    assert abs(accuracies[0] - accuracies[1]) < 0.05


@needs_gpu
def test_features_of_a_gpu_are_those_of_the_processor(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PRECISION", "fp32")
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    x = digits_task().train.x
    here, there = (extract(small_net(pretrained=True), x, "layer3", device=where) for where in ("cpu", GPU))
    np.testing.assert_allclose(there, here, rtol=1e-2, atol=1e-3)


def test_a_seed_is_kept_to_on_a_gpu_with_its_library_of_convolutions():
    before = torch.backends.cudnn.enabled
    with _deterministic(torch.device("cuda")):
        assert torch.backends.cudnn.enabled is before and torch.backends.cudnn.deterministic



@needs_gpu
def test_a_gpu_learns_in_its_own_number_format():
    model, task = small_net(), digits_task(300)
    quick(model, task, "from_scratch", lr=1e-2, steps=80, device=GPU)
    assert evaluate(model, task.test, device=GPU).accuracy > 0.4  # chance is .1
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@needs_cuda
def test_a_gpu_that_is_full_is_given_less_at_once():
    free, _ = torch.cuda.mem_get_info()
    seen = []

    def hungry(part):
        seen.append(len(part))
        block = torch.empty(int(free / 100) * len(part), dtype=torch.uint8, device=GPU)  # a hundred would fill it
        return part + len(block[:0])

    x = torch.arange(300)
    assert torch.equal(torch.cat(in_chunks(hungry, x)), x) and seen[0] == 256 and seen[-1] < 100
