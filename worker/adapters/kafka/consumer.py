"""The input topic, read as a member of the consumer group: the runtime's `Consumer` port.

Offsets are never reset and never stored by the client: where to read is PostgreSQL's word. A newly assigned
partition is paused until the runtime has taken it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of
from worker.core.records import Record
from worker.ports import KafkaFatal, KafkaUnavailable, OffsetUnavailable, Rebalances


@dataclass(frozen=True, slots=True)
class InputTopic:
    """Name what is read, and by which group."""

    name: str
    group_id: str


class KafkaConsumer:
    """Read the input topic; callbacks of rebalances run within `poll` and `close`, on the caller's thread."""

    def __init__(
        self, config: KafkaConfig, source: InputTopic, rebalances: Rebalances, topic_id: Callable[[], str]
    ) -> None:
        self._topic = source.name
        self._rebalances = rebalances
        self._topic_id = topic_id
        self._client = Consumer(
            config.client(
                group_id=source.group_id,
                session_timeout_ms=config.session_timeout_ms,
                heartbeat_interval_ms=max(config.session_timeout_ms // 10, 100),
                isolation_level="read_committed",
                auto_offset_reset="error",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                partition_assignment_strategy="cooperative-sticky",
                fetch_wait_max_ms=100,
            )
        )
        self._client.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, records_max: int, wait_seconds: float) -> Sequence[Record]:
        """Wait for a first record, then give what is there."""
        first = self._consume(1, wait_seconds)
        return first + self._consume(records_max - 1, 0.0) if first and records_max > 1 else first

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

    def committed(self, partition: int) -> int | None:
        """Read the group's stable committed offset, waiting for a pending transaction to end."""
        asked = [TopicPartition(self._topic, partition)]
        try:
            (answer,) = self._client.committed(asked, timeout=CALL_TIMEOUT_SECONDS)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        if answer.error is not None:
            raise KafkaUnavailable(describe(answer.error))
        return answer.offset if answer.offset >= 0 else None

    def first_offset(self, partition: int) -> int:
        """Read the first offset that the topic still has."""
        asked = TopicPartition(self._topic, partition)
        try:
            first, _ = self._client.get_watermark_offsets(asked, timeout=CALL_TIMEOUT_SECONDS)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        return int(first)

    def topic_id(self) -> str:
        """Give the identity of the input topic as it is now."""
        return self._topic_id()

    def group_metadata(self) -> object:
        """Give what proves membership to the brokers, as it is now."""
        return self._client.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group; serves revokes."""
        self._client.close()

    def _consume(self, records_max: int, wait_seconds: float) -> list[Record]:
        try:
            received = self._client.consume(records_max, wait_seconds)
        except KafkaException as exception:
            raise _raised(error_of(exception), None) from exception
        return [self._record(message) for message in received]

    def _record(self, message: Message) -> Record:
        error = message.error()
        if error is not None:
            raise _raised(error, message.partition())
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        headers = message.headers() or ()
        return Record(
            partition=partition,
            offset=offset,
            timestamp=max(message.timestamp()[1], 0),
            key=message.key(),
            value=message.value(),
            headers=tuple(headers),  # type: ignore[arg-type]
        )

    def _on_assign(self, client: Consumer, assigned: list[TopicPartition]) -> None:
        # The offset is a place-holder: the partition is paused before the first fetch and sought when taken.
        placed = [TopicPartition(one.topic, one.partition, 0) for one in assigned]
        client.incremental_assign(placed)
        client.pause(placed)
        self._rebalances.assigned([one.partition for one in assigned])

    def _on_revoke(self, client: Consumer, revoked: list[TopicPartition]) -> None:
        self._rebalances.revoked([one.partition for one in revoked])
        client.incremental_unassign(revoked)

    def _on_lost(self, client: Consumer, lost: list[TopicPartition]) -> None:
        self._rebalances.lost([one.partition for one in lost])
        client.incremental_unassign(lost)


def _raised(error: KafkaError, partition: int | None) -> Exception:
    """Turn librdkafka's error into the port's."""
    text = describe(error)
    if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:  # noqa: SLF001
        return OffsetUnavailable(partition, text)
    return KafkaFatal(text) if error.fatal() else KafkaUnavailable(text)
