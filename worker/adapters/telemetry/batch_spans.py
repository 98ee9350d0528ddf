"""A worker's spans: one for each batch that has traced events, and one for each of these, with their parts below them.

A batch's spans are told once its publication has ended; of a batch that was rolled back there are none, since it is run
again. An event's span has an id derived from its record, and what the step emits carries it: a record that is run again
gives the same outputs.

Source: OpenTelemetry's semantic conventions for messaging, batches.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, Span, SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from worker.adapters.telemetry.recorder import Recorder, harmless
from worker.adapters.telemetry.tracers import Tracers
from worker.core.events import Event
from worker.core.outcomes import Advanced, Cancelled, DeadLettered, Duplicate, Failed, Ignored, Outcome, Unexpected
from worker.core.progress import Progress
from worker.core.records import Record
from worker.core.step import StepRequest
from worker.core.traces import TraceHeaders
from worker.ports import StepTrace
from worker.tracing.attributes import event_attributes
from worker.tracing.headers import context_of, headers_of
from worker.tracing.progress import StepSpans
from worker.tracing.spans import CurrentSpan, record_failure

LINKS_MAX: Final = 128
"""How many events a batch's span is linked with: what an SDK keeps of a span's links. Each event's is linked back."""

_PUBLISH: Final = "Publish Events"
_PARTS: Final = {"lock": "Lock Instance", "read": "Read Instance", "write": "Persist Instance"}
_PARTS_OF_A_BATCH: Final = {**_PARTS, "commit": _PARTS["write"]}
_OUTCOMES: Final[Mapping[type[Outcome], str]] = {
    Advanced: "advanced",
    Unexpected: "unexpected",
    Failed: "failed",
    Cancelled: "cancelled",
    Duplicate: "duplicate",
    Ignored: "ignored",
    DeadLettered: "dead_lettered",
}


@dataclass(frozen=True, slots=True)
class SpanNames:
    """What spans are named by: the input topic, the group, and each machine's contract's URI by its name."""

    input_topic: str
    group_id: str
    uris: Mapping[str, str]

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """Give what each span of a batch and of an event says of where it comes from."""
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": self.input_topic,
            "messaging.consumer.group.name": self.group_id,
        }


@dataclass(slots=True)
class _Batch:
    """What is known of one batch: when its parts began and ended, in nanoseconds, and its events' spans."""

    begun: int
    times: dict[str, tuple[int, int]] = field(default_factory=dict)
    span: Span | None = None
    steps: list[Span] = field(default_factory=list)
    held: list[ReadableSpan] = field(default_factory=list)

    def mark(self, part: str, begun: int, ended: int) -> None:
        """Note a part; one that has several calls is one."""
        self.times[part] = self.times.get(part, (begun, ended))[0], ended


