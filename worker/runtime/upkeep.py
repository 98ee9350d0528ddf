"""What a worker looks after between batches: the database's upkeep, the topic's identity, its position rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from worker.ports import (
    Background,
    Clock,
    DatabaseRefused,
    DatabaseUnavailable,
    KafkaUnavailable,
    Pending,
    PositionMoved,
    Upkept,
)
from worker.runtime.partitions import Partition, Partitions, State
from worker.runtime.position_watch import PositionWatch
from worker.runtime.retrying import Retry
from worker.runtime.topic_watch import TopicWatch

Doubt = tuple[Sequence[Partition], Exception]
"""Partitions that are to be taken again, and why."""

_LOG = structlog.get_logger("worker.upkeep")


@dataclass(slots=True)
class Housekeeping:
    """Have the database kept: at the start, before anything is applied, and every so many seconds beside the loop.

    One call is under way at a time. What it fails with is told in the log, and it is called again.
    """

    housekeep: Callable[[], Upkept | None]
    background: Background
    clock: Clock
    seconds: float
    _due_at: float | None = None
    _under_way: Pending | None = None

    def turn(self) -> None:
        """Do what is due; never waits but for the first."""
        if self._under_way is not None and not self._under_way.is_done:
            return
        self._under_way = None
        now = self.clock.monotonic()
        if self._due_at is None:
            # The journal has its partition of today before the first row comes.
            self._call()
        elif now >= self._due_at:
            self._under_way = self.background.start(self._call)
        else:
            return
        self._due_at = now + self.seconds

    def _call(self) -> None:
        try:
            self.housekeep()
        except (DatabaseUnavailable, DatabaseRefused) as error:
            _LOG.warning("upkeep_failed", error=str(error))
        except Exception:  # noqa: BLE001 - On another thread nobody else tells of a fault of ours.
            _LOG.exception("upkeep_failed")


@dataclass(slots=True)
class Upkeep:
    """Look after things, each when it is due."""

    partitions: Partitions
    topic: TopicWatch
    rows: PositionWatch
    kafka_retry: Retry
    clock: Clock
    housekeeping: Housekeeping

    def doubts(self) -> Iterator[Doubt]:
        """Look after what is due, and give what that puts in doubt."""
        self.housekeeping.turn()
        yield from self._topic_doubts()
        yield from self._row_doubts()

    def _topic_doubts(self) -> Iterator[Doubt]:
        """Doubt everything when the topic was made anew."""
        if not len(self.partitions):
            return
        try:
            replaced = self.topic.replaced()
        except KafkaUnavailable as error:
            self.kafka_retry.failed("kafka_unavailable", error)
            return
        if replaced is not None:
            yield list(self.partitions), KafkaUnavailable(f"the topic was made anew, its id is {replaced}")

    def _row_doubts(self) -> Iterator[Doubt]:
        """Doubt partitions whose rows are not as this worker left them."""
        if not self.rows.is_due():
            return
        known = self.partitions.in_state(State.SETTLED, State.WAITING)
        try:
            moved = self.rows.moved(known)
        except DatabaseUnavailable as error:
            yield known, error
            return
        if moved:
            numbers = ", ".join(str(partition.number) for partition in moved)
            yield moved, PositionMoved(f"position rows of partitions {numbers} are not as this worker left them")
