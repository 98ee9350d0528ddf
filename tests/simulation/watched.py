"""The servers, watched: what must hold at every moment is looked at whenever something changes for good."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.simulation.scheduler import Scheduler
from tests.simulation.servers.group import SimMembership
from tests.simulation.servers.kafka import OFFSETS, Place, ProducerState, SimKafka, Transaction
from tests.simulation.servers.postgres import Backup, Session, SimPostgres
from worker.core.outcomes import DeadLetterReason
from worker.core.records import Output
from worker.ports import Claim, JournalRow, Position

Note = Callable[[str, str, Mapping[int, int]], None]
"""What a server writes down: what it did, for whom, and the offsets by partition."""


class Violation(AssertionError):
    """Something that must hold does not; `partition` and `offset` say where, if it is one place."""

    def __init__(self, text: str, partition: int | None = None, offset: int | None = None) -> None:
        super().__init__(text)
        self.partition = partition
        self.offset = offset


@dataclass
class WatchedPostgres(SimPostgres):
    """A database that knows what it ever held: a restored one has forgotten some of it."""

    restores: int = 0
    ever: set[Output] = field(default_factory=set)
    note: Note = lambda *_: None
    order: dict[tuple[int, int], int] = field(default_factory=dict)
    """When each record was committed: the how-manieth commit it was."""

    commits: int = 0
    fences: Counter[str] = field(default_factory=Counter)
    """How often each producer was fenced by another, as the brokers know."""

    _fences_before: dict[int, int] = field(default_factory=dict)

    def commit(self, session: Session) -> None:
        written = session.written
        before = dict(self.positions)
        super().commit(session)
        if written is None:
            return
        self.commits += 1
        self.note("committed", session.owner, written.next_offsets)
        self.order |= {(row.record.partition, row.record.offset): self.commits for row in written.journal}
        self.ever.update(output for row in written.journal for output in row.outputs)
        for partition, next_offset in written.next_offsets.items():
            self._check_owner(partition, before[partition].owner, session.owner)
            self._check_move(partition, before[partition].next_offset, next_offset, written.journal)

    def claim(self, session: Session, found: Sequence[Position], claim: Claim) -> None:
        super().claim(session, found, claim)
        for one in found:
            self._check_fence(one, claim)
        self.note("claimed", claim.owner, {one.partition: one.next_offset for one in found})

    def end(self, session: Session) -> None:
        if session.in_transaction:
            self.note("rolled back, the session ended", session.owner, {})
        super().end(session)

    def _check_fence(self, found: Position, claim: Claim) -> None:
        """See that a dead owner's producer was fenced since that owner took the partition, or took it again."""
        fences = self.fences[found.transactional_id or ""]
        if found.owner not in (None, claim.owner) and not fences > self._fences_before.get(found.partition, -1):
            raise Violation(
                f"partition {found.partition} is taken from {found.owner}, who is not fenced", found.partition
            )
        self._fences_before[found.partition] = self.fences[claim.transactional_id]

    def _check_owner(self, partition: int, owner: str | None, mover: str) -> None:
        if owner != mover:
            raise Violation(f"partition {partition} is {owner}'s, and {mover} moved it", partition)

    def release(self, session: Session, owner: str, published_offsets: Mapping[int, int]) -> None:
        super().release(session, owner, published_offsets)
        for partition in published_offsets:
            row = self.positions.get(partition)
            if row is not None and row.owner is None and row.published_offset != row.next_offset and not self.restores:
                raise Violation(f"partition {partition} is given back with outputs unpublished: {row}", partition)
        self.note("released", owner, published_offsets)

    def insert_positions(self, positions: Sequence[Position]) -> None:
        super().insert_positions(positions)
        self._fences_before |= {one.partition: self.fences[one.transactional_id or ""] for one in positions}

    def restore(self, backup: Backup) -> None:
        super().restore(backup)
        # The owners of then may have been fenced long ago.
        self._fences_before.clear()
        self.restores += 1
        self.note("restored", "", {number: row.next_offset for number, row in self.positions.items()})

    def _check_move(self, partition: int, before: int, after: int, journal: Sequence[JournalRow]) -> None:
        offsets = [row.record.offset for row in journal if row.record.partition == partition]
        if not before < after or offsets != sorted(offsets) or not offsets or offsets[0] < before:
            raise Violation(f"partition {partition} moved from {before} to {after} with records {offsets}", partition)


