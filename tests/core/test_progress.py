"""What a step tells as it goes, and that it is the same step."""

from collections.abc import Callable

import pytest

from tests.core.lab import NOW, hosting, init_of, lab_machine, reply_of, started, subject_of
from worker.core.events import Event
from worker.core.outcomes import Advanced, Failed, Outcome
from worker.core.progress import Emitted, Emitting, Executing, Failing, Progress, Resolving, Validating
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject
from worker.core.traces import TraceHeaders

HOST = hosting(lab_machine("emit('com.trace.log', {})\nemit('com.one.call', {'x': 1})"))


def watched(host: Host, request: StepRequest) -> tuple[list[Progress], Outcome]:
    told: list[Progress] = []
    return told, run_step(host, request, told.append)


def request_of(event: Event, host: Host | None = None, trace: TraceHeaders | None = None) -> StepRequest:
    instance = started(host) if host else None
    return StepRequest(event, decode_subject(event.subject), instance, None, NOW, trace)


def kinds(told: list[Progress]) -> list[type]:
    return [type(one) for one in told]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (lambda: request_of(init_of()), [Resolving, Validating, Executing, Emitting, Emitted, Emitted]),
        (lambda: request_of(reply_of(), HOST), [Resolving, Validating, Executing, Emitting, Emitted]),
        (lambda: request_of(reply_of(13), HOST), [Resolving, Validating, Executing, Failing]),
        (lambda: request_of(reply_of("no number"), HOST), [Resolving, Validating, Failing]),
        (lambda: request_of(reply_of(type="evt.one.call.later"), HOST), [Resolving, Validating, Executing]),
        (lambda: request_of(reply_of(type="evt.nobody.knows"), HOST), [Resolving, Validating]),
        (lambda: request_of(init_of(subject=subject_of(version="9.0.0"))), [Resolving]),
        (lambda: request_of(reply_of()), []),
    ],
    ids=["start", "end", "failing", "violation", "unexpected", "no contract", "no machine", "no instance"],
)
def test_a_step_tells_what_begins_and_what_is_made(
    request_: Callable[[], StepRequest], expected: list[type[Progress]]
) -> None:
    request = request_()
    told, outcome = watched(HOST, request)
    assert kinds(told) == expected
    assert outcome == run_step(HOST, request)
    emitted = outcome.emitted if isinstance(outcome, Advanced) else ()
    assert [one.event for one in told if isinstance(one, Emitted)] == [one.event for one in emitted]


def test_a_failure_is_told_with_its_machine() -> None:
    told, outcome = watched(HOST, request_of(reply_of(13), HOST))
    assert isinstance(outcome, Failed)
    failing = told[-1]
    assert isinstance(failing, Failing)
    assert (failing.failure.name, failing.failure.message) == (outcome.error_name, outcome.error_message)
    assert failing.machine.contract.type == "arvo.orc.lab"


@pytest.mark.parametrize("event", [init_of(), reply_of(13)], ids=["emission", "system error"])
def test_headers_that_are_given_stand_on_all_that_is_emitted(event: Event) -> None:
    headers = TraceHeaders("00-a-b-01", "x=y")
    host = HOST if event.type != "arvo.orc.lab" else None
    outcome = run_step(HOST, request_of(event, host, headers))
    assert isinstance(outcome, Advanced | Failed)
    emitted = outcome.emitted if isinstance(outcome, Advanced) else (outcome.emitted,)
    assert {TraceHeaders.of(one.event) for one in emitted} == {headers}


@pytest.mark.parametrize("traceparent", ["no trace at all", None])
def test_without_any_the_events_own_pass_through(traceparent: str | None) -> None:
    outcome = run_step(HOST, request_of(init_of(traceparent=traceparent, tracestate="a=b")))
    assert isinstance(outcome, Advanced)
    assert {TraceHeaders.of(one.event) for one in outcome.emitted} == {TraceHeaders(traceparent, "a=b")}
