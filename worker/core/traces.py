"""Trace headers: what ties an event to the trace that it is part of. The core only carries them.

Source: W3C Trace Context; the CloudEvents extension Distributed Tracing.
"""

import re
from typing import Final, NamedTuple, Self

from worker.core.events import Event

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class TraceHeaders(NamedTuple):
    """The headers that an event carries; any texts, since peers may send what is no trace."""

    traceparent: str | None = None
    tracestate: str | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """Give the headers of an event."""
        return cls(event.traceparent, event.tracestate)


def trace_id_of(event: Event | None) -> str | None:
    """Name the trace that an event is part of, if its headers are one."""
    if event is None or event.traceparent is None:
        return None
    found = _TRACEPARENT.fullmatch(event.traceparent)
    return found[1] if found else None


def traced(event: Event | None) -> dict[str, str]:
    """Say in a log's line which trace an event is part of, if it is part of one."""
    trace_id = trace_id_of(event)
    return {} if trace_id is None else {"trace_id": trace_id}
