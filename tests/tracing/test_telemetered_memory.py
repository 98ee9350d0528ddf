"""The telemetered memory: spans for what it does, and no other behaviour than the memory within."""

import pytest
from opentelemetry import trace

from tests.core.lab import hosting, lab_machine, started
from tests.orchestrator.desk import OnceMemory, RecordingMemory, added, counting, start
from tests.tracing.recording import UNSAMPLED, Recorder, attributes_of, ids_of, parent_of, status_of
from worker import DeduplicatingMemory, MachineMemory, SetupError, TelemeteredMachineMemory
from worker.core.errors import ArvoTransactionError
from worker.core.instances import Instance
from worker.core.snapshots import encode_snapshot
from worker.orchestrator import SimpleMachineMemory


@pytest.fixture
def instance() -> Instance:
    return started(hosting(lab_machine()))


def test_it_is_a_memory_of_the_kind_that_it_stands_around() -> None:
    simple, once = TelemeteredMachineMemory(SimpleMachineMemory()), TelemeteredMachineMemory(OnceMemory())
    assert isinstance(simple, MachineMemory)
    assert not isinstance(simple, DeduplicatingMemory)
    assert isinstance(once, TelemeteredMachineMemory)
    assert isinstance(once, DeduplicatingMemory)


@pytest.mark.parametrize("wrong", [SimpleMachineMemory, object(), None])
def test_what_is_no_memory_is_refused(wrong: object) -> None:
    with pytest.raises(SetupError, match="memory"):
        TelemeteredMachineMemory(wrong)  # type: ignore[arg-type]


def test_each_operation_gives_what_the_memory_gives_and_has_a_span(recorder: Recorder, instance: Instance) -> None:
    memory, subject = TelemeteredMachineMemory(SimpleMachineMemory()), instance.subject
    assert memory.read(subject) is None
    memory.write(subject, instance, None)
    assert memory.read(subject) is instance
    assert (memory.lock(subject), memory.lock(subject), memory.unlock(subject)) == (True, False, True)
    spans = recorder.taken()
    common = {"arvo.span.kind": "INTERNAL", "arvo.memory.id": subject, "arvo.memory.type": "SimpleMachineMemory"}
    assert [(span.name, {**attributes_of(span)}) for span in spans] == [
        ("Read Machine Memory", {**common, "arvo.memory.found": False}),
        ("Write Machine Memory", {**common, "arvo.memory.record.bytes": len(encode_snapshot(instance.snapshot))}),
        ("Read Machine Memory", {**common, "arvo.memory.found": True}),
        ("Lock Machine Memory", {**common, "arvo.memory.acquired": True}),
        ("Lock Machine Memory", {**common, "arvo.memory.acquired": False}),
        ("Unlock Machine Memory", common),
    ]
    assert {(span.kind, status_of(span)) for span in spans} == {(trace.SpanKind.INTERNAL, "OK")}


def test_no_name_of_a_span_tells_a_subject(recorder: Recorder, instance: Instance) -> None:
    memory = TelemeteredMachineMemory(OnceMemory())
    counting(memory).execute(start())
    assert not [span.name for span in recorder.taken() if start().subject in span.name]


def test_a_memory_that_fails_is_told_and_fails(recorder: Recorder) -> None:
    memory = TelemeteredMachineMemory(RecordingMemory(read=OSError("no disk")))
    with pytest.raises(OSError, match="no disk"):
        memory.read("x")
    (span,) = recorder.taken()
    assert status_of(span) == "ERROR"
    assert attributes_of(span)["exception.type"] == "OSError"
    assert [event.name for event in span.events] == ["exception"]


def test_its_spans_are_below_those_of_the_execution(recorder: Recorder) -> None:
    counting(TelemeteredMachineMemory(RecordingMemory()), needs_lock=True).execute(start())
    spans = recorder.by_name()
    for part, operation in (("Lock", "Lock"), ("Read", "Read"), ("Persist", "Write")):
        assert parent_of(spans[f"{operation} Machine Memory"]) == ids_of(spans[f"{part} Instance"])[1]
    (main,) = (span for name, span in spans.items() if name.startswith("Orchestrator"))
    assert parent_of(spans["Unlock Machine Memory"]) == ids_of(main)[1]


def test_an_event_that_comes_again_is_known(recorder: Recorder) -> None:
    inner = OnceMemory()
    orchestrator = counting(TelemeteredMachineMemory(inner))
    first = orchestrator.execute(start())
    recorder.taken()
    assert orchestrator.execute(start()) == first
    spans = recorder.by_name()
    assert attributes_of(spans["Look Up Event In Machine Memory"])["arvo.memory.found"] is True
    assert "Consume Event In Machine Memory" not in spans


def test_a_failing_step_is_consumed_without_an_instance(recorder: Recorder) -> None:
    orchestrator = counting(TelemeteredMachineMemory(OnceMemory()))
    orchestrator.execute(start())
    recorder.taken()
    orchestrator.execute(added(13))
    told = attributes_of(recorder.by_name()["Consume Event In Machine Memory"])
    assert "arvo.memory.record.bytes" not in told


def test_failures_within_an_execution_are_transaction_errors_as_ever() -> None:
    orchestrator = counting(TelemeteredMachineMemory(RecordingMemory(write=OSError("no disk"))))
    with pytest.raises(ArvoTransactionError, match="no disk"):
        orchestrator.execute(start())


def test_nothing_is_measured_where_nothing_is_recorded(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.orchestrator.telemetered_memory.encode_snapshot", None)
    inner = RecordingMemory()
    counting(TelemeteredMachineMemory(inner)).execute(start(**UNSAMPLED))
    assert inner.taken() == ["read", "write"]
    assert recorder.taken() == []
