"""Partitions that wait on purpose: for a version of a machine under roll-out, or in a flood of dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from worker.core.records import Record
from worker.ports import Clock, Consumer, Database
from worker.runtime.batch import Run
from worker.runtime.flood import Flood
from worker.runtime.partitions import Partition, Partitions, State, Turn

_LOG = structlog.get_logger("worker.pausing")


@dataclass(slots=True)
class Pauses:
    """Hold settled partitions, and let them go on when their time has come."""

    consumer: Consumer
    database: Database
    clock: Clock
    partitions: Partitions
    flood: Flood
    version_seconds_max: float

    @property
    def records_max(self) -> int | None:
        """How many records the next batch may have; None: as many as ever."""
        return self.flood.records_max

    def waits(self, record: Record, source: str, version: str) -> bool:
        """Tell whether a record waits for a version of its machine that another worker has brought.

        Raises: DatabaseUnavailable.
        """
        partition = self.partitions[record.partition]
        return partition.waited_for != record.offset and self.database.is_coming(source, version)

    def are_due(self, run: Run) -> bool:
        """Note what a batch came to; tell whether partitions are to wait, once they are settled."""
        in_flood = self.flood.saw(len(run.applied), run.dead_letters.total())
        return in_flood or bool(run.waiting)

    def begin(self, run: Run) -> None:
        """Hold what is to wait after a batch."""
        for number, record in run.waiting.items():
            self._wait_for_version(self.partitions[number], record)
        if self.flood.is_on and run.dead_letters:
            self._wait_for_mending(run)

    def join(self, taken: Sequence[Partition]) -> None:
        """Hold partitions that were taken during a flood."""
        if self.flood.is_on:
            self._hold(taken, self.flood.pause_until)

    def end_due(self) -> None:
        """Let those go on whose time has come. Raises: KafkaUnavailable."""
        now = self.clock.monotonic()
        for partition in self.partitions.in_state(State.WAITING):
            if now >= partition.waits_until:
                self.consumer.go_on(partition.number, partition.next_offset)
                partition.turn(Turn.RESUMED)
                partition.waited_for = partition.waits_for

    def _wait_for_version(self, partition: Partition, record: Record) -> None:
        partition.waits_for = record.offset
        _LOG.warning(
            "waiting_for_version",
            partition=record.partition,
            offset=record.offset,
            seconds_max=self.version_seconds_max,
            text="another worker has brought this version of the machine and is to take the partition over",
        )
        self._hold([partition], self.clock.monotonic() + self.version_seconds_max)

    def _wait_for_mending(self, run: Run) -> None:
        _LOG.error(
            "dead_letter_flood",
            reasons=dict(run.dead_letters),
            pause_seconds=round(self.flood.pause_until - self.clock.monotonic(), 3),
            text="nearly every record becomes a dead letter, so the worker pauses, and then tries a few. Look at the "
            "reasons with `worker dead-letters list`, mend the cause, and redrive them",
        )
        self._hold(self.partitions.in_state(State.SETTLED), self.flood.pause_until)

    def _hold(self, partitions: Sequence[Partition], until: float) -> None:
        settled = [one for one in partitions if one.state is State.SETTLED]
        for partition in settled:
            partition.waits_until = until
            partition.turn(Turn.HELD)
        self.consumer.pause([partition.number for partition in settled])
