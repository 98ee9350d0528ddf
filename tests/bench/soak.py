"""Memory of a worker over very many events: `python -m tests.bench.soak --events 1000000`.

Events of the workload come as fast as they are done. What matters is whether memory still grows in the end.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console

from tests.bench.children import ROOT, Child, Crew, python
from tests.bench.report import Table
from tests.bench.site import PARTITIONS, Place, running_site
from tests.bench.traffic import Feeder, Reader
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import kafka_can_run
from tests.workload import STATES, Order
from worker.core.codec import EncodedRecord
from worker.settings import Settings
from worker.terminal.signals import sigterm_interrupts

WIDTH = 100
WAVES = 20
AHEAD = 2
"""How many waves of events are there at most that are not done."""

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker had in memory, in megabytes, after so many events; the rate is that since the sample before."""

    events: int
    megabytes: float
    rate: float


def main() -> int:
    """Give the exit code: 0 if everything was measured."""
    parser = _parser()
    chosen = parser.parse_args()
    orders = chosen.events // len(STATES) // WAVES
    if not orders:
        parser.error(f"--events {chosen.events}: expected {WAVES * len(STATES)} at least")
    console = Console(width=WIDTH, highlight=False)
    if not kafka_can_run():
        console.print(f"This needs an Apache Kafka of its own: {JAVA_REMEDY}.")
        return 1
    samples = []
    settings = {"WORKER_ENGINE": chosen.engine, "WORKER_DELIVERY": chosen.delivery}
    with sigterm_interrupts(), running_site(chosen.batch) as site, site.place(settings) as place:
        for sample in soak(place, orders):
            print(f"… {sample.events:,} events, {sample.megabytes:.1f} MB, {sample.rate:,.0f} events/s", flush=True)
            samples.append(sample)
    console.print(table(samples).rich())
    console.print(summary(samples))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_bytes(orjson.dumps(samples, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    console.print(f"Kept in {chosen.json}.")
    return 0


def soak(place: Place, orders: int) -> Iterator[Sample]:
    """Have a worker do waves of so many orders; look at its memory after each. Raises: TimeoutError."""
    events = orders * len(STATES)
    feeder = Feeder(place.bootstrap_servers, place.input)
    with (
        Crew(lambda: _worker(place), 1) as crew,
        closing(Reader(place.bootstrap_servers, place.outputs, PARTITIONS)) as seen,
    ):
        for wave in range(AHEAD):
            feeder.send_all(_wave(wave, orders))
        begun = crew.first()
        for wave in range(WAVES):
            if wave + AHEAD < WAVES:
                feeder.send_all(_wave(wave + AHEAD, orders))
            seen.wait_for(events, PATIENCE_SECONDS)
            ended = time.monotonic()
            yield Sample((wave + 1) * events, crew.rss_megabytes(), events / (ended - begun))
            begun = ended
        crew.stop()


def table(samples: Sequence[Sample]) -> Table:
    """Show every sample."""
    rows = [[f"{one.events:,}", f"{one.megabytes:.1f}", f"{one.rate:,.0f}"] for one in samples]
    return Table("Memory of one worker", ["events", "RSS, MB", "events/s"], rows)


def summary(samples: Sequence[Sample]) -> str:
    """Say how much memory still grew in the second half."""
    half = samples[len(samples) // 2 :]
    most = max(one.megabytes for one in samples)
    grown = half[-1].megabytes - half[0].megabytes
    return f"Most: {most:.1f} MB. From {half[0].events:,} to {half[-1].events:,} events: {grown:+.1f} MB."


def _wave(number: int, orders: int) -> Iterator[EncodedRecord]:
    for step in range(len(STATES)):
        for order in range(number * orders, (number + 1) * orders):
            yield Order(order).record(step)


def _worker(place: Place) -> Child:
    return python("tests.bench.worker_child", environment=place.environment)


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.bench.soak", description=__doc__, formatter_class=formatter)
    fields = Settings.model_fields
    parser.add_argument("--events", type=int, default=1_000_000, help="events in all")
    parser.add_argument("--batch", type=int, default=fields["batch_records_max"].default, help="records in a batch")
    parser.add_argument("--engine", default=fields["engine"].default, help="what WORKER_ENGINE is set to")
    parser.add_argument("--delivery", default=fields["delivery"].default, help="what WORKER_DELIVERY is set to")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "soak.json", help="where the samples are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
