"""Taking a partition: find out what is applied and what is published, and go on from there.

One procedure for assignment, for a database that came back, and for a publication whose fate is unknown.
The decision itself is a pure function of what both sides say once neither can change any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from worker.core.records import Output
from worker.ports import Claim, Consumer, Database, KafkaUnavailable, Position, Publisher, Standing
from worker.runtime.outlet import Outlet

DOUBTS_MAX = 3
"""How often Kafka is asked again when its committed offset contradicts what is known to be published."""

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


def decide_beginning(partition: int, kafka: Standing) -> GoOn | Refused:
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


def decide(row: Position, kafka: Standing) -> Decision:
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
            "were read. Raise the topic's retention; to go on without them, stop all workers and set next_offset and "
            f"published_offset to {kafka.first_offset} in the table positions where partition = {partition}",
        )
    if committed is not None and committed > applied:
        return Refused(
            RefusalReason.DATABASE_BEHIND,
            f"partition {partition}: Kafka has published up to {committed}, the database is at {applied}: it was "
            "restored from a backup, or a failover lost commits. Bring the database forward; running the difference "
            "again is not built yet",
        )
    if applied in (published, committed):
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
    doubts: Counter[int] = field(default_factory=Counter)

    def take(self, partitions: Sequence[int], outlet: Outlet) -> Mapping[int, GoOn | Refused]:
        """Take partitions: fence their last owners, publish what those left, and say where to go on.

        Raises: DatabaseUnavailable, KafkaUnavailable, PositionMoved, PublicationUnknown; then none is taken.
        """
        found = self.database.positions(partitions)
        self._fence(found.values())
        if found:
            self.database.claim(list(found.values()), self.claim)
        # Only now are both sides final: nobody else can change the rows, or commit offsets for their records.
        standings = self.consumer.standings(partitions)
        decisions = {
            partition: _decide(partition, found.get(partition), standings[partition]) for partition in partitions
        }
        self._doubt(decisions, standings)
        self._begin({number: standings[number] for number, one in decisions.items() if number not in found}, decisions)
        self._republish({number: one for number, one in decisions.items() if isinstance(one, Republish)}, outlet)
        return {number: GoOn(one.end) if isinstance(one, Republish) else one for number, one in decisions.items()}

    def _doubt(self, decisions: Mapping[int, Decision], standings: Mapping[int, Standing]) -> None:
        """Ask again before outputs are published twice: a coordinator that just came back may not know all yet.

        Raises: KafkaUnavailable, at most DOUBTS_MAX times in a row for a partition.
        """
        doubtful = [
            partition
            for partition, decision in decisions.items()
            if _contradicts(decision, standings[partition]) and self.doubts[partition] < DOUBTS_MAX
        ]
        if doubtful:
            # All are asked about together, so that many partitions cost no more tries than one.
            self.doubts.update(doubtful)
            offsets = ", ".join(f"{partition}: {standings[partition].committed}" for partition in doubtful)
            raise KafkaUnavailable(
                f"the group's committed offsets are below what is known to be published ({offsets}); asking again"
            )
        for partition in decisions:
            self.doubts.pop(partition, None)

    def _fence(self, found: Iterable[Position]) -> None:
        """End what the last owners may still have open, unless they gave the partition back."""
        others = {one.transactional_id for one in found if one.owner not in (None, self.claim.owner)}
        for transactional_id in sorted(filter(None, others)):
            _LOG.info("fencing", transactional_id=transactional_id)
            self.publisher.fence(transactional_id)

    def _begin(self, standings: Mapping[int, Standing], decisions: Mapping[int, Decision]) -> None:
        owner, transactional_id = self.claim.owner, self.claim.transactional_id
        begun = [
            Position(partition, standing.topic_id, decision.offset, decision.offset, owner, transactional_id)
            for partition, standing in standings.items()
            if isinstance(decision := decisions[partition], GoOn)
        ]
        if begun:
            self.database.insert_positions(begun)

    def _republish(self, decisions: Mapping[int, Republish], outlet: Outlet) -> None:
        if not decisions:
            return
        outputs: list[Output] = []
        for partition, decision in decisions.items():
            unpublished = self.database.unpublished(partition, decision.start, decision.end)
            outputs += [output for one in unpublished for output in outlet.publishable(one)]
            log = _LOG.warning if decision.loud else _LOG.info
            log("publishing_from_journal", partition=partition, start=decision.start, end=decision.end)
        self.publisher.publish(outputs, {partition: decision.end for partition, decision in decisions.items()})


def _contradicts(decision: Decision, kafka: Standing) -> bool:
    """Tell whether Kafka should know an offset and does not."""
    return isinstance(decision, Republish) and decision.loud and decision.start > kafka.first_offset


def _decide(partition: int, row: Position | None, standing: Standing) -> Decision:
    return decide_beginning(partition, standing) if row is None else decide(row, standing)
