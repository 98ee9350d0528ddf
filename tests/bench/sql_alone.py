"""Two ceilings: the steps of the batches without servers, and the batches' SQL without Kafka and without steps."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import Message

from tests.bench.measures import Cpu, Throughput
from tests.bench.site import PARTITIONS, Place, Site
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import PREPARED_AFTER
from worker.adapters.postgres.upkeep import PostgresUpkeep, UpkeepConfig
from worker.adapters.process.clock import SystemClock
from worker.bootstrap import Deployment
from worker.core.instances import Instance
from worker.core.records import Record
from worker.core.routing import Router
from worker.core.step import Host
from worker.ports import Position, Wanted, Writes
from worker.runtime.arrivals import decode, wanted
from worker.runtime.batch import Found, Limits, Run, Setting
from worker.runtime.stages import Stages

ALONE = PREPARED_AFTER + 2
"""Batches of one record at the start: by their last, the server keeps the statements' plans."""

OWNER = "bench-sql-alone"
JOURNAL_DAYS = 30
RECORD_BYTES_MAX = 1_048_588


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch reads and writes."""

    records: int
    wanted: Wanted
    writes: Writes


def to_records(messages: Sequence[Message]) -> list[Record]:
    """Take the partitions in turn, as a consumer of all of them gets their records."""
    records = [
        Record(
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp=message.timestamp()[1],
            key=message.key(),
            value=message.value(),
            headers=tuple(message.headers() or ()),  # type: ignore[arg-type]
        )
        for message in messages
    ]
    return sorted(records, key=lambda record: (record.offset, record.partition))


class Preparation:
    """Run the steps of all batches, so that only their SQL is left to do."""

    def __init__(self, plan: Deployment) -> None:
        settings, registry = plan.settings, plan.registry
        router = Router(plan.topics, registry, settings.group_id, "bench")
        self._setting = Setting(Host(registry), router, SystemClock(), Stages(), settings.batch_bytes_max)
        self._limits = Limits(dict.fromkeys(plan.topic_names(), RECORD_BYTES_MAX))
        self._instances: dict[bytes, Instance] = {}
        self._next_offsets = dict.fromkeys(range(PARTITIONS), 0)

    def batches(self, records: Sequence[Record], batch_records_max: int) -> Iterator[Batch]:
        """Give the batches: some of one record, for the count of round trips, then full ones."""
        starts = [*range(ALONE), *range(ALONE, len(records), batch_records_max)]
        for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
            yield self._batch(records[start:end])

    def _batch(self, records: Sequence[Record]) -> Batch:
        ordered = sorted(records, key=lambda record: (record.partition, record.offset))
        after = {record.partition: record.offset + 1 for record in ordered}
        before = {partition: self._next_offsets[partition] for partition in after}
        decoded = [decode(record) for record in ordered]
        reads = wanted(decoded, before)
        known = {digest: self._instances[digest] for digest in reads.digests if digest in self._instances}
        run = Run(self._setting, self._limits, Found([], known), waits=lambda *_: False)
        run.run(decoded)
        writes = run.writes(before)
        self._instances.update(writes.created)
        self._instances.update((digest, instance) for digest, instance, _ in writes.changed)
        self._next_offsets.update(after)
        return Batch(len(records), reads, writes)


def run_steps_alone(name: str, place: Place, records: Sequence[Record], batch_records_max: int) -> Throughput:
    """Time decoding, steps, routing and encoding, as the worker does them, batch by batch."""
    preparation = Preparation(place.plan)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    events = sum(batch.records for batch in preparation.batches(records, batch_records_max))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu_begun
    return Throughput(name, events, seconds, Cpu(client=cpu, postgres=0.0, broker=0.0))


class SqlAlone:
    """Apply prepared batches in an empty database."""

    def __init__(self, site: Site, place: Place) -> None:
        self._site = site
        self._database = PostgresDatabase(place.plan.database, OWNER)
        self._database.register(place.plan.registry.machines, OWNER)
        PostgresUpkeep(place.plan.database, OWNER, UpkeepConfig(JOURNAL_DAYS)).run()
        begun = Position(0, "topic", 0, 0, OWNER, OWNER)
        self._database.insert_positions([replace(begun, partition=number) for number in range(PARTITIONS)])

    def run(self, name: str, batches: Sequence[Batch]) -> tuple[Throughput, dict[int, int]]:
        """Time all batches but the first few, whose round trips are counted."""
        traced, timed = batches[: ALONE + 1], batches[ALONE + 1 :]
        round_trips = {batch.records: self._round_trips(batch) for batch in traced}
        before = self._site.cpu(os.getpid())
        begun, cpu_begun = time.perf_counter(), time.process_time()
        for batch in timed:
            self._apply(batch)
        seconds, client = time.perf_counter() - begun, time.process_time() - cpu_begun
        # The servers descend from this process, so the tree's time is not the client's.
        cpu = replace(self._site.cpu(os.getpid()).since(before), client=client, broker=0.0)
        self._database.close()
        return Throughput(name, sum(batch.records for batch in timed), seconds, cpu), round_trips

    def _apply(self, batch: Batch) -> None:
        self._database.lock(OWNER, batch.wanted)
        self._database.read(batch.wanted.digests)
        self._database.write(batch.writes)
        self._database.commit()

    def _round_trips(self, batch: Batch) -> int:
        """Count how often the server was waited for: it says each time that it is ready."""
        with tempfile.TemporaryFile() as trace:
            with self._database._session.connection() as connection:
                connection.pgconn.trace(trace.fileno())
            self._apply(batch)
            connection.pgconn.untrace()
            trace.seek(0)
            return sum(b"\tReadyForQuery" in line for line in trace)
