"""The trace of one execution: a span of its own, one for each of its parts, and one for each event that it makes.

Source: the spans of arvo-xstate's ArvoOrchestrator, whose names and attributes these have; what is named here and
not there is the way to the memory and the validation.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, get_args

from opentelemetry.trace import Span, SpanKind

from worker.core.events import Event
from worker.core.outcomes import Outcome
from worker.core.step import Host, StepRequest, run_step
from worker.core.traces import TraceHeaders
from worker.tracing.attributes import event_attributes
from worker.tracing.headers import context_of, headers_of
from worker.tracing.progress import StepSpans
from worker.tracing.spans import CurrentSpan, Traced, WithinSpan, can_record, record_failure, start_span

InheritFrom = Literal["event", "context"]
Part = Literal["Lock Instance", "Read Instance", "Persist Instance"]

_NOTHING: Final = nullcontext()


class ExecutionTrace:
    """What an execution tells of itself; here nobody listens, and nothing is gathered.

    `headers` go on the events that it makes; none: they carry on those of the event that came.
    """

    __slots__ = ("headers",)

    def __init__(self, headers: TraceHeaders | None = None) -> None:
        self.headers = headers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        return

    def part(self, name: Part) -> AbstractContextManager[object]:  # noqa: ARG002 - who listens names the span so.
        """Stand around a part of the execution that is no part of the step."""
        return _NOTHING

    def run(self, host: Host, request: StepRequest) -> Outcome:
        """Run the step."""
        return run_step(host, request)


class _DroppedTrace(WithinSpan, ExecutionTrace):
    """A sampler dropped the execution: whatever traces itself below it is dropped too."""

    __slots__ = ("_current",)

    def __init__(self, span: Span, headers: TraceHeaders | None) -> None:
        super().__init__(headers)
        self._current = CurrentSpan(span)


class _RecordedTrace(_DroppedTrace):
    """Record the execution."""

    __slots__ = ("_event", "_span")

    def __init__(self, span: Span, event: Event) -> None:
        super().__init__(span, headers_of(span))
        self._event = event
        self._span = span
        attributes = {"arvo.span.kind": "ORCHESTRATOR", "openinference.span.kind": "CHAIN"}
        span.set_attributes({**attributes, **event_attributes(event, "to_process.0.")})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, stack)
        if error is not None:
            record_failure(self._span, type(error).__name__, str(error), error)
        self._span.end()

    def part(self, name: Part) -> AbstractContextManager[object]:
        return Traced(name, {})

    def run(self, host: Host, request: StepRequest) -> Outcome:
        return StepSpans(self._span, self._event, request.subject).follow(partial(run_step, host, request))


_UNTRACED: Final = ExecutionTrace()


def trace_execution(uri: str, event: Event, inherit_from: InheritFrom) -> ExecutionTrace:
    """Begin the trace of one execution; use it as a context manager.

    `uri` is the orchestrator's contract's. "event" continues the trace of the event's headers, or, if it has none or
    they are no trace, the caller's; "context" continues the caller's alone. Raises: ValueError, for anything else.
    """
    if inherit_from not in get_args(InheritFrom):
        raise ValueError(f"inherit_from is {inherit_from!r}; it must be 'event' or 'context'.")
    from_event = inherit_from == "event"
    if from_event and not can_record():
        return _UNTRACED
    parent = context_of(event) if from_event else None
    span = start_span(f"Orchestrator<{uri}>@<{event.type}>", parent, SpanKind.PRODUCER)
    if span.is_recording():
        return _RecordedTrace(span, event)
    if not span.get_span_context().is_valid:
        return _UNTRACED
    return _DroppedTrace(span, None if from_event else headers_of(span))
