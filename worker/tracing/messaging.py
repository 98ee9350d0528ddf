"""The spans of who handles events and sends them: a service's requests, and what clients and services send.

Source: OpenTelemetry's semantic conventions for messaging.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.trace import Span, SpanKind

from worker.core.events import Event
from worker.tracing.attributes import event_attributes
from worker.tracing.headers import context_of, headers_of, with_headers
from worker.tracing.spans import Attributes, CurrentSpan, Traced, WithinSpan, can_record, record_failure, start_span

_NOTHING: Final = nullcontext()
_KAFKA: Final = {"messaging.system": "kafka"}


class Untold:
    """Nobody listens, and the event is as it came. Use it as a context manager."""

    __slots__ = ("event",)

    def __init__(self, event: Event) -> None:
        self.event = event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        return

    def failed(self, name: str, message: str) -> None:
        """Say that it is answered by a failure."""

    def sending(self, topic: str) -> AbstractContextManager[object]:  # noqa: ARG002 - who listens names the span so.
        """Stand around sending what continues `event` already."""
        return _NOTHING


class _Dropped(WithinSpan, Untold):
    """A sampler dropped it: whatever traces itself within is dropped too."""

    __slots__ = ("_current",)

    def __init__(self, span: Span, event: Event) -> None:
        super().__init__(event)
        self._current = CurrentSpan(span)


class _Told(_Dropped):
    """Record it. The event continues the span: what is made of it is below the span."""

    __slots__ = ("_span",)

    def __init__(self, span: Span, event: Event, attributes: Attributes) -> None:
        super().__init__(span, with_headers(event, headers_of(span)))
        self._span = span
        span.set_attributes({**_KAFKA, **attributes, **event_attributes(event)})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, stack)
        if error is not None:
            record_failure(self._span, type(error).__name__, str(error), error)
        self._span.end()

    def failed(self, name: str, message: str) -> None:
        record_failure(self._span, name, message)

    def sending(self, topic: str) -> AbstractContextManager[object]:
        return Traced(f"send {topic}", _sending(topic), SpanKind.PRODUCER)


def trace_handling(uri: str, event: Event, place: Mapping[str, Any]) -> Untold:
    """Stand around the handling of a request by the service of a contract's `uri`; `place` says where it was read.

    It continues the request's trace, and `event` is the request as the service is to see it.
    """
    operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    kind = {"arvo.span.kind": "EVENT_HANDLER"}
    return _traced(f"Service<{uri}>@<{event.type}>", SpanKind.CONSUMER, event, {**kind, **operation, **place})


def trace_sending(topic: str, event: Event) -> Untold:
    """Stand around sending an event, which is to be sent as `event`: what comes of it is below this span.

    It continues the event's trace, or, if it has none, that of the caller.
    """
    return _traced(f"send {topic}", SpanKind.PRODUCER, event, _sending(topic))


def _sending(topic: str) -> dict[str, str]:
    operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    return {**_KAFKA, **operation, "messaging.destination.name": topic}


def _traced(name: str, kind: SpanKind, event: Event, attributes: Attributes) -> Untold:
    if not can_record():
        return Untold(event)
    span = start_span(name, context_of(event), kind)
    return _Told(span, event, attributes) if span.is_recording() else _Dropped(span, event)
