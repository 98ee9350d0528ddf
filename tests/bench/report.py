"""The tables of a report, on the console and in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import rich.table
from rich.console import Console

from tests.bench.figures import LatencyFigures, Report, RowFigures
from tests.bench.rows import BY_HAND, PASSED, STREAMS

NONE = "–"

BASES = {"by hand": BY_HAND, "Streams": STREAMS, "pass-through": PASSED}
"""What the others' rates are divided by, by its short name."""

RESTLESS = 1.5
"""How many times its slowest round a row's fastest one may be before its figures are called into question."""

_LOADS = {
    "steady": "Latency at 20 events/s, in ms",
    "half": "Latency at half of what each can do (the pass-through: what the fastest worker can), in ms",
}
_STAGES = {"postgres": "PostgreSQL", "kafka": "Kafka"}


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in rows; the first column is what the row is about."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> rich.table.Table:
        table = rich.table.Table(title=self.title, title_justify="left")
        for number, head in enumerate(self.heads):
            table.add_column(head, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.heads, ["---", *["--:"] * (len(self.heads) - 1)], *self.rows]
        return f"**{self.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def print_report(report: Report, console: Console) -> None:
    """Print all tables and what they come to."""
    for table in tables(report):
        console.print(table.rich())
        console.print()
    for line in summary(report):
        console.print(line)


def tables(report: Report) -> list[Table]:
    """Give all tables that there are figures for."""
    every = [_throughput(report), *(_latency(report, load) for load in _LOADS), _workers(report)]
    return [table for table in every if table.rows]


def summary(report: Report) -> Iterator[str]:
    """Say what was left out, and how each worker stands to the others."""
    yield from report.left_out
    if torn := [row.name for row in report.rows if max(row.rates) > RESTLESS * min(row.rates)]:
        yield (
            f"The rounds of {len(torn)} of {len(report.rows)} rows differ by more than {RESTLESS:g} times: others were "
            "at work on this machine. Measure again when it is quiet; these figures show what is measured, no more."
        )
    if report.round_trips:
        trips = ", ".join(f"{count} for {records} event(s)" for records, count in report.round_trips.items())
        yield f"Round trips to PostgreSQL per batch: {trips}."
    for row in report.rows:
        if row.name.startswith("worker"):
            ratios = [f"{ratio}x {base}" for base, ratio in zip(BASES, _ratios(report, row), strict=True)]
            yield f"{row.name}: {row.rate:,.0f} events/s; {', '.join(ratios)}."


def _throughput(report: Report) -> Table:
    title = f"Throughput, {report.events:,} events, median of {report.rounds} rounds; CPU in µs per event, memory in MB"
    heads = ["run", "events/s", "from – to", "2nd half", *(f"÷ {name}" for name in BASES)]
    heads += ["CPU client", "CPU PostgreSQL", "CPU broker", "memory"]
    return Table(title, heads, [_throughput_row(report, row) for row in report.rows])


def _throughput_row(report: Report, row: RowFigures) -> list[str]:
    late = sorted(row.rates_late)[len(row.rates_late) // 2]
    return [
        row.name,
        f"{row.rate:,.0f}",
        f"{min(row.rates):,.0f} – {max(row.rates):,.0f}",
        f"{late:,.0f}",
        *_ratios(report, row),
        *_whole((row.cpu_client, row.cpu_postgres, row.cpu_broker, row.rss_megabytes)),
    ]


def _ratios(report: Report, row: RowFigures) -> list[str]:
    bases = map(report.named, BASES.values())
    return [NONE if base is None else f"{row.times(base):.2f}" for base in bases]


def _whole(values: Iterable[float | None]) -> list[str]:
    return [f"{value:,.0f}" if value else NONE for value in values]


def _latency(report: Report, load: str) -> Table:
    heads = ["run", "load, events/s", "events", "p50", "p99", "p99.9", "p99 from – to"]
    heads += ["p50 ÷ pass-through", "p99 ÷ pass-through"]
    passed = report.named(PASSED)
    base = passed.latencies.get(load) if passed else None
    rows = [_latency_row(row.name, row.latencies[load], base) for row in report.rows if load in row.latencies]
    return Table(_LOADS[load], heads, rows)


def _latency_row(name: str, figures: LatencyFigures, base: LatencyFigures | None) -> list[str]:
    ratios = [NONE, NONE] if base is None else [f"{figures.p50 / base.p50:.2f}", f"{figures.p99 / base.p99:.2f}"]
    return [
        name,
        f"{figures.events_per_second:,.0f}",
        f"{figures.events:,}",
        *(f"{value:.1f}" for value in (figures.p50, figures.p99, figures.p999)),
        f"{min(figures.p99_rounds):.1f} – {max(figures.p99_rounds):.1f}",
        *ratios,
    ]


def _workers(report: Report) -> Table:
    measured = [(row.name, row.worker) for row in report.rows if row.worker is not None]
    stages = list(measured[0][1].stages) if measured else []
    heads = ["worker", *(_STAGES.get(stage, stage) for stage in stages), "events per batch", "journal", "WAL"]
    rows = [
        [
            name,
            *(f"{figures.stages[stage]:,.1f}" for stage in stages),
            *(f"{value:,.0f}" for value in (figures.events_per_batch, figures.journal_bytes, figures.wal_bytes)),
        ]
        for name, figures in measured
    ]
    return Table("Where a worker's time goes, in µs per event; what is kept, in bytes per event", heads, rows)
