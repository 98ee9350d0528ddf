"""The input topic, read as a member of the consumer group: the runtime's `Consumer` port.

Offsets are never reset and never stored by the client: where to read is PostgreSQL's word. A newly assigned
partition is paused until the runtime has taken it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from worker.adapters.kafka.bounded import GRACE_SECONDS, Unreturned, call_within
from worker.adapters.kafka.clients import Causes, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.messages import record_of
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.records import Record
from worker.ports import KafkaFatal, KafkaUnavailable, Membership, OffsetUnavailable, Rebalances, Standing

HEARTBEAT_INTERVAL_MAX_MS = 1_000
METADATA_REFRESH_MS: Final = 20_000
"""Partitions that were added are read this soon."""

FETCHED_KBYTES_MAX: Final = 4 * 1024
FETCHED_RECORDS_MIN: Final = 2_000
"""What waits in the client to be read, in all, and of each partition: two batches at least, so that none waits for the
network, and no more, since it is the larger part of a worker's memory where a topic has a backlog."""

FETCH_BYTES_MAX: Final = 2 * 1024 * 1024
"""What one answer brings, beyond what waits already; its memory is free again when its last record is read."""

FETCHED_AGAIN_MS: Final = 10

OUTAGE_SECONDS: Final = 30.0
"""Two words of all brokers being away belong to one outage if no more time is between them."""

COMMIT_SECONDS_MAX: Final = 5.0
"""What committing offsets may take: milliseconds, and some seconds while the group moves on. The loop waits meanwhile,
and whether this member still belongs to the group it hears when it polls again."""

_WAKE_SECONDS: Final = 0.1
"""An answer comes within milliseconds; a leader that is away is not waited for."""

_COMMIT_PAUSE_SECONDS: Final = 0.1
_TURN_SECONDS: Final = 0.002
"""The client lets one thread in at a time, and whoever polls again and again would leave none to the others."""


@dataclass(frozen=True, slots=True)
class InputTopic:
    """Name what is read, and by which group."""

    name: str
    group_id: str


@dataclass(frozen=True, slots=True)
class GroupMembership:
    """What brokers know a member by, and how often it had given partitions back by then."""

    metadata: object
    times_given_back: int


