"""What the runtime asks of Kafka, PostgreSQL and the machine it runs on.

Each method is one call to one server, or none: a failure can come before it, after it, and nowhere else. All calls
block on the calling thread and have a bound in time. The loop's thread makes them all, but `Publisher.send_offsets`,
`Publisher.abort`, `Publisher.commit` and `Publisher.fence`, which it hands to `Background`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from worker.core.instances import Instance
from worker.core.outcomes import Outcome
from worker.core.progress import Progress
from worker.core.records import Output, Record
from worker.core.step import StepRequest
from worker.core.traces import TraceHeaders


@dataclass(frozen=True, slots=True)
class Position:
    """One partition's row: everything below `next_offset` is applied, below `published_offset` published.

    `deaths` counts the owners that ended without release since `next_offset` moved, and `attempts` how often the
    record at it was run on its own. `claims` counts how often the partition was taken, so that no two claims leave the
    row the same.
    """

    partition: int
    topic_id: str
    next_offset: int
    published_offset: int
    owner: str | None
    transactional_id: str | None
    deaths: int = 0
    attempts: int = 0
    claims: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who takes partitions: the process's random token and its producer's transactional id."""

    owner: str
    transactional_id: str


class JournalRow(NamedTuple):
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
    """What a batch locks, and the events that it looks up: consumed ones by key, under the digests' locks."""

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


@dataclass(frozen=True, slots=True)
class Upkept:
    """What one call of the upkeep came to.

    `changes` counts what was made, dropped, removed or archived; nothing, if it was another worker's to do. `kept` are
    days of the journal past their time that hold what is not published, or were in use. `seconds` is the time that it
    took, if it was done; `idle_seconds` is how long ago the last one ended, whoever did it, if one ever did.
    """

    changes: Mapping[str, int] = field(default_factory=dict)
    kept: Sequence[str] = ()
    seconds: float | None = None
    idle_seconds: float | None = None


class DatabaseUnavailable(Exception):
    """The database can't be reached, timed out, or asked to try again; nothing of the call is known to be done."""


class DatabaseRefused(Exception):
    """PostgreSQL refused a statement for what it says: the schema or a right is missing, and no record is to blame."""


class BatchRefused(Exception):
    """PostgreSQL refused what a batch holds; a part of it may do. Nothing of the batch is done."""


class BatchTooLarge(Exception):
    """A batch takes more locks, memory or time than PostgreSQL gives; a smaller one may do. Nothing of it is done."""


class PositionMoved(Exception):
    """A position row isn't as this worker left it: another one took the partition."""


class RevisionMismatch(Exception):
    """An instance changed under its lock: an alarm, since that must not happen."""


class Positions(Protocol):
    """Keep who owns which partition, and how far each has come; each call is a transaction of its own."""

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

        A row whose owner is another's gets one death more. Raises: DatabaseUnavailable, PositionMoved.
        """
        ...

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        """Give rows of this owner back, with what is published. Raises: DatabaseUnavailable."""
        ...

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        """Read the outputs of [start, end) in offset order, at most two batches. Raises: DatabaseUnavailable."""
        ...

    def note_attempt(self, owner: str, partition: int, offset: int) -> int:
        """Note that the record at `offset`, the row's next, is run on its own now; give how often it was before.

        Raises: DatabaseUnavailable, PositionMoved.
        """
        ...


class Database(Protocol):
    """One batch's transaction. Whatever is raised, it is rolled back, but for `commit`, whose fate is unknown then."""

    def lock(self, owner: str, wanted: Wanted) -> Sequence[Seen]:
        """Open the transaction, check its positions, take its locks, and look its events up in the journal.

        Raises: DatabaseUnavailable, BatchTooLarge, PositionMoved.
        """
        ...

    def read(self, digests: Sequence[bytes]) -> Mapping[bytes, Instance]:
        """Read instances by subject digest, under the locks. Raises: DatabaseUnavailable, BatchTooLarge."""
        ...

    def is_coming(self, source: str, version: str) -> bool:
        """Tell whether a worker has brought this version of a machine since this one started, or shortly before.

        Raises: DatabaseUnavailable.
        """
        ...

    def write(self, writes: Writes) -> None:
        """Write everything. Raises: DatabaseUnavailable, BatchTooLarge, BatchRefused, RevisionMismatch."""
        ...

    def commit(self) -> None:
        """COMMIT. Raises: DatabaseUnavailable; then the position rows tell whether it was done."""
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
    """A Kafka transaction did not end in a known commit. `refused` says why brokers won't ever take some outputs."""

    def __init__(self, message: str, refused: Mapping[Output, str] | None = None) -> None:
        super().__init__(message)
        self.refused = refused or {}


