"""Trace headers of events as the contexts of spans, and back.

Source: W3C Trace Context.
"""

from dataclasses import replace
from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.core.events import Event
from worker.core.traces import TraceHeaders
from worker.tracing.spans import CurrentSpan

_PROPAGATOR: Final = TraceContextTextMapPropagator()


def context_of(event: Event) -> Context:
    """Give the context that an event's headers name; the current one, if it has none or they are no trace."""
    if event.traceparent is None:
        return get_current()
    headers = {"traceparent": event.traceparent}
    if event.tracestate is not None:
        headers["tracestate"] = event.tracestate
    return _PROPAGATOR.extract(headers, get_current())


def headers_of(span: Span) -> TraceHeaders:
    """Give the headers by which events continue a span."""
    headers: dict[str, str] = {}
    with CurrentSpan(span):
        _PROPAGATOR.inject(headers)
    return TraceHeaders(headers["traceparent"], headers.get("tracestate"))


def with_headers(event: Event, headers: TraceHeaders) -> Event:
    """Give an event that continues another trace."""
    return replace(event, traceparent=headers.traceparent, tracestate=headers.tracestate)
