"""Measure how the cost of an event grows, print it, and keep the figures."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import orjson
from rich.console import Console

from tests.bench.children import ROOT
from tests.bench.growth.axes import AXES, Cost, Servers, measure
from tests.bench.report import NONE, Table
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import KafkaServer, fetch_jars, kafka_can_run
from tests.servers.postgres import Databases, database_name
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.postgres.migrate import migrate
from worker.settings import Settings
from worker.terminal.signals import sigterm_interrupts

WIDTH = 110
PUBLISHING = "domains"


def main() -> int:
    """Give the exit code: 0 if everything was measured."""
    parser = _parser()
    chosen = parser.parse_args()
    if unknown := [axis for axis in chosen.axes if axis not in AXES]:
        parser.error(f"no such axis: {', '.join(unknown)}; there are {', '.join(AXES)}")
    console = Console(width=WIDTH, highlight=False)
    if PUBLISHING in chosen.axes and not kafka_can_run():
        console.print(f"The axis {PUBLISHING} needs an Apache Kafka of its own: {JAVA_REMEDY}.")
        return 1
    costs = []
    with sigterm_interrupts(), _servers(kafka=PUBLISHING in chosen.axes) as servers:
        for axis, value in _points(chosen.axes, chosen.points):
            print(f"… {axis} {value:,}", flush=True)
            costs.append(measure(servers, axis, value, chosen.engine, chosen.events))
    for table in tables(costs):
        console.print(table.rich())
        console.print()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_bytes(orjson.dumps(costs, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    console.print(f"Kept in {chosen.json}.")
    return 0


def tables(costs: Sequence[Cost]) -> Iterator[Table]:
    """Give a table for each axis; CPU, which others on the machine change least, stands to that of the first point."""
    for axis, some in groupby(costs, lambda cost: cost.axis):
        points = list(some)
        heads = [AXES[axis].grows, "events", "µs per event", "Kafka", "CPU client", "CPU PostgreSQL", "CPU ÷ first"]
        yield Table(axis, heads, [_row(cost, points[0]) for cost in points])


def _row(cost: Cost, first: Cost) -> list[str]:
    return [
        f"{cost.value:,}",
        f"{cost.events:,}",
        f"{cost.clock + cost.kafka:,.0f}",
        f"{cost.kafka:,.0f}" if cost.kafka else NONE,
        f"{cost.cpu_client:,.0f}",
        f"{cost.cpu_postgres:,.0f}",
        f"{cost.cpu / first.cpu:.2f}",
    ]


def _points(axes: Sequence[str], points: int | None) -> Iterator[tuple[str, int]]:
    for axis in axes:
        for value in AXES[axis].values[: AXES[axis].usual if points is None else points]:
            yield axis, value


@contextmanager
def _servers(*, kafka: bool) -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="orchestrator-worker-growth-") as folder, EmbeddedPostgres() as postgres:
        template = Databases(postgres.url).make()
        migrate(template)
        assert postgres._server is not None
        made = Servers(Databases(postgres.url), database_name(template), postgres._server.pid, None)
        if not kafka:
            yield made
            return
        fetch_jars()
        server = KafkaServer(Path(folder))
        server.start()
        try:
            yield Servers(made.databases, made.template, made.postgres_pid, server.cluster)
        finally:
            server.stop()


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m tests.bench.growth", description=main.__doc__, formatter_class=formatter
    )
    parser.add_argument("axes", nargs="*", default=list(AXES), metavar="AXIS", help=f"of {', '.join(AXES)}")
    parser.add_argument("--points", type=int, help="how many points of each axis, from its smallest (default: usual)")
    parser.add_argument("--events", type=int, default=5_000, help="events that are measured at a point")
    engine = Settings.model_fields["engine"].default
    parser.add_argument("--engine", default=engine, help="what WORKER_ENGINE would be set to")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "growth.json", help="where the figures are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
