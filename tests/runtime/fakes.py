"""Kafka and PostgreSQL in memory, for the real loop: what the ports' docstrings promise, and every way it can fail.

`FakeKafka` and `FakeTables` are the servers; they outlive workers. `FakeDatabase`, `FakeConsumer` and `FakePublisher`
are one worker's connections to them. Nothing here waits: time is what the test makes it.

A call fails when a test planned it: before anything of it happened, or after all of it did, which a caller can't tell
apart. `Killed` is planned like any failure and stands for the death of the process at that instruction.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from worker.core.instances import Instance
from worker.core.records import Output, Record
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.ports import (
    Claim,
    Found,
    JournalRow,
    KafkaUnavailable,
    OffsetUnavailable,
    Position,
    PositionMoved,
    PublicationUnknown,
    Rebalances,
    RevisionMismatch,
    Seen,
    Standing,
    Unpublished,
    Wanted,
    Writes,
)

TOPIC_ID = "topic-1"


class Killed(BaseException):
    """The process died here."""


class FakeClock:
    """A clock that the test moves."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._begun_ms = now_ms
        self.seconds = 0.0

    def now_ms(self) -> int:
        return self._begun_ms + int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class Faults:
    """The failures that are planned, by the call's name, in order; None lets one call pass."""

    def __init__(self) -> None:
        self._planned: defaultdict[str, deque[tuple[BaseException, bool] | None]] = defaultdict(deque)
        self.calls: list[str] = []

    def plan(self, call: str, *errors: BaseException | None, happened: bool = False) -> None:
        """Fail the next calls of this name, one for each error; `happened` says that they did their work."""
        self._planned[call].extend(None if error is None else (error, happened) for error in errors)

    def clear(self) -> None:
        self._planned.clear()

    @property
    def pending(self) -> list[str]:
        return [call for call, planned in self._planned.items() if planned]

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        self.calls.append(call)
        planned = self._planned[call].popleft() if self._planned[call] else None
        if planned is not None and not planned[1]:
            raise planned[0]
        yield
        if planned is not None:
            raise planned[0]


# PostgreSQL


@dataclass
class FakeTables:
    """What PostgreSQL keeps."""

    positions: dict[int, Position] = field(default_factory=dict)
    instances: dict[bytes, Instance] = field(default_factory=dict)
    journal: dict[tuple[int, int], JournalRow] = field(default_factory=dict)


class FakeDatabase:
    """One worker's connection; a transaction's writes come to the tables together or not at all."""

    def __init__(self, tables: FakeTables, faults: Faults) -> None:
        self._tables = tables
        self._faults = faults
        self._begun: Wanted | None = None
        self.closed = False

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        with self._faults.around("positions"):
            return {one: self._tables.positions[one] for one in partitions if one in self._tables.positions}

    def insert_positions(self, positions: Sequence[Position]) -> None:
        with self._faults.around("insert_positions"):
            if any(one.partition in self._tables.positions for one in positions):
                raise PositionMoved("another worker began one of these partitions")
            self._tables.positions |= {one.partition: one for one in positions}

    def claim(self, found: Sequence[Position], claim: Claim) -> None:
        with self._faults.around("claim"):
            rows = self._tables.positions
            if any(rows[one.partition] != one for one in found):
                raise PositionMoved("a row changed")
            for one in found:
                rows[one.partition] = replace(one, owner=claim.owner, transactional_id=claim.transactional_id)

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        with self._faults.around("release"):
            for partition, published in published_offsets.items():
                row = self._tables.positions[partition]
                if row.owner == owner:
                    self._tables.positions[partition] = replace(row, owner=None, published_offset=published)

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        with self._faults.around("unpublished"):
            offsets = sorted(
                offset for number, offset in self._tables.journal if number == partition and start <= offset < end
            )
            rows = [(offset, self._tables.journal[partition, offset]) for offset in offsets]
            return [Unpublished(partition, offset, row.outputs) for offset, row in rows if row.outputs]

    def begin(self, owner: str, wanted: Wanted) -> Found:
        assert self._begun is None, "a transaction is open already"
        with self._faults.around("begin"):
            for partition, next_offset in wanted.next_offsets.items():
                row = self._tables.positions.get(partition)
                if row is None or (row.next_offset, row.owner) != (next_offset, owner):
                    raise PositionMoved(f"partition {partition} is another's")
            self._begun = wanted
            rows = self._tables.journal.values()
            return Found(
                {
                    digest: _stored(self._tables.instances[digest])
                    for digest in wanted.digests
                    if digest in self._tables.instances
                },
                [_seen(row) for row in rows if row.consumed and row.event_key in wanted.event_keys],
            )

    def commit(self, writes: Writes) -> None:
        assert self._begun is not None, "no transaction is open"
        self._begun = None
        with self._faults.around("commit"):
            self._check(writes)
            tables = self._tables
            tables.instances |= dict(writes.created)
            tables.instances |= {digest: instance for digest, instance, _ in writes.changed}
            tables.journal |= {(row.record.partition, row.record.offset): row for row in writes.journal}
            for partition, next_offset in writes.next_offsets.items():
                tables.positions[partition] = replace(
                    tables.positions[partition],
                    next_offset=next_offset,
                    published_offset=writes.published_offsets[partition],
                )

    def roll_back(self) -> None:
        self._begun = None

    def close(self) -> None:
        self.closed = True

    def _check(self, writes: Writes) -> None:
        instances = self._tables.instances
        if any(digest in instances for digest, _ in writes.created):
            raise RevisionMismatch("an instance is there already")
        if any(instances[digest].revision != revision for digest, _, revision in writes.changed):
            raise RevisionMismatch("an instance changed")
        keys = [(row.record.partition, row.record.offset) for row in writes.journal]
        assert len(set(keys)) == len(keys), "a record is journalled twice in one batch"
        assert not set(keys) & self._tables.journal.keys(), "a record is journalled already"


