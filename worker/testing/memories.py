# ruff: noqa: D102 - a test's name says what it shows.
"""One suite for every memory: what `MachineMemory` and `DeduplicatingMemory` promise, as tests for pytest.

    class TestMyMemory(DeduplicatingMemoryConformance):
        def make_memory(self) -> MyMemory:
            return MyMemory(...)

Fixtures reach `make_memory` through an autouse fixture of the subclass that keeps them on `self`. Each test makes
memories of its own; all may share one store, since every test has subjects of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Barrier
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import pytest

from worker.core.digests import content_digest
from worker.core.engine.api import Snapshot
from worker.core.errors import InvalidEventError
from worker.core.instances import Instance, Status
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import root_subject
from worker.orchestrator import DeduplicatingMemory, MachineMemory, TelemeteredMachineMemory
from worker.testing.memory_checks import (
    STEPS_PER_THREAD,
    THREADS,
    WAIT_SECONDS_MAX,
    check_consumed,
    check_same,
    count_up,
    elsewhere,
    on_threads,
    raises,
    together,
)
from worker.testing.memory_samples import (
    ODD_VALUES,
    SOURCE,
    STARTER,
    UNKEEPABLE_VALUES,
    counting_orchestrator,
    emitted_by,
    new_event,
    new_instance,
    new_subject,
    next_instance,
    reply_of,
    snapshot_of,
    start_of,
)

Test = TypeVar("Test", bound=Callable[..., None])


def _asks_for(part: str) -> Callable[[Test], Test]:
    def mark(test: Test) -> Test:
        test.asks_for = part  # type: ignore[attr-defined]
        return test

    return mark


class MachineMemoryConformance:
    """Hold a memory against what `MachineMemory` promises: subclass it as `Test…`, and give `make_memory`.

    Where the memory does not look at `previous`, set `checks_previous` to false; where several memory objects share
    what they keep, give `reopen`. Tests that ask for what a memory does not have are left out.
    """

    checks_previous: ClassVar[bool] = True
    """Whether `write` and `consumed` refuse a `previous` that is no longer what is kept."""

    _made: list[MachineMemory]

    def __init_subclass__(cls) -> None:
        """Leave out the tests that ask for what this memory does not have."""
        super().__init_subclass__()
        if cls.make_memory is MachineMemoryConformance.make_memory:
            return
        lacking = set() if cls.checks_previous else {"checks_previous"}
        if cls.reopen is MachineMemoryConformance.reopen:
            lacking.add("reopen")
        for name in dir(cls):
            if getattr(getattr(cls, name), "asks_for", None) in lacking:
                setattr(cls, name, None)

    def make_memory(self) -> MachineMemory:
        """Make a memory object. Its waits for locks are waited for here: let it wait for a fraction of a second."""
        raise NotImplementedError(f"{type(self).__name__} must give make_memory, which makes the memory to be tested")

    def reopen(self, memory: MachineMemory) -> MachineMemory | None:  # noqa: ARG002 - for those that override it.
        """Make another memory object that shares what `memory` keeps; nothing if there is no such thing."""
        return None

    def close(self, memory: MachineMemory) -> None:
        """Let go of a memory object, as its process does when it dies; what it had locked must be free then."""
        if callable(close := getattr(memory, "close", None)):
            close()

    @pytest.fixture(autouse=True)
    def _close_all(self) -> Iterator[None]:
        self._made = []
        yield
        for memory in self._made:
            self.close(memory)

    # Reading and writing

    def test_is_a_memory(self) -> None:
        assert isinstance(self._memory(), MachineMemory), "it lacks a method of MachineMemory"

    def test_reads_nothing_where_nothing_was_written(self) -> None:
        assert self._memory().read(new_subject()) is None, "read must give None for a subject that was never written"

    def test_reads_what_was_written_last(self) -> None:
        memory, first = self._memory(), new_instance()
        previous = None
        for instance in (first, next_instance(first), next_instance(next_instance(first), status=Status.DONE)):
            memory.write(first.subject, instance, previous)
            for _ in range(2):
                check_same(memory.read(first.subject), instance)
            previous = instance

    @pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
    def test_gives_values_back_as_they_were(self, value: Any) -> None:
        memory, given = self._memory(), {"value": value, "in": {"a list": [value]}}
        snapshot = Snapshot(("root",), given, given, remembered={"root": given}, output=given)
        instance = replace(new_instance(), snapshot=snapshot)
        memory.write(instance.subject, instance, None)
        check_same(memory.read(instance.subject), instance)
        changed = next_instance(instance, snapshot=replace(snapshot, context={"other": value}))
        memory.write(instance.subject, changed, instance)
        check_same(memory.read(instance.subject), changed)

    @pytest.mark.parametrize(
        "parts",
        [
            {"status": Status.DONE},
            {"status": Status.CANCELLED},
            {"parent_subject": root_subject(name=SOURCE, version="1.0.0", initiator=STARTER, execution_id="parent")},
            {"version": "12.34.56", "source": "arvo.orc.other"},
            {"init_event_id": "an id with spaces, ü and \U0001f600"},
            {"now": 0},
            {"now": 2**53, "revision": 2**53},
            {"snapshot": Snapshot((), {}, {})},
            {"snapshot": Snapshot(("root", 'a "quoted", state', "back\\slash", "{brace}", "NULL", ""), {}, {})},
            {"snapshot": Snapshot(("root",), {}, {}, history={"h": ("b", "a"), "none": ()}, output={})},
        ],
        ids=", ".join,
    )
    def test_gives_every_part_back(self, parts: dict[str, Any]) -> None:
        memory, instance = self._memory(), replace(new_instance(), **parts)
        memory.write(instance.subject, instance, None)
        check_same(memory.read(instance.subject), instance)

    def test_replaces_every_part(self) -> None:
        memory, instance = self._memory(), new_instance()
        memory.write(instance.subject, instance, None)
        other = replace(
            instance,
            source="arvo.orc.other",
            version="2.0.0",
            status=Status.CANCELLED,
            snapshot=Snapshot(("other",), {"other": 1}, {"other": 2}, output={"other": 3}),
            init_event_id="another",
            parent_subject=new_subject(),
            now=instance.now + 1,
            revision=instance.revision + 1,
        )
        memory.write(instance.subject, other, instance)
        check_same(memory.read(instance.subject), other)

    def test_subjects_do_not_know_each_other(self) -> None:
        memory, subject = self._memory(), new_subject()
        long = new_subject("".join(uuid4().hex for _ in range(100)))
        subjects = [subject, subject.swapcase(), subject[:-1], f"{subject}A", f"{subject}%20", long, f"{long[:-1]}_"]
        instances = [new_instance(subject, n) for n, subject in enumerate(subjects)]
        for instance in instances:
            assert memory.read(instance.subject) is None, "a subject that was never written has another's instance"
            memory.write(instance.subject, instance, None)
        for instance in instances:
            check_same(memory.read(instance.subject), instance)

    @pytest.mark.parametrize("value", UNKEEPABLE_VALUES.values(), ids=UNKEEPABLE_VALUES)
    def test_a_write_that_raises_leaves_what_was_there(self, value: Any) -> None:
        memory, first = self._memory(), new_instance()
        memory.write(first.subject, first, None)
        changed = next_instance(
            first, snapshot=replace(first.snapshot, configuration=("root", "new"), context={"n": value})
        )
        if not raises(memory.write, first.subject, changed, first):
            return  # It keeps the value, which is as good.
        check_same(memory.read(first.subject), first)
        memory.write(first.subject, next_instance(first), first)
        check_same(memory.read(first.subject), next_instance(first))

    def test_nobody_reads_half_a_write(self) -> None:
        memory, first = self._memory(), new_instance(n=1)
        memory.write(first.subject, first, None)

        def write(instance: Instance) -> None:
            for _ in range(THREADS * STEPS_PER_THREAD):
                changed = next_instance(instance, snapshot=snapshot_of(instance.revision + 1))
                memory.write(first.subject, changed, instance)
                instance = changed

        def read() -> None:
            for _ in range(THREADS * STEPS_PER_THREAD):
                found = memory.read(first.subject)
                assert found is not None, "an instance was gone while it was written"
                assert found.snapshot == snapshot_of(found.revision), "parts of two writes were read together"

        together([lambda: write(first), read, read])

    @_asks_for("checks_previous")
    def test_a_stale_previous_is_refused(self) -> None:
        memory, first = self._memory(), new_instance()
        second = next_instance(first)
        assert raises(memory.write, first.subject, second, first), "it wrote on an instance that is not there"
        assert memory.read(first.subject) is None, "a write that raised was kept"
        memory.write(first.subject, first, None)
        assert raises(memory.write, first.subject, new_instance(first.subject, n=9), None), "it began one twice"
        memory.write(first.subject, second, first)
        lost = next_instance(first, snapshot=snapshot_of(9))
        assert raises(memory.write, first.subject, lost, first), "a step was lost to an older one"
        check_same(memory.read(first.subject), second)

    @_asks_for("checks_previous")
    def test_of_many_threads_one_writes_on_what_all_read(self) -> None:
        memory, first = self._memory(), new_instance()
        for base in (first, next_instance(first)):
            previous = memory.read(first.subject)
            kept = _kept_of_many(memory, base, previous)
            assert len(kept) == 1, f"of {THREADS} writes on one `previous`, {len(kept)} were kept; expected 1"
            check_same(memory.read(first.subject), kept[0])

    # Locks

    def test_a_lock_is_had_once(self) -> None:
        memory, subject = self._memory(), new_subject()
        assert memory.lock(subject) is True, "a lock that nobody has must be had"
        assert not elsewhere(memory.lock, subject), "another thread got a lock that is taken"
        assert not memory.lock(subject), "a thread got its own lock a second time; it is not re-entrant"
        assert memory.unlock(subject) is True, "unlock must tell that the lock is free"
        assert elsewhere(lambda: memory.lock(subject) and memory.unlock(subject)), "a lock that was freed is not free"

    def test_a_lock_that_nobody_has_is_free(self) -> None:
        memory, subject = self._memory(), new_subject()
        assert memory.unlock(subject) is True, "unlock of what was never locked must give true"
        assert memory.lock(subject)
        assert [memory.unlock(subject), memory.unlock(subject)] == [True, True], "unlock twice must give true twice"
        assert memory.lock(subject), "a lock that was freed twice is not free"
        assert memory.unlock(subject)

    def test_locks_of_subjects_do_not_know_each_other(self) -> None:
        memory, subject, other = self._memory(), new_subject(), new_subject()
        assert memory.lock(subject)
        assert memory.lock(other), "the lock of one subject keeps another's"
        assert memory.unlock(subject)
        assert not elsewhere(memory.lock, other), "freeing one subject's lock freed another's"
        assert memory.unlock(other)

    def test_of_many_threads_one_has_the_lock(self) -> None:
        memory, subject = self._memory(), new_subject()
        barrier, done = Barrier(THREADS), Barrier(THREADS)

        def lock(_: int) -> bool:
            barrier.wait(WAIT_SECONDS_MAX)
            acquired = memory.lock(subject)
            done.wait(WAIT_SECONDS_MAX)
            return acquired and memory.unlock(subject)

        taken = sum(on_threads(lock, range(THREADS)))
        assert taken == 1, f"of {THREADS} threads {taken} had the lock at the same time; expected 1"

    def test_an_execution_runs_within_its_lock(self) -> None:
        memory, instance = self._memory(), new_instance()
        previous = None
        for current in (instance, next_instance(instance)):
            assert memory.lock(instance.subject)
            check_same(memory.read(instance.subject), previous)
            memory.write(instance.subject, current, previous)
            check_same(memory.read(instance.subject), current)
            assert memory.unlock(instance.subject)
            check_same(elsewhere(memory.read, instance.subject), current)
            previous = current

    def test_an_execution_that_writes_nothing_changes_nothing(self) -> None:
        memory, instance = self._memory(), new_instance()
        memory.write(instance.subject, instance, None)
        for _ in range(3):
            assert memory.lock(instance.subject)
            check_same(memory.read(instance.subject), instance)
            assert memory.unlock(instance.subject)
        check_same(memory.read(instance.subject), instance)

    def test_a_write_that_raises_leaves_no_lock_behind(self) -> None:
        memory, first = self._memory(), new_instance()
        memory.write(first.subject, first, None)
        for value in UNKEEPABLE_VALUES.values():
            before = memory.read(first.subject)
            assert before is not None
            changed = next_instance(before, snapshot=replace(before.snapshot, context={"n": value}))
            assert memory.lock(first.subject), "the lock of an execution that failed is not free"
            raised = raises(memory.write, first.subject, changed, before)
            assert memory.unlock(first.subject)
            if raised:
                check_same(elsewhere(memory.read, first.subject), before)

    def test_executions_with_the_lock_lose_no_step(self) -> None:
        memory, first = self._memory(), new_instance(n=0)
        memory.write(first.subject, first, None)
        on_threads(lambda _: count_up(memory, first.subject), range(THREADS))
        found = memory.read(first.subject)
        assert found is not None
        expected = THREADS * STEPS_PER_THREAD
        assert found.snapshot.context["n"] == expected, f"of {expected} steps {found.snapshot.context['n']} are left"

    # Memory objects that share what they keep

    @_asks_for("reopen")
    def test_another_memory_object_reads_what_was_written(self) -> None:
        memory, other = self._two()
        instance = new_instance()
        memory.write(instance.subject, instance, None)
        check_same(other.read(instance.subject), instance)
        other.write(instance.subject, next_instance(instance), instance)
        check_same(memory.read(instance.subject), next_instance(instance))

    @_asks_for("reopen")
    def test_what_was_written_outlives_the_memory_object(self) -> None:
        memory, other = self._two()
        instance = new_instance()
        memory.write(instance.subject, instance, None)
        self.close(memory)
        check_same(other.read(instance.subject), instance)

    @_asks_for("reopen")
    def test_a_lock_keeps_out_another_memory_object(self) -> None:
        memory, other = self._two()
        subject = new_subject()
        assert memory.lock(subject)
        assert not other.lock(subject), "another memory object got a lock that is taken"
        other.unlock(subject)
        assert not other.lock(subject), "a memory object freed the lock of another"
        assert memory.unlock(subject)
        assert other.lock(subject), "a lock that was freed is not free for another memory object"
        assert other.unlock(subject)

    @_asks_for("reopen")
    def test_a_lock_ends_with_its_memory_object(self) -> None:
        memory, other = self._two()
        subject = new_subject()
        assert memory.lock(subject)
        self.close(memory)
        assert other.lock(subject), "the lock of a memory object that is gone is not free"
        assert other.unlock(subject)

    @_asks_for("reopen")
    def test_executions_of_several_memory_objects_lose_no_step(self) -> None:
        memory, other = self._two()
        first = new_instance(n=0)
        memory.write(first.subject, first, None)
        on_threads(lambda number: count_up((memory, other)[number % 2], first.subject), range(THREADS))
        found = memory.read(first.subject)
        assert found is not None
        assert found.snapshot.context["n"] == THREADS * STEPS_PER_THREAD, "a step was lost"

    def _memory(self) -> MachineMemory:
        return self._opened(self.make_memory())

    def _two(self) -> tuple[MachineMemory, MachineMemory]:
        memory = self._memory()
        other = self.reopen(memory)
        assert other is not None, f"{type(self).__name__}: `reopen` gives no memory; leave it out if there is none"
        return memory, self._opened(other)

    def _opened(self, memory: MachineMemory) -> MachineMemory:
        self._made.append(memory)
        return memory


class DeduplicatingMemoryConformance(MachineMemoryConformance):
    """Hold a memory against what `DeduplicatingMemory` promises as well."""

    def test_is_a_deduplicating_memory(self) -> None:
        assert isinstance(self._memory(), DeduplicatingMemory), "it lacks a method of DeduplicatingMemory"

    def test_nothing_was_consumed_at_first(self) -> None:
        assert self._deduplicating().seen(new_event()) is None, "an event that never came is told to be consumed"

    def test_keeps_the_event_with_the_instance(self) -> None:
        memory, instance = self._deduplicating(), new_instance()
        event = new_event(instance.subject)
        memory.consumed(event, emitted_by(event), instance, None)
        check_consumed(memory, event, emitted_by(event))
        check_same(memory.read(event.subject), instance)
        second = new_event(instance.subject)
        memory.consumed(second, (), next_instance(instance), instance)
        check_consumed(memory, second, ())
        check_consumed(memory, event, emitted_by(event))
        check_same(memory.read(event.subject), next_instance(instance))

    def test_keeps_the_event_without_an_instance(self) -> None:
        memory, event = self._deduplicating(), new_event()
        memory.consumed(event, emitted_by(event), None, None)
        check_consumed(memory, event, emitted_by(event))
        assert memory.read(event.subject) is None, "an instance is there that nobody wrote"
        instance = new_instance(event.subject)
        memory.write(event.subject, instance, None)
        second = new_event(event.subject)
        memory.consumed(second, (), None, instance)
        check_consumed(memory, second, ())
        check_same(memory.read(event.subject), instance)

    @pytest.mark.parametrize("count", [0, 1, 2, 50])
    def test_gives_emitted_events_in_their_order(self, count: int) -> None:
        memory, event = self._deduplicating(), new_event()
        emitted = [
            DomainedEvent(new_event(event.subject), (f"d{n}", "default", "a")[: n % 3 + 1]) for n in range(count)
        ]
        memory.consumed(event, emitted, None, None)
        check_consumed(memory, event, emitted)

    @pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
    def test_gives_emitted_values_back_as_they_were(self, value: Any) -> None:
        memory, event = self._deduplicating(), new_event()
        emitted = [DomainedEvent(replace(new_event(), data={"value": value}), ("default",))]
        memory.consumed(event, emitted, None, None)
        check_consumed(memory, event, emitted)

    @pytest.mark.parametrize(
        "attributes",
        [
            {"to": None, "datacontenttype": "application/json"},
            {"id": "ü \U0001f600 '\"\\", "accesscontrol": "ü", "redirectto": "com.x", "parentid": "p"},
            {"executionunits": 1},
            {"executionunits": 1.0},
            {"executionunits": 1e-7},
            {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "tracestate": "a=b"},
            {"time": "2026-01-02T03:04:05.678901234+14:00", "dataschema": "#/a/1.0.0", "domain": "other"},
            {"extensions": {"text": "ü", "count": 1, "weight": 1.0, "flag": True, "none": None, "e": ""}},
        ],
        ids=", ".join,
    )
    def test_gives_every_attribute_of_emitted_events_back(self, attributes: dict[str, Any]) -> None:
        memory, event = self._deduplicating(), new_event()
        emitted = [DomainedEvent(replace(new_event(), **attributes), ("default",))]
        memory.consumed(event, emitted, None, None)
        check_consumed(memory, event, emitted)

    def test_tells_events_by_subject_source_and_id(self) -> None:
        memory, subject = self._deduplicating(), new_subject()
        names = [
            (subject, "com.a.b", "c"),
            (subject, "com.a.b", "cd"),
            (subject, "com.a.bc", "d"),
            (subject, "com.a", "c"),
        ]
        names += [(subject, "com.a.b", "C"), (subject, "com.a.b", " c"), (new_subject(), "com.a.b", "c")]
        names += [(subject, "com.a.b", "c" * 5_000), (subject, "com.a.b", "c" * 5_000 + "d")]
        events = [replace(new_event(subject), source=source, id=id_) for subject, source, id_ in names]
        for event in events:
            assert memory.seen(event) is None, "an event that never came is told to be consumed: it has another's name"
            memory.consumed(event, emitted_by(event), None, None)
        for event in events:
            check_consumed(memory, event, emitted_by(event))

    def test_tells_events_whatever_their_content(self) -> None:
        memory, event = self._deduplicating(), new_event()
        memory.consumed(event, emitted_by(event), None, None)
        other = replace(event, data={"other": 1}, type="com.conformance.other")
        found = memory.seen(other)
        assert found is not None, "an event of the same name was not told because its content differs"
        assert found.content_digest == content_digest(event), "the digest must be that of the event that was consumed"

    def test_an_event_is_consumed_once(self) -> None:
        memory, instance = self._deduplicating(), new_instance()
        event = new_event(instance.subject)
        memory.consumed(event, emitted_by(event), instance, None)
        assert raises(memory.consumed, event, (), next_instance(instance), instance), "an event was consumed twice"
        assert raises(memory.consumed, event, (), None, instance), "an event was consumed twice"
        check_consumed(memory, event, emitted_by(event))
        check_same(memory.read(event.subject), instance)

    def test_of_many_threads_one_consumes_an_event(self) -> None:
        memory, event, barrier = self._deduplicating(), new_event(), Barrier(THREADS)

        def consume(number: int) -> int | None:
            barrier.wait(WAIT_SECONDS_MAX)
            emitted = emitted_by(event) * number
            return None if raises(memory.consumed, event, emitted, None, None) else number

        kept = [number for number in on_threads(consume, range(THREADS)) if number is not None]
        assert len(kept) == 1, f"{len(kept)} of {THREADS} threads consumed one event; expected 1"
        check_consumed(memory, event, emitted_by(event) * kept[0])

    @pytest.mark.parametrize("value", UNKEEPABLE_VALUES.values(), ids=UNKEEPABLE_VALUES)
    def test_an_event_that_is_not_kept_leaves_nothing(self, value: Any) -> None:
        memory, first = self._deduplicating(), new_instance()
        memory.write(first.subject, first, None)
        event = new_event(first.subject)
        changed = next_instance(first, snapshot=replace(first.snapshot, context={"n": value}))
        if not raises(memory.consumed, event, emitted_by(event), changed, first):
            return  # It keeps the value, which is as good.
        assert memory.seen(event) is None, "an event is told to be consumed, and its instance was not kept"
        check_same(memory.read(first.subject), first)

    @_asks_for("checks_previous")
    def test_an_event_of_a_stale_execution_leaves_nothing(self) -> None:
        memory, first = self._deduplicating(), new_instance()
        second = next_instance(first)
        memory.write(first.subject, first, None)
        memory.write(first.subject, second, first)
        for instance in (next_instance(first, snapshot=snapshot_of(9)), None):
            event = new_event(first.subject)
            assert raises(memory.consumed, event, (), instance, first), "a step ran on what was there no longer"
            assert memory.seen(event) is None, "an event is told to be consumed, and its instance was not kept"
        check_same(memory.read(first.subject), second)

    def test_an_event_is_consumed_within_the_lock(self) -> None:
        memory, instance = self._deduplicating(), new_instance()
        event = new_event(instance.subject)
        assert memory.lock(event.subject)
        assert memory.read(event.subject) is None
        assert memory.seen(event) is None
        memory.consumed(event, emitted_by(event), instance, None)
        assert memory.unlock(event.subject)
        assert elsewhere(lambda: memory.lock(event.subject) and memory.unlock(event.subject))
        check_consumed(memory, event, emitted_by(event))
        check_same(memory.read(event.subject), instance)

    @_asks_for("reopen")
    def test_another_memory_object_knows_what_was_consumed(self) -> None:
        memory, other = self._two()
        assert isinstance(memory, DeduplicatingMemory)
        assert isinstance(other, DeduplicatingMemory)
        event = new_event()
        memory.consumed(event, emitted_by(event), None, None)
        check_consumed(other, event, emitted_by(event))
        assert raises(other.consumed, event, (), None, None), "an event was consumed twice"
        self.close(memory)
        check_consumed(other, event, emitted_by(event))

    # Through an orchestrator

    def test_an_event_executed_again_gives_its_result_again(self) -> None:
        memory = self._deduplicating()
        orchestrator, subject = counting_orchestrator(memory), new_subject()
        start, replies = start_of(subject), [reply_of(subject, by) for by in (1, 2, 13)]
        results = [orchestrator.execute(event) for event in (start, *replies)]
        assert [len(result.domained_events["all"]) for result in results] == [1, 2, 2, 1]
        before = memory.read(subject)
        for event, result in zip((start, *replies), results, strict=True):
            assert orchestrator.execute(event) == result, "an event that came again has another result"
        check_same(memory.read(subject), before)

    @_asks_for("reopen")
    def test_an_event_is_executed_again_by_another_orchestrator(self) -> None:
        memory, other = self._two()
        subject = new_subject()
        result = counting_orchestrator(memory).execute(start_of(subject))
        self.close(memory)
        assert counting_orchestrator(other).execute(start_of(subject)) == result, "the first result is lost"

    def test_an_id_with_other_content_is_refused(self) -> None:
        orchestrator, subject = counting_orchestrator(self._deduplicating()), new_subject()
        orchestrator.execute(start_of(subject))
        reply = reply_of(subject, 1)
        result = orchestrator.execute(reply)
        with pytest.raises(InvalidEventError):
            orchestrator.execute(replace(reply, data={"by": 2}))
        assert orchestrator.execute(reply) == result

    def test_keeps_its_promises_behind_spans(self) -> None:
        orchestrator, subject = counting_orchestrator(TelemeteredMachineMemory(self._deduplicating())), new_subject()
        result = orchestrator.execute(start_of(subject))
        assert orchestrator.execute(start_of(subject)) == result

    def _deduplicating(self) -> DeduplicatingMemory:
        memory = self._memory()
        assert isinstance(memory, DeduplicatingMemory), "it lacks a method of DeduplicatingMemory"
        return memory


def _kept_of_many(memory: MachineMemory, base: Instance, previous: Instance | None) -> list[Instance]:
    """Let many threads write at the same time on what all have read, and give what those wrote that did not fail."""
    barrier = Barrier(THREADS)

    def write(n: int) -> Instance | None:
        instance = replace(base, snapshot=snapshot_of(n))
        barrier.wait(WAIT_SECONDS_MAX)
        return None if raises(memory.write, base.subject, instance, previous) else instance

    return [instance for instance in on_threads(write, range(THREADS)) if instance is not None]
