"""Kafka, as far as the runtime sees it: the input topic, output topics, transactions, and one group's offsets.

A transaction's end is decided at once and told to each partition by a marker, which `markers` may write later.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from tests.simulation.servers.faults import Busy
from tests.simulation.servers.group import Group, SimMembership
from worker.core.records import Headers, Output, Record
from worker.ports import KafkaUnavailable, MembershipRefused, PublicationUnknown, Standing

TOPIC_ID = "topic-1"
OFFSETS = ("", 0)
"""Where the group's offsets are, among the places of a transaction."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(eq=False, slots=True)
class Entry:
    """One output in a partition's log. `is_committed` is None until the marker is there."""

    topic: str
    partition: int
    output: Output
    record: Record | None = None
    is_committed: bool | None = None


@dataclass(eq=False, slots=True)
class Transaction:
    """What a producer sent and has not ended; `result` is the end that was decided, `unmarked` who has not heard.

    `is_ending` says that its producer asked for the commit, which may be under way still.
    """

    epoch: int
    entries: list[Entry] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    result: bool | None = None
    is_ending: bool = False
    unmarked: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class ProducerState:
    """What the transaction coordinator knows of a transactional id."""

    epoch: int = -1
    transaction: Transaction | None = None
    last_result: bool | None = None


@dataclass
class SimKafka:
    """The brokers. `records` may be filled by a test at will: what stands there is the input topic's.

    `refused_topics` says of topics why their records are refused for good. `markers` does what it is given, now or
    later.
    """

    partitions: int = 1
    prefix: str = "orc"
    output_partitions: int = 1
    topic_id: str = TOPIC_ID
    records: dict[int, list[Record]] = field(default_factory=dict)
    first_offsets: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    producers: dict[str, ProducerState] = field(default_factory=dict)
    refused_topics: dict[str, str] = field(default_factory=dict)
    fences: Counter[str] = field(default_factory=Counter)
    """How often each id was fenced by another producer."""

    is_available: bool = True
    now_ms: Callable[[], int] = lambda: 1_700_000_000_000
    markers: Callable[[Callable[[], None]], None] = lambda write: write()
    group: Group = field(default_factory=Group)
    _log_ends: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for partition in range(self.partitions):
            self.records.setdefault(partition, [])
            self.first_offsets.setdefault(partition, 0)

    @property
    def input_topic(self) -> str:
        return f"{self.prefix}.input"

    # The input topic

    def partition_of(self, key: bytes | None, partitions: int) -> int:
        return crc32(key or b"") % partitions

    def end(self, partition: int) -> int:
        """Give the offset behind the last record that readers will see."""
        records = self.records[partition]
        return records[-1].offset + 1 if records else self.first_offsets[partition]

    def log_end(self, partition: int) -> int:
        """Give the offset that the next record gets; markers take offsets too."""
        return max(self._log_ends.get(partition, 0), self.end(partition))

    def append(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
        """Append a record of a producer outside."""
        record = Record(partition, self.log_end(partition), self.now_ms(), key, value, headers)
        self.records[partition].append(record)
        return record

    def expire(self, partition: int, first_offset: int) -> None:
        """Delete what is below an offset."""
        self.first_offsets[partition] = first_offset
        self.records[partition] = [one for one in self.records[partition] if one.offset >= first_offset]

    def stable_end(self, partition: int) -> int:
        """Give the offset that a reader of committed records does not get past now."""
        return min(
            (one.record.offset for one in self._undecided(self.input_topic, partition) if one.record is not None),
            default=self.log_end(partition),
        )

    def readable(self, partition: int, offset: int) -> list[Record]:
        """Give the committed records from an offset that the topic has."""
        if offset < self.first_offsets[partition]:
            return []
        stable_end = self.stable_end(partition)
        return [one for one in self.records[partition] if offset <= one.offset < stable_end]

    def _undecided(self, topic: str, partition: int) -> Iterable[Entry]:
        for transaction in self.open.values():
            for entry in transaction.entries:
                if (entry.topic, entry.partition) == (topic, partition) and entry.is_committed is None:
                    yield entry

    def add_partition(self) -> None:
        """Make one partition more, which the group has to share out."""
        self.records[self.partitions] = []
        self.first_offsets[self.partitions] = 0
        self.partitions += 1
        self.group.automatic = range(self.partitions)
        self.group.rebalance()

    # The group

    def give(self, partition: int, client: Hashable | None) -> None:
        """Have a partition go to this consumer: its owner gives it back first, each at its own next poll."""
        self.group.give(partition, client)

    def expel(self, client: Hashable) -> None:
        """Take a member for dead: its partitions are free, and it learns that when it polls again."""
        self.group.remove(client)

    @property
    def targets(self) -> dict[int, Hashable]:
        return self.group.targets

    @property
    def owners(self) -> dict[int, Hashable]:
        """Give the consumers that have partitions and have not given them back."""
        return {number: client for client, one in self.group.members.items() for number in one.owned}

    # What readers see

    @property
    def visible(self) -> list[Output]:
        """Give what readers of committed records see of all topics, in the order in which it was produced."""
        return [entry.output for entry in self.visible_entries]

    @property
    def visible_entries(self) -> list[Entry]:
        stopped: set[Place] = set()
        seen = []
        for entry in self.log:
            place = (entry.topic, entry.partition)
            if entry.is_committed is None:
                stopped.add(place)
            elif entry.is_committed and place not in stopped:
                seen.append(entry)
        return seen

    # Transactions

    @property
    def open(self) -> dict[str, Transaction]:
        """Give the transactions that have not ended everywhere, by transactional id."""
        return {name: one.transaction for name, one in self.producers.items() if one.transaction is not None}

    def init_transactions(self, transactional_id: str) -> int:
        """Abort what is open under this id and fence who had it; give the new epoch."""
        producer = self.producers.setdefault(transactional_id, ProducerState())
        if producer.transaction is not None and producer.transaction.result is None:
            producer.epoch += 1
            self._decide(producer, result=False)
        if producer.transaction is not None:
            raise Busy(KafkaUnavailable("CONCURRENT_TRANSACTIONS: the last transaction has not ended everywhere"))
        producer.epoch += 1
        producer.last_result = None
        return producer.epoch

    def produce(self, transactional_id: str, epoch: int, output: Output) -> None:
        """Append an output within a transaction, which begins with it if none is open."""
        transaction = self._ongoing(transactional_id, epoch)
        is_input = output.topic == self.input_topic
        partition = self.partition_of(output.key, self.partitions if is_input else self.output_partitions)
        entry = Entry(output.topic, partition, output)
        if is_input:
            entry.record = self.append(partition, output.key, output.value, output.headers)
        transaction.entries.append(entry)
        self.log.append(entry)

    def add_offsets(
        self, transactional_id: str, epoch: int, next_offsets: Mapping[int, int], membership: SimMembership
    ) -> None:
        """Add the group's offsets to a transaction, if the group takes them from this member."""
        transaction = self._ongoing(transactional_id, epoch)
        refusal = self.group.refusal(membership)
        if refusal is not None:
            raise MembershipRefused(refusal) if self.group.knows(membership) else PublicationUnknown(refusal)
        transaction.next_offsets.update(next_offsets)

    def end_transaction(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        """Decide a transaction's end: whichever is open under this id and epoch."""
        producer = self._checked(transactional_id, epoch)
        transaction = producer.transaction
        decided = producer.last_result if transaction is None else transaction.result
        if decided is commit:
            return
        if transaction is None or decided is not None:
            raise PublicationUnknown("INVALID_TXN_STATE: there is no transaction to end so")
        self._decide(producer, result=commit)

    def commit(self, transactional_id: str) -> None:
        """Have the commit of the open transaction arrive now, late though it may be."""
        self.end_transaction(transactional_id, self.producers[transactional_id].epoch, commit=True)

    def time_out(self, transactional_id: str) -> None:
        """Abort a transaction whose producer does not end it, and fence that."""
        producer = self.producers[transactional_id]
        if producer.transaction is not None and producer.transaction.result is None:
            producer.epoch += 1
            self._decide(producer, result=False)

    def is_pending(self, partition: int) -> bool:
        return any(
            partition in transaction.next_offsets and (transaction.result is None or OFFSETS in transaction.unmarked)
            for transaction in self.open.values()
        )

    def standing(self, partition: int) -> Standing:
        """Say how a partition stands, once no transaction that holds its offset is open."""
        if self.is_pending(partition):
            raise Busy(KafkaUnavailable(f"UNSTABLE_OFFSET_COMMIT: partition {partition} has a pending offset"))
        return Standing(self.committed.get(partition), self.first_offsets[partition], self.topic_id)

    def _checked(self, transactional_id: str, epoch: int) -> ProducerState:
        producer = self.producers[transactional_id]
        if producer.epoch != epoch:
            raise PublicationUnknown(f"PRODUCER_FENCED: {transactional_id} is at epoch {producer.epoch}, not {epoch}")
        return producer

    def _ongoing(self, transactional_id: str, epoch: int) -> Transaction:
        producer = self._checked(transactional_id, epoch)
        if producer.transaction is None:
            producer.transaction = Transaction(epoch)
        elif producer.transaction.result is not None:
            raise Busy(PublicationUnknown("CONCURRENT_TRANSACTIONS: the last transaction has not ended everywhere"))
        return producer.transaction

    def _decide(self, producer: ProducerState, *, result: bool) -> None:
        transaction = producer.transaction
        assert transaction is not None
        transaction.result = producer.last_result = result
        transaction.unmarked = {(entry.topic, entry.partition) for entry in transaction.entries}
        if transaction.next_offsets:
            transaction.unmarked.add(OFFSETS)
        if not transaction.unmarked:
            producer.transaction = None
        for place in sorted(transaction.unmarked):
            self.markers(lambda place=place: self._mark(producer, transaction, place))  # type: ignore[misc]

    def _mark(self, producer: ProducerState, transaction: Transaction, place: Place) -> None:
        """Tell one partition how a transaction ended."""
        assert transaction.result is not None
        if place == OFFSETS and transaction.result:
            self.committed.update(transaction.next_offsets)
        marked = [entry for entry in transaction.entries if (entry.topic, entry.partition) == place]
        for entry in marked:
            entry.is_committed = transaction.result
            if entry.record is not None and not transaction.result:
                self.records[entry.partition].remove(entry.record)
        if place[0] == self.input_topic:
            self._log_ends[place[1]] = max(self.log_end(place[1]), *(_offset(one) + 1 for one in marked)) + 1
        transaction.unmarked.discard(place)
        if not transaction.unmarked and producer.transaction is transaction:
            producer.transaction = None


def _offset(entry: Entry) -> int:
    assert entry.record is not None
    return entry.record.offset
