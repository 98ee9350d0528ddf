"""The spans of services and clients: what continues what, and what is not recorded."""

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import get_current_span

from tests.services.stock import TRACE, URI, request
from tests.tracing.recording import Recorder, attributes_of, ids_of, parent_of, status_of, traceparent_of
from worker.tracing import Traced, trace_handling, trace_sending

PLACE = {"messaging.destination.name": "orc.default", "messaging.kafka.offset": 7}
UNSAMPLED = f"{TRACE[:-2]}00"


def test_a_service_continues_the_request_and_its_answers_continue_the_service(recorder: Recorder) -> None:
    asked = request(traceparent=TRACE, tracestate="a=b")
    with trace_handling(URI, asked, PLACE) as trace:
        with trace.sending("orc.input"):
            pass
        with Traced("the author's own", {}):
            pass
    spans = recorder.by_name()
    handled = spans[f"Service<{URI}>@<com.stock.take>"]
    assert (ids_of(handled)[0], parent_of(handled)) == (TRACE[3:35], TRACE[36:52])
    assert (handled.kind.name, spans["send orc.input"].kind.name) == ("CONSUMER", "PRODUCER")
    assert {parent_of(spans["send orc.input"]), parent_of(spans["the author's own"])} == {ids_of(handled)[1]}
    assert (trace.event.traceparent, trace.event.tracestate) == (traceparent_of(handled), "a=b")
    assert attributes_of(handled)["messaging.kafka.offset"] == 7
    assert attributes_of(handled)["cloudevents.event_id"] == asked.id
    assert (asked.traceparent, trace.event.id, trace.event.data) == (TRACE, asked.id, asked.data)


def test_a_failure_is_told(recorder: Recorder) -> None:
    with trace_handling(URI, request(), PLACE) as trace:
        trace.failed("NoStock", "none is left")
    with pytest.raises(OSError, match="away"), trace_handling(URI, request(), PLACE):
        raise OSError("away")
    first, second = recorder.taken()
    assert (status_of(first), attributes_of(first)["exception.type"]) == ("ERROR", "NoStock")
    assert (status_of(second), attributes_of(second)["exception.type"]) == ("ERROR", "OSError")


def test_a_client_begins_a_trace_or_goes_on_with_the_program_s(recorder: Recorder) -> None:
    with trace_sending("orc.input", request()) as alone:
        pass
    with Traced("the program", {}), trace_sending("orc.input", request()) as within:
        pass
    begun, program, sent = recorder.taken()
    assert (parent_of(begun), alone.event.traceparent) == (None, traceparent_of(begun))
    assert (parent_of(sent), within.event.traceparent) == (ids_of(program)[1], traceparent_of(sent))
    assert attributes_of(sent)["messaging.destination.name"] == "orc.input"


def test_what_a_sampler_drops_goes_on_as_it_came_and_nothing_within_is_recorded() -> None:
    with Recorder(ParentBased(ALWAYS_OFF)) as recorder:
        for event in (request(), request(traceparent=UNSAMPLED)):
            with trace_handling(URI, event, PLACE) as trace, trace.sending("orc.input"), Traced("within", {}):
                assert trace.event == event
                assert not get_current_span().is_recording()
            with trace_sending("orc.input", event) as sent:
                assert sent.event == event
    assert recorder.taken() == []


def test_without_an_sdk_events_are_the_same() -> None:
    event = request(traceparent=TRACE)
    with trace_handling(URI, event, PLACE) as trace, trace.sending("orc.input"):
        trace.failed("NoStock", "none is left")
        assert trace.event is event
    with trace_sending("orc.input", event) as sent:
        assert sent.event is event
