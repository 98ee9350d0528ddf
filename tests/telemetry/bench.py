"""A telemetry of a test: on a clock of its own, with sources that say what the test wants."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation.servers import FakeClock
from tests.telemetry.scraping import Scraped, scraped
from worker.adapters.telemetry.board import Board, Counts
from worker.adapters.telemetry.health import Health
from worker.adapters.telemetry.instruments import Meters
from worker.adapters.telemetry.recorder import Names, Recorder
from worker.adapters.telemetry.telemetry import Sources, Telemetry
from worker.core.records import Output, Record
from worker.ports import JournalRow, LoopView, Writes
from worker.runtime.stages import Stages

TURN_SECONDS_MAX = 300.0
DEFINITION = b"definition"
MACHINE = ("arvo.orc.order", "1.0.0")


@dataclass
class Bench:
    """What a test has in its hands."""

    telemetry: Telemetry
    recorder: Recorder
    board: Board
    clock: FakeClock
    ends: dict[int, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    raised: Exception | None = None

    def scrape(self) -> Scraped:
        return scraped(self.telemetry.scrape()[1].decode())

    def stand(self, partitions: Mapping[int, str], next_offsets: Mapping[int, int], producer: str = "ready") -> None:
        self.recorder.turned(LoopView(partitions, next_offsets, producer))

    def failing(self) -> tuple[str, ...]:
        return self.telemetry.health.readiness().failing


@contextmanager
def bench(machines: Mapping[bytes, tuple[str, str]] | None = None) -> Iterator[Bench]:
    clock = FakeClock()
    meters = Meters({"service.name": "test"}, {})
    board = Board(clock)
    recorder = Recorder(
        meters.instruments, board, Names("orc.input", "group", {DEFINITION: MACHINE} if machines is None else machines)
    )

    def ends(asked: object) -> Mapping[int, int]:
        if made.raised is not None:
            raise made.raised
        return made.ends

    sources = Sources(ends, lambda: made.counts, lambda: {"used": 0, "idle": 1}, Stages())
    made = Bench(Telemetry(meters, recorder, Health(board, TURN_SECONDS_MAX), sources), recorder, board, clock)
    yield made
    made.telemetry.close()


def row(
    offset: int,
    outcome: str = "advanced",
    *,
    partition: int = 0,
    timestamp: int = 0,
    reason: str | None = None,
    before: tuple[str, ...] | None = None,
    after: tuple[str, ...] | None = None,
    definition: bytes | None = None,
    outputs: tuple[Output, ...] = (),
) -> JournalRow:
    record = Record(partition, offset, timestamp, b"subject", b"value", ())
    return JournalRow(
        record=record,
        outcome=outcome,
        now=timestamp,
        reason=reason,
        states_before=before,
        states_after=after,
        definition_hash=definition,
        outputs=outputs,
    )


def writes(*rows: JournalRow) -> Writes:
    return Writes([], [], rows, {one.record.partition: one.record.offset + 1 for one in rows}, {})
