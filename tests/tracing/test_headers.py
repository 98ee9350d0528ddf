"""Trace headers: what emitted events carry, and what an execution continues."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.core.lab import SHIP, init_of, lab_machine
from tests.orchestrator.desk import added, counting, start
from tests.tracing.recording import (
    SAMPLED,
    SPAN,
    TRACE,
    UNSAMPLED,
    Recorder,
    ids_of,
    parent_of,
    traceparent_of,
)
from worker.core.events import Event, event_to_json
from worker.orchestrator import ExecutionResult, Orchestrator, SimpleMachineMemory, create_orchestrator

NO_HEADERS = {"traceparent": None, "tracestate": None}


def every(result: ExecutionResult) -> tuple[Event, ...]:
    return result.domained_events["all"]


def headers_of(event: Event) -> dict[str, str | None]:
    return {"traceparent": event.traceparent, "tracestate": event.tracestate}


def waiting() -> Orchestrator:
    """Give a counter that has been started, untraced."""
    orchestrator = counting(SimpleMachineMemory())
    orchestrator.execute(start())
    return orchestrator


class TestRecorded:
    def test_every_emitted_event_carries_the_executions_span(self, recorder: Recorder) -> None:
        result = waiting().execute(added(**SAMPLED))
        main = next(span for span in recorder.taken() if parent_of(span) == SPAN)
        assert ids_of(main)[0] == TRACE
        assert [headers_of(event) for event in every(result)] == [
            {"traceparent": traceparent_of(main), "tracestate": "a=b"}
        ] * 2

    @pytest.mark.parametrize("by", [0, 13], ids=["completion", "system error"])
    def test_completions_and_system_errors_carry_it(self, recorder: Recorder, by: int) -> None:
        (event,) = every(waiting().execute(added(by, **SAMPLED)))
        main = next(span for span in recorder.taken() if parent_of(span) == SPAN)
        assert headers_of(event) == {"traceparent": traceparent_of(main), "tracestate": "a=b"}

    def test_the_start_of_a_child_carries_it(self, recorder: Recorder) -> None:
        machine = lab_machine(f"emit('{SHIP}', {{'order': 'o-1', 'parentSubject$$': subject}})")
        orchestrator = create_orchestrator(machines=[machine], memory=SimpleMachineMemory())
        (event,) = every(orchestrator.execute(init_of(**SAMPLED)))
        assert event.subject != init_of().subject
        assert event.traceparent == traceparent_of(recorder.taken()[0])

    def test_ids_and_all_else_are_those_of_an_untraced_execution(self, recorder: Recorder) -> None:
        with Recorder(ALWAYS_OFF):
            untraced = waiting().execute(added())
        traced = waiting().execute(added())
        for one, other in zip(every(traced), every(untraced), strict=True):
            left = {**event_to_json(one), "time": other.time, **NO_HEADERS}
            assert left == event_to_json(other)
            assert one.traceparent is not None
        assert traced.all_event_domains == untraced.all_event_domains

    def test_without_headers_the_callers_span_is_continued(self, recorder: Recorder) -> None:
        orchestrator = waiting()
        recorder.taken()
        with recorder.tracer.start_as_current_span("outer"):
            (event, _) = every(orchestrator.execute(added()))
        outer, main, *_ = recorder.taken()
        assert parent_of(main) == ids_of(outer)[1]
        assert event.traceparent == traceparent_of(main)

    def test_headers_come_before_the_callers_span(self, recorder: Recorder) -> None:
        orchestrator = waiting()
        with recorder.tracer.start_as_current_span("outer"):
            (event, _) = every(orchestrator.execute(added(**SAMPLED)))
        assert event.traceparent is not None
        assert event.traceparent.startswith(f"00-{TRACE}-")

    def test_from_the_context_the_callers_span_is_continued_whatever_the_event_has(self, recorder: Recorder) -> None:
        orchestrator = waiting()
        recorder.taken()
        with recorder.tracer.start_as_current_span("outer"):
            (event, _) = every(orchestrator.execute(added(**SAMPLED), inherit_from="context"))
        outer, main, *_ = recorder.taken()
        assert parent_of(main) == ids_of(outer)[1]
        assert headers_of(event) == {"traceparent": traceparent_of(main), "tracestate": None}

    def test_from_a_context_without_a_span_a_trace_is_begun(self, recorder: Recorder) -> None:
        orchestrator = waiting()
        recorder.taken()
        orchestrator.execute(added(**SAMPLED), inherit_from="context")
        main = recorder.taken()[0]
        assert parent_of(main) is None
        assert ids_of(main)[0] != TRACE


class TestNotRecorded:
    @pytest.mark.parametrize("headers", [SAMPLED, UNSAMPLED, NO_HEADERS], ids=["sampled", "unsampled", "none"])
    def test_without_an_sdk_the_events_headers_pass_through(self, headers: dict[str, Any]) -> None:
        result = waiting().execute(added(**headers))
        assert [headers_of(event) for event in every(result)] == [headers] * 2

    def test_without_an_sdk_headers_are_not_even_read(self, caplog: pytest.LogCaptureFixture) -> None:
        waiting().execute(added(**{**SAMPLED, "tracestate": "no state"}))
        assert not caplog.records  # OpenTelemetry warns of each tracestate that it can't read.

    def test_an_unsampled_events_headers_pass_through(self, recorder: Recorder) -> None:
        orchestrator = waiting()
        recorder.taken()
        result = orchestrator.execute(added(**UNSAMPLED))
        assert [headers_of(event) for event in every(result)] == [UNSAMPLED] * 2
        assert recorder.taken() == []

    @pytest.mark.parametrize("headers", [SAMPLED, NO_HEADERS], ids=["sampled", "none"])
    def test_what_a_sampler_drops_passes_through(self, headers: dict[str, Any]) -> None:
        orchestrator = waiting()
        with Recorder(ALWAYS_OFF) as recorder:
            result = orchestrator.execute(added(13, **headers))
        assert [headers_of(event) for event in every(result)] == [headers]
        assert recorder.taken() == []

    def test_what_traces_itself_below_a_dropped_execution_is_dropped_too(self, recorder: Recorder) -> None:
        class TracingMemory(SimpleMachineMemory):
            def unlock(self, subject: str) -> bool:
                with recorder.tracer.start_as_current_span("UPDATE"):
                    return super().unlock(subject)

        counting(TracingMemory(), needs_lock=True).execute(start(**UNSAMPLED))
        assert recorder.taken() == []
        assert trace.get_current_span() is trace.INVALID_SPAN

    def test_from_the_context_an_unsampled_caller_is_continued(self, recorder: Recorder) -> None:
        self._expect_the_callers_trace()

    def test_from_the_context_the_caller_is_continued_without_an_sdk(self) -> None:
        self._expect_the_callers_trace()

    def _expect_the_callers_trace(self) -> None:
        caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(0))
        token = attach(trace.set_span_in_context(NonRecordingSpan(caller)))
        try:
            result = waiting().execute(added(**SAMPLED), "context")
        finally:
            detach(token)
        for event in every(result):
            assert event.traceparent is not None
            assert event.traceparent.startswith(f"00-{7:032x}-")
            assert event.traceparent.endswith("-00")

    def test_from_a_context_without_a_span_the_events_headers_pass_through(self) -> None:
        result = waiting().execute(added(**SAMPLED), "context")
        assert [headers_of(event) for event in every(result)] == [SAMPLED] * 2


_HEADER_LIKE = st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-x)?", fullmatch=True)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=600)


class TestInvalid:
    @pytest.mark.parametrize(
        "traceparent",
        [
            "nonsense",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            "x" * 5_000,
        ],
    )
    def test_a_traceparent_that_is_none_counts_as_none(self, recorder: Recorder, traceparent: str) -> None:
        orchestrator = waiting()
        recorder.taken()
        with recorder.tracer.start_as_current_span("outer"):
            (event, _) = every(orchestrator.execute(added(traceparent=traceparent, tracestate="a=b")))
        outer, main, *_ = recorder.taken()
        assert parent_of(main) == ids_of(outer)[1]
        assert headers_of(event) == {"traceparent": traceparent_of(main), "tracestate": None}

    @pytest.mark.parametrize("tracestate", ["no state", "=", "a=b,a=c", "k=" + "v" * 5_000])
    def test_a_tracestate_that_is_none_is_left_out(self, recorder: Recorder, tracestate: str) -> None:
        (event, _) = every(waiting().execute(added(**{**SAMPLED, "tracestate": tracestate})))
        assert event.traceparent is not None
        assert event.traceparent.startswith(f"00-{TRACE}-")
        assert event.tracestate is None

    @given(traceparent=st.one_of(st.none(), _HEADER_LIKE, _TEXTS), tracestate=st.one_of(st.none(), _TEXTS))
    def test_no_header_fails_an_execution(self, traceparent: str | None, tracestate: str | None) -> None:
        orchestrator = counting(SimpleMachineMemory())
        with Recorder() as recorder:
            (event,) = every(orchestrator.execute(start(traceparent=traceparent, tracestate=tracestate)))
            spans = recorder.taken()
        if not spans:  # A sampler took the header for that of an unsampled trace.
            assert headers_of(event) == {"traceparent": traceparent, "tracestate": tracestate}
            return
        carried = {key: value for key, value in headers_of(event).items() if value is not None}
        context = TraceContextTextMapPropagator().extract(carried)
        assert trace.get_current_span(context).get_span_context().span_id == int(ids_of(spans[0])[1], 16)


@pytest.mark.parametrize("wrong", ["EVENT", "", None])
def test_what_is_neither_event_nor_context_is_refused(wrong: str | None) -> None:
    orchestrator = waiting()
    with pytest.raises(ValueError, match=r"inherit_from is .*; it must be 'event' or 'context'"):
        orchestrator.execute(added(), wrong)  # type: ignore[arg-type]
