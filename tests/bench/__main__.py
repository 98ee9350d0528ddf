"""Run the bench, print its tables and keep its figures."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.bench import kafka_streams
from tests.bench.figures import make_report
from tests.bench.page import DEFAULT_REPORT
from tests.bench.report import print_report
from tests.bench.rows import Inner, Row, make_rows
from tests.bench.runs import Bench, Wishes
from tests.bench.site import running_site
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import kafka_can_run
from tests.workload import STATES
from worker.settings import ENGINES, Settings
from worker.terminal.signals import sigterm_interrupts

WIDTH = 160
REPORT_VARIABLE = "BENCH_JSON"


def main() -> int:
    """Give the exit code: 0 if everything was measured."""
    parser = _parser()
    chosen = parser.parse_args()
    if chosen.orders * len(STATES) < 2 * (chosen.batch + 1):
        parser.error(f"--orders {chosen.orders}: expected two batches of events at least; raise it or lower --batch")
    if chosen.rounds < 1:
        parser.error(f"--rounds {chosen.rounds}: expected at least one")
    streams = kafka_streams.streams_can_run()
    rows = _chosen(make_rows(chosen.engines, streams=streams), chosen.rows)
    if not rows:
        parser.error(f"--rows {' '.join(chosen.rows)}: no row's name holds any of these")
    console = Console(width=WIDTH, highlight=False)
    if not kafka_can_run():
        console.print(f"The bench needs an Apache Kafka of its own: {JAVA_REMEDY}.")
        return 1
    left_out = [] if streams else [f"Kafka Streams was left out: {kafka_streams.REMEDY}."]
    if streams:
        kafka_streams.build()
    wishes = Wishes(chosen.orders, chosen.rounds, chosen.latency_seconds)
    with sigterm_interrupts(), running_site(chosen.batch) as site:
        results = Bench(site, wishes, lambda text: print(f"… {text}", flush=True)).run(rows, left_out)
    report = make_report(results)
    report.dump(chosen.json)
    print_report(report, console)
    console.print(f"Kept in {chosen.json}; `python -m tests.bench.page {chosen.json}` puts it into the documentation.")
    return 0


def _chosen(rows: Sequence[Row | Inner], parts: Sequence[str]) -> list[Row | Inner]:
    return [row for row in rows if not parts or any(part in row.name for part in parts)]


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__, formatter_class=formatter)
    wishes = Wishes()
    kept = Path(os.environ.get(REPORT_VARIABLE) or DEFAULT_REPORT)
    parser.add_argument("--orders", type=int, default=wishes.orders, help="orders of four events")
    parser.add_argument("--rounds", type=int, default=wishes.rounds, help="how often every row is run")
    parser.add_argument(
        "--batch",
        type=int,
        default=Settings.model_fields["batch_records_max"].default,
        help="records in a batch, at most",
    )
    parser.add_argument(
        "--latency-seconds", type=float, default=wishes.latency_seconds, help="how long each latency takes a round"
    )
    parser.add_argument(
        "--engines", nargs="+", default=list(ENGINES), metavar="ENGINE", help="what WORKER_ENGINE is set to"
    )
    parser.add_argument("--rows", nargs="+", default=[], metavar="PART", help="only rows whose name holds one of these")
    parser.add_argument("--json", type=Path, default=kept, help=f"where the figures are kept ({REPORT_VARIABLE})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
