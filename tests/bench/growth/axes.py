"""The axes: what is varied, at which points, and what is measured there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.bench.children import ROOT
from tests.bench.cpu import cpu_seconds
from tests.bench.growth.harness import PARTITIONS, Harness, Shape
from tests.bench.growth.machine import begin, make_machine, reply
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import Databases
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.bootstrap import _engine
from worker.core.codec import EncodedRecord
from worker.core.records import Output, Record

SLICES = 10
"""Instances that are addressed lie among those that are not, in so many places."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. `instances` are addressed, `others` only there; `hot` in a hundred events go to one of them."""

    states: int = 5
    domains: int = 1
    snapshot_bytes: int = 0
    event_bytes: int = 0
    batch: int = 500
    instances: int = 500
    history: int = 1
    others: int = 0
    journal: int = 0
    hot: int = 0
    events_max: int = 10**9
    publishes: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows; `usual` of the points are measured unless more are asked for."""

    grows: str
    values: Sequence[int]
    point: Callable[[int], Point]
    usual: int = 99


AXES: Mapping[str, Axis] = {
    "history": Axis(
        "events that the instance has had",
        (1, 100, 1_000, 10_000),
        lambda value: Point(history=value, instances=1, batch=50, events_max=200),
    ),
    "instances": Axis(
        "instances in the table", (10**3, 10**4, 10**5, 10**6), lambda value: Point(others=max(value - 500, 0))
    ),
    "journal": Axis(
        "rows in the journal", (0, 10**4, 10**5, 10**6, 10**7), lambda value: Point(journal=value), usual=4
    ),
    "snapshot": Axis(
        "bytes of the snapshot, beside 300", (0, 1_000, 10_000, 100_000), lambda value: Point(snapshot_bytes=value)
    ),
    "event": Axis(
        "bytes of the event, beside 600", (0, 1_000, 10_000, 100_000), lambda value: Point(event_bytes=value)
    ),
    "domains": Axis(
        "domains that are emitted to", (1, 3, 10, 30, 100), lambda value: Point(domains=value, publishes=True)
    ),
    "batch": Axis("events in a batch", (1, 10, 100, 500, 2_000), lambda value: Point(batch=value, instances=2_000)),
    "skew": Axis("events in a hundred that go to one instance", (0, 50, 90, 100), lambda value: Point(hot=value)),
    "states": Axis("states of the machine", (5, 50, 500), lambda value: Point(states=value)),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds per event at one point: by the clock, of CPU, and of the Kafka transactions where there are any."""

    axis: str
    value: int
    events: int
    clock: float
    cpu_client: float
    cpu_postgres: float
    kafka: float

    @property
    def cpu(self) -> float:
        return self.cpu_client + self.cpu_postgres


@dataclass(frozen=True, slots=True)
class Servers:
    """Where it runs; a Kafka only if something is published."""

    databases: Databases
    template: str
    postgres_pid: int
    kafka: KafkaCluster | None


def measure(servers: Servers, axis: str, value: int, engine: str, events: int) -> Cost:
    """Measure one point in a database of its own. Raises: RuntimeError, if not every event advances its instance."""
    point = AXES[axis].point(value)
    shape = Shape(
        make_machine(point.states, point.domains), _engine(engine, ROOT), f"growth-{axis}-{value}", point.batch
    )
    url = servers.databases.make(servers.template)
    try:
        with closing(Harness(url, shape)) as harness:
            _prepare(harness, point)
            measured = harness.batches(_events(point, min(events, point.events_max)))
            before = harness.advanced()
            with _publishing(servers, shape, point) as publish:
                cost = _timed(servers, harness, measured, publish)
            count = sum(map(len, measured))
            if harness.advanced() - before != count:
                raise RuntimeError(f"{axis} {value}: {harness.advanced() - before} of {count} events advanced")
    finally:
        servers.databases.drop_all()
    return Cost(axis, value, count, *(seconds / count * 1e6 for seconds in cost))


def _prepare(harness: Harness, point: Point) -> None:
    """Bring everything to where the measurement begins."""
    slices = min(SLICES, point.instances)
    for number in range(slices):
        instances = range(point.instances * number // slices, point.instances * (number + 1) // slices)
        for batch in harness.batches((instance, begin(instance, point.snapshot_bytes)) for instance in instances):
            harness.apply(batch)
        harness.fill_instances(point.others * number // slices + 1, point.others * (number + 1) // slices)
    had = ((one, _numbered(one, -event, point)) for event in range(1, point.history) for one in range(point.instances))
    for batch in harness.batches(had):
        harness.apply(batch)
    harness.fill_journal(point.journal)
    harness.settle()


def _events(point: Point, events: int) -> Iterator[tuple[int, EncodedRecord]]:
    """Give events beside their instances: of each hundred the hot instance's first, the others' in turn."""
    for event in range(events):
        hundreds, place = divmod(event, 100)
        cold = hundreds * (100 - point.hot) + place - point.hot
        instance = 0 if place < point.hot else cold % point.instances
        yield instance, _numbered(instance, event, point)


def _numbered(instance: int, event: int, point: Point) -> EncodedRecord:
    return reply(instance, event, point.event_bytes)


Publish = Callable[[Sequence[Output]], None]


@contextmanager
def _publishing(servers: Servers, shape: Shape, point: Point) -> Iterator[Publish | None]:
    """Give what publishes a batch in a Kafka transaction, if the point wants that."""
    if not point.publishes:
        yield None
        return
    assert servers.kafka is not None
    servers.kafka.create_topics(shape.outputs, PARTITIONS)
    publisher = KafkaPublisher(KafkaConfig(servers.kafka.bootstrap_servers), shape.prefix, shape.topics.input)
    publisher.replace()

    def publish(outputs: Sequence[Output]) -> None:
        publisher.send(outputs)
        publisher.commit()

    with closing(publisher):
        yield publish


def _timed(
    servers: Servers, harness: Harness, batches: Sequence[Sequence[Record]], publish: Publish | None
) -> tuple[float, float, float, float]:
    """Give seconds: by the clock, of the client's CPU, of PostgreSQL's; and by the clock, of Kafka transactions."""
    applied = published = client = 0.0
    postgres = cpu_seconds(servers.postgres_pid)
    for batch in batches:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        outputs = harness.apply(batch)
        applied += time.perf_counter() - begun
        client += time.process_time() - cpu_begun
        if publish is not None:
            begun = time.perf_counter()
            publish(outputs)
            published += time.perf_counter() - begun
    return applied, client, cpu_seconds(servers.postgres_pid) - postgres, published