class MembershipRefused(Exception):
    """The brokers refused offsets, since the group has moved on from the generation that their sender knew.

    Nothing of the transaction is committed, and it is open still.
    """


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


class Membership(Protocol):
    """What proves to the brokers that a worker is a member of the group now: opaque but to the adapters."""


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
        """Read this partition from this offset. Raises: KafkaUnavailable."""
        ...

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop reading these."""
        ...

    def membership(self) -> Membership:
        """Give the proof of membership as it is now. Raises: KafkaUnavailable, if there is none."""
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
    """Publish outputs and offsets in one Kafka transaction: `send`, `send_offsets`, `commit`, in this order.

    After MembershipRefused comes `abort`. After any other failure only `replace` and `close` may be called.
    """

    def send(self, outputs: Sequence[Output]) -> None:
        """Begin a transaction and queue outputs, which go out meanwhile. Raises: PublicationUnknown."""
        ...

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        """Add the offsets to the transaction, if the membership is current.

        Raises: MembershipRefused, PublicationUnknown.
        """
        ...

    def abort(self) -> None:
        """End the transaction whose offsets were refused; once this returns nothing of it will ever be visible.

        Raises: PublicationUnknown.
        """
        ...

    def commit(self) -> None:
        """Wait until all outputs are taken, and commit. Raises: PublicationUnknown."""
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


class Pending(Protocol):
    """A call under way on another thread."""

    @property
    def is_done(self) -> bool:
        """Whether `result` would return, or raise, at once."""
        ...

    def result(self, wait_seconds: float) -> None:
        """Wait for the call to end, and raise what it raised. Raises: TimeoutError, if it is still under way."""
        ...


class Background(Protocol):
    """Make calls beside the loop."""

    def start(self, call: Callable[[], None]) -> Pending:
        """Begin a call on another thread."""
        ...


@dataclass(frozen=True, slots=True)
class LoopView:
    """How a worker stands between two turns: each assigned partition's state, and the producer's.

    `next_offsets` says how far those are applied that were read in this assignment.
    """

    partitions: Mapping[int, str]
    next_offsets: Mapping[int, int]
    producer: str


class Observer(Protocol):
    """Hear how a worker does, on its thread: calls return at once and never fail."""

    def turned(self, view: LoopView) -> None:
        """Know that the loop turned, and how it stands."""
        ...

    def failed(self, what: str, error: Exception) -> None:
        """Know that something is tried again after a back-off; `what` is one of a few names."""
        ...


class Unobserved:
    """Nobody looks on."""

    def turned(self, view: LoopView) -> None:
        """Do nothing."""

    def failed(self, what: str, error: Exception) -> None:
        """Do nothing."""


class StepTrace(Protocol):
    """The trace of one step: calls return at once and never fail."""

    @property
    def headers(self) -> TraceHeaders:
        """What the events that the step makes carry: the same whenever the record is run again."""
        ...

    def tell(self, progress: Progress) -> None:
        """Know how far the step has come."""
        ...

    def end(self, outcome: Outcome | None) -> None:
        """Know what came of it; nothing, if it is left for later."""
        ...


class StepTracer(Protocol):
    """Begin traces of steps, on the loop's thread: calls return at once and never fail."""

    def begin(self, record: Record, request: StepRequest, digest: bytes) -> StepTrace | None:
        """Begin the trace of a step, `digest` its subject's; none, if it is not to be traced."""
        ...


class Clock(Protocol):
    """Tell the time, and end a step that takes too much of it."""

    def now_ms(self) -> int:
        """Give milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""
        ...

    def limit(self, seconds: float) -> None:
        """End this process in so many seconds unless called again before; 0: never."""
        ...

    def jitter(self) -> float:
        """Give a random factor between 0.5 and 1 for the next wait, so that workers don't retry in step."""
        ...
