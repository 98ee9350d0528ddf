"""The suite for memories: one that keeps every promise passes it, and each promise that is broken is found."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.orchestrator import memories
from tests.orchestrator.memories import StrictMemory
from worker.orchestrator import MachineMemory
from worker.testing.memories import DeduplicatingMemoryConformance

BROKEN: dict[type, set[str]] = {
    memories.LacksUnlock: {"test_is_a_memory"},
    memories.LacksSeen: {"test_is_a_deduplicating_memory"},
    memories.InventsInstances: {"test_reads_nothing_where_nothing_was_written"},
    memories.KeepsTheFirst: {"test_reads_what_was_written_last"},
    memories.RoundsNumbers: {"test_gives_values_back_as_they_were", "test_gives_emitted_values_back_as_they_were"},
    memories.ForgetsHistory: {"test_gives_every_part_back"},
    memories.ReplacesTheSnapshotAlone: {"test_replaces_every_part"},
    memories.FoldsCase: {"test_subjects_do_not_know_each_other"},
    memories.WritesBeforeItLooks: {"test_a_write_that_raises_leaves_what_was_there"},
    memories.WritesInParts: {"test_nobody_reads_half_a_write"},
    memories.LastWins: {"test_a_stale_previous_is_refused", "test_of_many_threads_one_writes_on_what_all_read"},
    memories.LocksAlways: {"test_a_lock_is_had_once", "test_of_many_threads_one_has_the_lock"},
    memories.UnlockTellsNothing: {"test_a_lock_that_nobody_has_is_free"},
    memories.OneLockForAll: {"test_locks_of_subjects_do_not_know_each_other"},
    memories.NeverCommits: {
        "test_an_execution_runs_within_its_lock",
        "test_an_execution_that_writes_nothing_changes_nothing",
        "test_an_event_is_consumed_within_the_lock",
    },
    memories.LocksAfterAFailure: {"test_a_write_that_raises_leaves_no_lock_behind"},
    memories.ReadsOld: {
        "test_executions_with_the_lock_lose_no_step",
        "test_executions_of_several_memory_objects_lose_no_step",
    },
    memories.SharesNothing: {
        "test_another_memory_object_reads_what_was_written",
        "test_another_memory_object_knows_what_was_consumed",
        "test_an_event_is_executed_again_by_another_orchestrator",
    },
    memories.DiesWithItsObject: {"test_what_was_written_outlives_the_memory_object"},
    memories.LocksByObject: {"test_a_lock_keeps_out_another_memory_object"},
    memories.FreesTheLocksOfOthers: {"test_a_lock_keeps_out_another_memory_object"},
    memories.KeepsTheLocksOfTheDead: {"test_a_lock_ends_with_its_memory_object"},
    memories.TellsAll: {"test_nothing_was_consumed_at_first"},
    memories.RemembersWithoutWriting: {"test_keeps_the_event_with_the_instance"},
    memories.WritesWithoutRemembering: {"test_keeps_the_event_without_an_instance"},
    memories.RemembersBeforeItWrites: {
        "test_an_event_is_consumed_once",
        "test_of_many_threads_one_consumes_an_event",
        "test_an_event_that_is_not_kept_leaves_nothing",
        "test_an_event_of_a_stale_execution_leaves_nothing",
    },
    memories.SortsEmitted: {"test_gives_emitted_events_in_their_order"},
    memories.ForgetsEmitted: {
        "test_an_event_executed_again_gives_its_result_again",
        "test_keeps_its_promises_behind_spans",
    },
    memories.ForgetsExtensions: {"test_gives_every_attribute_of_emitted_events_back"},
    memories.TellsEventsById: {"test_tells_events_by_subject_source_and_id"},
    memories.TellsEventsByContent: {
        "test_tells_events_whatever_their_content",
        "test_an_id_with_other_content_is_refused",
    },
}


class TestStrictMemory(DeduplicatingMemoryConformance):
    def make_memory(self) -> StrictMemory:
        return StrictMemory()

    def reopen(self, memory: MachineMemory) -> StrictMemory:
        assert isinstance(memory, StrictMemory)
        return type(memory)(memory.store)


@pytest.mark.parametrize(
    ("broken", "test"),
    [(broken, test) for broken, tests in BROKEN.items() for test in sorted(tests)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_broken_promise_is_found(broken: type, test: str) -> None:
    assert any(failed(call) for call in calls(broken, test)), f"{test} finds nothing in {broken.__name__}"


def test_every_test_of_the_suite_can_fail() -> None:
    tests = {name for name in dir(DeduplicatingMemoryConformance) if name.startswith("test_")}
    assert set().union(*BROKEN.values()) == tests


def test_a_suite_without_its_memory_is_told() -> None:
    with pytest.raises(NotImplementedError, match="DeduplicatingMemoryConformance must give make_memory"):
        DeduplicatingMemoryConformance().make_memory()


def test_what_a_memory_does_not_have_is_left_out() -> None:
    class Whole(TestStrictMemory):
        pass

    class Part(DeduplicatingMemoryConformance):
        checks_previous = False

        def make_memory(self) -> StrictMemory:
            return StrictMemory()

    names = {name for name in dir(DeduplicatingMemoryConformance) if name.startswith("test_")}
    assert {name for name in names if not callable(getattr(Whole, name))} == set()
    left_out = {name for name in names if not callable(getattr(Part, name))}
    assert {"test_a_stale_previous_is_refused", "test_a_lock_ends_with_its_memory_object"} < left_out
    assert len(left_out) < len(names) / 2


def calls(broken: type, test: str) -> Iterator[Callable[[], None]]:
    """Give the calls of one test of the suite, one for each of its parameters."""

    class Suite(TestStrictMemory):
        def make_memory(self) -> Any:
            return broken()

    marks = getattr(getattr(Suite, test), "pytestmark", ())
    values: list[tuple[Any, ...]] = [(value,) for mark in marks for value in mark.args[1]] or [()]
    for value in values:
        yield partial(getattr(prepared(Suite()), test), *value)


def prepared(suite: DeduplicatingMemoryConformance) -> DeduplicatingMemoryConformance:
    """Do what the suite's own fixture does."""
    next(inspect.unwrap(DeduplicatingMemoryConformance._close_all)(suite))
    return suite


def failed(call: Callable[[], None]) -> bool:
    try:
        call()
    except (AssertionError, pytest.fail.Exception):
        return True
    return False
