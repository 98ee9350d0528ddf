"""The worker's loop: poll, apply a batch in PostgreSQL, publish it to Kafka, over and over.

A batch's Kafka transaction ends on another thread while PostgreSQL works on the next batch; never are two under way,
and PostgreSQL is at most one batch ahead. One thread polls, applies and begins to publish, so a rebalance callback,
which runs within `poll`, never comes between the check of what is owned and the proof of membership that the offsets
are sent with: the thread is the lock. A failure of the infrastructure makes the partitions uncertain; they are taken
again after a back-off, while polling goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from worker.core.records import Output, Record
from worker.core.routing import Router
from worker.core.step import Host
from worker.ports import (
    Background,
    BatchRefused,
    BatchTooLarge,
    Claim,
    Clock,
    Consumer,
    Database,
    DatabaseUnavailable,
    KafkaUnavailable,
    LoopView,
    Observer,
    OffsetUnavailable,
    PositionMoved,
    Positions,
    PublicationUnknown,
    Publisher,
    StepTracer,
    Unobserved,
    Upkept,
)
from worker.runtime.applying import Applier
from worker.runtime.batch import Limits, Run, Setting
from worker.runtime.careful import Care
from worker.runtime.flood import Flood
from worker.runtime.intake import Batch, Intake
from worker.runtime.outlet import Outlet
from worker.runtime.pacing import Pace
from worker.runtime.partitions import APPLIED, READ, TAKEN, Partition, Partitions, State, Turn
from worker.runtime.pausing import Pauses
from worker.runtime.position_watch import PositionWatch
from worker.runtime.producing import AtOnce, Producer, Publication
from worker.runtime.retrying import Retry
from worker.runtime.stages import Stages
from worker.runtime.taking import GoOn, Refused, Taken, Taker
from worker.runtime.telling import tell_troubles
from worker.runtime.topic_watch import TopicWatch
from worker.runtime.upkeep import Housekeeping, Upkeep

_LOG = structlog.get_logger("worker.loop")


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """Bound one batch and the waits. `batch_records_max` bounds the subjects of a batch, and so its locks, too.

    `revoke_seconds_max` bounds how long a group waits for the transaction in flight when partitions are given back.
    `publishes_beside` says that publications end on another thread. Those that need the consumer to end can't: its
    client lets nobody else in while the loop polls, nor within a callback of a rebalance.
    """

    batch_records_max: int = 1_000
    batch_bytes_max: int = 8 * 1024 * 1024
    publishes_beside: bool = True
    poll_wait_seconds: float = 0.2
    busy_wait_seconds: float = 0.01
    retry_first_seconds: float = 0.1
    retry_most_seconds: float = 1.0
    step_seconds_max: float = 30.0
    version_wait_seconds: float = 300.0
    revoke_seconds_max: float = 10.0
    publication_seconds_max: float = 120.0
    topic_seconds: float = 10.0
    positions_seconds: float = 10.0
    housekeeping_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of.

    `limits` holds at the start; `look` gives the largest record of each output topic that is there now, in bytes,
    and may raise KafkaUnavailable. `housekeep` is called at the start, between batches, and once in a while
    on another thread; it may raise DatabaseUnavailable and DatabaseRefused, which stop nothing.
    """

    host: Host
    router: Router
    limits: Limits
    look: Callable[[], Mapping[str, int]]
    positions: Positions
    database: Database
    publisher: Publisher
    consumer: Consumer
    background: Background
    clock: Clock
    claim: Claim
    housekeep: Callable[[], Upkept | None]
    config: LoopConfig = field(default_factory=LoopConfig)
    stages: Stages = field(default_factory=Stages)
    observer: Observer = field(default_factory=Unobserved)
    tracer: StepTracer | None = None


