"""How the memories' suites call a memory, on one thread or on many, and what they hold its answers against."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from threading import Thread
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from worker.core.digests import content_digest
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.outcomes import DomainedEvent
from worker.orchestrator import DeduplicatingMemory, MachineMemory
from worker.testing.memory_samples import next_instance

THREADS: Final = 6
STEPS_PER_THREAD: Final = 5
WAIT_SECONDS_MAX: Final = 60.0
"""How long a call on another thread may take. A memory that waits longer for a lock has no bound worth the name."""
LOCK_SECONDS_MAX: Final = WAIT_SECONDS_MAX / 2
LOCK_RETRY_SECONDS: Final = 0.001

_Result = TypeVar("_Result")


def check_same(found: Instance | None, expected: Instance | None) -> None:
    """Check that an instance was given back equal in all parts, types of values included."""
    assert found == expected, "the instance is not as it was written"
    assert _spelled(found) == _spelled(expected), "a value of the instance changed its type, as from 1 to 1.0"


def check_consumed(memory: DeduplicatingMemory, event: Event, emitted: Sequence[DomainedEvent]) -> None:
    """Check that an event is told to be consumed, and that its emitted events are given back equal in all parts."""
    found = memory.seen(event)
    assert found is not None, "an event that was consumed is not told to be"
    assert found.content_digest == content_digest(event), "the digest is not content_digest of the consumed event"
    assert tuple(found.emitted) == tuple(emitted), "the emitted events are not as they were kept"
    spelled, expected = ([_spelled(one.event) for one in events] for events in (found.emitted, emitted))
    assert spelled == expected, "a value of an emitted event changed its type, as from 1 to 1.0"


def _spelled(value: Instance | Event | None) -> str:
    """Write every part down, so that 1, 1.0 and true are told apart."""
    return json.dumps(asdict(value) if value else None, sort_keys=True, default=dict)


def count_up(memory: MachineMemory, subject: str) -> None:
    """Run steps as an orchestrator does, and begin again where the lock is not had."""
    for _ in range(STEPS_PER_THREAD):
        _take_lock(memory, subject)
        try:
            found = memory.read(subject)
            assert found is not None, "an instance was gone"
            n = found.snapshot.context["n"] + 1
            memory.write(subject, next_instance(found, snapshot=replace(found.snapshot, context={"n": n})), found)
        finally:
            memory.unlock(subject)


def _take_lock(memory: MachineMemory, subject: str) -> None:
    """Ask for a lock again and again; between two questions others get to run."""
    given_up = monotonic() + LOCK_SECONDS_MAX
    while not memory.lock(subject):
        assert monotonic() < given_up, "the lock was never free"
        sleep(LOCK_RETRY_SECONDS)


def raises(call: Callable[..., object], *arguments: object) -> bool:
    """Call a memory, and tell whether it raised."""
    try:
        call(*arguments)
    except Exception:  # noqa: BLE001 - a memory may raise what it likes.
        return True
    return False


def elsewhere(call: Callable[..., _Result], *arguments: object) -> _Result:
    """Call on another thread."""
    return together([lambda: call(*arguments)])[0]


def on_threads(call: Callable[[Any], _Result], items: Sequence[Any]) -> list[_Result]:
    """Call with each item, each on a thread of its own, all at the same time."""
    return together([lambda item=item: call(item) for item in items])  # type: ignore[misc]


def together(calls: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Call each on a thread of its own, all at the same time."""
    futures = [_begin(call) for call in calls]
    try:
        return [future.result(WAIT_SECONDS_MAX) for future in futures]
    except TimeoutError as error:
        raise AssertionError(f"a call of the memory did not come back within {WAIT_SECONDS_MAX:g} s") from error


def _begin(call: Callable[[], _Result]) -> Future[_Result]:
    """Call on a thread that keeps no process from ending, however long the memory waits."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for.
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
