"""Outputs and offsets in one Kafka transaction: the runtime's `Publisher` port.

Anything but a commit that succeeded is unknown. After it the producer is replaced under the same transactional id,
whose `init_transactions` ends what was open.
"""

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaException, Producer, TopicPartition

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.core.records import Output
from worker.ports import KafkaUnavailable, PublicationUnknown

FENCE_TIMEOUT_SECONDS = 30.0
BATCH_BYTES_MAX = 1_000_000
"""What librdkafka sends to one partition at once, by its own default."""

_QUEUE_FULL_WAIT_SECONDS = 1.0


class KafkaPublisher:
    """Publish with one transactional producer at a time; `group_metadata` is the consumer's, fetched for each call."""

    def __init__(
        self, config: KafkaConfig, transactional_id: str, input_topic: str, group_metadata: Callable[[], object]
    ) -> None:
        self._config = config
        self._transactional_id = transactional_id
        self._input_topic = input_topic
        self._group_metadata = group_metadata
        self._batch_bytes_max = BATCH_BYTES_MAX
        self._producer: Producer | None = None

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        """Publish all or nothing."""
        producer = self._producer
        if producer is None:
            raise PublicationUnknown("the producer has not been put in place yet")
        offsets = [TopicPartition(self._input_topic, partition, offset) for partition, offset in next_offsets.items()]
        try:
            producer.begin_transaction()
            for output in outputs:
                _produce(producer, output)
            producer.send_offsets_to_transaction(offsets, self._group_metadata(), CALL_TIMEOUT_SECONDS)
            producer.commit_transaction(CALL_TIMEOUT_SECONDS)
        except KafkaException as exception:
            raise PublicationUnknown(describe(error_of(exception))) from exception
        except BufferError as exception:
            raise PublicationUnknown("the producer's queue stayed full") from exception
        except KafkaUnavailable as exception:
            raise PublicationUnknown(str(exception)) from exception

    def replace(self, batch_bytes_max: int = BATCH_BYTES_MAX) -> None:
        """Put a fresh producer in place under the same transactional id."""
        self.close()
        self._batch_bytes_max = min(batch_bytes_max, BATCH_BYTES_MAX)
        self._producer = self._initialised(self._transactional_id, FENCE_TIMEOUT_SECONDS)

    def fence(self, transactional_id: str) -> None:
        """End another producer's open transaction and fence it for good."""
        self._initialised(transactional_id, FENCE_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Drop the producer with whatever it still holds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    def _initialised(self, transactional_id: str, timeout_seconds: float) -> Producer:
        producer = new_client(
            Producer,
            self._config.client(
                transactional_id=transactional_id,
                transaction_timeout_ms=self._config.transaction_timeout_ms,
                message_timeout_ms=self._config.transaction_timeout_ms // 2,
                partitioner="murmur2_random",
                message_max_bytes=64 * 1024 * 1024,
                # The brokers hold a whole batch against the topic's limit, and librdkafka does not divide it then.
                batch_size=self._batch_bytes_max,
                retry_backoff_ms=10,
                linger_ms=1,
                # Not compressed unless a property says so: of all codecs kafkajs reads gzip alone, the slow one.
                # A re-bootstrap gives up every broker while none answers, and librdkafka then waits for ever for the
                # group's coordinator among them (librdkafka issue 5511): sending offsets would not return.
                metadata_recovery_strategy="none",
            ),
        )
        try:
            producer.init_transactions(timeout_seconds)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        return producer


def _produce(producer: Producer, output: Output) -> None:
    """Queue one record; a full queue is given time to drain once."""
    headers: list[tuple[str, str | bytes | None]] = list(output.headers)
    try:
        producer.produce(output.topic, value=output.value, key=output.key, headers=headers)
    except BufferError:
        producer.flush(_QUEUE_FULL_WAIT_SECONDS)
        producer.produce(output.topic, value=output.value, key=output.key, headers=headers)
