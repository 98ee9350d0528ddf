"""The ports `Background` and `Clock`: calls beside the loop, and time."""

import faulthandler
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from tests.simulation.servers.clock import FakeBackground, FakeClock
from worker.adapters.process.clock import SystemClock
from worker.adapters.process.threads import Threads
from worker.ports import Background, Clock

SERVERS = ("simulated", "real")
PATIENCE_SECONDS = 10.0


class Gate(Protocol):
    """Hold calls back until it is opened."""

    def close(self) -> None: ...

    def open(self) -> None: ...


class RealGate:
    """Have each call wait for an event."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()

    def close(self) -> None:
        self.is_open.clear()

    def open(self) -> None:
        self.is_open.set()


class SimulatedGate:
    """Hold the simulated thread."""

    def __init__(self, background: FakeBackground) -> None:
        self._background = background

    def close(self) -> None:
        self._background.held = self._background.stuck = True

    def open(self) -> None:
        self._background.held = self._background.stuck = False
        self._background.run()


@pytest.fixture(params=SERVERS)
def made(request: pytest.FixtureRequest) -> tuple[Background, Gate, Callable[[], None]]:
    """Make what runs calls, what holds them back, and what a call begins with to be held back."""
    if request.param == "simulated":
        fake = FakeBackground()
        return fake, SimulatedGate(fake), lambda: None
    gate = RealGate()
    return Threads(), gate, lambda: assert_true(gate.is_open.wait(PATIENCE_SECONDS))


def assert_true(done: bool) -> None:
    assert done


def test_a_call_is_made_and_its_end_is_told(made: tuple[Background, Gate, Callable[[], None]]) -> None:
    background, _, _ = made
    done: list[int] = []
    pending = background.start(lambda: done.append(1))
    pending.result(PATIENCE_SECONDS)
    assert (done, pending.is_done) == ([1], True)
    pending.result(0.0)


def test_what_a_call_raises_is_raised_to_who_asks(made: tuple[Background, Gate, Callable[[], None]]) -> None:
    background, _, _ = made

    def fail() -> None:
        raise LookupError("it failed")

    pending = background.start(fail)
    for _ in range(2):
        with pytest.raises(LookupError):
            pending.result(PATIENCE_SECONDS)
    assert pending.is_done


def test_a_call_that_is_under_way_is_not_done(made: tuple[Background, Gate, Callable[[], None]]) -> None:
    background, gate, pass_gate = made
    gate.close()
    pending = background.start(pass_gate)
    assert not pending.is_done
    for wait_seconds in (0.0, 0.01):
        with pytest.raises(TimeoutError):
            pending.result(wait_seconds)
    gate.open()
    pending.result(PATIENCE_SECONDS)
    assert pending.is_done


def test_calls_do_not_wait_for_each_other(made: tuple[Background, Gate, Callable[[], None]]) -> None:
    background, gate, pass_gate = made
    gate.close()
    first = background.start(pass_gate)
    gate.open()
    second = background.start(lambda: None)
    second.result(PATIENCE_SECONDS)
    first.result(PATIENCE_SECONDS)


@pytest.fixture(params=SERVERS)
def clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    """Make a clock."""
    if request.param == "simulated":
        yield FakeClock()
        return
    yield SystemClock()
    faulthandler.unregister(signal.SIGALRM)


def test_time_does_not_go_back(clock: Clock) -> None:
    moments = [clock.monotonic() for _ in range(100)]
    assert moments == sorted(moments)
    assert clock.now_ms() > 1_700_000_000_000


def test_waits_are_shortened_by_half_at_most(clock: Clock) -> None:
    assert all(0.5 <= clock.jitter() <= 1.0 for _ in range(100))


@pytest.mark.parametrize(
    "step",
    ["while True: pass", "sum(iter(int, 1))", "import time; time.sleep(60)"],
    ids=["a loop", "a loop in C", "a wait"],
)
def test_a_step_past_its_limit_ends_the_process_and_says_where_it_was(step: str) -> None:
    ended = run_with_limit(f"clock.limit(0.3)\n{step}")
    assert ended.returncode == -signal.SIGALRM
    assert 'File "<string>", line 4' in ended.stderr


def test_a_limit_that_is_set_anew_or_lifted_ends_nothing() -> None:
    # In a process of its own: the limit of a test is kept by the same timer.
    ended = run_with_limit(
        "for seconds in (0.3, 60, 0.3, 0):\n    clock.limit(seconds)\nimport time; time.sleep(0.6); print('alive')"
    )
    assert (ended.returncode, ended.stdout) == (0, "alive\n")


def test_cycles_are_collected_though_the_collector_is_spared() -> None:
    script = """
import gc, weakref
from worker.adapters.process.collector import YOUNG_OBJECTS_MAX, spare_collector

class Cycle:
    def __init__(self): self.own = self

spare_collector()
assert gc.get_freeze_count() > 0
first = weakref.ref(Cycle())
young = [[] for _ in range(YOUNG_OBJECTS_MAX // 2)]
assert first() is not None, "half of what it takes"
young += [[] for _ in range(YOUNG_OBJECTS_MAX)]
assert first() is None
print("collected")
"""
    ended = run_with_limit(script)
    assert (ended.stdout, ended.stderr) == ("collected\n", "")


def run_with_limit(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has a clock."""
    made = f"from worker.adapters.process.clock import SystemClock\nclock = SystemClock()\n{script}\n"
    return subprocess.run(
        [sys.executable, "-c", made], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
