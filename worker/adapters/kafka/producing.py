"""A plain producer, for whoever puts records into topics from outside: commands, sample services, the demo."""

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.core.records import Output
from worker.ports import KafkaUnavailable

FLUSH_TIMEOUT_SECONDS = 30.0
_QUEUE_FULL_WAIT_SECONDS = 1.0
_RECORD_BYTES_MAX = 64 * 1024 * 1024


class EventProducer:
    """Send records, in order per key; what was sent counts once `flush` has returned."""

    def __init__(self, config: KafkaConfig) -> None:
        self._refused: KafkaError | None = None
        self._client = new_client(
            Producer,
            config.client(
                acks="all",
                enable_idempotence=True,
                # The partitioner of Java's and Node's clients, so that a subject stays on one partition.
                partitioner="murmur2_random",
                message_max_bytes=_RECORD_BYTES_MAX,
                message_timeout_ms=round(FLUSH_TIMEOUT_SECONDS * 1000),
                linger_ms=2,
            ),
        )

    def send(self, output: Output) -> None:
        """Queue one record; blocks only while the queue is full. Raises: KafkaUnavailable."""
        try:
            self._produce(output)
        except BufferError:
            self._client.poll(_QUEUE_FULL_WAIT_SECONDS)
            try:
                self._produce(output)
            except BufferError as exception:
                raise KafkaUnavailable("the producer's queue stays full: the brokers don't take records") from exception

    def flush(self) -> None:
        """Wait until all is acknowledged. Raises: KafkaUnavailable, if a record was not."""
        left = self._client.flush(FLUSH_TIMEOUT_SECONDS)
        refused, self._refused = self._refused, None
        if refused is not None:
            raise KafkaUnavailable(f"the brokers refused a record: {describe(refused)}")
        if left:
            self._client.purge()
            raise KafkaUnavailable(f"{left} records were not acknowledged within {FLUSH_TIMEOUT_SECONDS:g} s")

    def _produce(self, output: Output) -> None:
        try:
            self._client.produce(
                output.topic,
                key=output.key,
                value=output.value,
                headers=list(output.headers),
                on_delivery=self._delivered,
            )
        except KafkaException as exception:
            raise KafkaUnavailable(f"a record can't be sent: {describe(error_of(exception))}") from exception
        self._client.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error