class BatchTracer:
    """Follow batches by the ports' calls, and their steps. Calls return at once and never fail.

    Calls of a publication come from another thread; of two batches that are applied, one is being published.
    """

    def __init__(self, tracers: Tracers, recorder: Recorder, names: SpanNames) -> None:
        self._tracers: Final = tracers
        self._takes: Final = tracers.sampling.takes
        self._names: Final = names
        self._attributes: Final = names.attributes
        self._current = _Batch(0)
        self._applied: _Batch | None = None
        self._publishing: _Batch | None = None
        self._recorder: Final = recorder

    def fault(self, where: str, error: Exception) -> None:
        """Tell of a fault of the tracing's own."""
        self._recorder.fault(f"traces.{where}", error)

    # Steps

    def begin(self, record: Record, request: StepRequest, digest: bytes) -> StepTrace | None:
        """Begin the trace of a step, if it is sampled."""
        if not self._takes(request.event.traceparent, digest):
            return None
        try:
            return self._begun(record, request, digest)
        except Exception as error:  # noqa: BLE001 - Whatever it is, it must not stop a partition.
            self.fault("begin", error)
            return None

    def _begun(self, record: Record, request: StepRequest, digest: bytes) -> StepTrace:
        event, batch = request.event, self._current
        if batch.span is None:
            batch.span = self._tracers.own.start_span(
                f"process {self._names.input_topic}", Context(), SpanKind.CONSUMER, self._attributes, (), batch.begun
            )
        self._tracers.give_ids(int.from_bytes(digest[:16]) or 1, _span_id(record, event))
        uri = self._names.uris.get(request.subject.name, request.subject.name)
        span = self._tracers.own.start_span(
            f"Orchestrator<{uri}>@<{event.type}>",
            context_of(event),
            SpanKind.CONSUMER,
            {
                "arvo.span.kind": "ORCHESTRATOR",
                "openinference.span.kind": "CHAIN",
                **self._attributes,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                **event_attributes(event, "to_process.0."),
            },
            (Link(batch.span.get_span_context()),),
            batch.begun,
        )
        return _Step(self, batch, span, StepSpans(span, event, request.subject, self._tracers.held))

    @harmless
    def left(self) -> None:
        """Know that a step is left for later."""
        self._tracers.taken()

    @harmless
    def ended(self, batch: _Batch, span: Span, spans: StepSpans, outcome: Outcome) -> None:
        """Know that a step has ended."""
        spans.end(outcome)
        span.set_attribute("orchestrator.outcome", _OUTCOMES[type(outcome)])
        if isinstance(outcome, DeadLettered):
            record_failure(span, outcome.error_name, outcome.error_message)
        assert batch.span is not None, "a batch's span begins before its first step's"
        if len(batch.steps) < LINKS_MAX:
            batch.span.add_link(span.get_span_context())
        batch.steps.append(span)
        batch.held += self._tracers.taken()

    # Calls

    @harmless
    def called_database(self, operation: str, seconds: float, error: Exception | None) -> None:
        """Know of a call to PostgreSQL."""
        part = _PARTS_OF_A_BATCH.get(operation)
        if part is None:
            return
        begun, ended = _times(seconds)
        if operation == "lock":
            self._tracers.taken()
            self._current = _Batch(begun)
        self._current.mark(part, begun, ended)
        if operation == "commit" and error is None and self._current.steps:
            self._applied, self._current = self._current, _Batch(ended)

    @harmless
    def called_kafka(self, operation: str, seconds: float, error: Exception | None) -> None:
        """Know of a call of a publication."""
        begun, ended = _times(seconds)
        if operation == "send" and self._applied is not None:
            self._publishing, self._applied = self._applied, None
        if self._publishing is not None:
            self._publishing.mark(_PUBLISH, begun, ended)
        if operation == "commit" and error is None:
            self._hand_over(self._publishing)
            self._publishing = None

    @harmless
    def producer(self, what: str) -> None:
        """Know that what was to be published is published from the journal, or was."""
        if what == "replaced":
            for batch in (self._publishing, self._applied):
                self._hand_over(batch, is_published=False)
            self._publishing = self._applied = None

    def _hand_over(self, batch: _Batch | None, *, is_published: bool = True) -> None:
        """Have a batch's spans exported."""
        if batch is None or batch.span is None:
            return
        self._tracers.release(batch.held)
        ended = max(end for _, end in batch.times.values())
        for span in (*batch.steps, batch.span):
            self._draw(batch, span, is_published=is_published)
        batch.span.set_attribute("orchestrator.batch.traced", len(batch.steps))
        for span in (*batch.steps, batch.span):
            span.end(ended)

    def _draw(self, batch: _Batch, above: Span, *, is_published: bool) -> None:
        """Draw the parts that a batch goes through as a whole below a span."""
        context = set_span_in_context(above, Context())
        for part, (begun, ended) in batch.times.items():
            span = self._tracers.own.start_span(
                part, context, SpanKind.INTERNAL, {"arvo.span.kind": "INTERNAL"}, (), begun
            )
            if not is_published and part == _PUBLISH:
                record_failure(span, "PublicationUnknown", "the producer was replaced; the journal's outputs go out")
            span.end(ended)


class _Step:
    """The trace of one step."""

    __slots__ = ("_batch", "_current", "_span", "_spans", "_tracer", "headers")

    headers: TraceHeaders

    def __init__(self, tracer: BatchTracer, batch: _Batch, span: Span, spans: StepSpans) -> None:
        self.headers = headers_of(span)
        self._tracer = tracer
        self._batch = batch
        self._span = span
        self._spans = spans
        self._current = CurrentSpan(span).__enter__()

    def tell(self, progress: Progress) -> None:
        """Know how far the step has come."""
        try:
            self._spans.tell(progress)
        except Exception as error:  # noqa: BLE001 - Whatever it is, it must not become the step's.
            self._tracer.fault("tell", error)

    def end(self, outcome: Outcome | None) -> None:
        """Know what came of it; nothing, if it is left for later."""
        if outcome is None:
            self._tracer.left()
        else:
            self._tracer.ended(self._batch, self._span, self._spans, outcome)
        self._current.__exit__(None, None, None)


def _times(seconds: float) -> tuple[int, int]:
    """Give when a call that has just ended began and ended."""
    ended = time.time_ns()
    return ended - int(seconds * 1e9), ended


def _span_id(record: Record, event: Event) -> int:
    """Derive the id of an event's span: another record, a second delivery say, has another."""
    name = orjson.dumps([event.subject, event.source, event.id, record.partition, record.offset])
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) or 1