class Worker:
    """Run one worker. All methods but `stop` belong to one thread."""

    def __init__(self, parts: Parts) -> None:
        self.stages = parts.stages
        config, clock = parts.config, parts.clock
        self._parts = parts
        self._limits = parts.limits
        self._partitions = Partitions()
        self._stopping = False
        self._intake = Intake(config.batch_records_max, config.batch_bytes_max)
        beside = parts.background if config.publishes_beside else AtOnce()
        self._producer = Producer(parts.publisher, parts.consumer, beside, config.publication_seconds_max)
        self._taker = Taker(parts.positions, parts.consumer, self._producer, parts.background, parts.claim)
        self._care = Care(parts.positions, parts.claim.owner, config.batch_records_max)
        self._pauses = Pauses(
            parts.consumer, parts.database, clock, self._partitions, Flood(clock), config.version_wait_seconds
        )
        setting = Setting(
            parts.host,
            parts.router,
            clock,
            self.stages,
            config.batch_bytes_max,
            config.step_seconds_max,
            parts.tracer,
        )
        self._applier = Applier(setting, parts.database, parts.claim.owner, self._pauses.waits)
        self._pace = Pace(clock)
        self._batch_retry, self._taking_retry, self._kafka_retry = (
            Retry(clock, config.retry_first_seconds, config.retry_most_seconds, parts.observer.failed) for _ in range(3)
        )
        self._refused: dict[Output, str] = {}
        self._upkeep = Upkeep(
            self._partitions,
            TopicWatch(parts.consumer, parts.background, clock, config.topic_seconds),
            PositionWatch(parts.positions, parts.claim.owner, clock, config.positions_seconds),
            self._kafka_retry,
            clock,
            Housekeeping(parts.housekeep, parts.background, clock, config.housekeeping_seconds),
        )
        self._consumer = parts.consumer
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
        """Poll once, take what is to be taken, and apply what came and begin to publish it."""
        for partitions, error in self._upkeep.doubts():
            self._unsettle(partitions, error)
        polled = self._gathered(self._poll(self._intake.room))
        # Decided before anything is taken: what was polled from a partition that is taken now comes again.
        batch = self._intake.batch(polled, self._partitions, self._pauses.records_max)
        self._end_pauses()
        self._take_due()
        if all(self._partitions[number].state in READ for number in {one.partition for one in batch.records}):
            self._work(batch)
        else:
            # A publication failed meanwhile, so all is uncertain; what is uncertain is read again.
            self._intake.put_back(batch.records)
        self._parts.observer.turned(self._view())

    def _view(self) -> LoopView:
        # Once it was read, a partition's offset is known while it is taken again, too.
        known = {one.number: one.next_offset for one in self._partitions if one.state in TAKEN or one.next_offset}
        return LoopView({one.number: one.state for one in self._partitions}, known, self._producer.state)

    def close(self) -> None:
        """Leave the group, which releases what is settled, and close the connections."""
        self._consumer.close()
        self._producer.close()
        self._parts.database.close()

    # Rebalances

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take these at the next turn."""
        _LOG.info("assigned", partitions=sorted(partitions))
        self._partitions.assign(partitions)
        self._batch_retry.at_once()
        self._taking_retry.at_once()

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give back what is settled; the rows of the others keep their owner, so that the next one fences."""
        self._settle(self._parts.config.revoke_seconds_max)
        gone = self._partitions.remove(partitions, Turn.REVOKED)
        settled = {one.number: one.published_offset for one in gone if one.state is State.RELEASED}
        _LOG.info("revoked", partitions=sorted(partitions), released=sorted(settled))
        if not settled:
            return
        try:
            self._parts.positions.release(self._parts.claim.owner, settled)
        except DatabaseUnavailable as error:
            _LOG.warning("release_failed", partitions=sorted(settled), error=str(error))

    def lost(self, partitions: Sequence[int]) -> None:
        """Forget these: they are another's, who fences."""
        _LOG.warning("lost", partitions=sorted(partitions))
        self._partitions.remove(partitions, Turn.LOST)

    # Polling

    def _gathered(self, polled: Sequence[Record]) -> Sequence[Record]:
        """Learn of the publication under way; let more come, while a batch of what is there would wait for it."""
        room = self._intake.room - len(polled)
        is_gathering = self._producer.is_busy and room > 0 and (polled or not self._intake.is_empty)
        seconds = self._pace.spare_seconds() if is_gathering else 0.0
        self._settle(seconds)
        return [*polled, *self._poll(room, waits=False)] if seconds else polled

    def _poll(self, records_max: int, *, waits: bool = True) -> Sequence[Record]:
        # Where something is held or under way, polling only serves callbacks and takes what is there.
        config = self._parts.config
        wait = config.poll_wait_seconds if waits and self._intake.is_empty else 0.0
        if self._producer.is_busy or (self._partitions.in_state(State.TAKING) and self._may_take):
            wait = min(wait, config.busy_wait_seconds)
        try:
            with self.stages.stage("poll"):
                polled = self._consumer.poll(max(records_max, 1), wait)
        except OffsetUnavailable as error:
            self._unsettle([one for one in self._partitions if one.number == error.partition], error)
        except KafkaUnavailable as error:
            self._kafka_retry.failed("kafka_unavailable", error)
        else:
            if polled:
                self._kafka_retry.succeeded()
            return polled
        return []

    # Taking

    def _take_due(self) -> None:
        due = self._partitions.in_state(State.TAKING)
        # A worker that is asked to end takes nothing more: it would leave it owned.
        if not due or self._stopping or not self._may_take:
            return
        # What is published now must be known before it is asked, and the producer free for what the journal has.
        if not self._settle():
            return
        try:
            if not self._producer.is_ready:
                # What was not published may have been refused, by topics that are not as they were at the start.
                self._limits = self._limits.looked_again(self._parts.look())
                self._producer.replace(self._limits.smallest)
                self._taker.begin_anew()
            self._go_on(self._taker.advance(due, self._outlet()))
        except PublicationUnknown as error:
            self._publication_failed(error)
        except (DatabaseUnavailable, KafkaUnavailable, PositionMoved) as error:
            self._taking_retry.failed("taking_failed", error)

    @property
    def _may_take(self) -> bool:
        return self._batch_retry.is_due and self._taking_retry.is_due

    def _outlet(self) -> Outlet:
        return Outlet(self._parts.router, self._limits, self._parts.clock.now_ms(), self._refused)

    def _go_on(self, taken: Mapping[Partition, Taken]) -> None:
        for partition, one in taken.items():
            match one.decision:
                case GoOn(offset=offset):
                    self._consumer.go_on(partition.number, offset)
                    partition.next_offset = partition.published_offset = offset
                    partition.turn(Turn.TAKEN)
                    if one.is_careful:
                        self._care.begin(partition)
                case Refused(reason=reason, text=text):
                    partition.published_offset = one.published_offset
                    partition.turn(Turn.REFUSED)
                    _LOG.error("partition_refused", partition=partition.number, reason=reason.value, text=text)
        running = [one for one in taken if one.state is State.SETTLED]
        if taken:
            _LOG.info("taken", offsets={one.number: one.next_offset for one in running})
            self._taking_retry.succeeded()
            self._refused.clear()
        self._pauses.join(running)

    # Uncertainty

    def _unsettle(self, partitions: Sequence[Partition], error: Exception) -> None:
        """Take these again after a back-off; nothing more is read from them until then."""
        self._consumer.pause(self._distrust(partitions))
        # Succeeds with a publication alone: where partitions can be taken and batches fail, retries slow down too.
        self._batch_retry.failed("unsettled", error)

    def _distrust(self, partitions: Sequence[Partition]) -> list[int]:
        """Have these taken again, since what is applied and published is uncertain; give their numbers."""
        uncertain = [one for one in partitions if one.state in TAKEN]
        for partition in uncertain:
            partition.turn(Turn.UNSETTLED)
        return [one.number for one in uncertain]

    def _publication_failed(self, error: PublicationUnknown) -> None:
        # Nothing can be published before the producer is replaced, so all partitions wait for that.
        self._refused |= error.refused
        self._unsettle(list(self._partitions), error)

    def _end_pauses(self) -> None:
        try:
            self._pauses.end_due()
        except KafkaUnavailable as error:
            self._kafka_retry.failed("kafka_unavailable", error)

    # A batch

    def _work(self, batch: Batch) -> None:
        if not batch.records:
            return
        try:
            if batch.single is not None:
                self._intake.condemned |= self._care.note(batch.single, batch.records[0])
            run = self._apply(batch.records)
        except PositionMoved as error:
            numbers = {record.partition for record in batch.records}
            self._unsettle([self._partitions[number] for number in sorted(numbers)], error)
        except DatabaseUnavailable as error:
            self._unsettle(list(self._partitions), error)
        except BatchRefused as error:
            self._intake.cut(batch, error)
        except BatchTooLarge as error:
            self._intake.cut(batch, error)
            if len(batch.records) == 1:
                # It may be the server that is slow: it is given time.
                self._unsettle([self._partitions[batch.records[0].partition]], error)
        else:
            self._applied(run)

    def _apply(self, records: Sequence[Record]) -> Run:
        begun = self._parts.clock.monotonic()
        partitions = [self._partitions[number] for number in sorted({record.partition for record in records})]
        run = self._applier.apply(records, partitions, self._intake.condemned, self._limits)
        self._pace.applied(self._parts.clock.monotonic() - begun)
        return run

    def _applied(self, run: Run) -> None:
        """Note a batch that PostgreSQL has, and begin to publish it once the one before is published."""
        self._intake.passed(run.applied)
        self._intake.put_back(run.left)
        for number, offset in run.next_offsets.items():
            self._partitions[number].next_offset = offset
            self._partitions[number].turn(Turn.APPLIED)
        self.stages.counts["batches"] += 1
        self.stages.counts["records"] += len(run.applied)
        if self._settle() and run.next_offsets:
            self._publish(run)
        if run.troubles:
            tell_troubles(run.troubles, self._parts.router.topics.input)
        if self._pauses.are_due(run) and self._settle():
            self._pauses.begin(run)

    def _publish(self, run: Run) -> None:
        outputs = run.outputs()
        self._pace.publishing()
        try:
            with self.stages.stage("kafka"):
                self._producer.begin(Publication(outputs, run.next_offsets))
        except PublicationUnknown as error:
            self._publication_failed(error)
            return
        self.stages.counts["outputs"] += len(outputs)

    def _settle(self, wait_seconds: float | None = None) -> bool:
        """Learn how the publication under way ended; tell whether none is under way now, and all is known.

        Without a bound it is given all its time. Raises: KafkaFatal, if it does not end then.
        """
        try:
            with self.stages.stage("kafka"):
                published = (
                    self._producer.finish(self._is_due)
                    if wait_seconds is None
                    else self._producer.settle(wait_seconds, self._is_due)
                )
        except TimeoutError:
            return False
        except PublicationUnknown as error:
            self._publication_failed(error)
            return False
        for number, offset in published.items():
            self._published(number, offset)
        if published:
            self._pace.published()
            self._batch_retry.succeeded()
        return True

    def _is_due(self, number: int) -> bool:
        """Tell whether what was applied of this partition is to be published by this worker, as things are now.

        One that was lost or is being taken has its outputs published from the journal. It can't have come as far as
        this again, since nothing is taken while a publication is under way.
        """
        partition = self._partitions.get(number)
        return partition is not None and partition.state in APPLIED

    def _published(self, number: int, offset: int) -> None:
        partition = self._partitions.get(number)
        if partition is None:
            return
        partition.turn(Turn.PUBLISHED)
        if partition.state in READ:
            partition.published_offset = offset
