"""One span: how it begins, becomes the current one, fails and ends."""

import traceback
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import ProxyTracer, ProxyTracerProvider, Span, SpanKind, Status, StatusCode

from worker.core.texts import clean_text

Attributes = Mapping[str, str | float | bool]

# It stands for the SDK's tracer from the moment that an application sets one.
TRACER: trace.Tracer = trace.get_tracer("orchestrator-worker")

_KIND: Final = "arvo.span.kind"
_INTERNAL: Final = "INTERNAL"


def can_record() -> bool:
    """Tell whether an SDK is there that could record a span."""
    return not (isinstance(TRACER, ProxyTracer) and isinstance(trace.get_tracer_provider(), ProxyTracerProvider))


def start_span(
    name: str, parent: Context | None = None, kind: SpanKind = SpanKind.INTERNAL, start_time: int | None = None
) -> Span:
    """Start a span below the one of `parent`, or the current one. `start_time` is in nanoseconds since the epoch."""
    return TRACER.start_span(name, parent, kind, start_time=start_time)


def start_internal(
    name: str,
    attributes: Attributes,
    start_time: int | None = None,
    tracer: trace.Tracer | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Span:
    """Start a span for a part of what the current span stands for."""
    span = (tracer or TRACER).start_span(name, kind=kind, start_time=start_time)
    if span.is_recording():
        span.set_attributes({_KIND: _INTERNAL, **attributes})
    return span


def end_well(span: Span) -> None:
    """End a span of something that has succeeded."""
    span.set_status(StatusCode.OK)
    span.end()


def record_failure(span: Span, name: str, message: str, error: BaseException | None = None) -> None:
    """Say on a span what failed: as its status, as attributes and, if there is an exception, as an event."""
    failure = {"exception.type": clean_text(name), "exception.message": clean_text(message)}
    span.set_attributes(failure)
    span.set_status(Status(StatusCode.ERROR, failure["exception.message"]))
    if error is not None:
        stack = clean_text("".join(traceback.format_exception(error)))
        span.add_event("exception", {**failure, "exception.stacktrace": stack})


class CurrentSpan:
    """Make a span the current one within a block."""

    __slots__ = ("_token", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        self._token = attach(trace.set_span_in_context(self.span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        assert self._token is not None
        detach(self._token)


class WithinSpan:
    """Enter and leave by making `_current` the current span; for what has other bases too."""

    __slots__ = ()
    _current: CurrentSpan

    def __enter__(self) -> Self:
        self._current.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._current.__exit__(kind, error, stack)


class Traced(CurrentSpan):
    """Put a span around a block: its duration, and whether it failed. `set` says more."""

    __slots__ = ()

    def __init__(self, name: str, attributes: Attributes, kind: SpanKind = SpanKind.INTERNAL) -> None:
        super().__init__(start_internal(name, attributes, kind=kind))

    @property
    def is_recording(self) -> bool:
        """Tell whether what is said is kept."""
        return self.span.is_recording()

    def set(self, attributes: Attributes) -> None:
        """Say more on the span."""
        self.span.set_attributes(attributes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, stack)
        if error is None:
            end_well(self.span)
            return
        record_failure(self.span, type(error).__name__, str(error), error)
        self.span.end()
