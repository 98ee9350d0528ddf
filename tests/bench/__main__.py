"""Run the bench and print its tables."""

import argparse
import sys

from rich.console import Console

from tests.bench.report import print_results
from tests.bench.runs import Wishes, run_all
from tests.bench.site import running_site
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import kafka_can_run
from tests.workload import STATES
from worker.terminal.signals import sigterm_interrupts

WIDTH = 110


def main() -> int:
    """Give the exit code: 0 if everything was measured."""
    parser = _parser()
    chosen = parser.parse_args()
    if chosen.orders * len(STATES) < 2 * (chosen.batch + 1):
        parser.error(f"--orders {chosen.orders}: expected two batches of events at least; raise it or lower --batch")
    console = Console(width=WIDTH)
    if not kafka_can_run():
        console.print(f"The bench needs an Apache Kafka of its own: {JAVA_REMEDY}.")
        return 1
    with sigterm_interrupts(), running_site(chosen.batch) as site:
        results = run_all(
            site, Wishes(chosen.orders, chosen.latency_seconds), lambda text: print(f"… {text}", flush=True)
        )
    print_results(results, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench", description=main.__doc__)
    wishes = Wishes()
    parser.add_argument(
        "--orders", type=int, default=wishes.orders, help="orders of four events (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=500, help="records in a batch, at most (default: %(default)s)")
    parser.add_argument(
        "--latency-seconds",
        type=float,
        default=wishes.latency_seconds,
        help="how long the latency of each is measured (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