@dataclass
class WatchedKafka(SimKafka):
    """Brokers that end transactions that nobody ends, and show nothing that the database does not know."""

    scheduler: Scheduler = field(default_factory=Scheduler)
    postgres: WatchedPostgres = field(default_factory=WatchedPostgres)
    transaction_seconds_max: float = 60.0
    note: Note = lambda *_: None

    def _ongoing(self, transactional_id: str, epoch: int) -> Transaction:
        began = self.producers[transactional_id].transaction is None
        transaction = super()._ongoing(transactional_id, epoch)
        if began:
            self.scheduler.after(
                self.transaction_seconds_max, lambda: self._end_forgotten(transactional_id, transaction)
            )
        return transaction

    def known_published(self, partition: int) -> int:
        """Give the offset below which everything is known to be published, by Kafka's word or by PostgreSQL's."""
        row = self.postgres.positions.get(partition)
        return max(self.committed.get(partition, 0), row.published_offset if row else 0)

    def init_transactions(self, transactional_id: str) -> int:
        epoch = super().init_transactions(transactional_id)
        self.note(f"epoch {epoch}", transactional_id, {})
        return epoch

    def add_offsets(
        self, transactional_id: str, epoch: int, next_offsets: Mapping[int, int], membership: SimMembership
    ) -> None:
        super().add_offsets(transactional_id, epoch, next_offsets, membership)
        self.note("offsets pending", transactional_id, next_offsets)
        for partition in next_offsets:
            owner = self.group.owners.get(partition)
            if owner is not None and owner.id != membership.member_id:
                raise Violation(
                    f"partition {partition} is {owner.id}'s, and its offset is taken from {membership.member_id!r}",
                    partition,
                )

    def _decide(self, producer: ProducerState, *, result: bool) -> None:
        (transactional_id,) = [name for name, one in self.producers.items() if one is producer]
        assert producer.transaction is not None
        if result:
            self._check_commit(transactional_id, producer.transaction)
        self.note("commit" if result else "abort", transactional_id, producer.transaction.next_offsets)
        super()._decide(producer, result=result)

    def _end_forgotten(self, transactional_id: str, transaction: Transaction) -> None:
        if self.producers[transactional_id].transaction is transaction:
            self.time_out(transactional_id)

    def _mark(self, producer: ProducerState, transaction: Transaction, place: Place) -> None:
        if transaction.result and place == OFFSETS:
            self._check_offsets(transaction.next_offsets)
            self.note("offsets committed", "", transaction.next_offsets)
        elif transaction.result:
            for entry in transaction.entries:
                known = entry.output in self.postgres.ever or refused(entry.output) is not None
                if (entry.topic, entry.partition) == place and not known:
                    raise Violation(f"an output of topic {entry.topic} is shown that the journal does not have")
        super()._mark(producer, transaction, place)

    def _check_commit(self, transactional_id: str, transaction: Transaction) -> None:
        if transaction.entries and not transaction.next_offsets:
            raise Violation(f"{transactional_id} commits {len(transaction.entries)} outputs without offsets")
        for partition in transaction.next_offsets:
            row = self.postgres.positions.get(partition)
            holder = row.transactional_id if row else None
            if holder not in (None, transactional_id) and not self.postgres.restores:
                raise Violation(
                    f"partition {partition}: {transactional_id} commits after {holder} took it over", partition
                )

    def _check_offsets(self, next_offsets: Mapping[int, int]) -> None:
        for partition, offset in next_offsets.items():
            row = self.postgres.positions.get(partition)
            applied = row.next_offset if row else 0
            if offset > applied and not self.postgres.restores:
                raise Violation(f"partition {partition}: offset {offset} is committed, {applied} applied", partition)
            if offset < self.committed.get(partition, 0) and not self.postgres.restores:
                raise Violation(
                    f"partition {partition}: offset {offset} is committed after {self.committed[partition]}", partition
                )


def refused(output: Output) -> tuple[str, bytes | None, bytes | None] | None:
    """Say of a dead letter which output it stands for, if one that its topic refused: topic, key and value."""
    headers = dict(output.headers)
    if headers.get("dlq-reason") != DeadLetterReason.OUTPUT_REFUSED.encode():
        return None
    return (headers["dlq-topic"] or b"").decode(), output.key, output.value