def _stored(instance: Instance) -> Instance:
    return replace(instance, snapshot=decode_snapshot(encode_snapshot(instance.snapshot)))


def _seen(row: JournalRow) -> Seen:
    assert row.subject_digest is not None
    assert row.event_source is not None
    assert row.event_id is not None
    assert row.content_digest is not None
    return Seen(row.subject_digest, row.event_source, row.event_id, row.content_digest)


# Kafka


@dataclass
class FakeTransaction:
    """What a producer sent and has not ended. `ending` says that its commit is under way and may still come."""

    epoch: int
    outputs: list[Output]
    next_offsets: Mapping[int, int]
    ending: bool = False


@dataclass
class FakeKafka:
    """The brokers: the input topic, the group, its offsets, transactions, and what a reader of committed data sees."""

    partitions: int = 1
    topic_id: str = TOPIC_ID
    records: dict[int, list[Record]] = field(default_factory=dict)
    first_offsets: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    visible: list[Output] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    open: dict[str, FakeTransaction] = field(default_factory=dict)
    owners: dict[int, "FakeConsumer"] = field(default_factory=dict)
    targets: dict[int, "FakeConsumer"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for partition in range(self.partitions):
            self.records.setdefault(partition, [])
            self.first_offsets.setdefault(partition, 0)

    # Topics

    def end(self, partition: int) -> int:
        records = self.records[partition]
        return records[-1].offset + 1 if records else self.first_offsets[partition]

    def expire(self, partition: int, first_offset: int) -> None:
        """Delete what is below an offset."""
        self.first_offsets[partition] = first_offset
        self.records[partition] = [one for one in self.records[partition] if one.offset >= first_offset]

    # Transactions

    def init_transactions(self, transactional_id: str) -> int:
        """Abort what is open under this id and fence who had it; give the new epoch."""
        self.open.pop(transactional_id, None)
        self.epochs[transactional_id] = self.epochs.get(transactional_id, -1) + 1
        return self.epochs[transactional_id]

    def commit(self, transactional_id: str) -> None:
        """Make an open transaction's outputs visible and its offsets committed."""
        transaction = self.open.pop(transactional_id)
        assert transaction.epoch == self.epochs[transactional_id], "a fenced producer's transaction is gone"
        self.visible += transaction.outputs
        self.committed |= transaction.next_offsets

    def is_pending(self, partition: int) -> bool:
        return any(partition in transaction.next_offsets for transaction in self.open.values())

    # The group

    def give(self, partition: int, consumer: "FakeConsumer | None") -> None:
        """Have a partition go to this consumer: its owner gives it back first, each at its own next poll."""
        if consumer is None:
            self.targets.pop(partition, None)
        else:
            self.targets[partition] = consumer

    def expel(self, consumer: "FakeConsumer") -> None:
        """Take a member for dead: its partitions are free, and it learns that when it polls again."""
        self.owners = {number: owner for number, owner in self.owners.items() if owner is not consumer}
        self.targets = {number: target for number, target in self.targets.items() if target is not consumer}
        consumer.is_member = False


class FakeConsumer:
    """One worker's membership; callbacks run within `poll` and `close`.

    Records come from the partitions in turn, so that one call mixes them.
    """

    def __init__(self, kafka: FakeKafka, clock: FakeClock, faults: Faults) -> None:
        self._kafka = kafka
        self._clock = clock
        self._faults = faults
        self._rebalances: Rebalances | None = None
        self._at: dict[int, int] = {}
        self._paused: set[int] = set()
        self.is_member = True

    def join(self, rebalances: Rebalances) -> None:
        self._rebalances = rebalances

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        assert records_max > 0
        self._serve()
        with self._faults.around("poll"):
            pass
        received: list[Record] = []
        while len(received) < records_max and (more := self._next_of_each(records_max - len(received))):
            received += more
        if not received:
            self._raise_if_out_of_range()
            self._clock.advance(wait_seconds)
        return received

    def go_on(self, partition: int, offset: int) -> None:
        assert partition in self._at, "the partition is not assigned"
        with self._faults.around("go_on"):
            self._at[partition] = offset
            self._paused.discard(partition)

    def pause(self, partitions: Sequence[int]) -> None:
        assert set(partitions) <= self._at.keys(), "a partition is not assigned"
        self._paused |= set(partitions)

    def topic_id(self) -> str:
        with self._faults.around("topic_id"):
            return self._kafka.topic_id

    def standings(self, partitions: Sequence[int]) -> Mapping[int, Standing]:
        with self._faults.around("standings"):
            if any(self._kafka.is_pending(partition) for partition in partitions):
                raise KafkaUnavailable("a transaction stayed pending")
            return {
                one: Standing(self._kafka.committed.get(one), self._kafka.first_offsets[one], self._kafka.topic_id)
                for one in partitions
            }

    def close(self) -> None:
        self._revoke(sorted(self._at))
        self._kafka.expel(self)

    @property
    def assigned(self) -> set[int]:
        return set(self._at)

    @property
    def reading(self) -> set[int]:
        return self.assigned - self._paused

    def _serve(self) -> None:
        assert self._rebalances is not None
        if not self.is_member:
            lost = sorted(self._at)
            self._forget(lost)
            self.is_member = True
            if lost:
                self._rebalances.lost(lost)
        self._revoke([one for one in sorted(self._at) if self._kafka.targets.get(one) is not self])
        fresh = [
            partition
            for partition, target in sorted(self._kafka.targets.items())
            if target is self and partition not in self._kafka.owners
        ]
        if fresh:
            self._at |= dict.fromkeys(fresh, 0)
            self._paused |= set(fresh)
            self._kafka.owners |= dict.fromkeys(fresh, self)
            self._rebalances.assigned(fresh)

    def _revoke(self, partitions: list[int]) -> None:
        if partitions and self.is_member:
            assert self._rebalances is not None
            self._rebalances.revoked(partitions)
            for partition in partitions:
                del self._kafka.owners[partition]
        self._forget(partitions)

    def _forget(self, partitions: list[int]) -> None:
        for partition in partitions:
            del self._at[partition]
        self._paused -= set(partitions)

    def _next_of_each(self, records_max: int) -> list[Record]:
        received: list[Record] = []
        for partition in sorted(self.reading):
            following = self._following(partition)
            if following is not None and len(received) < records_max:
                self._at[partition] = following.offset + 1
                received.append(following)
        return received

    def _following(self, partition: int) -> Record | None:
        at = self._at[partition]
        if at < self._kafka.first_offsets[partition]:
            return None
        return next((one for one in self._kafka.records[partition] if one.offset >= at), None)

    def _raise_if_out_of_range(self) -> None:
        for partition in sorted(self.reading):
            if self._at[partition] < self._kafka.first_offsets[partition]:
                raise OffsetUnavailable(partition, "offset out of range")


class FakePublisher:
    """One worker's producer: fenced by its epoch, and by the group if it is no member any more."""

    def __init__(self, kafka: FakeKafka, transactional_id: str, consumer: FakeConsumer, faults: Faults) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._consumer = consumer
        self._faults = faults
        self._epoch: int | None = None
        self.batch_bytes_max: int | None = None
        self.lingers = False
        """Whether a commit that failed may still come, until somebody calls `init_transactions`."""

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        id_ = self._transactional_id
        if self._epoch is None or self._epoch != self._kafka.epochs[id_]:
            raise PublicationUnknown("fenced, or no producer is in place")
        if id_ in self._kafka.open:
            raise PublicationUnknown("the last transaction has not been ended")
        transaction = FakeTransaction(self._epoch, list(outputs), dict(next_offsets))
        self._kafka.open[id_] = transaction
        if not self._consumer.is_member:
            raise PublicationUnknown("the member is unknown to the group")
        transaction.ending = self.lingers
        with self._faults.around("publish"):
            self._kafka.commit(id_)

    def replace(self, batch_bytes_max: int) -> None:
        self._epoch = None
        self.batch_bytes_max = batch_bytes_max
        with self._faults.around("replace"):
            self._epoch = self._kafka.init_transactions(self._transactional_id)

    def fence(self, transactional_id: str) -> None:
        with self._faults.around("fence"):
            self._kafka.init_transactions(transactional_id)

    def close(self) -> None:
        self._epoch = None
