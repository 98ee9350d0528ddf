"""What a worker traces of its batches, on simulated servers: whole trees, the same ids again, and never a fault."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.runtime import world as worlds
from tests.runtime.world import World, append
from tests.simulation.servers import SimKafka
from tests.telemetry.bench import bench
from tests.tracing.recording import attributes_of, ids_of, parent_of, status_of, traceparent_of
from tests.workload import STATES, Order
from worker.adapters.telemetry.batch_spans import LINKS_MAX, BatchTracer, SpanNames
from worker.adapters.telemetry.recorder import Recorder
from worker.adapters.telemetry.sampling import Sampling
from worker.adapters.telemetry.tracers import Tracers, make_tracers
from worker.adapters.telemetry.watching import watched
from worker.core.codec import decode_record, encode_record
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.records import Output
from worker.core.subjects import root_subject
from worker.core.traces import TraceHeaders
from worker.ports import DatabaseUnavailable, MembershipRefused, PublicationUnknown
from worker.runtime.loop import LoopConfig, Parts, Worker
from worker.tracing.headers import with_headers

CLIENT_SPAN = "00f067aa0ba902b7"
PARTS_OF_A_BATCH = ["Lock Instance", "Read Instance", "Persist Instance", "Publish Events"]
PARTS_OF_A_STEP = ["Resolve Machine", "Validate Event", "Execute Machine"]
URI = "#/machines/order"


@dataclass
class Watch:
    """Trace the workers of a world, into memory."""

    recorder: Recorder
    environment: Mapping[str, str] = field(default_factory=dict)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    tracers: list[Tracers] = field(default_factory=list)
    tracer: BatchTracer | None = None

    def worker(self, parts: Parts) -> Worker:
        tracers = Tracers([self.exporter], Sampling.of(self.environment), {})
        self.tracers.append(tracers)
        self.tracer = BatchTracer(tracers, self.recorder, SpanNames("orc.input", "group", {"arvo.orc.order": URI}))
        return Worker(watched(parts, self.recorder, self.tracer))

    def spans(self) -> list[ReadableSpan]:
        for one in self.tracers:
            one.close(10)
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    with bench() as made:
        seen = Watch(made.recorder)
        monkeypatch.setattr(worlds, "Worker", seen.worker)
        yield seen
        seen.spans()


def order_event(number: int, step: int) -> Event:
    encoded = Order(number).record(step)
    return decode_record(encoded.value, encoded.headers)


def sampled(event: Event) -> Event:
    assert event.traceparent is not None
    return with_headers(event, TraceHeaders(f"{event.traceparent[:-1]}1", "a=b"))


def untraced(event: Event) -> Event:
    return with_headers(event, TraceHeaders())


def world_with(events: Sequence[Event], records_max: int = 7) -> World:
    kafka = SimKafka(1)
    for event in events:
        encoded = encode_record(event)
        append(kafka, 0, encoded.key, encoded.value, encoded.headers)
    world = World(kafka, config=LoopConfig(batch_records_max=records_max))
    world.start_alone()
    return world


def settled(world: World) -> World:
    """Drain, and let the worker learn of the last publication."""
    world.drain()
    for _ in range(3):
        world.turn(world.members[0])
    return world


def steps_of(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if span.name.startswith("Orchestrator<")]


def below(spans: Sequence[ReadableSpan], above: ReadableSpan) -> list[ReadableSpan]:
    return [span for span in spans if parent_of(span) == ids_of(above)[1]]


def published(world: World) -> list[Event]:
    return [decode_record(one.value, one.headers) for one in world.kafka.visible]


def links_of(span: ReadableSpan) -> set[tuple[int, int]]:
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


def place(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def test_an_event_continues_its_trace_and_its_outputs_continue_its_span(watch: Watch) -> None:
    event = sampled(order_event(1, 0))
    world = settled(world_with([event, order_event(2, 0)]))
    spans = watch.spans()
    (step,) = steps_of(spans)
    assert step.name == f"Orchestrator<{URI}>@<arvo.orc.order>"
    assert (ids_of(step)[0], parent_of(step)) == ((event.traceparent or "")[3:35], CLIENT_SPAN)
    assert step.kind.name == "CONSUMER"
    told = attributes_of(step)
    assert told["messaging.destination.name"] == "orc.input"
    assert (told["messaging.destination.partition.id"], told["messaging.kafka.offset"]) == ("0", 0)
    assert told["orchestrator.outcome"] == "advanced"
    assert told["to_process.0.cloudevents.event_id"] == event.id
    (request,) = [one for one in published(world) if one.subject == event.subject]
    assert (request.traceparent, request.tracestate) == (traceparent_of(step), "a=b")
    (other,) = [one for one in published(world) if one.subject != event.subject]
    assert other.traceparent == order_event(2, 0).traceparent, "what is not sampled goes on as it came"


def test_each_part_is_below_the_event_and_those_of_the_batch_below_it_too(watch: Watch) -> None:
    settled(world_with([sampled(order_event(number, 0)) for number in range(3)]))
    spans = watch.spans()
    (batch,) = [span for span in spans if span.name == "process orc.input"]
    assert parent_of(batch) is None
    assert [one.name for one in below(spans, batch)] == PARTS_OF_A_BATCH
    steps = steps_of(spans)
    for step in steps:
        names = sorted(one.name for one in below(spans, step))
        assert names == sorted([*PARTS_OF_A_BATCH, *PARTS_OF_A_STEP, "createArvoEvent<com.inventory.reserve>"])
        assert links_of(step) == {place(batch)}
        for part in below(spans, step):
            assert (step.start_time or 0) <= (part.start_time or 0) <= (part.end_time or 0) <= (step.end_time or 0)
    assert links_of(batch) == set(map(place, steps))
    known = {ids_of(span)[1] for span in spans} | {CLIENT_SPAN, None}
    assert {parent_of(span) for span in spans} <= known, "no span hangs in the air"
    assert len({ids_of(span)[1] for span in spans}) == len(spans)


def test_a_batch_is_linked_with_so_many_events(watch: Watch) -> None:
    events = [sampled(order_event(number, 0)) for number in range(LINKS_MAX + 5)]
    settled(world_with(events, records_max=len(events)))
    spans = watch.spans()
    (batch,) = [span for span in spans if span.name == "process orc.input"]
    assert len(batch.links) == LINKS_MAX
    assert attributes_of(batch)["orchestrator.batch.traced"] == len(events)
    assert len(steps_of(spans)) == len(events)


def outputs_of(world: World) -> list[Output]:
    return list(world.kafka.visible)


def test_a_record_that_is_run_again_gives_the_same_bytes(watch: Watch) -> None:
    events = [sampled(order_event(number, 0)) for number in range(2)]
    first, again = (settled(world_with(events)) for _ in range(2))
    assert outputs_of(first) == outputs_of(again)


def test_a_second_delivery_has_a_span_of_its_own(watch: Watch) -> None:
    event = sampled(order_event(1, 0))
    settled(world_with([event, event]))
    first, second = steps_of(watch.spans())
    assert ids_of(first)[1] != ids_of(second)[1]
    assert attributes_of(second)["orchestrator.outcome"] == "duplicate"


def test_what_is_rolled_back_is_told_once_it_is_done(watch: Watch) -> None:
    world = world_with([sampled(order_event(1, 0))])
    (member,) = world.members
    write, errors = member.database.write, [DatabaseUnavailable("away")]

    def once(*asked: object) -> None:
        if errors:
            raise errors.pop()
        write(*asked)  # type: ignore[arg-type]

    member.database.write = once  # type: ignore[assignment, method-assign]
    settled(world)
    names = [span.name for span in watch.spans()]
    assert names.count("Resolve Machine") == names.count("process orc.input") == 1


@pytest.mark.parametrize(("error", "status"), [(PublicationUnknown("cut"), "ERROR"), (MembershipRefused(), "UNSET")])
def test_a_publication_that_fails_is_told(watch: Watch, error: Exception, status: str) -> None:
    world = world_with([sampled(order_event(1, 0))])
    (member,) = world.members
    send_offsets, errors = member.publisher.send_offsets, [error]

    def once(*asked: object) -> None:
        if errors:
            raise errors.pop()
        send_offsets(*asked)  # type: ignore[arg-type]

    member.publisher.send_offsets = once  # type: ignore[assignment, method-assign]
    settled(world)
    spans = watch.spans()
    (step,) = steps_of(spans)
    (part,) = [one for one in below(spans, step) if one.name == "Publish Events"]
    assert status_of(part) == status


def test_dead_letters_and_failures_say_why(watch: Watch) -> None:
    broken = with_headers(order_event(1, 0), sampled_headers())
    nowhere = with_headers(order_event(2, 1), sampled_headers())
    settled(world_with([replace(broken, data={"order_id": 1}), nowhere]))
    failed, dead = steps_of(watch.spans())
    assert (status_of(failed), attributes_of(failed)["orchestrator.outcome"]) == ("ERROR", "failed")
    assert (status_of(dead), attributes_of(dead)["orchestrator.outcome"]) == ("ERROR", "dead_lettered")
    assert attributes_of(dead)["exception.type"] == "NoInstance"


def sampled_headers() -> TraceHeaders:
    return TraceHeaders("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


class TestEventsWithoutATrace:
    def test_those_of_an_instance_are_one_trace(self, watch: Watch) -> None:
        world = settled(world_with([untraced(order_event(1, step)) for step in range(len(STATES))]))
        steps = steps_of(watch.spans())
        assert len(steps) == len(STATES)
        assert len({ids_of(step)[0] for step in steps}) == 1
        assert {parent_of(step) for step in steps} == {None}
        assert {one.traceparent for one in published(world)} == set(map(traceparent_of, steps))

    def test_a_share_of_the_instances_is_taken_as_a_whole(self, watch: Watch) -> None:
        watch.environment = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
        settled(world_with([untraced(order_event(number, step)) for step in range(2) for number in range(40)]))
        steps = steps_of(watch.spans())
        traces = {ids_of(step)[0] for step in steps}
        assert 8 <= len(traces) <= 32
        assert len(steps) == 2 * len(traces)

    def test_none_is_made_where_none_is_wanted(self, watch: Watch) -> None:
        watch.environment = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        world = settled(world_with([untraced(order_event(1, 0))]))
        assert watch.spans() == []
        assert published(world)[0].traceparent is None


def test_a_header_that_is_no_trace_begins_one(watch: Watch) -> None:
    for text in ("x" * 54 + "1", "", "00-zz", "0" * 80):
        settled(world_with([with_headers(order_event(1, 0), TraceHeaders(text))]))
    assert {parent_of(span) for span in steps_of(watch.spans())} == {None}


def test_a_fault_of_the_tracing_stops_nothing(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with([sampled(order_event(number, step)) for step in range(len(STATES)) for number in range(2)])

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours")

    assert watch.tracer is not None
    for part in ("worker.adapters.telemetry.batch_spans._span_id", "worker.tracing.progress.StepSpans.tell"):
        monkeypatch.setattr(part, fail)
        settled(world)
    world.check()
    assert ("traces.begin", "ValueError") in watch.recorder._told


class BrokenExporter(InMemorySpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no collector")


def test_an_exporter_that_fails_stops_nothing(watch: Watch) -> None:
    watch.exporter = BrokenExporter()
    settled(world_with([sampled(order_event(1, step)) for step in range(len(STATES))])).check()


@pytest.mark.parametrize(
    ("sampler", "argument", "follows", "share"),
    [
        ("", "", True, 1.0),
        ("always_on", "", False, 1.0),
        ("always_off", "", False, 0.0),
        ("traceidratio", "0.25", False, 0.25),
        ("traceidratio", "", False, 1.0),
        ("parentbased_always_off", "", True, 0.0),
        ("parentbased_traceidratio", "0.25", True, 0.25),
    ],
)
def test_samplers_are_those_of_opentelemetry(sampler: str, argument: str, follows: bool, share: float) -> None:
    made = Sampling.of({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert (made.follows, made.bound) == (follows, round(share * 2**64))
    for low in ("0" * 16, "3" + "f" * 15, "4" + "0" * 15, "f" * 16):
        for flags in ("00", "01"):
            taken = flags == "01" if follows else int(low, 16) < made.bound
            assert made.takes(f"00-{'a' * 16}{low}-{CLIENT_SPAN}-{flags}", b"") is taken
        assert made.takes(None, bytes(8) + bytes.fromhex(low) + bytes(16)) is (int(low, 16) < made.bound)
    assert not Sampling.of({"OTEL_TRACES_SAMPLER": "traceidratio"}).takes("no trace", b"")


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER=sometimes: a worker knows no such sampler"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"},
            "OTEL_TRACES_SAMPLER_ARG=7: expected the share",
        ),
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "OTEL_TRACES_EXPORTER=pigeon: no package has the exporter pigeon"),
    ],
)
def test_a_wrong_variable_is_told_with_a_remedy(environment: dict[str, str], text: str) -> None:
    with pytest.raises(SetupError, match=text):
        make_tracers({}, {"OTEL_TRACES_EXPORTER": "console", **environment})


@pytest.mark.parametrize("environment", [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
def test_nothing_is_made_where_no_exporter_is_named(environment: dict[str, str]) -> None:
    assert make_tracers({}, environment) is None


def test_an_event_of_no_machine_is_named_by_its_subject(watch: Watch) -> None:
    subject = root_subject(name="arvo.orc.order", version="9.0.0", initiator="com.example.shop", execution_id="e-1")
    world = world_with([replace(sampled(order_event(1, 1)), subject=subject)])
    for _ in range(5):
        world.turn(world.members[0])
    assert [span for span in watch.spans() if span.name == "Resolve Machine"] == [], "it waits for its version"
