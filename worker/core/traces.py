"""Trace headers: what ties an event to the trace that it is part of. The core only carries them.

Source: W3C Trace Context; the CloudEvents extension Distributed Tracing.
"""

from typing import NamedTuple, Self

from worker.core.events import Event


class TraceHeaders(NamedTuple):
    """The headers that an event carries; any texts, since peers may send what is no trace."""

    traceparent: str | None = None
    tracestate: str | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """Give the headers of an event."""
        return cls(event.traceparent, event.tracestate)
