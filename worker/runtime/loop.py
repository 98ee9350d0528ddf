"""The worker's loop: poll, apply a batch in PostgreSQL, publish it to Kafka, over and over.

One thread polls, applies and publishes, so a rebalance callback, which runs within `poll`, never comes between
the check of what is owned and the offsets that are sent: the thread is the lock. A failure of the
infrastructure makes the partitions uncertain; they are taken again after a back-off, while polling goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from worker.core.records import Record
from worker.core.routing import Router
from worker.core.step import Host
from worker.ports import (
    Claim,
    Consumer,
    Database,
    DatabaseUnavailable,
    KafkaUnavailable,
    OffsetUnavailable,
    PositionMoved,
    PublicationUnknown,
    Publisher,
)
from worker.runtime.batch import Limits, Run, decode, wanted
from worker.runtime.outlet import Outlet
from worker.runtime.partitions import Partition, Partitions, State, Turn
from worker.runtime.stages import Stages
from worker.runtime.taking import GoOn, Refused, Taker

_LOG = structlog.get_logger("worker.loop")


class Clock(Protocol):
    """Tell the time."""

    def now_ms(self) -> int:
        """Give milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """Bound one batch and the waits. `batch_records_max` bounds the subjects of a batch, and so its locks, too."""

    batch_records_max: int = 500
    batch_bytes_max: int = 8 * 1024 * 1024
    poll_wait_seconds: float = 0.2
    retry_first_seconds: float = 0.2
    retry_max_seconds: float = 10.0
    topic_seconds: float = 5.0
    housekeeping_seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of.

    `limits` holds at the start; `look` gives the largest record of each output topic that is there now, in bytes,
    and may raise KafkaUnavailable. `housekeep` is called at the start and once in a while, between batches; it may
    raise DatabaseUnavailable.
    """

    host: Host
    router: Router
    limits: Limits
    look: Callable[[], Mapping[str, int]]
    database: Database
    publisher: Publisher
    consumer: Consumer
    clock: Clock
    claim: Claim
    housekeep: Callable[[], None]
    config: LoopConfig = field(default_factory=LoopConfig)


class Worker:
    """Run one worker. All methods but `stop` belong to one thread."""

    def __init__(self, parts: Parts) -> None:
        self.stages = Stages()
        self._parts = parts
        self._limits = parts.limits
        self._partitions = Partitions()
        self._stopping = False
        self._producer_settled = False
        self._failures = 0
        self._retry_at = 0.0
        self._housekeeping_at = parts.clock.monotonic()
        self._topic_id: str | None = None
        self._topic_at = 0.0
        self._held: list[Record] = []
        self._consumer = parts.consumer
        self._taker = Taker(parts.database, self._consumer, parts.publisher, parts.claim)
        self._consumer.join(self)

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; from any thread or a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Turn until stopped, then give everything back. Raises: KafkaFatal, DatabaseRefused, RevisionMismatch."""
        try:
            while not self._stopping:
                self.turn()
        except BaseException:
            # Whatever this is, it may have come between two commits: nothing is released as settled.
            self._distrust(list(self._partitions))
            raise
        finally:
            self.close()

    def turn(self) -> None:
        """Poll once, take what is to be taken, and apply and publish what came."""
        self._housekeep()
        self._watch_topic()
        records = self._poll()
        # Decided before anything is taken: what was polled from a partition that is taken now comes again.
        batch = self._batch(records)
        self._take_due()
        if batch:
            self._apply_and_publish(batch)

    def close(self) -> None:
        """Leave the group, which releases what is settled, and close the connections."""
        self._consumer.close()
        self._parts.publisher.close()
        self._parts.database.close()

    # Rebalances

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take these at the next turn."""
        _LOG.info("assigned", partitions=sorted(partitions))
        self._partitions.assign(partitions)
        self._retry_at = 0.0

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give back what is settled; the rows of the others keep their owner, so that the next one fences."""
        gone = self._partitions.remove(partitions)
        settled = {one.number: one.published_offset for one in gone if one.state is State.RUNNING}
        _LOG.info("revoked", partitions=sorted(partitions), released=sorted(settled))
        if not settled:
            return
        try:
            self._parts.database.release(self._parts.claim.owner, settled)
        except DatabaseUnavailable as error:
            _LOG.warning("release_failed", partitions=sorted(settled), error=str(error))

    def lost(self, partitions: Sequence[int]) -> None:
        """Forget these: they are another's, who fences."""
        _LOG.warning("lost", partitions=sorted(partitions))
        self._partitions.remove(partitions)

    # Polling

    def _poll(self) -> Sequence[Record]:
        config = self._parts.config
        if self._held:
            # Callbacks are served all the same; what is held goes first.
            held, self._held = self._held, []
            return held + list(self._polled(config.batch_records_max - len(held), 0.0))
        return self._polled(config.batch_records_max, config.poll_wait_seconds)

    def _polled(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        try:
            with self.stages.stage("poll"):
                return self._consumer.poll(max(records_max, 1), wait_seconds)
        except OffsetUnavailable as error:
            self._unsettle([one for one in self._partitions if one.number == error.partition], error)
        except KafkaUnavailable as error:
            _LOG.warning("kafka_unavailable", error=str(error))
        return []

    def _batch(self, records: Sequence[Record]) -> list[Record]:
        """Keep what a running partition has not applied yet, up to the batch's bounds; hold the rest back.

        What was held of a partition that has gone, or is to be taken again, ends here too.
        """
        config = self._parts.config
        current = [record for record in records if self._is_next(record)]
        size, cut = 0, len(current)
        for index, record in enumerate(current):
            size += len(record.value or b"")
            if index == config.batch_records_max or (index and size > config.batch_bytes_max):
                cut = index
                break
        self._held = current[cut:]
        return sorted(current[:cut], key=lambda record: (record.partition, record.offset))

    def _is_next(self, record: Record) -> bool:
        partition = self._partitions.get(record.partition)
        if partition is None or partition.state is not State.RUNNING:
            return False
        return record.offset >= partition.next_offset

    # Taking

    def _take_due(self) -> None:
        due = self._partitions.in_state(State.TAKING)
        if not due or self._parts.clock.monotonic() < self._retry_at:
            return
        try:
            if not self._producer_settled:
                # What was not published may have been refused, by topics that are not as they were at the start.
                self._limits = self._limits.looked_again(self._parts.look())
                self._parts.publisher.replace(self._limits.smallest)
                self._producer_settled = True
            self._take(due)
        except (DatabaseUnavailable, KafkaUnavailable, PositionMoved) as error:
            self._back_off("taking_failed", error)
        except PublicationUnknown as error:
            self._producer_settled = False
            self._back_off("taking_failed", error)

    def _take(self, due: Sequence[Partition]) -> None:
        outlet = Outlet(self._parts.router, self._limits, self._parts.clock.now_ms())
        taken = self._taker.take([partition.number for partition in due], outlet)
        for partition in due:
            match taken[partition.number]:
                case GoOn(offset=offset):
                    self._consumer.go_on(partition.number, offset)
                    partition.next_offset = partition.published_offset = offset
                    partition.turn(Turn.TAKEN)
                case Refused(reason=reason, text=text):
                    partition.turn(Turn.REFUSED)
                    _LOG.error("partition_refused", partition=partition.number, reason=reason.value, text=text)
        _LOG.info("taken", offsets={one.number: one.next_offset for one in due if one.state is State.RUNNING})

    def _back_off(self, event: str, error: Exception) -> None:
        config = self._parts.config
        seconds = min(config.retry_first_seconds * 2**self._failures, config.retry_max_seconds)
        self._failures = min(self._failures + 1, 16)
        self._retry_at = self._parts.clock.monotonic() + seconds
        _LOG.warning(event, error=str(error), retry_in_seconds=round(seconds, 3))

    def _unsettle(self, partitions: Sequence[Partition], error: Exception) -> None:
        """Take these again after a back-off; nothing more is read from them until then."""
        numbers = self._distrust(partitions)
        self._consumer.pause(numbers)
        self._back_off("unsettled", error)

    def _distrust(self, partitions: Sequence[Partition]) -> list[int]:
        """Have these taken again, since what is applied and published is uncertain; give their numbers."""
        uncertain = [one for one in partitions if one.state in (State.RUNNING, State.APPLIED)]
        for partition in uncertain:
            partition.turn(Turn.UNSETTLED)
        return [one.number for one in uncertain]

    def _housekeep(self) -> None:
        if self._parts.clock.monotonic() < self._housekeeping_at:
            return
        self._housekeeping_at = self._parts.clock.monotonic() + self._parts.config.housekeeping_seconds
        try:
            self._parts.housekeep()
        except DatabaseUnavailable as error:
            _LOG.warning("housekeeping_failed", error=str(error))

    def _watch_topic(self) -> None:
        """Have all partitions taken again when the topic was made anew: the client reads on, past its first records."""
        if not len(self._partitions) or self._parts.clock.monotonic() < self._topic_at:
            return
        self._topic_at = self._parts.clock.monotonic() + self._parts.config.topic_seconds
        try:
            found = self._consumer.topic_id()
        except KafkaUnavailable as error:
            _LOG.warning("kafka_unavailable", error=str(error))
            return
        known, self._topic_id = self._topic_id, found
        if known not in (None, found):
            self._unsettle(list(self._partitions), KafkaUnavailable(f"the topic was made anew, its id is {found}"))

    # A batch

    def _apply_and_publish(self, records: Sequence[Record]) -> None:
        next_offsets = {record.partition: record.offset + 1 for record in records}
        try:
            run = self._apply(records, next_offsets)
        except PositionMoved as error:
            self._unsettle([self._partitions[number] for number in next_offsets], error)
            return
        except DatabaseUnavailable as error:
            self._unsettle(list(self._partitions), error)
            return
        for number, offset in next_offsets.items():
            self._partitions[number].next_offset = offset
            self._partitions[number].turn(Turn.APPLIED)
        self._publish(run, next_offsets)

    def _apply(self, records: Sequence[Record], next_offsets: dict[int, int]) -> Run:
        parts = self._parts
        with self.stages.stage("decode"):
            decoded = [decode(record) for record in records]
        expected = {number: self._partitions[number].next_offset for number in next_offsets}
        with self.stages.stage("postgres"):
            found = parts.database.begin(parts.claim.owner, wanted(decoded, expected))
        try:
            run = Run(parts.host, parts.router, self._limits, parts.clock.now_ms(), found, self.stages)
            run.run(decoded)
            published = {number: self._partitions[number].published_offset for number in next_offsets}
            writes = run.writes(next_offsets, published)
        except BaseException:
            parts.database.roll_back()
            raise
        with self.stages.stage("postgres"):
            parts.database.commit(writes)
        self.stages.counts["batches"] += 1
        self.stages.counts["records"] += len(records)
        return run

    def _publish(self, run: Run, next_offsets: dict[int, int]) -> None:
        outputs = run.outputs()
        try:
            with self.stages.stage("kafka"):
                self._parts.publisher.publish(outputs, next_offsets)
        except PublicationUnknown as error:
            # Nothing can be published before the producer is replaced, so all partitions wait for that.
            self._producer_settled = False
            self._unsettle(list(self._partitions), error)
            return
        for number, offset in next_offsets.items():
            self._partitions[number].published_offset = offset
            self._partitions[number].turn(Turn.PUBLISHED)
        # Not earlier: where partitions can be taken and batches fail, retries must slow down too.
        self._failures = 0
        self.stages.counts["outputs"] += len(outputs)
