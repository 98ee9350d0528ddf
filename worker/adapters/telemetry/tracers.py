"""The SDK's tracers, set up by OpenTelemetry's own variables: `OTEL_TRACES_EXPORTER=otlp` and the like.

Where no exporter is named, nothing is made.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, Tracer

from worker.adapters.telemetry.exporting import TRACES, exporters_of, resource_of
from worker.adapters.telemetry.sampling import Sampling
from worker.tracing.spans import can_record

_QUEUE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
_QUEUED_MAX: Final = 16 * 1024
"""Spans that wait for exporters, at most, unless the variable says otherwise: those of a batch come all at once."""

_SCOPE: Final = "orchestrator-worker"


class Tracers:
    """Make spans, and hand them over to exporters on threads of their own. What comes too fast is dropped.

    `own` makes a worker's spans, sampled before they begin; `held` makes spans that wait for `release`, or never go.
    """

    def __init__(self, exporters: Sequence[SpanExporter], sampling: Sampling, resource: Mapping[str, str]) -> None:
        self.sampling: Final = sampling
        told = resource_of(resource, os.environ)
        size = None if os.environ.get(_QUEUE) else _QUEUED_MAX
        self._processors: Final = [BatchSpanProcessor(one, max_queue_size=size) for one in exporters]
        self._ids: Final = GivenIds()
        self._basket: Final = _Basket()
        self._provider: Final = TracerProvider(resource=told, shutdown_on_exit=False)
        own = TracerProvider(ALWAYS_ON, told, shutdown_on_exit=False, id_generator=self._ids)
        held = TracerProvider(ALWAYS_ON, told, shutdown_on_exit=False)
        held.add_span_processor(self._basket)
        for processor in self._processors:
            self._provider.add_span_processor(processor)
            own.add_span_processor(processor)
        self.own: Final[Tracer] = own.get_tracer(_SCOPE)
        self.held: Final[Tracer] = held.get_tracer(_SCOPE)

    def install(self) -> None:
        """Have whatever traces itself in this process by OpenTelemetry's API recorded, if nobody does that yet."""
        if not can_record():
            trace.set_tracer_provider(self._provider)

    def give_ids(self, trace_id: int, span_id: int) -> None:
        """Have the next span that `own` begins on this thread have these ids; the trace's, if it has no parent."""
        self._ids.give(trace_id, span_id)

    def taken(self) -> list[ReadableSpan]:
        """Give the held spans that have ended; it is for the caller to release them."""
        return self._basket.taken()

    def release(self, spans: Sequence[ReadableSpan]) -> None:
        """Hand held spans over."""
        for span in spans:
            for processor in self._processors:
                processor.on_end(span)

    def close(self, timeout_seconds: float) -> None:
        """Hand over what waits still, if that can be done in time, and end."""
        # A collector that does not answer must not hold the end up, and an exporter may not heed a time-out.
        ends = [threading.Thread(target=one.shutdown, daemon=True) for one in self._processors]
        for end in ends:
            end.start()
        for end in ends:
            end.join(timeout_seconds)


def make_tracers(resource: Mapping[str, str], environment: Mapping[str, str]) -> Tracers | None:
    """Set up the exporters that the environment names; none, if it names none. Raises: SetupError."""
    exporters = exporters_of(TRACES, environment)
    return Tracers(exporters, Sampling.of(environment), resource) if exporters else None


class GivenIds(RandomIdGenerator):
    """Give the ids that were set on this thread, once; else random ones."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, trace_id: int, span_id: int) -> None:
        """Set the ids of the next span; both must not be 0."""
        self._given.trace_id, self._given.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        """Give the trace's."""
        return int(getattr(self._given, "trace_id", 0)) or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Promise nothing: a trace's id may be derived."""
        return False

    def generate_span_id(self) -> int:
        """Give the span's, for which the trace's was asked before."""
        given = int(getattr(self._given, "span_id", 0))
        self._given.trace_id = self._given.span_id = 0
        return given or super().generate_span_id()


class _Basket(SpanProcessor):
    """Keep what has ended; one thread begins and ends it."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Wait for the end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        """Give all, and keep none."""
        spans, self._spans = self._spans, []
        return spans
