"""Taking a partition: find out what is applied and what is published, and go on from there.

One procedure for assignment, for a database that came back, and for a publication whose fate is unknown.
The decision itself is a pure function of what both sides say once neither can change any more.

What takes long is done beside the loop: ending a dead owner's transaction, and asking Kafka. Partitions that are not
taken go on meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

import structlog

from worker.core.records import Output
from worker.ports import (
    Background,
    Claim,
    Consumer,
    KafkaUnavailable,
    Pending,
    Position,
    Positions,
    Standing,
)
from worker.runtime.outlet import Outlet
from worker.runtime.partitions import Partition
from worker.runtime.producing import Producer, Publication

DOUBTS_MAX = 3
"""How often Kafka is asked again when its committed offset contradicts what is known to be published."""

CAREFUL_DEATHS: Final = 2
"""How many owners must have died without getting on before records are run one by one."""

_LOG = structlog.get_logger("worker.taking")


class RefusalReason(StrEnum):
    """Say why a partition can't be gone on with."""

    DATABASE_EMPTY = "DATABASE_EMPTY"
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
class RunAgain:
    """The database is behind Kafka: put Kafka's offset, `committed`, back to `offset`, and run from there again."""

    offset: int
    committed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The position can't be trusted; `text` says what was found and what to do."""

    reason: RefusalReason
    text: str


Decision = GoOn | Republish | RunAgain | Refused


def decide(number: int, row: Position | None, kafka: Standing) -> Decision:
    """Decide how to go on with a partition, once its last owner can change neither side."""
    return _decide_beginning(number, kafka) if row is None else _decide_going_on(row, kafka)


def _decide_beginning(number: int, kafka: Standing) -> GoOn | Refused:
    if kafka.committed is None:
        return GoOn(kafka.first_offset)
    return Refused(
        RefusalReason.DATABASE_EMPTY,
        f"partition {number}: the group has committed offset {kafka.committed}, but the database knows nothing of the "
        "partition. Point WORKER_DATABASE_URL at the database that served this group; or, to go on without the "
        f"instances it held, stop all workers and run `worker partitions begin --partition {number} --at committed`, "
        "or with `--at first` to run all records that the topic still has",
    )


