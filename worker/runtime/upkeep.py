"""What a worker looks after between batches: the journal's days, the topic's identity, its position rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from worker.ports import Clock, DatabaseUnavailable, KafkaUnavailable, PositionMoved
from worker.runtime.partitions import Partition, Partitions, State
from worker.runtime.position_watch import PositionWatch
from worker.runtime.retrying import Retry
from worker.runtime.topic_watch import TopicWatch

Doubt = tuple[Sequence[Partition], Exception]
"""Partitions that are to be taken again, and why."""

_LOG = structlog.get_logger("worker.upkeep")


@dataclass(slots=True)
class Upkeep:
    """Look after things, each when it is due; `housekeep` at the start and every `housekeeping_seconds`."""

    partitions: Partitions
    topic: TopicWatch
    rows: PositionWatch
    kafka_retry: Retry
    clock: Clock
    housekeep: Callable[[], None]
    housekeeping_seconds: float
    _housekeeping_at: float = 0.0

    def doubts(self) -> Iterator[Doubt]:
        """Look after what is due, and give what that puts in doubt."""
        self._housekeep()
        yield from self._topic_doubts()
        yield from self._row_doubts()

    def _housekeep(self) -> None:
        now = self.clock.monotonic()
        if now < self._housekeeping_at:
            return
        self._housekeeping_at = now + self.housekeeping_seconds
        try:
            self.housekeep()
        except DatabaseUnavailable as error:
            _LOG.warning("housekeeping_failed", error=str(error))

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
