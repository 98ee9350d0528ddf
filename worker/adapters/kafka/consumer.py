"""The input topic, read as a member of the consumer group: the runtime's `Consumer` port.

Offsets are never reset and never stored by the client: where to read is PostgreSQL's word. A newly assigned
partition is paused until the runtime has taken it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.messages import record_of
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.records import Record
from worker.ports import KafkaFatal, KafkaUnavailable, OffsetUnavailable, Rebalances, Standing

HEARTBEAT_INTERVAL_MAX_MS = 1_000


@dataclass(frozen=True, slots=True)
class InputTopic:
    """Name what is read, and by which group."""

    name: str
    group_id: str


class KafkaConsumer:
    """Read the input topic; callbacks of rebalances run within `poll` and `close`, on the caller's thread."""

    def __init__(self, config: KafkaConfig, source: InputTopic, admin: TopicAdmin) -> None:
        self._topic = source.name
        self._admin = admin
        self._failures: deque[Exception] = deque()
        session_timeout_ms = config.effective_session_timeout_ms
        self._client = new_client(
            Consumer,
            config.client(
                group_id=source.group_id,
                session_timeout_ms=session_timeout_ms,
                # A dead member is noticed by its session's end, and that end by the others' next heartbeat.
                heartbeat_interval_ms=min(max(session_timeout_ms // 10, 100), HEARTBEAT_INTERVAL_MAX_MS),
                isolation_level="read_committed",
                auto_offset_reset="error",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                partition_assignment_strategy="cooperative-sticky",
                fetch_wait_max_ms=100,
            ),
        )

    def join(self, rebalances: Rebalances) -> None:
        """Join the group; `rebalances` is told within `poll` and `close`."""

        def on_assign(client: Consumer, assigned: list[TopicPartition]) -> None:
            # The offset is a place-holder: the partition is paused before the first fetch and sought when taken.
            placed = [TopicPartition(one.topic, one.partition, 0) for one in assigned]
            client.incremental_assign(placed)
            client.pause(placed)
            rebalances.assigned([one.partition for one in assigned])

        def on_revoke(client: Consumer, revoked: list[TopicPartition]) -> None:
            rebalances.revoked([one.partition for one in revoked])
            client.incremental_unassign(revoked)

        def on_lost(client: Consumer, lost: list[TopicPartition]) -> None:
            rebalances.lost([one.partition for one in lost])
            client.incremental_unassign(lost)

        self._client.subscribe([self._topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        """Wait for a first record, then give what is there; errors that came behind records are raised next."""
        self._raise_failure()
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
            self._client.seek(with_offset)
            self._client.resume([with_offset])
        except KafkaException as exception:
            raise KafkaUnavailable(f"partition {partition}: {describe(error_of(exception))}") from exception

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

    def group_metadata(self) -> object:
        """Give what proves membership to the brokers, as it is now. Raises: KafkaUnavailable, if it proves none."""
        metadata = self._client.consumer_group_metadata()
        # Brokers let an empty member id pass without a look. A membership that ended comes back within `poll` alone,
        # so a member id that is there now was there when the metadata was taken.
        if not self._client.memberid():
            raise KafkaUnavailable("the group does not count this worker among its members now")
        return metadata

    def close(self) -> None:
        """Leave the group; serves revokes."""
        self._client.close()

    def _committed(self, partitions: Sequence[int]) -> dict[int, int | None]:
        asked = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            answers = self._client.committed(asked, timeout=CALL_TIMEOUT_SECONDS)
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
        for message in received:
            error = message.error()
            if error is not None:
                self._failures.append(_raised(error, message.partition()))
        return [record_of(message) for message in received if message.error() is None]

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures.popleft()


def _raised(error: KafkaError, partition: int | None) -> KafkaUnavailable | KafkaFatal | OffsetUnavailable:
    """Turn librdkafka's error into the port's."""
    text = describe(error)
    if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:  # noqa: SLF001
        return OffsetUnavailable(partition, text)
    return KafkaFatal(text) if error.fatal() else KafkaUnavailable(text)
