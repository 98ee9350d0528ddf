"""The spans of executions: which there are, how they hang together, and what they say of failures."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace

from tests.core.lab import init_of, lab_machine, reply_of
from tests.orchestrator.desk import (
    COUNT,
    OnceMemory,
    RecordingMemory,
    add_failed,
    added,
    counting,
    start,
    subject_of,
)
from tests.tracing.recording import Recorder, attributes_of, ids_of, parent_of, status_of
from worker.core.errors import ArvoTransactionError, ConfigViolation, ExecutionFailure
from worker.core.outcomes import DeadLettered
from worker.orchestrator import SimpleMachineMemory, create_orchestrator

STARTED = f"Orchestrator<#/orc/count>@<{COUNT}>"
ADDED = "Orchestrator<#/orc/count>@<evt.add.call.success>"
SYSTEM_ERROR = "ArvoOrchestratorEventFactory.systemError"
STATUS = "arvo.orchestration.status"


def statuses(recorder: Recorder) -> dict[str, str]:
    return {name: status_of(span) for name, span in recorder.by_name().items()}


def test_each_part_of_an_execution_has_a_span_below_its_own(recorder: Recorder) -> None:
    counting(SimpleMachineMemory(), needs_lock=True).execute(start())
    spans = recorder.taken()
    main, *parts = spans
    assert [span.name for span in spans] == [
        STARTED,
        "Lock Instance",
        "Read Instance",
        "Resolve Machine",
        "Validate Event",
        "Execute Machine",
        "createArvoEvent<com.add.call>",
        "Persist Instance",
    ]
    assert (main.kind, status_of(main), parent_of(main)) == (trace.SpanKind.PRODUCER, "UNSET", None)
    for part in parts:
        assert (part.kind, status_of(part), parent_of(part)) == (trace.SpanKind.INTERNAL, "OK", ids_of(main)[1])
        assert part.start_time is not None
        assert part.end_time is not None
        assert main.start_time is not None
        assert main.end_time is not None
        assert main.start_time <= part.start_time <= part.end_time <= main.end_time


def test_parts_that_are_not_done_have_no_spans(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    assert not orchestrator.execute(added()).events  # There is no instance.
    assert list(statuses(recorder)) == [ADDED, "Read Instance"]
    orchestrator.execute(start())
    recorder.taken()
    orchestrator.execute(add_failed())  # Nothing waits for it, and this memory does not remember it.
    assert [span.name for span in recorder.taken()][1:] == [
        "Read Instance",
        "Resolve Machine",
        "Validate Event",
        "Execute Machine",
    ]


def test_a_memory_that_deduplicates_writes_what_is_unexpected(recorder: Recorder) -> None:
    orchestrator = counting(OnceMemory())
    orchestrator.execute(start())
    recorder.taken()
    orchestrator.execute(add_failed())
    spans = recorder.by_name()
    assert "Persist Instance" in spans
    (main,) = (span for name, span in spans.items() if name.startswith("Orchestrator"))
    assert attributes_of(main)[STATUS] == "active"
    orchestrator.execute(start())  # A duplicate runs no step.
    assert list(recorder.by_name()) == [STARTED, "Read Instance"]


def test_the_status_is_that_of_the_instance(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    assert attributes_of(recorder.by_name()[STARTED])[STATUS] == "active"
    orchestrator.execute(added(0))
    assert attributes_of(recorder.by_name()[ADDED])[STATUS] == "done"


def test_each_domain_of_each_event_is_told(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    recorder.taken()
    emitted = orchestrator.execute(added()).domained_events["all"]
    told = attributes_of(recorder.taken()[0])
    domains = {key: value for key, value in told.items() if ".domains." in key}
    assert domains == {
        "to_emit.0.domains.0": "analytics",
        "to_emit.0.domains.1": "default",
        "to_emit.1.domains.0": "analytics",
    }
    assert [told[f"to_emit.{place}.cloudevents.event_id"] for place in (0, 1)] == [event.id for event in emitted]


def test_many_events_do_not_push_out_what_was_told_first(recorder: Recorder) -> None:
    entry = "for _number in range(50):\n  emit('com.trace.log', {'n': _number}, domains=['a'])"
    create_orchestrator(machines=[lab_machine(entry)], memory=SimpleMachineMemory()).execute(init_of())
    main, *parts = recorder.taken()
    told = attributes_of(main)
    assert told["arvo.span.kind"] == "ORCHESTRATOR"
    assert told["to_process.0.cloudevents.event_id"] == "e-1"
    assert told["to_emit.7.domains.0"] == "a"
    assert sum(part.name == "createArvoEvent<com.trace.log>" for part in parts) == 50


def test_a_machine_that_fails(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    recorder.taken()
    (error,) = orchestrator.execute(added(13)).events
    spans = recorder.by_name()
    assert {name: status_of(span) for name, span in spans.items()} == {
        ADDED: "ERROR",
        "Read Instance": "OK",
        "Resolve Machine": "OK",
        "Validate Event": "OK",
        "Execute Machine": "ERROR",
        SYSTEM_ERROR: "OK",
    }
    for span in (spans[ADDED], spans["Execute Machine"]):
        told = attributes_of(span)
        assert (told["exception.type"], told["exception.message"]) == ("ArithmeticError", "13 brings bad luck")
        (exception,) = span.events
        assert exception.attributes is not None
        assert exception.attributes["exception.type"] == "ArithmeticError"
        assert "in lucky" in str(exception.attributes["exception.stacktrace"])
    assert STATUS not in attributes_of(spans[ADDED])
    assert attributes_of(spans[SYSTEM_ERROR])["cloudevents.event_id"] == error.id


def test_data_that_break_a_contract(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    recorder.taken()
    orchestrator.execute(added("many"))
    assert statuses(recorder) == {
        ADDED: "ERROR",
        "Read Instance": "OK",
        "Resolve Machine": "OK",
        "Validate Event": "ERROR",
        SYSTEM_ERROR: "OK",
    }


def test_an_emission_that_breaks_a_contract(recorder: Recorder) -> None:
    entry = "emit('com.trace.log', {})\nemit('com.one.call', {'x': 'no number'})"
    create_orchestrator(machines=[lab_machine(entry)], memory=SimpleMachineMemory()).execute(init_of())
    found = statuses(recorder)
    assert found.pop("Orchestrator<#/orc/lab>@<arvo.orc.lab>") == "ERROR"
    assert set(found.values()) == {"OK"}
    assert {"Execute Machine", "createArvoEvent<com.trace.log>", SYSTEM_ERROR} <= set(found)
    assert "createArvoEvent<com.one.call>" not in found


def test_texts_of_errors_are_fit_for_telemetry(recorder: Recorder) -> None:
    def boom(_: int) -> int:
        raise ValueError("\ud800\0" + "x" * 100_000)

    machine = lab_machine(functions={"check": boom})
    orchestrator = create_orchestrator(machines=[machine], memory=SimpleMachineMemory())
    orchestrator.execute(init_of())
    recorder.taken()
    orchestrator.execute(reply_of())
    span = recorder.by_name()["Execute Machine"]
    (exception,) = span.events
    for told in (attributes_of(span), exception.attributes or {}):
        message = str(told["exception.message"])
        assert len(message) < 10_000
        assert "\0" not in message
        message.encode()


@pytest.mark.parametrize("fault", ["read", "write", "lock"])
def test_a_memory_that_fails(recorder: Recorder, fault: str) -> None:
    orchestrator = counting(RecordingMemory(**{fault: OSError("no disk")}), needs_lock=True)
    with pytest.raises(ArvoTransactionError):
        orchestrator.execute(start())
    spans = recorder.by_name()
    part = {"read": "Read Instance", "write": "Persist Instance", "lock": "Lock Instance"}[fault]
    assert {name for name, span in spans.items() if status_of(span) == "ERROR"} == {STARTED, part}
    assert list(spans)[-1] == part
    for span in (spans[STARTED], spans[part]):
        assert attributes_of(span)["exception.type"] == "ArvoTransactionError"


def test_a_lock_that_another_one_has(recorder: Recorder) -> None:
    memory = SimpleMachineMemory()
    memory.lock(start().subject)
    with pytest.raises(ArvoTransactionError):
        counting(memory, needs_lock=True).execute(start())
    assert statuses(recorder) == {STARTED: "ERROR", "Lock Instance": "ERROR"}


def test_a_version_that_no_machine_has(recorder: Recorder) -> None:
    with pytest.raises(ConfigViolation):
        counting(SimpleMachineMemory()).execute(start(subject=subject_of(version="9.0.0")))
    spans = recorder.by_name()
    assert {name: status_of(span) for name, span in spans.items()} == {
        STARTED: "ERROR",
        "Read Instance": "OK",
        "Resolve Machine": "ERROR",
    }
    assert attributes_of(spans[STARTED])["exception.type"] == "ConfigViolation"


def test_a_subject_that_is_none(recorder: Recorder) -> None:
    with pytest.raises(ArvoTransactionError):
        counting(SimpleMachineMemory()).execute(start(subject="nothing"))
    assert statuses(recorder) == {STARTED: "ERROR"}


def test_a_fault_of_ours_ends_every_span(recorder: Recorder) -> None:
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    recorder.taken()
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("worker.core.step._run_program", _raise(RuntimeError("a bug")))
        with pytest.raises(RuntimeError, match="a bug"):
            orchestrator.execute(added())
    found = statuses(recorder)
    assert (found[ADDED], found["Execute Machine"]) == ("ERROR", "ERROR")
    assert trace.get_current_span() is trace.INVALID_SPAN


def _raise(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> object:
        raise error

    return fail


def test_what_is_called_below_has_the_right_current_span(recorder: Recorder) -> None:
    current: dict[str, str] = {}

    def note(place: str) -> None:
        current[place] = getattr(trace.get_current_span(), "name", "none")

    class NotingMemory(RecordingMemory):
        def _begin(self, operation: str) -> None:
            note(operation)

    def check(y: int) -> int:
        note("chart")
        return y

    machine = lab_machine(functions={"check": check})
    orchestrator = create_orchestrator(machines=[machine], memory=NotingMemory())
    orchestrator.execute(init_of())
    orchestrator.execute(reply_of())
    note("after")
    assert current == {
        "lock": "Lock Instance",
        "read": "Read Instance",
        "chart": "Execute Machine",
        "write": "Persist Instance",
        "unlock": "Orchestrator<#/orc/lab>@<evt.one.call.success>",
        "after": "none",
    }


def test_a_failure_of_the_machines_own_making(recorder: Recorder) -> None:
    def check(_: int) -> int:
        raise ExecutionFailure("OutOfStock", "nothing left")

    orchestrator = create_orchestrator(machines=[lab_machine(functions={"check": check})], memory=SimpleMachineMemory())
    orchestrator.execute(init_of())
    recorder.taken()
    (error,) = orchestrator.execute(reply_of()).events
    told = attributes_of(recorder.by_name()["Execute Machine"])
    assert told["exception.type"] == error.data["errorName"]


def test_outcomes_are_traced_too(recorder: Recorder) -> None:
    outcome = counting(SimpleMachineMemory()).outcome(start(subject=subject_of(version="9.0.0")))
    assert isinstance(outcome, DeadLettered)
    assert statuses(recorder)["Resolve Machine"] == "ERROR"
