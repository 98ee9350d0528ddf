"""What the runtime asks of Kafka and PostgreSQL.

All calls block on the calling thread, which is the worker's one thread, and have a bound in time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.core.instances import Instance
from worker.core.records import Output, Record


@dataclass(frozen=True, slots=True)
class Position:
    """One partition's row: everything below `next_offset` is applied, below `published_offset` published."""

    partition: int
    topic_id: str
    next_offset: int
    published_offset: int
    owner: str | None
    transactional_id: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Who takes partitions: the process's random token and its producer's transactional id."""

    owner: str
    transactional_id: str


@dataclass(frozen=True, slots=True)
class JournalRow:
    """What is kept of one consumed record, whatever its outcome.

    `key` and `content_digest` are there if the record is an event; `consumed` rows are what duplicates are told by.
    `outputs` are published from here if the process dies before it could.
    """

    record: Record
    outcome: str
    now: int
    consumed: bool = False
    subject_digest: bytes | None = None
    event_key: int | None = None
    event_source: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    content_digest: bytes | None = None
    reason: str | None = None
    error_name: str | None = None
    error_message: str | None = None
    states_before: tuple[str, ...] | None = None
    states_after: tuple[str, ...] | None = None
    revision: int | None = None
    definition_hash: bytes | None = None
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a batch reads: instances by digest, consumed events by key, under the digests' locks."""

    next_offsets: Mapping[int, int]
    digests: Sequence[bytes]
    event_keys: Sequence[int]


@dataclass(frozen=True, slots=True)
class Seen:
    """One event consumed earlier, as the journal knows it."""

    subject_digest: bytes
    source: str
    id: str
    content_digest: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What a batch read: instances by subject digest, and the events with a wanted key."""

    instances: Mapping[bytes, Instance]
    seen: Sequence[Seen]


@dataclass(frozen=True, slots=True)
class Writes:
    """What a batch writes, by subject digest. The third of `changed` is the revision that the row must still have."""

    created: Sequence[tuple[bytes, Instance]]
    changed: Sequence[tuple[bytes, Instance, int]]
    journal: Sequence[JournalRow]
    next_offsets: Mapping[int, int]
    published_offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Outputs of one journalled record, in offset order."""

    partition: int
    offset: int
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What Kafka says of a partition.

    `committed` is the group's stable committed offset, `first_offset` the first that the topic still has,
    `topic_id` the topic's identity: one made anew has another.
    """

    committed: int | None
    first_offset: int
    topic_id: str


class DatabaseUnavailable(Exception):
    """The database can't be reached, timed out, or asked to try again; nothing of the call is known to be done."""


class DatabaseRefused(Exception):
    """PostgreSQL refused a statement for what it says or holds: trying again would not help."""


class PositionMoved(Exception):
    """A position row isn't as this worker left it: another one took the partition."""


class RevisionMismatch(Exception):
    """An instance changed under its lock: an alarm, since that must not happen."""


class Database(Protocol):
    """Keep positions, instances and the journal."""

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        """Read the rows that these partitions have. Raises: DatabaseUnavailable."""
        ...

    def insert_positions(self, positions: Sequence[Position]) -> None:
        """Begin all of these partitions, or none if one has a row already.

        Raises: DatabaseUnavailable, PositionMoved.
        """
        ...

    def claim(self, found: Sequence[Position], claim: Claim) -> None:
        """Put `claim` into all these rows if all are still as `found`; end a dead owner's session that holds one.

        Raises: DatabaseUnavailable, PositionMoved.
        """
        ...

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        """Give rows of this owner back, with what is published. Raises: DatabaseUnavailable."""
        ...

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        """Read the outputs of [start, end) in offset order, at most two batches. Raises: DatabaseUnavailable."""
        ...

    def begin(self, owner: str, wanted: Wanted) -> Found:
        """Open the batch's transaction, check its positions, take its locks and read, in two round trips.

        Raises: DatabaseUnavailable, PositionMoved; the transaction is rolled back then.
        """
        ...

    def commit(self, writes: Writes) -> None:
        """Write and COMMIT the open transaction, whose fate is unknown after a failure.

        Raises: DatabaseUnavailable, RevisionMismatch.
        """
        ...

    def roll_back(self) -> None:
        """Drop the open transaction, if there is one; never fails."""
        ...

    def close(self) -> None:
        """Close the connection; never fails."""
        ...


class KafkaUnavailable(Exception):
    """Kafka can't be reached or timed out; to be tried again."""


class KafkaFatal(Exception):
    """The client can't go on in this process; a restart may."""


class OffsetUnavailable(Exception):
    """The topic does not have the offset that was to be read next."""

    def __init__(self, partition: int, message: str) -> None:
        super().__init__(message)
        self.partition = partition


class PublicationUnknown(Exception):
    """A Kafka transaction did not end in a known commit."""


class Rebalances(Protocol):
    """What the consumer tells of its partitions, on the thread that polls. Lists are deltas."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """Own these from now on; they are paused until the runtime goes on at an offset."""
        ...

    def revoked(self, partitions: Sequence[int]) -> None:
        """Give these back in order; the group waits for the return."""
        ...

    def lost(self, partitions: Sequence[int]) -> None:
        """Know that these are another's already."""
        ...


class Consumer(Protocol):
    """Read the input topic as a member of the consumer group."""

    def join(self, rebalances: Rebalances) -> None:
        """Join the group; `rebalances` is told within `poll` and `close`."""
        ...

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        """Wait for a first record, then give what is there. Serves rebalances.

        Raises: KafkaUnavailable, KafkaFatal, OffsetUnavailable; no record is passed over then.
        """
        ...

    def go_on(self, partition: int, offset: int) -> None:
        """Read this partition from this offset."""
        ...

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop reading these."""
        ...

    def topic_id(self) -> str:
        """Give the identity that the topic has now. Raises: KafkaUnavailable."""
        ...

    def standings(self, partitions: Sequence[int]) -> Mapping[int, Standing]:
        """Ask Kafka how partitions stand, waiting for pending transactions to end. Raises: KafkaUnavailable."""
        ...

    def close(self) -> None:
        """Leave the group; serves revokes."""
        ...


class Publisher(Protocol):
    """Publish outputs and offsets in one Kafka transaction."""

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        """Publish all or nothing. Raises: PublicationUnknown."""
        ...

    def replace(self, batch_bytes_max: int) -> None:
        """Put a fresh producer in place under the same transactional id, which ends whatever was open.

        It sends at most so many bytes to a partition at once, or one record. Raises: KafkaUnavailable.
        """
        ...

    def fence(self, transactional_id: str) -> None:
        """End another producer's open transaction and fence it for good. Raises: KafkaUnavailable."""
        ...

    def close(self) -> None:
        """Drop the producer; never fails."""
        ...
