"""What records spans for a test, and reads them back."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import format_span_id, format_trace_id

from worker.tracing import spans

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=b"}


class Recorder:
    """Stand in for an application's SDK."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler or ParentBased(ALWAYS_ON), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self._patch = patch.object(spans, "TRACER", self.tracer)

    def __enter__(self) -> Self:
        self._patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._patch.stop()

    def taken(self) -> list[ReadableSpan]:
        """Give the spans that ended since this was last asked, in the order in which they began."""
        finished = sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self._exporter.clear()
        return finished

    def by_name(self) -> dict[str, ReadableSpan]:
        """Give the spans by name, of which each may be there once."""
        taken = self.taken()
        named = {span.name: span for span in taken}
        assert len(named) == len(taken), [span.name for span in taken]
        return named


def traceparent_of(span: ReadableSpan) -> str:
    assert span.context is not None
    context = span.context
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def status_of(span: ReadableSpan) -> str:
    return span.status.status_code.name


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}
