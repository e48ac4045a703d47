"""How many threads a call uses: a machine that is made up tells how many cores are free, and who else computes."""

import contextlib
import ctypes
import itertools
import os
import platform
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import joblib
import numpy as np
import psutil
import pytest
import torch

import course_utils.machine as sharing
from course_utils import describe, evaluate, extract, fit, load_model, load_task, probe, threads
from course_utils.data.splits import Split
from course_utils.errors import CourseError
from course_utils.evidence.experiments import _plain_processor
from course_utils.machine import SET_ATTRIBUTES, TURN, Meter, Register, cores
from course_utils.threads import FAR, FIRST, LOOK, OFTEN, PATIENCE, Pace, share_of_processor

A_LOOK = 1.01 * LOOK  # a little longer, since the clock's sums are not exact


class Machine:
    """Cores, of which other programs leave some free, other calls of the course, and a clock that we turn."""

    def __init__(self, cores: int) -> None:
        self.cores, self.free, self.calls, self.now, self.asked = cores, float(cores), 0, 100.0, 0
        self.turns = []

    def others(self) -> int:
        self.asked += 1
        return self.calls

    def later(self, seconds: float) -> int:
        """Time goes by, in looks; how many threads there are then."""
        end = self.now + seconds
        while self.now < end:
            self.now += A_LOOK
            threads.look_again()
        return torch.get_num_threads()