class KafkaConsumer:
    """Read the input topic; callbacks of rebalances run within `poll` and `close`, on the caller's thread."""

    def __init__(self, config: KafkaConfig, source: InputTopic, admin: TopicAdmin) -> None:
        self._topic = source.name
        self._admin = admin
        self._call_timeout_seconds = config.call_timeout_seconds
        self._failures: deque[Exception] = deque()
        self._connections = Connections(self._failures)
        self._owned: set[int] = set()
        self._times_given_back = 0
        self._commits_waiting = 0
        self._resumed = False
        # Another client, which never joins: what it waits for must not keep the member from polling.
        self._offsets = new_client(Consumer, config.client(group_id=source.group_id, isolation_level="read_committed"))
        self._client = new_client(
            Consumer,
            config.client(
                group_id=source.group_id,
                isolation_level="read_committed",
                auto_offset_reset="error",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                fetch_wait_max_ms=100,
                topic_metadata_refresh_interval_ms=METADATA_REFRESH_MS,
                queued_max_messages_kbytes=FETCHED_KBYTES_MAX,
                queued_min_messages=FETCHED_RECORDS_MIN,
                fetch_max_bytes=FETCH_BYTES_MAX,
                # A queue that is full is looked at again this soon, not after a second: it may be empty by then.
                fetch_queue_backoff_ms=FETCHED_AGAIN_MS,
                error_cb=self._connections,
                **_PROTOCOLS[config.group_protocol](config),
            ),
        )

    def join(self, rebalances: Rebalances) -> None:
        """Join the group; `rebalances` is told within `poll` and `close`."""

        def on_assign(client: Consumer, assigned: list[TopicPartition]) -> None:
            # The offset is a place-holder: the partition is paused before the first fetch and sought when taken.
            placed = [TopicPartition(one.topic, one.partition, 0) for one in assigned]
            client.incremental_assign(placed)
            client.pause(placed)
            self._owned.update(one.partition for one in assigned)
            self._wake_fetchers()
            rebalances.assigned([one.partition for one in assigned])

        def on_revoke(client: Consumer, revoked: list[TopicPartition]) -> None:
            rebalances.revoked([one.partition for one in revoked])
            self._give_back(revoked)
            client.incremental_unassign(revoked)
            self._wake_fetchers()

        def on_lost(client: Consumer, lost: list[TopicPartition]) -> None:
            self._give_back(lost)
            rebalances.lost([one.partition for one in lost])
            client.incremental_unassign(lost)
            self._wake_fetchers()

        self._client.subscribe([self._topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        """Wait for a first record, then give what is there; errors that came behind records are raised next."""
        self._raise_failure()
        if self._resumed:
            self._wake_fetchers()
        if self._commits_waiting:
            sleep(_TURN_SECONDS)
            wait_seconds = 0.0
        records = self._consume(1, wait_seconds)
        if records and records_max > 1:
            records += self._consume(records_max - 1, 0.0)
        if not records:
            self._raise_failure()
        return records

    def go_on(self, partition: int, offset: int) -> None:
        """Read this partition from this offset."""
        with_offset = TopicPartition(self._topic, partition, offset)
        try:
            self._seek(with_offset)
            self._client.resume([with_offset])
            self._resumed = True
        except KafkaException as exception:
            raise KafkaUnavailable(f"partition {partition}: {describe(error_of(exception))}") from exception

    def _seek(self, with_offset: TopicPartition) -> None:
        try:
            self._client.seek(with_offset)
        except KafkaException as exception:
            if error_of(exception).code() != KafkaError._STATE:  # noqa: SLF001 - librdkafka's own name begins so.
                raise
            # A partition whose offset the topic did not have is not fetched any more, and can't be sought either.
            self._client.incremental_unassign([with_offset])
            self._client.incremental_assign([with_offset])

    def pause(self, partitions: Sequence[int]) -> None:
        """Stop reading these."""
        self._client.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def topic_id(self) -> str:
        """Give the identity that the topic has now."""
        return self._admin.topic_id(self._topic)

    def standings(self, partitions: Sequence[int]) -> Mapping[int, Standing]:
        """Ask Kafka how partitions stand, waiting for pending transactions to end."""
        topic_id = self.topic_id()
        firsts = self._admin.first_offsets(self._topic, partitions)
        committed = self._committed(partitions)
        return {one: Standing(committed[one], firsts[one], topic_id) for one in partitions}

    def membership(self) -> Membership:
        """Give the proof of membership as it is now."""
        metadata = self._client.consumer_group_metadata()
        # Brokers let an empty member id pass without a look, and one that has not joined in a group without members.
        # A membership that ended comes back within `poll` alone, so what is there now was there when the metadata was
        # taken.
        if not self._client.memberid() or not self._owned:
            raise KafkaUnavailable("the group does not count this worker among its members now")
        return GroupMembership(metadata, self._times_given_back)

    def commit_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        """Commit offsets without a transaction, on any thread. Raises: KafkaUnavailable."""
        assert isinstance(membership, GroupMembership)
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in next_offsets.items()]
        deadline = monotonic() + min(self._call_timeout_seconds, COMMIT_SECONDS_MAX)
        # Brokers know the member, but not what it owns: an offset of another's partition would be taken.
        while membership.times_given_back == self._times_given_back:
            error = self._try_to_commit(offsets)
            if error is None:
                return
            if error.code() not in _COMMITTED_LATER or monotonic() > deadline:
                raise KafkaUnavailable(f"offsets can't be committed: {describe(error)}")
            sleep(_COMMIT_PAUSE_SECONDS)
        raise KafkaUnavailable("offsets can't be committed: partitions were given back since the batch was sent")

    def close(self) -> None:
        """Leave the group; serves revokes."""
        self._client.close()
        self._offsets.close()

    def _wake_fetchers(self) -> None:
        """Have what was resumed fetched at once: a question for each leader, whose answer does not matter.

        librdkafka pauses all partitions around each callback of a rebalance, also those that stay. The thread that
        fetches from their leader may fall asleep meanwhile, for up to a second, and nothing but traffic wakes it when
        they are resumed.
        """
        self._resumed = False
        owned = [TopicPartition(self._topic, partition, OFFSET_END) for partition in sorted(self._owned)]
        if owned:
            with suppress(KafkaException):
                self._client.offsets_for_times(owned, timeout=_WAKE_SECONDS)

    def _give_back(self, partitions: Sequence[TopicPartition]) -> None:
        self._owned.difference_update(one.partition for one in partitions)
        self._times_given_back += 1

    def _try_to_commit(self, offsets: list[TopicPartition]) -> KafkaError | None:
        answers: list[TopicPartition] = []

        def commit() -> None:
            answers.extend(self._client.commit(offsets=offsets, asynchronous=False) or ())

        self._commits_waiting += 1
        try:
            call_within(self._call_timeout_seconds + GRACE_SECONDS, "commit", commit)
        except KafkaException as exception:
            return error_of(exception)
        except Unreturned as exception:
            raise KafkaUnavailable(str(exception)) from exception
        finally:
            self._commits_waiting -= 1
        return next((answer.error for answer in answers if answer.error is not None), None)

    def _committed(self, partitions: Sequence[int]) -> dict[int, int | None]:
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            answers = self._offsets.committed(asked, timeout=self._call_timeout_seconds)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        for answer in answers:
            if answer.error is not None:
                raise KafkaUnavailable(f"partition {answer.partition}: {describe(answer.error)}")
        return {answer.partition: answer.offset if answer.offset >= 0 else None for answer in answers}

    def _consume(self, records_max: int, wait_seconds: float) -> list[Record]:
        """Give the records that came. The client has moved past them, so an error among them waits its turn."""
        try:
            received = self._client.consume(records_max, wait_seconds)
        except KafkaException as exception:
            # A rebalance callback failed, or the client itself: it may have moved past records that never came here.
            raise KafkaFatal(describe(error_of(exception))) from exception
        records = []
        for message in received:
            error = message.error()
            if error is None:
                records.append(record_of(message))
            else:
                self._failures.append(_raised(error, message.partition()))
        return records

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures.popleft()


class Connections:
    """Tell of an outage once: librdkafka calls this at every attempt to connect, within `poll`."""

    def __init__(self, failures: deque[Exception]) -> None:
        self._failures = failures
        self._causes = Causes()
        self._down_at: float | None = None
        self._is_told = False

    def __call__(self, error: KafkaError) -> None:
        """Note one error of the client itself."""
        self._causes(error)
        now = monotonic()
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._is_told = self._is_told and self._down_at is not None and now - self._down_at < OUTAGE_SECONDS
            self._down_at = now
        # Why they are down is known by the next attempt to connect.
        if self._down_at is not None and self._causes.are_known and not self._is_told:
            self._is_told = True
            self._failures.append(KafkaUnavailable(f"no broker can be reached ({self._causes.text()})"))


def _classic(config: KafkaConfig) -> dict[str, Any]:
    """Say how the group is run by its members, as by all brokers and for ever."""
    session_timeout_ms = config.effective_session_timeout_ms
    return {
        "group_protocol": "classic",
        "session_timeout_ms": session_timeout_ms,
        # A dead member is noticed by its session's end, and that end by the others' next heartbeat.
        "heartbeat_interval_ms": min(max(session_timeout_ms // 10, 100), HEARTBEAT_INTERVAL_MAX_MS),
        "partition_assignment_strategy": "cooperative-sticky",
    }


_PROTOCOLS: Final[Mapping[str, Callable[[KafkaConfig], dict[str, Any]]]] = {
    "classic": _classic,
    # KIP-848: brokers share partitions out; session, heartbeat and assignor are theirs to say.
    "consumer": lambda _: {"group_protocol": "consumer"},
}
_COMMITTED_LATER: Final = frozenset(
    (
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
    )
)
"""What passes while the group moves on, or its coordinator: the next commit goes out in the group's new generation."""

_TOO_OLD: Final = "the brokers are too old for WORKER_GROUP_PROTOCOL=consumer (Kafka 4.0 is needed); set classic"
_FATAL: Final[Mapping[int, str]] = {
    KafkaError.INVALID_SESSION_TIMEOUT: "set WORKER_KAFKA__SESSION_TIMEOUT_MS between the brokers' "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    KafkaError.UNSUPPORTED_VERSION: _TOO_OLD,
    KafkaError._UNSUPPORTED_FEATURE: _TOO_OLD,  # noqa: SLF001
}
"""What only another setting can mend."""


def _raised(error: KafkaError, partition: int | None) -> KafkaUnavailable | KafkaFatal | OffsetUnavailable:
    """Turn librdkafka's error into the port's."""
    text = describe(error)
    if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:  # noqa: SLF001
        return OffsetUnavailable(partition, text)
    if error.code() in _FATAL:
        return KafkaFatal(f"{text}; {_FATAL[error.code()]}")
    return KafkaFatal(text) if error.fatal() else KafkaUnavailable(text)
