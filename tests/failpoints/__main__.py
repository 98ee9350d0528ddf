"""Run the table of failures on real servers, and print it."""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from tests.failpoints.cells import Cell, cells
from tests.failpoints.running import Site, Verdict, run_cell
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import KafkaServer, fetch_jars, kafka_can_run
from tests.servers.postgres import Databases, database_name
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.postgres.migrate import migrate
from worker.terminal.signals import sigterm_interrupts

FAULTS_SHOWN = 5
SHARE = 12
"""One cell in so many is drawn, which is about a tenth, and what a run of all tests has time for."""


def main() -> int:
    """Run cells; the exit code is 0 if every one of them happened and did no harm."""
    chosen = _parser().parse_args()
    wanted = [cell for cell in cells() if chosen.cells in cell.name]
    if chosen.tenth:
        seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
        print(f"seed {seed}")
        wanted = a_tenth(wanted, seed)
    if not wanted or not kafka_can_run():
        print(f"Apache Kafka is needed: {JAVA_REMEDY}." if wanted else f"No cell has {chosen.cells!r} in its name.")
        return 1
    with sigterm_interrupts(), running_site() as site, tempfile.TemporaryDirectory() as folder:
        verdicts = list(run_all(site, wanted, Path(folder), chosen.jobs))
    bad = [verdict for verdict in verdicts if not verdict.is_ok]
    print(f"{len(verdicts)} cells, {len(verdicts) - len(bad)} ok, {len(bad)} with faults")
    return 1 if bad else 0


def a_tenth(wanted: Sequence[Cell], seed: int) -> list[Cell]:
    """Draw about a tenth of the cells, one at least."""
    return random.Random(seed).sample(wanted, max(1, len(wanted) // SHARE))


def run_all(site: Site, wanted: Sequence[Cell], folder: Path, jobs: int) -> Iterator[Verdict]:
    """Run cells side by side, and print each when it is done."""
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run_cell, site, cell, folder / str(number)) for number, cell in enumerate(wanted)]
        try:
            for done in as_completed(running):
                print(line_of(done.result()), flush=True)
                yield done.result()
        finally:
            # When somebody has had enough, those that have begun are waited for.
            pool.shutdown(cancel_futures=True)


def line_of(verdict: Verdict) -> str:
    """Write what a cell came to, with its faults below it."""
    state = "ok" if verdict.is_ok else "VIOLATION"
    head = f"{verdict.cell.name:60} {state:10} {verdict.seconds:6.1f} s  {verdict.told}"
    shown = [f"    {fault}" for fault in verdict.faults[:FAULTS_SHOWN]]
    more = len(verdict.faults) - len(shown)
    return "\n".join([head.rstrip(), *shown, *([f"    and {more} more"] if more else [])])


@contextmanager
def running_site() -> Iterator[Site]:
    """Start the servers that all cells share, and stop them and remove their data in the end."""
    fetch_jars()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(durable=False) as postgres:
        kafka = KafkaServer(Path(folder))
        kafka.start()
        try:
            databases = Databases(postgres.url)
            template = databases.make()
            migrate(template)
            yield Site(kafka, databases, database_name(template))
        finally:
            kafka.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.failpoints", description=main.__doc__)
    parser.add_argument("--cells", default="", metavar="SUBSTRING", help="only cells whose name has this in it")
    parser.add_argument("--tenth", action="store_true", help="only about a tenth of them, drawn by the seed")
    parser.add_argument("--seed", type=int, help="the seed of the draw (default: a new one, printed)")
    parser.add_argument("--jobs", type=int, default=2, help="cells that run at the same time (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
