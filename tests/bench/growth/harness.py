"""The worker's batches without its loop: records in, everything in PostgreSQL, outputs out."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import DatabaseConfig
from worker.adapters.postgres.upkeep import PostgresUpkeep, UpkeepConfig
from worker.adapters.process.clock import SystemClock
from worker.core.codec import EncodedRecord
from worker.core.engine.api import Engine
from worker.core.machines import Machine
from worker.core.records import Output, Record
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.ports import Position
from worker.runtime.arrivals import decode, wanted
from worker.runtime.batch import Found, Limits, Run, Setting
from worker.runtime.stages import Stages

OWNER = "bench-growth"
PARTITIONS = 10
DAYS = 30
RECORD_BYTES_MAX = 1_048_588
BATCH_BYTES_MAX = 1024**3
FILLERS = os.cpu_count() or 1

_FILL_INSTANCES = """
INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot, init_event_id, revision,
    now_ms)
SELECT sha256(convert_to(r.subject || i, 'UTF8')), r.subject || i, r.source, r.version, r.status, r.states, r.snapshot,
       r.init_event_id || i, r.revision, r.now_ms
FROM (SELECT * FROM instances LIMIT 1) r, generate_series(%s::bigint, %s::bigint) i
"""
_FILL_JOURNAL = """
INSERT INTO journal (partition, record_offset, record_timestamp, subject_digest, event_key, event_source, event_id,
    event_type, content_digest, consumed, outcome, states_before, states_after, revision, definition_hash, now_ms,
    outputs, block_offset, frame_start, block, incarnation)
SELECT i %% 10, 1000000000 + i, r.record_timestamp, sha256(convert_to(i::text, 'UTF8')), hashtextextended(i::text, 0),
    r.event_source, r.event_id || i, r.event_type, r.content_digest, true, r.outcome, r.states_before, r.states_after,
    r.revision, r.definition_hash, r.now_ms, r.outputs, 1000000000 + i, 0, CASE WHEN i %% 5 = 0 THEN r.block END, 1
FROM (SELECT * FROM journal WHERE block IS NOT NULL LIMIT 1) r, generate_series(%s::bigint, %s::bigint) i
"""

_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_IN_BULK = "-c synchronous_commit=off -c maintenance_work_mem=512MB"


@dataclass(frozen=True, slots=True)
class Shape:
    """What runs in the harness: the machine, its engine, and how its topics are called."""

    machine: Machine
    engine: Engine
    prefix: str
    batch: int

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    @property
    def outputs(self) -> list[str]:
        return [self.topics.domain(name) for name in self.machine.domains]


class Harness:
    """Apply events in an empty database."""

    def __init__(self, url: str, shape: Shape, *, reads_archive: bool = False) -> None:
        self._url = url
        self._batch = shape.batch
        registry = Registry([shape.machine], shape.engine)
        router = Router(shape.topics, registry, OWNER, OWNER)
        self._setting = Setting(Host(registry), router, SystemClock(), Stages(), BATCH_BYTES_MAX)
        names = [shape.topics.input, shape.topics.dead_letters, *shape.outputs]
        self._limits = Limits(dict.fromkeys(names, RECORD_BYTES_MAX))
        self._database = PostgresDatabase(DatabaseConfig(url, reads_archive=reads_archive), OWNER)
        self._database.register(registry.machines, OWNER)
        PostgresUpkeep(DatabaseConfig(url), OWNER, UpkeepConfig(DAYS)).run()
        begun = Position(0, "topic", 0, 0, OWNER, OWNER)
        self._database.insert_positions([replace(begun, partition=number) for number in range(PARTITIONS)])
        self._next_offsets = dict.fromkeys(range(PARTITIONS), 0)

    def close(self) -> None:
        self._database.close()

    def batches(self, events: Iterable[tuple[int, EncodedRecord]]) -> list[list[Record]]:
        """Make batches of events, each beside the number of its instance, which decides the partition."""
        offsets = dict(self._next_offsets)
        records = []
        for instance, event in events:
            partition = instance % PARTITIONS
            now = int(time.time() * 1000)
            records.append(Record(partition, offsets[partition], now, event.key, event.value, event.headers))
            offsets[partition] += 1
        return [records[start : start + self._batch] for start in range(0, len(records), self._batch)]

    def apply(self, records: Sequence[Record]) -> list[Output]:
        """Apply a batch, and give what Kafka is to publish."""
        ordered = sorted(records, key=lambda record: (record.partition, record.offset))
        before = {record.partition: self._next_offsets[record.partition] for record in ordered}
        decoded = [decode(record) for record in ordered]
        asked = wanted(decoded, before)
        seen = self._database.lock(OWNER, asked)
        run = Run(self._setting, self._limits, Found(seen, self._database.read(asked.digests)), lambda *_: False)
        run.run(decoded)
        writes = run.writes(before)
        self._database.write(writes)
        self._database.commit()
        self._next_offsets |= run.next_offsets
        return [output for row in writes.journal for output in row.outputs]

    def advanced(self) -> int:
        """Count the events that advanced an instance so far."""
        return self._setting.stages.counts["advanced"]

    def fill_instances(self, first: int, last: int) -> None:
        """Add instances that nobody addresses, like the first one that is there."""
        self._fill(_FILL_INSTANCES, first, last)

    def fill_journal(self, rows: int) -> None:
        """Add journal rows of events that never come again."""
        with self._without_indexes("journal"):
            self._fill(_FILL_JOURNAL, 1, rows)

    def settle(self) -> None:
        """Have PostgreSQL do now what it would do some time."""
        for statement in ("VACUUM (ANALYZE) instances", "VACUUM (ANALYZE) journal", "CHECKPOINT"):
            self._execute(statement, None)

    def _fill(self, statement: str, first: int, last: int) -> None:
        """Add rows of these numbers, on several connections at once."""
        if first > last:
            return
        share = (last - first) // FILLERS + 1
        starts = range(first, last + 1, share)
        with ThreadPoolExecutor(FILLERS) as pool:
            ended = pool.map(lambda start: self._execute(statement, (start, min(start + share - 1, last))), starts)
            list(ended)

    @contextmanager
    def _without_indexes(self, table: str) -> Iterator[None]:
        """Make a table's indexes anew in the end, in a fraction of the time that row by row takes."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            indexes = connection.execute(_INDEXES, [table]).fetchall()
        for name, _ in indexes:
            self._execute(f"DROP INDEX {name}", None)
        yield
        for _, definition in indexes:
            self._execute(definition.replace(" ON ONLY ", " ON "), None)

    def _execute(self, statement: str, parameters: tuple[int, ...] | None) -> None:
        with psycopg.connect(self._url, autocommit=True, options=_IN_BULK) as connection:
            connection.execute(statement.encode(), parameters)
