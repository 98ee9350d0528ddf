"""Topics read as a member of a consumer group, record by record, for services.

A rebalance takes partitions away within `read` only, so what was read before it is dealt with by then: its offsets
are committed before the partitions go, and the next owner begins where this one ended.
"""

from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.messages import record_of
from worker.adapters.kafka.tailing import Received
from worker.ports import KafkaUnavailable

HEARTBEAT_INTERVAL_MAX_MS = 1_000


class GroupMember:
    """Read topics as a member of a group, committed records only. One thread owns it.

    `settle` is called before partitions are given back, within `read` and `close`; it sees to it that what was read
    has its effect, and commits. Where it raises KafkaUnavailable, `read` does. A group that is new begins with the
    oldest record that a topic has.
    """

    def __init__(self, config: KafkaConfig, group_id: str, topics: Sequence[str], settle: Callable[[], None]) -> None:
        self._settle = settle
        self._read: dict[tuple[str, int], int] = {}
        self._failure: KafkaUnavailable | None = None
        self.is_assigned = False
        session_timeout_ms = config.effective_session_timeout_ms
        self._client = new_client(
            Consumer,
            config.client(
                group_id=group_id,
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=min(max(session_timeout_ms // 10, 100), HEARTBEAT_INTERVAL_MAX_MS),
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                # Partitions are given back before the group is joined anew, so that offsets are committed by a member
                # that still counts. The cooperative way joins first; a commit in between is refused, and librdkafka
                # then gives up all partitions as lost.
                partition_assignment_strategy="range",
                fetch_wait_max_ms=100,
            ),
        )
        self._client.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def read(self, wait_seconds: float) -> Received | None:
        """Wait for one record; serves rebalances. Raises: KafkaUnavailable; make another member then."""
        try:
            message = self._client.poll(wait_seconds)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        if self._failure is not None:
            raise self._failure
        if message is None:
            return None
        error = message.error()
        if error is not None:
            raise KafkaUnavailable(describe(error))
        received = Received(str(message.topic()), record_of(message))
        self._read[received.topic, received.record.partition] = received.record.offset + 1
        return received

    def commit(self) -> None:
        """Commit the offsets of all that was read. Raises: KafkaUnavailable; who owns the partitions reads it again."""
        if not self._read:
            return
        offsets = [TopicPartition(*partition, offset) for partition, offset in self._read.items()]
        try:
            answers = self._client.commit(offsets=offsets, asynchronous=False) or ()
        except KafkaException as exception:
            raise KafkaUnavailable(f"offsets can't be committed: {describe(error_of(exception))}") from exception
        for answer in answers:
            if answer.error is not None:
                raise KafkaUnavailable(f"offsets can't be committed: {describe(answer.error)}")
        self._read.clear()

    def close(self) -> None:
        """Leave the group; serves revokes."""
        self._client.close()

    def _assigned(self, client: Consumer, assigned: list[TopicPartition]) -> None:
        client.assign(assigned)
        self.is_assigned = True

    def _revoked(self, client: Consumer, revoked: list[TopicPartition]) -> None:
        try:
            self._settle()
        except KafkaUnavailable as error:
            self._failure = error
        self._forget(revoked)
        client.unassign()

    def _lost(self, client: Consumer, lost: list[TopicPartition]) -> None:
        self._forget(lost)
        client.unassign()

    def _forget(self, gone: list[TopicPartition]) -> None:
        """Have no offsets committed of partitions that are another's."""
        for one in gone:
            self._read.pop((one.topic, one.partition), None)
