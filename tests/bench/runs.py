"""The bench's runs: every row once a round, forth and then back, so that drift is shared out among them."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import median

import psycopg

from tests.bench.children import Crew
from tests.bench.latency import Clocked, Numbers
from tests.bench.library import run_library
from tests.bench.measures import Latency, Results, Stored, Throughput
from tests.bench.rows import LIBRARY, PASSED, SQL_ALONE, STEPS_ALONE, Inner, Row
from tests.bench.site import PARTITIONS, Place, Site
from tests.bench.sql_alone import Batch, Preparation, SqlAlone, run_steps_alone, to_records
from tests.bench.traffic import Feeder, Reader
from tests.workload import records
from worker.core.codec import EncodedRecord
from worker.core.records import Record

SLOW = 20
"""Events a second: what gives up when a run is slower than this, a minute granted."""

STEADY = 20.0
"""Events a second, of the steady load."""

Tell = Callable[[str], None]

_JOURNAL_BYTES = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('journal')"
_WAL_POSITION = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user of the bench may choose."""

    orders: int = 5_000
    rounds: int = 3
    latency_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The events, as they are sent, as a consumer of all partitions gets them, and the batches of SQL alone."""

    sent: Sequence[EncodedRecord]
    received: Sequence[Record]
    batches: Sequence[Batch]


class Bench:
    """Run rows on a site, and keep what was measured."""

    def __init__(self, site: Site, wishes: Wishes, tell: Tell) -> None:
        self._site = site
        self._wishes = wishes
        self._tell = tell
        self._round_trips: dict[int, int] = {}
        self._checksums: dict[str, int] = {}
        self._runs: list[Throughput] = []
        self._latencies: list[Latency] = []

    def run(self, rows: Sequence[Row | Inner], left_out: Sequence[str] = ()) -> Results:
        """Measure everything."""
        self._tell(f"the workload: {self._wishes.orders} orders, four events each")
        workload = self._prepared()
        for number in range(self._wishes.rounds):
            for row in rows[:: -1 if number % 2 else 1]:
                self._tell(f"round {number + 1}: {row.name}")
                self._runs.append(self._run(row, workload))
        clocked = [row for row in rows if isinstance(row, Row) and row.clocked]
        for number in range(self._wishes.rounds):
            for row in clocked[:: -1 if number % 2 else 1]:
                self._tell(f"round {number + 1}: latency of {row.name}")
                self._latencies += self._clocked(row)
        return Results(self._runs, self._latencies, self._round_trips, self._site.machine(), left_out)

    def _prepared(self) -> Workload:
        sent = list(records(self._wishes.orders))
        with self._site.place() as place:
            Feeder(place.bootstrap_servers, place.input).send_all(sent)
            received = to_records(self._site.kafka.cluster.read_all(place.input))
            batches = list(Preparation(place.plan).batches(received, self._site.batch_records_max))
        return Workload(sent, received, batches)

    def _run(self, row: Row | Inner, workload: Workload) -> Throughput:
        with self._site.place(row.settings) as place:
            if isinstance(row, Row):
                return self._run_processes(row, place, workload)
            return self._run_inside(row, place, workload)

    def _run_inside(self, row: Inner, place: Place, workload: Workload) -> Throughput:
        if row.kind == SQL_ALONE:
            run, self._round_trips = SqlAlone(self._site, place).run(row.name, workload.batches)
            return run
        if row.kind == STEPS_ALONE:
            return run_steps_alone(row.name, place, workload.received, self._site.batch_records_max)
        assert row.kind == LIBRARY
        return run_library(row.name, place, workload.sent)

    def _run_processes(self, row: Row, place: Place, workload: Workload) -> Throughput:
        Feeder(place.bootstrap_servers, place.input).send_all(workload.sent)
        with psycopg.connect(place.database_url, autocommit=True) as connection:
            wal_before = _number(connection, _WAL_POSITION)
            run = self._timed(row, place, len(workload.sent))
            wal = _number(connection, _WAL_POSITION) - wal_before
            stored = Stored(_number(connection, _JOURNAL_BYTES) / run.events, wal / run.events)
        self._check(row, place, len(workload.sent))
        return replace(run, stored=stored)

    def _timed(self, row: Row, place: Place, events: int) -> Throughput:
        """Time processes from their first event until the outputs of all were seen."""
        half, patience = events // 2, 60 + events / SLOW
        crew = Crew(lambda: row.start(place), row.processes)
        with crew, closing(Reader(place.bootstrap_servers, place.outputs, PARTITIONS)) as reader:
            first = crew.first()
            before = self._site.cpu(*crew.pids)
            reader.wait_for(events - half, patience)
            late = time.monotonic()
            reader.wait_for(half, patience)
            end = time.monotonic()
            cpu = self._site.cpu(*crew.pids).since(before)
            rss = crew.rss_megabytes_max()
            told = crew.stop()
        return Throughput(row.name, events, end - first, cpu, end - late, rss, told=told)

    def _check(self, row: Row, place: Place, events: int) -> None:
        """Hold what a row has published against what the others have: the same outputs, or nothing is compared."""
        if row.name == PASSED or row.name in self._checksums:
            return
        with closing(Reader(place.bootstrap_servers, place.outputs, PARTITIONS)) as reader:
            self._checksums[row.name] = reader.checksum(events, 60 + events / SLOW)
        if len(set(self._checksums.values())) > 1:
            raise RuntimeError(f"{row.name!r} has published other outputs than {next(iter(self._checksums))!r}")

    def _clocked(self, row: Row) -> list[Latency]:
        """Measure at the steady load, then at half of what the row can do."""
        loads = {"steady": STEADY, "half": self._half(row)}
        numbers = Numbers()
        with (
            self._site.place(row.settings) as place,
            Crew(lambda: row.start(place), row.processes) as crew,
            closing(Reader(place.bootstrap_servers, place.outputs, PARTITIONS)) as reader,
        ):
            clocked = Clocked(Feeder(place.bootstrap_servers, place.input), reader, row.cause)
            clocked.warm_up(numbers.warm_up())
            latencies = [
                Latency(
                    row.name, load, rate, clocked.measure(numbers.workload(rate, self._wishes.latency_seconds), rate)
                )
                for load, rate in loads.items()
            ]
            crew.stop()
        return latencies

    def _half(self, row: Row) -> float:
        """Give half of what it does; the pass-through is given the load of the fastest worker, to stand beside it."""
        rates = {
            name: median(run.rate for run in self._runs if run.name == name)
            for name in {run.name for run in self._runs}
        }
        workers = [rate for name, rate in rates.items() if name.startswith("worker") and "two" not in name]
        return (max(workers, default=rates[row.name]) if row.name == PASSED else rates[row.name]) / 2


def _number(connection: psycopg.Connection, query: str) -> float:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])