def _decide_going_on(row: Position, kafka: Standing) -> Decision:
    number, applied, published, committed = row.partition, row.next_offset, row.published_offset, kafka.committed
    if row.topic_id != kafka.topic_id:
        return Refused(
            RefusalReason.TOPIC_REPLACED,
            f"partition {number}: the input topic has been made anew (id {kafka.topic_id}, the database was at "
            f"{row.topic_id}), so offset {applied} names other records. Set WORKER_TOPIC_PREFIX to the topics that "
            "this database serves; or, to serve the new topic with the instances there are, stop all workers and run "
            f"`worker partitions begin --partition {number} --at first`",
        )
    if applied < kafka.first_offset:
        return Refused(
            RefusalReason.RECORDS_EXPIRED,
            f"partition {number}: records [{applied}, {kafka.first_offset}) were deleted from the topic before they "
            "were read. Raise the topic's retention; to go on without them, stop all workers and run "
            f"`worker partitions begin --partition {number} --at first`",
        )
    if committed is not None and committed > applied:
        return RunAgain(applied, committed)
    if applied in (published, committed):
        return GoOn(applied)
    known = published if committed is None or committed < published else committed
    return Republish(known, applied, loud=committed is None or committed < published)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of taking a partition.

    `published_offset` is what its row says, and `is_careful` whether owners have died here without getting on.
    """

    decision: GoOn | Refused
    published_offset: int = 0
    is_careful: bool = False


@dataclass(frozen=True, slots=True)
class _Fence:
    """An owner that is being fenced, and its rows as they were read before."""

    rows: frozenset[Position]
    pending: Pending


@dataclass(slots=True)
class _Attempt:
    """Partitions that are claimed, while Kafka is asked how they stand."""

    rows: Mapping[Partition, Position | None]
    asking: Pending
    standings: dict[int, Standing]


@dataclass(slots=True)
class Taker:
    """Take partitions for one worker, in steps: `advance` does what can be done without waiting long."""

    positions: Positions
    consumer: Consumer
    producer: Producer
    background: Background
    claim: Claim
    run_again: Counter[int] = field(default_factory=Counter)
    _doubts: Counter[int] = field(default_factory=Counter)
    _fences: dict[str, _Fence] = field(default_factory=dict)
    _attempt: _Attempt | None = None

    def advance(self, due: Sequence[Partition], outlet: Outlet) -> Mapping[Partition, Taken]:
        """Go on taking these, and give those that are done with.

        Raises: DatabaseUnavailable, KafkaUnavailable, PositionMoved, PublicationUnknown; then none is taken.
        """
        if self._attempt is None:
            self._begin(due)
        if self._attempt is None or not self._attempt.asking.is_done:
            return {}
        attempt, self._attempt = self._attempt, None
        attempt.asking.result(0.0)
        # A partition that went and came back is another's meanwhile, or was: what is known of it is void.
        rows = {partition: row for partition, row in attempt.rows.items() if partition in due}
        return self._finish(rows, attempt.standings, outlet) if rows else {}

    def begin_anew(self) -> None:
        """Give up what was claimed before the producer was replaced: its claims may have been fenced with it."""
        self._attempt = None

    def _begin(self, due: Sequence[Partition]) -> None:
        """Claim what can be claimed now, and have Kafka asked about it; have the others' owners fenced."""
        rows = self.positions.positions([partition.number for partition in due])
        self._forget_failures()
        ready = {partition: row for partition in due if self._is_final(row := rows.get(partition.number))}
        self._fence([row for partition in due if partition not in ready and (row := rows.get(partition.number))])
        if not ready:
            return
        found = [row for row in ready.values() if row is not None]
        if found:
            self.positions.claim(found, self.claim)
        self._ask(ready)

    def _to_be_fenced(self, row: Position | None) -> str | None:
        """Name the last owner's producer, unless the partition was given back or is ours."""
        return None if row is None or row.owner in (None, self.claim.owner) else row.transactional_id

    def _is_final(self, row: Position | None) -> bool:
        """Tell whether nobody can change this row's partition any more but by changing the row.

        An owner is fenced for the rows that were read before. It may have put a fresh producer in place since, which it
        says by claiming its rows anew: a row that reads differently wants another fence.
        """
        owner = self._to_be_fenced(row)
        if owner is None:
            return True
        fence = self._fences.get(owner)
        return fence is not None and row in fence.rows and fence.pending.is_done

    def _forget_failures(self) -> None:
        """Drop fences that failed. Raises: KafkaUnavailable, if one did; it is tried again."""
        for owner in [owner for owner, fence in self._fences.items() if fence.pending.is_done]:
            try:
                self._fences[owner].pending.result(0.0)
            except KafkaUnavailable:
                del self._fences[owner]
                raise

    def _fence(self, rows: Sequence[Position]) -> None:
        """Begin to fence the owners of these rows, for all that they have; one that is under way is waited for."""
        publisher = self.producer.publisher
        for owner in dict.fromkeys(map(self._to_be_fenced, rows)):
            fence = None if owner is None else self._fences.get(owner)
            if owner is None or (fence is not None and not fence.pending.is_done):
                continue
            _LOG.info("fencing", transactional_id=owner)
            pending = self.background.start(partial(publisher.fence, owner))
            self._fences[owner] = _Fence(frozenset(row for row in rows if row.transactional_id == owner), pending)

    def _ask(self, rows: Mapping[Partition, Position | None]) -> None:
        # Only now are both sides final: nobody else can change the rows, or commit offsets for their records.
        numbers = [partition.number for partition in rows]
        standings: dict[int, Standing] = {}
        asking = self.background.start(lambda: standings.update(self.consumer.standings(numbers)))
        self._attempt = _Attempt(rows, asking, standings)

    def _finish(
        self, rows: Mapping[Partition, Position | None], standings: Mapping[int, Standing], outlet: Outlet
    ) -> Mapping[Partition, Taken]:
        decisions = {
            partition.number: decide(partition.number, row, standings[partition.number])
            for partition, row in rows.items()
        }
        self._doubt(decisions, standings)
        begun = {partition.number for partition, row in rows.items() if row is None}
        self._insert({number: standings[number] for number in begun}, decisions)
        self._publish(decisions, outlet)
        return {partition: self._taken(decisions[partition.number], row) for partition, row in rows.items()}

    def _taken(self, decision: Decision, row: Position | None) -> Taken:
        if row is None:
            return Taken(_settled(decision))
        deaths = row.deaths + (self._to_be_fenced(row) is not None)
        return Taken(_settled(decision), row.published_offset, deaths >= CAREFUL_DEATHS or row.attempts > 0)

    def _doubt(self, decisions: Mapping[int, Decision], standings: Mapping[int, Standing]) -> None:
        """Ask again before outputs are published twice: a coordinator that just came back may not know all yet.

        Raises: KafkaUnavailable, at most DOUBTS_MAX times in a row for a partition.
        """
        doubtful = [
            number
            for number, decision in decisions.items()
            if _contradicts(decision, standings[number]) and self._doubts[number] < DOUBTS_MAX
        ]
        if doubtful:
            # All are asked about together, so that many partitions cost no more tries than one.
            self._doubts.update(doubtful)
            offsets = ", ".join(f"{number}: {standings[number].committed}" for number in doubtful)
            raise KafkaUnavailable(
                f"the group's committed offsets are below what is known to be published ({offsets}); asking again"
            )
        for number in decisions:
            self._doubts.pop(number, None)

    def _insert(self, standings: Mapping[int, Standing], decisions: Mapping[int, Decision]) -> None:
        owner, transactional_id = self.claim.owner, self.claim.transactional_id
        begun = [
            Position(number, standing.topic_id, decision.offset, decision.offset, owner, transactional_id)
            for number, standing in standings.items()
            if isinstance(decision := decisions[number], GoOn)
        ]
        if begun:
            self.positions.insert_positions(begun)

    def _publish(self, decisions: Mapping[int, Decision], outlet: Outlet) -> None:
        """Publish what is in the journal alone, and put back the offsets that are ahead of the database."""
        next_offsets: dict[int, int] = {}
        outputs: list[tuple[int, Output]] = []
        for number, decision in decisions.items():
            match decision:
                case Republish(start=start, end=end, loud=loud):
                    unpublished = self.positions.unpublished(number, start, end)
                    outputs += [(number, output) for one in unpublished for output in outlet.publishable(one)]
                    next_offsets[number] = end
                    log = _LOG.warning if loud else _LOG.info
                    log("publishing_from_journal", partition=number, start=start, end=end)
                case RunAgain(offset=offset, committed=committed):
                    next_offsets[number] = offset
                    self.run_again[number] += 1
                    _LOG.error(
                        "database_behind",
                        partition=number,
                        database=offset,
                        kafka=committed,
                        text="the database was restored or a failover lost commits: the records from its offset on are "
                        "run again, and their outputs appear twice, with equal ids",
                    )
                case GoOn() | Refused():
                    pass
        if next_offsets:
            self.producer.publish(Publication(outputs, next_offsets))


def _contradicts(decision: Decision, kafka: Standing) -> bool:
    """Tell whether Kafka should know an offset and does not."""
    return isinstance(decision, Republish) and decision.loud and decision.start > kafka.first_offset


def _settled(decision: Decision) -> GoOn | Refused:
    """Give where to go on once everything is published."""
    match decision:
        case Republish(end=end):
            return GoOn(end)
        case RunAgain(offset=offset):
            return GoOn(offset)
        case _:
            return decision
