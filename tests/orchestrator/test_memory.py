"""The memories in this process, by the suite and by what the reference's does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.orchestrator.desk import COUNT, start, subject_of
from worker.core.engine.api import Snapshot
from worker.core.instances import Instance, Status
from worker.orchestrator import DeduplicatingMemory, MachineMemory, SimpleMachineMemory, TelemeteredMachineMemory
from worker.testing.memories import MachineMemoryConformance

INSTANCE = Instance(
    subject=subject_of(),
    source=COUNT,
    version="1.0.0",
    status=Status.ACTIVE,
    snapshot=Snapshot(("root",), {"n": 1}, {}),
    init_event_id=start().id,
    parent_subject=None,
    now=1,
    revision=1,
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda memory: memory.read(""), "Machine ID is required for read operation"),
        (lambda memory: memory.write("", INSTANCE), "Machine ID is required for write operation"),
        (lambda memory: memory.write("x", None), "Data is required for write operation; expected an Instance"),
        (lambda memory: memory.write("x", {"n": 1}), "expected an Instance, got dict"),
        (lambda memory: memory.lock(""), "Machine ID is required for lock operation"),
        (lambda memory: memory.unlock(""), "Machine ID is required for unlock operation"),
    ],
)
def test_refuses_what_lacks_its_subject_or_instance(call: Callable[[Any], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(SimpleMachineMemory())


def test_gives_back_what_was_written_last() -> None:
    memory = SimpleMachineMemory()
    assert memory.read("x") is None
    memory.write("x", INSTANCE)
    assert memory.read("x") == INSTANCE
    assert memory.read("y") is None


def test_a_lock_is_had_once_until_it_is_freed() -> None:
    memory = SimpleMachineMemory()
    assert [memory.lock("x"), memory.lock("x"), memory.lock("y")] == [True, False, True]
    assert [memory.unlock("x"), memory.unlock("x")] == [True, True]
    assert memory.lock("x")
    assert not memory.lock("y")


def test_forgets_one_subject_or_all() -> None:
    memory = SimpleMachineMemory()
    for subject in ("x", "y"):
        memory.write(subject, INSTANCE)
        memory.lock(subject)
    memory.clear("x")
    assert memory.read("x") is None
    assert memory.lock("x")
    assert memory.read("y") == INSTANCE
    assert not memory.lock("y")
    memory.clear()
    assert memory.read("y") is None
    assert memory.lock("y")
    memory.clear("never there")


def test_of_many_threads_one_has_the_lock() -> None:
    memory = SimpleMachineMemory()
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda number: memory.lock(f"x-{number % 50}"), range(400)))
    assert sum(taken) == 50


class TestTheSuiteOnSimpleMachineMemory(MachineMemoryConformance):
    checks_previous = False

    def make_memory(self) -> SimpleMachineMemory:
        return SimpleMachineMemory()


class TestTheSuiteOnTelemeteredMachineMemory(MachineMemoryConformance):
    checks_previous = False

    def make_memory(self) -> TelemeteredMachineMemory:
        return TelemeteredMachineMemory(SimpleMachineMemory())


def test_is_a_memory_that_does_not_deduplicate() -> None:
    memory: MachineMemory = SimpleMachineMemory()
    assert isinstance(memory, MachineMemory)
    assert not isinstance(memory, DeduplicatingMemory)
