"""The bench's runs, in their order: the ceilings stand around the worker, so that drift shows."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import psycopg

from tests.bench.children import Child
from tests.bench.latency import Clocked, workload
from tests.bench.library import LIBRARY, run_library
from tests.bench.measures import Latency, Results, Stored, Throughput
from tests.bench.pass_through import Route
from tests.bench.site import PARTITIONS, Site, deployment
from tests.bench.sql_alone import Batch, Preparation, SqlAlone, to_records
from tests.bench.traffic import Feeder, Reader
from tests.bench.worker_child import IN_TURN
from tests.workload import STATES, records
from worker.bootstrap import Deployment

PASSED = "pass-through"
SQL_ALONE = "SQL alone"
WORKER = "worker"
WORKER_IN_TURN = "worker, its transactions in turn"

EVENTS_PER_SECOND_MIN = 50
"""What gives up when a run is slower than this, a minute granted."""

Tell = Callable[[str], None]

_JOURNAL_BYTES = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('journal')"
_WAL_POSITION = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user of the bench may choose."""

    orders: int = 5_000
    latency_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The records in the input topic of a deployment, and the batches that SQL alone applies."""

    environment: dict[str, str]
    plan: Deployment
    events: int
    batches: Sequence[Batch]

    @property
    def outputs(self) -> list[str]:
        return _outputs(self.plan)


def run_all(site: Site, wishes: Wishes, tell: Tell) -> Results:
    """Measure everything, telling what is being done."""
    tell(f"the workload: {wishes.orders} orders, {len(STATES)} events each")
    workload = _prepared(site, wishes.orders)
    tell(PASSED)
    runs = [_pass_through(site, workload, "passed-before")]
    tell(SQL_ALONE)
    sql, round_trips = SqlAlone(site).run(workload.batches)
    runs.append(sql)
    tell(WORKER)
    worked, stored = _worker(site, workload)
    runs.append(worked)
    tell(WORKER_IN_TURN)
    runs.append(_worker_in_turn(site, wishes.orders))
    tell(f"{SQL_ALONE}, again")
    runs.append(SqlAlone(site).run(workload.batches)[0])
    tell(f"{PASSED}, again")
    runs.append(_pass_through(site, workload, "passed-after"))
    tell(LIBRARY)
    runs.append(run_library(wishes.orders))
    tell(f"latency, {wishes.latency_seconds:g} s each")
    latencies = [_pass_through_latency(site, wishes.latency_seconds), _worker_latency(site, wishes.latency_seconds)]
    return Results(runs, latencies, stored, round_trips, site.batch_records_max)


def _prepared(site: Site, orders: int) -> Workload:
    environment = site.environment("bench")
    plan = _deployed(site, environment)
    Feeder(site.bootstrap_servers, plan.topics.input).send_all(records(orders))
    ordered = to_records(site.kafka.cluster.read_all(plan.topics.input))
    batches = list(Preparation(plan).batches(ordered, site.batch_records_max))
    return Workload(environment, plan, len(ordered), batches)


def _deployed(site: Site, environment: dict[str, str]) -> Deployment:
    plan = deployment(environment)
    site.kafka.cluster.create_topics(plan.topic_names(), PARTITIONS)
    return plan


def _outputs(plan: Deployment) -> list[str]:
    return [name for name in plan.topic_names() if name not in (plan.topics.input, plan.topics.dead_letters)]


def _pass_through(site: Site, workload: Workload, output: str) -> Throughput:
    route = Route(site.bootstrap_servers, workload.plan.topics.input, site.make_topic(output), site.batch_records_max)
    with _passing(route) as child:
        return _measured(site, PASSED, child, [output], workload.events)


def _passing(route: Route) -> Child:
    return Child("tests.bench.pass_through", [json.dumps(asdict(route))])


def _worker(site: Site, workload: Workload) -> tuple[Throughput, Stored]:
    with psycopg.connect(workload.environment["WORKER_DATABASE_URL"], autocommit=True) as connection:
        wal_before = _number(connection, _WAL_POSITION)
        with Child("tests.bench.worker_child", environment=workload.environment) as child:
            worked = _measured(site, WORKER, child, workload.outputs, workload.events)
        wal = _number(connection, _WAL_POSITION) - wal_before
        journal = _number(connection, _JOURNAL_BYTES)
    return worked, Stored(journal / workload.events, wal / workload.events)


def _worker_in_turn(site: Site, orders: int) -> Throughput:
    """Measure the worker on a deployment of its own, without Kafka's transactions beside PostgreSQL's."""
    environment = site.environment("in-turn")
    plan = _deployed(site, environment)
    Feeder(site.bootstrap_servers, plan.topics.input).send_all(records(orders))
    with Child("tests.bench.worker_child", [IN_TURN], environment) as child:
        return _measured(site, WORKER_IN_TURN, child, _outputs(plan), orders * len(STATES))


def _number(connection: psycopg.Connection, query: str) -> float:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])


def _measured(site: Site, name: str, child: Child, outputs: Sequence[str], events: int) -> Throughput:
    """Time a child from its first event until the outputs of all were seen."""
    with closing(Reader(site.bootstrap_servers, outputs, PARTITIONS)) as reader:
        first = child.told()["first"]
        before = site.cpu(child.pid)
        reader.wait_for(events, 60 + events / EVENTS_PER_SECOND_MIN)
        seconds = time.monotonic() - first
        cpu = site.cpu(child.pid).since(before)
    return Throughput(name, events, seconds, cpu, child.stop())


def _pass_through_latency(site: Site, seconds: float) -> Latency:
    input_topic, output = site.make_topic("latency-passed-input"), site.make_topic("latency-passed")
    with _passing(Route(site.bootstrap_servers, input_topic, output, site.batch_records_max)) as child:
        return Latency(PASSED, _clocked(site, child, (input_topic, [output]), "id", seconds))


def _worker_latency(site: Site, seconds: float) -> Latency:
    environment = site.environment("latency")
    plan = _deployed(site, environment)
    with Child("tests.bench.worker_child", environment=environment) as child:
        return Latency(WORKER, _clocked(site, child, (plan.topics.input, _outputs(plan)), "parentid", seconds))


def _clocked(
    site: Site, child: Child, topics: tuple[str, Sequence[str]], cause: str, seconds: float
) -> Sequence[float]:
    """Measure a child that reads the first of these topics and writes the others."""
    input_topic, outputs = topics
    with closing(Reader(site.bootstrap_servers, outputs, PARTITIONS)) as reader:
        millis = Clocked(Feeder(site.bootstrap_servers, input_topic), reader, cause).measure(workload(seconds))
    child.told()  # That its first event came.
    child.stop()
    return millis