@pytest.fixture
def machine(monkeypatch):
    here = Machine(8)
    monkeypatch.delenv("COURSE_THREADS", raising=False)
    monkeypatch.setattr(threads, "cores", lambda: here.cores)
    monkeypatch.setattr(threads, "_meter", SimpleNamespace(glance=lambda: None, free=lambda: here.free))
    monkeypatch.setattr(threads, "Register", lambda: SimpleNamespace(others=here.others, leave=lambda: None))
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: here.now))
    monkeypatch.setattr(threads, "take_long_turns", here.turns.append)
    number = [8]  # real threads would slow a busy machine, which is why all of this exists
    monkeypatch.setattr(torch, "get_num_threads", lambda: number[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: number.__setitem__(0, count))
    return here


@pytest.fixture
def places(monkeypatch, tmp_path):
    """A register of our own, so that no run elsewhere on this machine is counted."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(sharing.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)


def begin() -> int:
    with share_of_processor():
        return torch.get_num_threads()


@pytest.mark.parametrize(
    ("free", "calls", "expected"),
    [(8, 0, 8), (8, 1, 4), (8, 2, 2), (8, 7, 1), (8, 30, 1), (3.4, 0, 3), (3.6, 0, 4), (0, 0, 1), (2, 1, 2),
     (float("inf"), 0, 8), (7.6, 0, 8)],
)  # fmt: skip
def test_an_equal_part_of_the_cores_as_far_as_they_are_free(machine, free, calls, expected):
    machine.free, machine.calls = free, calls
    assert begin() == expected and torch.get_num_threads() == 8


def test_on_two_cores_whoever_is_not_alone_takes_one_thread(machine):
    machine.cores = 2
    assert begin() == 2
    machine.calls = 1
    assert begin() == 1


def test_one_thread_takes_long_turns_several_do_not(machine):
    with share_of_processor():
        assert machine.turns == [False]
        machine.calls = 7
        machine.later(A_LOOK)
        assert machine.turns == [False, True]
    assert machine.turns == [False, True, False]


def turn_of_this_thread() -> int:
    """How long Linux lets this thread compute at a time, in ms; 0 where it does not tell."""
    number = {314: 315, 274: 275}.get(SET_ATTRIBUTES.get(platform.machine()))
    if sys.platform != "linux" or not number:
        return 0
    answer = ctypes.create_string_buffer(48)
    if ctypes.CDLL(None).syscall(number, 0, answer, 48, 0):
        return 0
    return struct.unpack("=IIQiIQQQ", answer.raw)[5] // 10**6


@pytest.mark.skipif(not turn_of_this_thread(), reason="this system does not tell how long a turn is")
def test_the_system_grants_long_turns_and_takes_them_back():
    before = turn_of_this_thread()
    sharing.take_long_turns(True)
    assert turn_of_this_thread() == TURN > before
    sharing.take_long_turns(False)
    assert turn_of_this_thread() == before


@pytest.mark.parametrize("what", ["machine", "platform"])
def test_elsewhere_turns_are_as_they_are(monkeypatch, what):
    before = turn_of_this_thread()
    if what == "machine":
        monkeypatch.setattr(platform, "machine", lambda: "abacus")
    else:
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.delattr(os, "getpriority", raising=False)  # as Windows has it
    sharing.take_long_turns(True)
    monkeypatch.undo()
    assert turn_of_this_thread() == before


def test_torch_computes_with_the_number_and_has_its_own_again_afterwards(monkeypatch):
    monkeypatch.setenv("COURSE_THREADS", str(torch.get_num_threads() + 1))
    before = torch.get_num_threads()
    assert begin() == before + 1 and torch.get_num_threads() == before


def test_never_more_than_torch_is_set_to(machine):
    torch.set_num_threads(1)
    assert begin() == 1 and torch.get_num_threads() == 1
    machine.cores = 4
    torch.set_num_threads(8)
    assert begin() == 4


def test_a_teacher_may_fix_the_number(machine, monkeypatch):
    monkeypatch.setenv("COURSE_THREADS", "3")
    machine.free, machine.calls = 0, 5
    with share_of_processor() as share:
        assert machine.later(10) == 3
        assert share.why() == "COURSE_THREADS says so"
    assert "3 threads (COURSE_THREADS says so)" in describe()


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5", "²", "1025", "9" * 5000])
def test_a_wrong_number_is_an_error_that_says_so(monkeypatch, wrong):
    monkeypatch.setenv("COURSE_THREADS", wrong)
    with pytest.raises(CourseError, match=f"COURSE_THREADS is '{wrong[:9]}.*'; it may be a whole number") as raised:
        begin()
    assert len(str(raised.value).splitlines()) <= 3
    assert threads._share is None


def test_the_number_goes_down_at_once_and_up_only_after_a_while(machine):
    with share_of_processor():
        machine.calls = 1
        assert machine.later(A_LOOK) == 4
        machine.calls = 0
        assert machine.later(A_LOOK) == 4
        assert machine.later(PATIENCE) == 8


def test_each_time_a_call_goes_up_it_waits_longer(machine):
    waits = []
    with share_of_processor():
        for _ in range(4):
            machine.free = 1.0
            assert machine.later(A_LOOK) == 1
            machine.free, began = 8.0, machine.now
            while torch.get_num_threads() == 1:
                machine.later(A_LOOK)
            waits.append(machine.now - began)
    assert all(b > 1.5 * a for a, b in itertools.pairwise(waits))


def test_between_two_numbers_a_call_keeps_the_one_it_has(machine):
    with share_of_processor():
        machine.free = 7.6
        assert machine.later(3) == 8
        machine.free = 1.0
        assert machine.later(1) == 1
        machine.free = 1.6
        assert machine.later(20) == 1


def test_the_machine_is_not_asked_at_every_step(machine):
    with share_of_processor():
        asked = machine.asked
        for _ in range(1000):
            threads.look_again()
            machine.now += LOOK / 100
        assert 5 <= machine.asked - asked <= 10


def test_a_call_inside_a_call_is_part_of_it_and_a_gpu_needs_no_share(machine):
    machine.calls = 1
    with share_of_processor() as outer:
        machine.calls = 7
        with share_of_processor() as inner:
            assert inner is outer and torch.get_num_threads() == 4
        assert torch.get_num_threads() == 4
    with share_of_processor("cuda") as share:
        assert share is None and torch.get_num_threads() == 8
        Pace().step(1.0)
        threads.look_again()


def test_an_error_or_an_interruption_gives_the_threads_back(machine):
    machine.calls = 7
    for error in (KeyboardInterrupt, ValueError):
        with contextlib.suppress(error), share_of_processor():
            assert torch.get_num_threads() == 1
            raise error
        assert torch.get_num_threads() == 8 and threads._share is None


def steps(machine: Machine, pace: Pace, count: int, seconds: float) -> int:
    for _ in range(count):
        machine.now += seconds
        pace.step(seconds)
    return torch.get_num_threads()


def test_steps_that_become_far_slower_cost_half_of_the_threads_for_good(machine):
    pace = Pace()
    with share_of_processor():
        assert steps(machine, pace, FIRST + 20, 0.02) == 8
        assert steps(machine, pace, OFTEN - 1, 0.02 * FAR * 2) == 8  # once or twice may be anything
        assert steps(machine, pace, 1, 0.02) == 8
        assert steps(machine, pace, OFTEN, 0.02 * FAR * 2) == 4
        assert steps(machine, pace, 500, 0.03) == 4  # however free the cores are said to be
        assert steps(machine, pace, OFTEN, 0.3) == 2


def test_a_new_phase_may_have_slower_steps(machine):
    with share_of_processor():
        assert steps(machine, Pace(), 50, 0.001) == 8
        assert steps(machine, Pace(), 50, 0.1) == 8


def test_slower_steps_after_threads_were_given_away_are_expected(machine):
    pace = Pace()
    with share_of_processor():
        steps(machine, pace, FIRST, 0.02)
        machine.calls = 3
        assert machine.later(A_LOOK) == 2
        assert steps(machine, pace, 20, 0.1) == 2


@pytest.fixture
def used(machine, monkeypatch):
    """The numbers of threads with which torch, and NumPy's libraries, computed."""
    seen = {"torch": set(), "numpy": set()}
    run, solve = torch.nn.Conv2d.forward, threads.share_for_numpy

    def forward(layer, x):
        seen["torch"].add(torch.get_num_threads())
        return run(layer, x)

    @contextlib.contextmanager
    def numpy_too():
        with solve():
            seen["numpy"] |= {lib["num_threads"] for lib in threads._libraries().info() if lib["user_api"] == "blas"}
            yield

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    monkeypatch.setattr("course_utils.features.share_for_numpy", numpy_too)
    return seen


def test_fit_evaluate_extract_and_probe_take_their_share(machine, used):
    task = load_task("digits", per_class=2)
    model = load_model("photonet", 10)
    few = Split(task.test.x[:20], task.test.y[:20])
    calls = {
        "fit": lambda: fit(model, task, steps=2, progress=False),
        "evaluate": lambda: evaluate(model, few),
        "extract": lambda: extract(model, np.random.default_rng().integers(0, 256, few.x.shape, dtype=np.uint8)),
        "probe": lambda: probe(np.random.default_rng(0).normal(size=(20, 3)), few.y),
    }
    for count, free in ((2, 2.0), (3, 3.0)):
        for name, call in calls.items():
            used["torch"].clear()
            used["numpy"].clear()
            machine.free = free
            call()
            assert used["numpy" if name == "probe" else "torch"] == {count}, name
            assert torch.get_num_threads() == 8


def test_fit_and_evaluate_notice_while_they_run(machine, used):
    task = load_task("digits", per_class=2)
    model = load_model("photonet", 10)

    def others_come(step: int, model: object, row: dict) -> None:
        machine.now += A_LOOK
        machine.calls = 0 if step < 3 else 3

    fit(model, task, steps=6, progress=False, callbacks=[others_come])
    assert used["torch"] == {8, 2}
    machine.calls, parts = 0, []

    def part(x: torch.Tensor) -> None:
        parts.append(torch.get_num_threads())
        machine.now, machine.calls = machine.now + A_LOOK, 7

    from course_utils.device import in_chunks

    with share_of_processor():
        in_chunks(part, torch.zeros(600, 3, 64, 64))
    assert parts[0] == 8 and set(parts[1:]) == {1}


@pytest.mark.parametrize("teacher", ["", "3"])
def test_stored_experiments_stay_at_one_thread(machine, monkeypatch, teacher):
    monkeypatch.setenv("COURSE_THREADS", teacher)
    with _plain_processor(), share_of_processor():
        assert machine.later(10) == 1
    assert torch.get_num_threads() == 8 and os.environ["COURSE_THREADS"] == teacher


@pytest.mark.parametrize(
    ("free", "calls", "words"),
    [(8, 0, "8 threads (of 8 cores that are free)"),
     (8, 1, "4 threads (of 8 cores; 1 other call of the course computes)"),
     (8, 9, "1 thread (of 8 cores; 9 other calls of the course compute)"),
     (2, 0, "2 threads (of 8 cores; other programs compute)")],
)  # fmt: skip
def test_describe_says_how_many_and_why(machine, free, calls, words):
    machine.free, machine.calls = free, calls
    assert words in describe().splitlines()[0]


HOLD = """
import sys
from course_utils.machine import Register
register = Register()
print(register.others(), flush=True)
sys.stdin.read()
"""


def test_calls_of_other_processes_are_counted_until_they_end_or_die(places, tmp_path):
    def elsewhere() -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        code = f"import os\nos.cpu_count = lambda: 4\n{HOLD}"
        return subprocess.Popen([sys.executable, "-c", code], **pipes, env=os.environ | {"TMPDIR": str(tmp_path)})

    ours, first, second = Register(), elsewhere(), elsewhere()
    assert sorted(int(process.stdout.readline()) for process in (first, second)) == [0, 1]
    assert ours.others() == 2
    first.kill()  # no chance to tidy up
    first.wait()
    assert ours.others() == 1
    second.stdin.close()
    second.wait()
    assert ours.others() == 0
    for process in (first, second):
        process.stdout.close()
    ours.leave()


def test_who_finds_no_place_takes_one_when_one_is_free(places):
    calls = [Register() for _ in range(6)]
    assert [call.others() for call in calls] == [0, 1, 2, 3, 4, 4]
    assert calls[0].others() == 3
    calls[1].leave()
    assert calls[5].others() == 3 and calls[0].others() == 3
    for call in calls:
        call.leave()
    assert Register().others() == 0


def test_without_a_folder_to_write_to_nobody_is_counted(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sharing.tempfile, "tempdir", str(tmp_path / "file"))
    register = Register()
    assert register.others() == 0
    register.leave()


def counters(monkeypatch, *rows: tuple) -> Meter:
    """A meter that reads these rows: seconds on the clock, idle, ours, everything."""
    left = list(rows)
    monkeypatch.setattr(sharing, "_counters", lambda: left.pop(0))
    monkeypatch.setattr(sharing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: left[0][0])
    return Meter()


def test_free_is_what_is_idle_or_ours(monkeypatch):
    meter = counters(monkeypatch, (10, 0, 0, 0), (11, 0.5, 0.5, 2), (12, 0.5, 2.5, 4), (12.01, 0.5, 2.5, 4.02))
    meter.glance()
    assert meter.free() == 1.0  # the first look takes a moment: a core's worth is someone else's
    assert meter.free() == 2.0
    assert meter.free() == 2.0  # too early to tell anything new


def test_after_a_pause_what_was_before_does_not_count(monkeypatch):
    meter = counters(monkeypatch, (10, 0, 0, 0), (11, 2, 0, 2), (60, 90, 0, 100), (60.1, 90.0, 0, 100.2))
    meter.glance()
    assert meter.free() == 2.0
    meter.glance()
    assert meter.free() == 0.0


def test_a_long_step_counts_as_a_whole_and_the_next_call_need_not_look_anew(monkeypatch):
    meter = counters(monkeypatch, (10, 0, 0, 0), (11, 2, 0, 2), (21, 2, 10, 22), (22, 4, 10, 24))
    meter.glance()
    assert meter.free() == 2.0
    assert meter.free() == 1.0
    meter.glance()
    assert meter.free() == 2.0


def test_where_the_system_does_not_tell_everything_counts_as_free(monkeypatch):
    def refuses(percpu: bool) -> list:
        raise FileNotFoundError("/proc/stat")

    for stat in (refuses, lambda percpu: [SimpleIdle(0.0)] * 2):
        monkeypatch.setattr(psutil, "cpu_times", stat)
        meter = Meter()
        meter.glance()
        assert meter.free() == float("inf")


class SimpleIdle(tuple):
    """Counters that stand still, as some containers have them."""

    def __new__(cls, idle: float) -> "SimpleIdle":
        return super().__new__(cls, (idle,))

    @property
    def idle(self) -> float:
        return self[0]


def test_the_real_counters_tell_of_no_more_cores_than_there_are():
    meter = Meter()
    meter.glance()
    assert 0 <= meter.free() <= os.cpu_count() + 0.5
    time.sleep(0.3)
    assert 0 <= meter.free() <= os.cpu_count() + 0.5


def test_a_container_s_quota_and_the_affinity_count(monkeypatch, tmp_path):
    assert cores() == joblib.cpu_count() <= os.cpu_count()
    if hasattr(os, "sched_setaffinity"):
        code = "import os\nos.sched_setaffinity(0, {0})\nfrom course_utils.machine import cores\nprint(cores())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "1\n"
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    real, exists = open, os.path.exists
    quota = {"/sys/fs/cgroup/cpu.max": tmp_path / "cpu.max"}
    monkeypatch.setattr("builtins.open", lambda path, *a, **k: real(quota.get(path, path), *a, **k))
    monkeypatch.setattr(os.path, "exists", lambda path: path in quota or exists(path))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert cores() == 2
