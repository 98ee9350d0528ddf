"""PostgreSQL, as far as the runtime sees it: rows, locks held until a transaction ends, sessions that end."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.simulation.servers.faults import Busy
from worker.core.digests import lock_key
from worker.core.instances import Instance
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.ports import (
    BatchRefused,
    BatchTooLarge,
    Claim,
    DatabaseRefused,
    DatabaseUnavailable,
    JournalRow,
    Position,
    PositionMoved,
    RevisionMismatch,
    Seen,
    Unpublished,
    Wanted,
    Writes,
)

Lock = tuple[str, object]
Place = tuple[int, int]
"""Partition and offset."""


@dataclass(eq=False, slots=True)
class Session:
    """One connection, as the server has it: its transaction's locks, and what it wrote and has not committed."""

    owner: str
    in_transaction: bool = False
    locks: list[Lock] = field(default_factory=list)
    written: Writes | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Backup:
    """Everything that a database held at one moment."""

    positions: Mapping[int, Position]
    instances: Mapping[bytes, Instance]
    journal: Mapping[Place, JournalRow]


@dataclass
class SimPostgres:
    """The server. What it holds may be read by a test at any time; it is what is committed.

    `refuses` says why PostgreSQL won't take a row of the journal, `locks_max` bounds a batch's subjects.
    """

    positions: dict[int, Position] = field(default_factory=dict)
    instances: dict[bytes, Instance] = field(default_factory=dict)
    journal: dict[Place, JournalRow] = field(default_factory=dict)
    refuses: Callable[[JournalRow], str | None] = lambda _: None
    locks_max: int = 10_000
    is_available: bool = True
    sessions: list[Session] = field(default_factory=list)
    _held: dict[Lock, Session] = field(default_factory=dict)
    _consumed: defaultdict[int, list[JournalRow]] = field(default_factory=lambda: defaultdict(list))
    _registered: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    _registrations: dict[str, int] = field(default_factory=dict)

    # Sessions

    def attend(self, session: Session) -> None:
        """See that a session is there; a new one begins. Raises: DatabaseUnavailable."""
        if not self.is_available or session.ended:
            self.end(session)
            raise DatabaseUnavailable("the server closed the connection, or there is none")
        if session not in self.sessions:
            self.sessions.append(session)

    def end(self, session: Session) -> None:
        """End a session, and with it what it had open."""
        self.roll_back(session)
        session.ended = True
        if session in self.sessions:
            self.sessions.remove(session)

    def terminate(self, owners: Iterable[str], asker: Session) -> None:
        """End the sessions of these application names, but for the asker's."""
        names = set(owners)
        for session in [one for one in self.sessions if one.owner in names and one is not asker]:
            self.end(session)

    def crash(self) -> None:
        """End every session; what is committed stays."""
        for session in list(self.sessions):
            self.end(session)

    def backup(self) -> Backup:
        """Keep what is committed now."""
        return Backup(dict(self.positions), dict(self.instances), dict(self.journal))

    def restore(self, backup: Backup) -> None:
        """Be again as at the backup; no session survives that."""
        self.crash()
        self.positions = dict(backup.positions)
        self.instances = dict(backup.instances)
        self.journal = dict(backup.journal)
        self._consumed.clear()
        self._index(self.journal.values())

    # Transactions

    def begin(self, session: Session) -> None:
        session.in_transaction = True

    def roll_back(self, session: Session) -> None:
        """Drop an open transaction, if there is one."""
        for lock in session.locks:
            del self._held[lock]
        session.locks.clear()
        session.written = None
        session.in_transaction = False

    def commit(self, session: Session) -> None:
        """Make what the transaction wrote everybody's, and give its locks back."""
        written = session.written
        if written is not None:
            self.instances |= dict(written.created)
            self.instances |= {digest: instance for digest, instance, _ in written.changed}
            self.journal |= {_place(row): row for row in written.journal}
            self._index(written.journal)
            for partition, next_offset in written.next_offsets.items():
                self._move(partition, next_offset, written.published_offsets[partition])
        self.roll_back(session)

    def _acquire(self, session: Session, lock: Lock, resort: Callable[[], None] | None = None) -> None:
        holder = self._held.setdefault(lock, session)
        if holder is not session:
            raise Busy(DatabaseUnavailable(f"lock timeout: {lock[0]} {lock[1]!r}"), resort)
        if lock not in session.locks:
            session.locks.append(lock)

    def _is_held_by_another(self, session: Session, lock: Lock) -> bool:
        return self._held.get(lock, session) is not session

    # Positions, each call a transaction

    def read_positions(self, partitions: Sequence[int]) -> dict[int, Position]:
        return {one: self.positions[one] for one in partitions if one in self.positions}

    def insert_positions(self, positions: Sequence[Position]) -> None:
        if any(one.partition in self.positions for one in positions):
            raise PositionMoved("another worker began one of these partitions")
        self.positions |= {one.partition: one for one in positions}

    def claim(self, session: Session, found: Sequence[Position], claim: Claim) -> None:
        owners = [one.owner for one in found if one.owner is not None]
        self._lock_rows(session, [one.partition for one in found], lambda: self.terminate(owners, session))
        if any(self.positions.get(one.partition) != one for one in found):
            raise PositionMoved("a position row changed while it was taken")
        for one in found:
            died = one.owner not in (None, claim.owner)
            self.positions[one.partition] = replace(
                one,
                owner=claim.owner,
                transactional_id=claim.transactional_id,
                deaths=one.deaths + died,
                claims=one.claims + 1,
            )

    def release(self, session: Session, owner: str, published_offsets: Mapping[int, int]) -> None:
        ours = [one for one in published_offsets if one in self.positions and self.positions[one].owner == owner]
        self._lock_rows(session, ours)
        for partition in ours:
            row = self.positions[partition]
            published = max(row.published_offset, published_offsets[partition])
            self.positions[partition] = replace(row, owner=None, transactional_id=None, published_offset=published)

    def note_attempt(self, session: Session, owner: str, place: Place) -> int:
        partition, offset = place
        self._lock_rows(session, [partition])
        row = self.positions.get(partition)
        if row is None or (row.owner, row.next_offset) != (owner, offset):
            raise PositionMoved(f"partition {partition} is not as this worker left it at {offset}")
        self.positions[partition] = replace(row, attempts=row.attempts + 1)
        return row.attempts

    def unpublished(self, partition: int, start: int, end: int) -> list[Unpublished]:
        places = sorted(place for place in self.journal if place[0] == partition and start <= place[1] < end)
        rows = [(offset, self.journal[partition, offset].outputs) for _, offset in places]
        return [Unpublished(partition, offset, outputs) for offset, outputs in rows if outputs]

    def _lock_rows(self, session: Session, partitions: Sequence[int], resort: Callable[[], None] | None = None) -> None:
        """Wait for rows that others have locked; the call's own locks end with it, which is at once."""
        for partition in sorted(partitions):
            if self._is_held_by_another(session, ("position", partition)):
                raise Busy(DatabaseUnavailable(f"lock timeout: the position row of partition {partition}"), resort)

    # Batches

    def lock(self, session: Session, owner: str, wanted: Wanted) -> list[Seen]:
        """Begin a batch. May be called again while it waits: it keeps the locks that it has."""
        self.begin(session)
        for partition in sorted(wanted.next_offsets):
            self._acquire(session, ("position", partition))
        self.check_positions(owner, wanted.next_offsets)
        if len(wanted.digests) > self.locks_max:
            raise BatchTooLarge(f"out of shared memory: {len(wanted.digests)} locks")
        self.lock_subjects(session, wanted.digests)
        return self.seen(wanted.event_keys)

    def check_positions(self, owner: str, next_offsets: Mapping[int, int]) -> None:
        for partition, next_offset in next_offsets.items():
            row = self.positions.get(partition)
            if row is None or (row.next_offset, row.owner) != (next_offset, owner):
                raise PositionMoved(f"the position row of partition {partition} is not as this worker left it: {row}")

    def lock_subjects(self, session: Session, digests: Sequence[bytes]) -> None:
        for key in sorted({lock_key(digest) for digest in digests}):
            self._acquire(session, ("subject", key))

    def seen(self, event_keys: Sequence[int]) -> list[Seen]:
        return [_seen(row) for key in event_keys for row in self._consumed.get(key, ())]

    def read(self, digests: Sequence[bytes]) -> dict[bytes, Instance]:
        return {one: _stored(self.instances[one]) for one in digests if one in self.instances}

    def write(self, session: Session, writes: Writes) -> None:
        """Write what `commit` makes everybody's. May be called again while it waits."""
        for digest in sorted([one[0] for one in writes.created] + [one[0] for one in writes.changed]):
            self._acquire(session, ("instance", digest))
        self._check_revisions(writes)
        self._check_journal(writes.journal)
        session.written = writes

    def _check_revisions(self, writes: Writes) -> None:
        if any(digest in self.instances for digest, _ in writes.created):
            raise RevisionMismatch("an instance is there already")
        for digest, _, revision in writes.changed:
            if digest not in self.instances or self.instances[digest].revision != revision:
                raise RevisionMismatch("an instance changed")

    def _check_journal(self, rows: Sequence[JournalRow]) -> None:
        places = [_place(row) for row in rows]
        if len(set(places)) != len(places) or not self.journal.keys().isdisjoint(places):
            raise DatabaseRefused("duplicate key value violates unique constraint of the journal")
        for row in rows:
            refusal = self.refuses(row)
            if refusal is not None:
                raise BatchRefused(refusal)

    def _move(self, partition: int, next_offset: int, published_offset: int) -> None:
        row = self.positions[partition]
        moved = next_offset != row.next_offset
        self.positions[partition] = replace(
            row,
            next_offset=next_offset,
            published_offset=max(row.published_offset, published_offset),
            deaths=0 if moved else row.deaths,
            attempts=0 if moved else row.attempts,
        )

    def _index(self, rows: Iterable[JournalRow]) -> None:
        for row in rows:
            if row.consumed:
                assert row.event_key is not None
                self._consumed[row.event_key].append(row)

    # Definitions

    def register(self, owner: str, definitions: Iterable[tuple[str, str]]) -> None:
        """Have a worker bring machines, by source and version."""
        self._registrations[owner] = len(self._registrations)
        for one in definitions:
            self._registered[one] = (self._registrations[owner], owner)

    def is_coming(self, owner: str, source: str, version: str) -> bool:
        """Tell whether another worker brought this version after `owner` brought its own."""
        registered = self._registered.get((source, version))
        return registered is not None and registered[1] != owner and registered[0] > self._registrations.get(owner, -1)


def _place(row: JournalRow) -> Place:
    return row.record.partition, row.record.offset


def _stored(instance: Instance) -> Instance:
    return replace(instance, snapshot=decode_snapshot(encode_snapshot(instance.snapshot)))


def _seen(row: JournalRow) -> Seen:
    assert row.subject_digest is not None
    assert row.event_source is not None
    assert row.event_id is not None
    assert row.content_digest is not None
    return Seen(row.subject_digest, row.event_source, row.event_id, row.content_digest)
