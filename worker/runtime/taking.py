"""Taking a partition: find out what is applied and what is published, and go on from there.

One procedure for assignment, for a database that came back, and for a publication whose fate is unknown.
The decision itself is a pure function of what both sides say once neither can change any more.
"""

from dataclasses import dataclass
from enum import StrEnum

import structlog

from worker.core.records import Output
from worker.ports import Claim, Consumer, Database, Position, Publisher

_LOG = structlog.get_logger("worker.taking")


class RefusalReason(StrEnum):
    """Say why a partition can't be gone on with."""

    DATABASE_EMPTY = "DATABASE_EMPTY"
    DATABASE_BEHIND = "DATABASE_BEHIND"
    TOPIC_REPLACED = "TOPIC_REPLACED"
    RECORDS_EXPIRED = "RECORDS_EXPIRED"


@dataclass(frozen=True, slots=True)
class GoOn:
    """Read on at this offset; everything below is applied and published."""

    offset: int


@dataclass(frozen=True, slots=True)
class Republish:
    """Publish the journal's outputs of [start, end) first, then read on at `end`.

    `loud` says that an offset Kafka should know was not there, so that outputs may be published twice.
    """

    start: int
    end: int
    loud: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The position can't be trusted; `text` says what was found and what to do."""

    reason: RefusalReason
    text: str


Decision = GoOn | Republish | Refused


@dataclass(frozen=True, slots=True)
class Kafka:
    """What Kafka says of a partition: the stable committed offset, the first offset, the topic's identity."""

    committed: int | None
    first_offset: int
    topic_id: str


def decide_beginning(partition: int, kafka: Kafka) -> GoOn | Refused:
    """Decide about a partition that has no position row."""
    if kafka.committed is None:
        return GoOn(kafka.first_offset)
    return Refused(
        RefusalReason.DATABASE_EMPTY,
        f"partition {partition}: the group has committed offset {kafka.committed}, but the database knows nothing of "
        "the partition. Point WORKER_DATABASE_URL at the database that served this group; or, to start over without "
        "the instances it held, stop all workers and delete the group's offsets with "
        "`kafka-consumer-groups.sh --delete-offsets`",
    )


def decide(row: Position, kafka: Kafka) -> Decision:
    """Decide how to go on with a partition, once its last owner can change neither side."""
    partition, applied, published, committed = row.partition, row.next_offset, row.published_offset, kafka.committed
    if row.topic_id != kafka.topic_id:
        return Refused(
            RefusalReason.TOPIC_REPLACED,
            f"partition {partition}: the input topic has been made anew (id {kafka.topic_id}, the database was at "
            f"{row.topic_id}), so offset {applied} names other records. Point WORKER_DATABASE_URL at a new database, "
            "or set WORKER_TOPIC_PREFIX to the topics that this database serves",
        )
    if applied < kafka.first_offset:
        return Refused(
            RefusalReason.RECORDS_EXPIRED,
            f"partition {partition}: records [{applied}, {kafka.first_offset}) were deleted from the topic before they "
            "were read. Raise the topic's retention; to go on without them, stop all workers and run "
            f"`UPDATE positions SET next_offset = {kafka.first_offset}, published_offset = {kafka.first_offset} "
            f"WHERE partition = {partition}`",
        )
    if committed is not None and committed > applied:
        return Refused(
            RefusalReason.DATABASE_BEHIND,
            f"partition {partition}: Kafka has published up to {committed}, the database is at {applied}: it was "
            "restored from a backup, or a failover lost commits. Bring the database forward; running the difference "
            "again is not built yet",
        )
    if applied == published or committed == applied:
        return GoOn(applied)
    known = published if committed is None or committed < published else committed
    return Republish(known, applied, loud=committed is None or committed < published)


@dataclass(frozen=True, slots=True)
class Taker:
    """Take partitions for one worker. Blocks while a dead owner's transaction is ended, some seconds at most."""

    database: Database
    consumer: Consumer
    publisher: Publisher
    claim: Claim

    def take(self, partition: int) -> GoOn | Refused:
        """Take a partition: fence its last owner, publish what that left, and say where to go on.

        Raises: DatabaseUnavailable, KafkaUnavailable, PositionMoved, PublicationUnknown; then it is not taken.
        """
        row = self.database.position(partition)
        if row is None:
            return self._begin(partition)
        if row.owner not in (None, self.claim.owner):
            assert row.transactional_id is not None
            _LOG.info("fencing", partition=partition, transactional_id=row.transactional_id)
            self.publisher.fence(row.transactional_id)
        row = self.database.claim(partition, row, self.claim)
        decision = decide(row, self._kafka(partition))
        if isinstance(decision, Republish):
            self._republish(partition, decision)
            return GoOn(decision.end)
        return decision

    def _begin(self, partition: int) -> GoOn | Refused:
        kafka = self._kafka(partition)
        decision = decide_beginning(partition, kafka)
        if isinstance(decision, GoOn):
            self.database.insert_position(
                Position(
                    partition,
                    kafka.topic_id,
                    decision.offset,
                    decision.offset,
                    self.claim.owner,
                    self.claim.transactional_id,
                )
            )
        return decision

    def _republish(self, partition: int, decision: Republish) -> None:
        unpublished = self.database.unpublished(partition, decision.start, decision.end)
        outputs: list[Output] = [output for one in unpublished for output in one.outputs]
        log = _LOG.warning if decision.loud else _LOG.info
        log("publishing_from_journal", partition=partition, start=decision.start, end=decision.end, outputs=len(outputs))
        self.publisher.publish(outputs, {partition: decision.end})

    def _kafka(self, partition: int) -> Kafka:
        return Kafka(
            committed=self.consumer.committed(partition),
            first_offset=self.consumer.first_offset(partition),
            topic_id=self.consumer.topic_id(),
        )
