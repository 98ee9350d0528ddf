"""One event after another through `execute`: every outcome, and what each does to the memory."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.strategies import JSON_OBJECTS, events
from tests.orchestrator.desk import (
    ADD_FAILED,
    ADDED,
    COUNT,
    USER,
    OnceMemory,
    RecordingMemory,
    add_failed,
    added,
    counter,
    counting,
    event_of,
    start,
    subject_of,
)
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import (
    ArvoTransactionError,
    ConfigViolation,
    InvalidEventError,
    InvalidSubjectError,
    TransactionCause,
)
from worker.core.events import Event
from worker.core.instances import Status
from worker.core.outcomes import Duplicate
from worker.core.registry import Registry
from worker.orchestrator import ExecutionResult, Orchestrator, SimpleMachineMemory, create_orchestrator

NOTHING = ExecutionResult.of()
SUBJECT = subject_of()


def types(result: ExecutionResult) -> list[str]:
    return [event.type for event in result.domained_events["all"]]


def count_of(memory: SimpleMachineMemory) -> object:
    instance = memory.read(SUBJECT)
    return instance and instance.snapshot.context["n"]


def test_runs_a_workflow_from_its_start_to_its_end() -> None:
    memory = SimpleMachineMemory()
    orchestrator = counting(memory)

    first = orchestrator.execute(start())
    assert types(first) == ["com.add.call"]
    assert first.all_event_domains == ("default",)

    second = orchestrator.execute(added(5))
    assert types(second) == ["com.add.call", "com.trace.log"]
    assert second.all_event_domains == ("analytics", "default")
    assert second.events == second.domained_events["default"] == second.domained_events["all"][:1]
    assert second.domained_events["analytics"] == second.domained_events["all"]
    assert second.events[0].parentid == "e-2"
    assert second.events[0].executionunits == 0.5

    (done,) = orchestrator.execute(added(0, "e-3")).events
    assert (done.type, done.to, done.data) == ("arvo.orc.count.done", USER, {"n": 5})
    instance = memory.read(SUBJECT)
    assert instance is not None
    assert (instance.status, instance.revision) == (Status.DONE, 3)


def test_the_same_event_gives_the_same_ids() -> None:
    runs = [counting(SimpleMachineMemory()).execute(start()).events[0].id for _ in range(2)]
    assert runs[0] == runs[1]


def test_instances_of_one_memory_do_not_know_each_other() -> None:
    memory = SimpleMachineMemory()
    orchestrator = counting(memory)
    other = subject_of(execution_id="x-2")
    orchestrator.execute(start())
    orchestrator.execute(start(subject=other))
    orchestrator.execute(added(5))
    assert count_of(memory) == 5
    found = memory.read(other)
    assert found is not None
    assert found.snapshot.context["n"] == 0


EMPTY = [
    ("no instance", [], added()),
    ("an init event again", [start()], start()),
    ("an init event with a new id", [start()], start(id="e-9")),
    ("an ended instance", [start(), added(0)], added(1, "e-3")),
    ("an event that nothing waits for", [start()], add_failed()),
]


@pytest.mark.parametrize(("before", "event"), [case[1:] for case in EMPTY], ids=[case[0] for case in EMPTY])
def test_an_event_that_comes_to_nothing_writes_nothing(before: list[Event], event: Event) -> None:
    memory = RecordingMemory()
    orchestrator = counting(memory, needs_lock=True)
    for earlier in before:
        orchestrator.execute(earlier)
    memory.taken()
    assert orchestrator.execute(event) == NOTHING
    assert memory.taken() == ["lock", "read", "unlock"]


FAILURES = [
    ("a failing action", added(13), "ArithmeticError", "13 brings bad luck"),
    ("data that does not fit", added("one"), "ContractViolation", "Input validation failed"),
    ("another contract", added(dataschema="#/other/1.0.0"), "ContractViolation", "Contract URI mismatch"),
    ("another version", added(dataschema="#/svc/add/2.0.0"), "ContractViolation", "Contract version mismatch"),
]


@pytest.mark.parametrize(("event", "name", "message"), [case[1:] for case in FAILURES], ids=[c[0] for c in FAILURES])
def test_a_failing_workflow_gives_one_system_error_and_stays(event: Event, name: str, message: str) -> None:
    memory = RecordingMemory()
    orchestrator = counting(memory, needs_lock=True)
    orchestrator.execute(start())
    memory.taken()
    result = orchestrator.execute(event)
    assert memory.taken() == ["lock", "read", "unlock"]
    (error,) = result.events
    assert result.domained_events == {"all": (error,), "default": (error,)}
    assert (error.type, error.to, error.subject) == ("sys.arvo.orc.count.error", USER, SUBJECT)
    assert error.data["errorName"] == name
    assert message in error.data["errorMessage"]
    assert error.data["errorStack"] is None
    assert types(orchestrator.execute(added(2, "e-4"))) == ["com.add.call", "com.trace.log"]


def test_stacks_are_told_where_that_is_wanted() -> None:
    registry = Registry([counter()], SismicEngine())
    orchestrator = Orchestrator(registry=registry, memory=SimpleMachineMemory(), error_stacks=True)
    orchestrator.execute(start())
    assert "ArithmeticError" in orchestrator.execute(added(13)).events[0].data["errorStack"]


NO_MACHINE = "^Machine resolution failed: No machine found matching orchestrator "
NO_CONTRACT = "^Contract validation failed - Event does not match any registered contract schemas in the machine"
VIOLATIONS = [
    ("another orchestrator", start(subject=subject_of("arvo.orc.b")), f"{NO_MACHINE}name='arvo.orc.b' and version='1"),
    ("no such version", start(subject=subject_of(version="3.0.0")), f"{NO_MACHINE}name='{COUNT}' and version='3.0.0'"),
    ("an unknown type for us", added(type="evt.who.knows"), NO_CONTRACT),
    ("an unknown type for somebody else", added(type="evt.who.knows", to="com.who.else"), NO_CONTRACT),
    ("the completion", added(type="arvo.orc.count.done"), NO_CONTRACT),
]


@pytest.mark.parametrize(("event", "message"), [case[1:] for case in VIOLATIONS], ids=[case[0] for case in VIOLATIONS])
def test_an_event_that_nothing_is_there_for_is_a_violation(event: Event, message: str) -> None:
    memory = RecordingMemory()
    orchestrator = counting(memory, needs_lock=True)
    orchestrator.execute(start())
    memory.taken()
    with pytest.raises(ConfigViolation, match=message):
        orchestrator.execute(event)
    assert memory.taken() == ["lock", "read", "unlock"]
    assert types(orchestrator.execute(added())) == ["com.add.call", "com.trace.log"]


def test_a_subject_that_can_not_be_decoded_is_a_transaction_error() -> None:
    memory = RecordingMemory()
    event = start(subject="test")
    with pytest.raises(ArvoTransactionError, match="Expected an ArvoOrchestrationSubject") as raised:
        counting(memory, needs_lock=True).execute(event)
    assert raised.value.cause is TransactionCause.INVALID_SUBJECT
    assert raised.value.event is event
    assert isinstance(raised.value.__cause__, InvalidSubjectError)
    assert memory.taken() == []


def test_takes_events_only() -> None:
    with pytest.raises(TypeError, match="execute takes an Event, not a dict; make one with create_event"):
        counting(SimpleMachineMemory()).execute({"id": "e-1"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("needs_lock", "operations"), [(False, ["read", "write"]), (True, ["lock", "read", "write", "unlock"])]
)
def test_locks_only_where_a_machine_needs_it(operations: list[str], *, needs_lock: bool) -> None:
    memory = RecordingMemory()
    orchestrator = counting(memory, needs_lock=needs_lock)
    for event in (start(), added()):
        orchestrator.execute(event)
        assert memory.taken() == operations
    assert memory.previous[0] is None
    assert memory.previous[1] is not None
    assert memory.previous[1].revision == 1


DOWN = OSError("the memory is down")
MEMORY_FAILURES = [
    ("lock", TransactionCause.LOCK_MACHINE_MEMORY_FAILURE, "Error acquiring lock", ["lock"]),
    ("read", TransactionCause.READ_MACHINE_MEMORY_FAILURE, "Error reading state", ["lock", "read", "unlock"]),
    (
        "write",
        TransactionCause.WRITE_MACHINE_MEMORY_FAILURE,
        "Error writing state",
        ["lock", "read", "write", "unlock"],
    ),
]


@pytest.mark.parametrize(("operation", "cause", "message", "operations"), MEMORY_FAILURES)
def test_a_failing_memory_halts_the_execution_and_leaves_the_instance(
    operation: str, cause: TransactionCause, message: str, operations: list[str]
) -> None:
    memory = RecordingMemory()
    orchestrator = counting(memory, needs_lock=True)
    orchestrator.execute(start())
    memory.taken()
    memory.faults = {operation: DOWN}
    with pytest.raises(ArvoTransactionError, match=f"^{message}.*: OSError: the memory is down") as raised:
        orchestrator.execute(added(7))
    assert raised.value.cause is cause
    assert raised.value.event == added(7)
    assert raised.value.__cause__ is DOWN
    assert memory.taken() == operations

    memory.faults = {}
    assert count_of(memory) == 0
    memory.unlock(SUBJECT)
    orchestrator.execute(added(7))
    assert count_of(memory) == 7


@pytest.mark.parametrize("answer", [False, None])
def test_a_lock_that_can_not_be_had_is_a_transaction_error(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = RecordingMemory()
    monkeypatch.setattr(memory, "lock", lambda _: answer)
    with pytest.raises(ArvoTransactionError, match=r"^Lock acquisition denied") as raised:
        counting(memory, needs_lock=True).execute(start())
    assert raised.value.cause is TransactionCause.LOCK_UNACQUIRED
    assert memory.taken() == []


def test_a_lock_that_is_not_freed_changes_no_result_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    memory = RecordingMemory(unlock=DOWN)
    orchestrator = counting(memory, needs_lock=True)
    with caplog.at_level(logging.WARNING):
        assert types(orchestrator.execute(start())) == ["com.add.call"]
    assert [record.getMessage() for record in caplog.records] == ["unlock_failed"]
    with pytest.raises(ArvoTransactionError) as raised:
        orchestrator.execute(added())
    assert raised.value.cause is TransactionCause.LOCK_UNACQUIRED


def test_an_interrupt_frees_the_lock_and_goes_on_up() -> None:
    memory = RecordingMemory(read=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        counting(memory, needs_lock=True).execute(start())
    assert memory.taken() == ["lock", "read", "unlock"]


class TestADeduplicatingMemory:
    def test_gives_the_first_result_again_and_runs_no_step(self) -> None:
        memory = OnceMemory()
        orchestrator = counting(memory)
        first = orchestrator.execute(start())
        second = orchestrator.execute(added(3))
        orchestrator.execute(added(4, "e-3"))
        memory.taken()
        assert orchestrator.execute(added(3)) == second
        assert types(second) == ["com.add.call", "com.trace.log"]
        assert memory.taken() == ["read", "seen"]
        assert count_of(memory) == 7
        assert orchestrator.execute(start()) == first
        assert orchestrator.outcome(start()) == Duplicate(memory.seen(start()).emitted)  # type: ignore[union-attr]

    def test_gives_a_result_again_after_the_instance_ended(self) -> None:
        orchestrator = counting(OnceMemory())
        orchestrator.execute(start())
        (done,) = orchestrator.execute(added(0)).events
        assert orchestrator.execute(added(0)).events == (done,)
        assert orchestrator.execute(added(0, "e-3")) == NOTHING

    def test_what_it_forgot_is_run_again_but_for_the_init_event(self) -> None:
        memory = OnceMemory()
        orchestrator = counting(memory)
        orchestrator.execute(start())
        orchestrator.execute(added(3))
        memory.forget()
        assert orchestrator.execute(start()) == NOTHING
        orchestrator.execute(added(3))
        assert count_of(memory) == 6

    def test_without_one_a_reply_counts_twice(self) -> None:
        memory = SimpleMachineMemory()
        orchestrator = counting(memory)
        for event in (start(), added(3), added(3)):
            orchestrator.execute(event)
        assert count_of(memory) == 6

    @pytest.mark.parametrize("event", [added(13), add_failed()], ids=["failed", "unexpected"])
    def test_knows_also_what_left_the_instance_as_it_was(self, event: Event) -> None:
        memory = OnceMemory()
        orchestrator = counting(memory)
        orchestrator.execute(start())
        before = memory.read(SUBJECT)
        first = orchestrator.execute(event)
        assert memory.taken()[-1] == "consumed"
        assert memory.read(SUBJECT) is before
        assert orchestrator.execute(event) == first
        assert memory.taken()[-1] == "seen"

    @pytest.mark.parametrize("event", [added(), start(subject=subject_of(version="3.0.0"))])
    def test_does_not_take_for_consumed_what_was_refused(self, event: Event) -> None:
        memory = OnceMemory()
        with suppress(ConfigViolation):
            counting(memory).execute(event)
        assert "consumed" not in memory.taken()

    def test_refuses_one_id_with_two_contents(self) -> None:
        orchestrator = counting(OnceMemory())
        orchestrator.execute(start())
        orchestrator.execute(added(3))
        with pytest.raises(InvalidEventError, match="consumed with other content") as raised:
            orchestrator.execute(added(4))
        assert raised.value.failed == ("id",)

    @pytest.mark.parametrize(
        ("operation", "cause"),
        [
            ("seen", TransactionCause.READ_MACHINE_MEMORY_FAILURE),
            ("consumed", TransactionCause.WRITE_MACHINE_MEMORY_FAILURE),
        ],
    )
    def test_halts_the_execution_if_it_fails(self, operation: str, cause: TransactionCause) -> None:
        with pytest.raises(ArvoTransactionError) as raised:
            counting(OnceMemory(**{operation: DOWN})).execute(start())
        assert raised.value.cause is cause


class TestVersions:
    def test_run_side_by_side(self) -> None:
        orchestrator = create_orchestrator(machines=[counter("1.0.0"), counter("2.0.0")], memory=SimpleMachineMemory())
        for version in ("1.0.0", "2.0.0"):
            subject = subject_of(version=version)
            assert orchestrator.execute(start(subject=subject, dataschema=f"#/orc/count/{version}")).events
            (done,) = orchestrator.execute(added(0, subject=subject)).events
            assert done.dataschema == f"#/orc/count/{version}"

    def test_the_wildcard_is_the_newest_and_stays_what_it_was(self) -> None:
        memory = SimpleMachineMemory()
        subject = subject_of(version="0.0.0")
        create_orchestrator(machines=[counter("1.0.0")], memory=memory).execute(start(subject=subject))
        both = create_orchestrator(machines=[counter("2.0.0"), counter("1.0.0")], memory=memory)
        (done,) = both.execute(added(0, subject=subject)).events
        assert done.dataschema == "#/orc/count/1.0.0"


class TestTime:
    def test_is_the_clock_s_and_never_goes_back_within_an_instance(self) -> None:
        times = iter([1_767_323_045_678, 1_767_323_045_000, 1_767_323_046_000])
        orchestrator = Orchestrator(
            registry=Registry([counter()], SismicEngine()), memory=SimpleMachineMemory(), clock=times.__next__
        )
        told = [orchestrator.execute(event).events[0].time for event in (start(), added(1), added(2, "e-3"))]
        assert told == [
            "2026-01-02T03:04:05.678+00:00",
            "2026-01-02T03:04:05.678+00:00",
            "2026-01-02T03:04:06.000+00:00",
        ]

    def test_is_the_system_s_unless_a_clock_is_given(self) -> None:
        times = [counting(SimpleMachineMemory()).execute(start()).events[0].time for _ in range(2)]
        assert "2026-01-01" < times[0] <= times[1]


def retried(orchestrator: Orchestrator, event: Event) -> ExecutionResult:
    while True:
        try:
            return orchestrator.execute(event)
        except ArvoTransactionError as error:
            if error.cause is not TransactionCause.LOCK_UNACQUIRED:
                raise


def test_threads_that_share_an_orchestrator_lose_no_event() -> None:
    memory = SimpleMachineMemory()
    orchestrator = counting(memory, needs_lock=True)
    orchestrator.execute(start())
    replies = [added(1, f"e-{number}") for number in range(2, 62)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda event: retried(orchestrator, event), replies))
    assert count_of(memory) == 60
    assert len({result.events[0].id for result in results}) == 60


@st.composite
def addressed_events(draw: st.DrawFn) -> Event:
    """Draw events of which most are for the counter, and wrong in a thing or two."""
    if draw(st.integers(0, 9)) == 0:
        return draw(events())
    return event_of(
        draw(st.sampled_from([COUNT, ADDED, ADD_FAILED, "arvo.orc.count.done", "com.add.call"])),
        draw(JSON_OBJECTS | st.fixed_dictionaries({"by": st.integers(-1, 14)}) | st.just(dict(start().data))),
        id=draw(st.sampled_from(["e-1", "e-2", "e-3"])),
        subject=draw(st.sampled_from([SUBJECT, SUBJECT, subject_of(version="0.0.0"), subject_of("arvo.orc.b"), "s"])),
        dataschema=draw(st.sampled_from([None, "#/svc/add/1.0.0", "#/orc/count/1.0.0", "#/x/0.0.0", "x"])),
        to=draw(st.sampled_from([COUNT, "com.who.else"])),
    )


@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(addressed_events(), max_size=6), once=st.booleans())
def test_no_event_brings_up_another_error_or_writes_without_a_step(drawn: list[Event], *, once: bool) -> None:
    memory = OnceMemory() if once else RecordingMemory()
    orchestrator = counting(memory, needs_lock=True)
    for event in drawn:
        before = memory.read(event.subject) if event.subject else None
        emitted: tuple[Event, ...] = ()
        with suppress(ConfigViolation, ArvoTransactionError, InvalidEventError):
            emitted = orchestrator.execute(event).domained_events["all"]
        after = memory.read(event.subject)
        if after is not before:
            assert after is not None
            assert after.revision == (before.revision if before else 0) + 1
        if any(one.type.startswith("sys.") for one in emitted):
            assert (len(emitted), after) == (1, before)
