"""What the measurements come to: medians, spreads and ratios; kept as JSON, and read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson
from pydantic import TypeAdapter

from tests.bench.measures import Latency, Results, Throughput, percentile
from worker.runtime.stages import STAGES

PERCENTS = (50.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Milliseconds of all rounds together; `p99_rounds` are those of each."""

    events_per_second: float
    events: int
    p50: float
    p99: float
    p999: float
    p99_rounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """Where a worker's time goes, in µs per event by stage; its batches; bytes per event. Medians."""

    stages: dict[str, float]
    events_per_batch: float
    journal_bytes: float
    wal_bytes: float


@dataclass(frozen=True, slots=True)
class RowFigures:
    """One row: events a second round by round, and the medians of what is beside them; CPU in µs per event."""

    name: str
    rates: tuple[float, ...]
    rates_late: tuple[float, ...]
    cpu_client: float
    cpu_postgres: float
    cpu_broker: float
    rss_megabytes: float | None
    worker: WorkerFigures | None
    latencies: dict[str, LatencyFigures]

    @property
    def rate(self) -> float:
        return median(self.rates)

    def times(self, other: "RowFigures") -> float:
        """Say how many times the other's rate this one's is: the median of the rounds' ratios."""
        return median(own / its for own, its in zip(self.rates, other.rates, strict=True))


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the bench."""

    machine: dict[str, str]
    events: int
    rounds: int
    rows: tuple[RowFigures, ...]
    round_trips: dict[str, int]
    left_out: tuple[str, ...]

    def named(self, name: str) -> RowFigures | None:
        return next((row for row in self.rows if row.name == name), None)

    def dump(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(self, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def load_report(path: Path) -> Report:
    return TypeAdapter(Report).validate_json(path.read_bytes())


def make_report(results: Results) -> Report:
    """Bring the measurements of each row together."""
    names = list(dict.fromkeys(run.name for run in results.runs))
    by_name = {name: [run for run in results.runs if run.name == name] for name in names}
    rows = [_row(runs, [one for one in results.latencies if one.name == name]) for name, runs in by_name.items()]
    return Report(
        dict(results.machine),
        max(run.events for run in results.runs),
        max(map(len, by_name.values())),
        tuple(rows),
        {str(records): trips for records, trips in results.round_trips.items()},
        tuple(results.left_out),
    )


def _row(runs: Sequence[Throughput], latencies: Sequence[Latency]) -> RowFigures:
    rss = [run.rss_megabytes for run in runs if run.rss_megabytes is not None]
    loads = dict.fromkeys(one.load for one in latencies)
    return RowFigures(
        name=runs[0].name,
        rates=tuple(run.rate for run in runs),
        rates_late=tuple(run.rate_late for run in runs),
        cpu_client=median(run.micros(run.cpu.client) for run in runs),
        cpu_postgres=median(run.micros(run.cpu.postgres) for run in runs),
        cpu_broker=median(run.micros(run.cpu.broker) for run in runs),
        rss_megabytes=median(rss) if rss else None,
        worker=_worker([run for run in runs if "counts" in run.told and "two processes" not in run.name]),
        latencies={load: _latency([one for one in latencies if one.load == load]) for load in loads},
    )


def _worker(runs: Sequence[Throughput]) -> WorkerFigures | None:
    if not runs:
        return None
    stored = [run.stored for run in runs if run.stored is not None]
    stages: dict[str, float] = {
        stage: median(run.micros(run.told["seconds"][stage]) for run in runs) for stage in STAGES
    }
    return WorkerFigures(
        {**stages, "the rest": median(run.micros(_rest(run.told)) for run in runs)},
        median(run.told["counts"]["records"] / run.told["counts"]["batches"] for run in runs),
        median(one.journal for one in stored),
        median(one.wal for one in stored),
    )


def _rest(told: Mapping[str, float | Mapping[str, float]]) -> float:
    total, seconds = told["total_seconds"], told["seconds"]
    assert isinstance(total, float)
    assert isinstance(seconds, dict)
    return total - sum(seconds.values())


def _latency(rounds: Sequence[Latency]) -> LatencyFigures:
    pooled = [millis for one in rounds for millis in one.millis]
    p50, p99, p999 = (percentile(pooled, percent) for percent in PERCENTS)
    by_round = tuple(percentile(one.millis, 99) for one in rounds)
    return LatencyFigures(rounds[0].events_per_second, len(pooled), p50, p99, p999, by_round)
