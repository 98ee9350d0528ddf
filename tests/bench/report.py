"""The tables that the bench prints."""

from collections.abc import Iterator
from statistics import mean

from rich.console import Console
from rich.table import Table

from tests.bench.library import LIBRARY
from tests.bench.measures import Results, Throughput
from tests.bench.runs import PASSED, SQL_ALONE, WORKER
from worker.runtime.stages import STAGES

_TITLES = {"postgres": "PostgreSQL", "kafka": "Kafka"}


def print_results(results: Results, console: Console) -> None:
    """Print one table of the runs and one of each of the things beside them."""
    for table in (_throughput(results), _time(results), _batches(results), _latency(results)):
        console.print(table)
        console.print()
    console.print(_summary(results))


def _throughput(results: Results) -> Table:
    table = _table("Throughput, in the order of the runs; CPU in µs per event", "run")
    for column in ("events/s", "worker ÷ this", "CPU client", "CPU PostgreSQL", "CPU broker"):
        table.add_column(column, justify="right")
    (worker,) = results.named(WORKER)
    for run in results.runs:
        cpu = (run.cpu.client, run.cpu.postgres, run.cpu.broker)
        table.add_row(
            run.name, f"{run.rate:,.0f}", f"{worker.rate / run.rate:.3f}", *(_micros(run, one) for one in cpu)
        )
    return table


def _micros(run: Throughput, seconds: float) -> str:
    return f"{run.micros(seconds):,.0f}" if seconds else "–"


def _time(results: Results) -> Table:
    table = _table("How the worker's time divides", "stage")
    table.add_column("%", justify="right")
    table.add_column("µs per event", justify="right")
    (worker,) = results.named(WORKER)
    total = worker.told["total_seconds"]
    for name, seconds in _stages(worker):
        table.add_row(name, f"{seconds / total:.1%}", f"{worker.micros(seconds):,.1f}")
    return table


def _stages(worker: Throughput) -> Iterator[tuple[str, float]]:
    seconds = worker.told["seconds"]
    for stage in STAGES:
        yield _TITLES.get(stage, stage), seconds[stage]
    yield "the rest", worker.told["total_seconds"] - sum(seconds.values())


def _batches(results: Results) -> Table:
    table = _table("Batches, and what is kept", "measure")
    table.add_column("worker", justify="right")
    (worker,) = results.named(WORKER)
    counts = worker.told["counts"]
    trips = [
        f"{count} for {records} event{'s' if records > 1 else ''}"
        for records, count in sorted(results.round_trips.items())
    ]
    table.add_row(
        "events per batch", f"{counts['records'] / counts['batches']:,.0f} (at most {results.batch_records_max})"
    )
    table.add_row("round trips to PostgreSQL per batch", ", ".join(trips))
    table.add_row("journal on disk with its indexes, bytes per event", f"{results.stored.journal:,.0f}")
    table.add_row("write-ahead log, bytes per event", f"{results.stored.wal:,.0f}")
    table.add_row("worker's memory at most, MB", f"{worker.told['rss_kilobytes_max'] / 1024:,.0f}")
    return table


def _latency(results: Results) -> Table:
    table = _table("Latency at 20 events/s, in ms", "run")
    for column in ("events", "p50", "p99", "p50 ÷ pass-through", "p99 ÷ pass-through"):
        table.add_column(column, justify="right")
    base = results.latencies[0]
    for one in results.latencies:
        figures = [one.percentile(percent) for percent in (50, 99)]
        ratios = [one.percentile(percent) / base.percentile(percent) for percent in (50, 99)]
        table.add_row(
            one.name,
            str(len(one.millis)),
            *(f"{value:.1f}" for value in figures),
            *(f"{value:.2f}" for value in ratios),
        )
    return table


def _summary(results: Results) -> str:
    (worker,) = results.named(WORKER)
    ratios = (
        f"{worker.rate / mean(run.rate for run in results.named(name)):.1%} of {name}" for name in (PASSED, SQL_ALONE)
    )
    (library,) = results.named(LIBRARY)
    return (
        f"The worker: {worker.rate:,.0f} events/s, {', '.join(ratios)} in this run. "
        f"The library's call in memory: {library.rate:,.0f} events/s, {library.rate / worker.rate:.2f}x the worker."
    )


def _table(title: str, first_column: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first_column)
    return table
