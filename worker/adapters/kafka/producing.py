"""A plain producer, for whoever puts records into topics from outside: commands, services, clients, the demo."""

from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.core.records import Output
from worker.ports import KafkaUnavailable

FLUSH_TIMEOUT_SECONDS = 30.0
BATCH_BYTES_MAX = 1_000_000
"""What librdkafka sends to one partition at once, by its own default."""

_QUEUE_FULL_WAIT_SECONDS = 1.0
_DELIVERY_WAIT_SECONDS = 0.02
_DELIVERY_GRACE_SECONDS = 5.0
_RECORD_BYTES_MAX = 64 * 1024 * 1024

_Told = Callable[[KafkaError | None, Message], None]


class EventProducer:
    """Send records, in order per key; what was sent counts once `flush` has returned.

    It sends at most `batch_bytes_max` to a partition at once, or one record: the brokers hold a whole batch against
    the topic's limit.
    """

    def __init__(self, config: KafkaConfig, batch_bytes_max: int = BATCH_BYTES_MAX) -> None:
        self._refused: KafkaError | None = None
        self._client = new_client(
            Producer,
            config.client(
                acks="all",
                enable_idempotence=True,
                # The partitioner of Java's and Node's clients, so that a subject stays on one partition.
                partitioner="murmur2_random",
                message_max_bytes=_RECORD_BYTES_MAX,
                batch_size=min(batch_bytes_max, BATCH_BYTES_MAX),
                message_timeout_ms=round(FLUSH_TIMEOUT_SECONDS * 1000),
                linger_ms=2,
            ),
        )

    def send(self, output: Output) -> None:
        """Queue one record; blocks only while the queue is full. Raises: KafkaUnavailable."""
        self._queue(output, self._delivered)

    def deliver(self, output: Output) -> tuple[int, int]:
        """Send one record, wait until it is acknowledged, and give its partition and offset.

        Threads may do so at the same time.

        Raises: KafkaUnavailable, if it is not; the record may be there all the same.
        """
        answers: SimpleQueue[tuple[KafkaError | None, Message]] = SimpleQueue()
        self._queue(output, lambda error, message: answers.put((error, message)))
        deadline = monotonic() + FLUSH_TIMEOUT_SECONDS + _DELIVERY_GRACE_SECONDS
        # Any thread that polls may be the one to be told of this record.
        while answers.empty():
            if monotonic() > deadline:
                raise KafkaUnavailable(f"a record was not acknowledged within {FLUSH_TIMEOUT_SECONDS:g} s")
            self._client.poll(_DELIVERY_WAIT_SECONDS)
        refused, message = answers.get()
        if refused is not None:
            raise KafkaUnavailable(f"the brokers refused a record: {describe(refused)}")
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        return partition, offset

    def flush(self) -> None:
        """Wait until all is acknowledged. Raises: KafkaUnavailable, if a record was not."""
        left = self._client.flush(FLUSH_TIMEOUT_SECONDS)
        refused, self._refused = self._refused, None
        if refused is not None:
            raise KafkaUnavailable(f"the brokers refused a record: {describe(refused)}")
        if left:
            self._client.purge()
            raise KafkaUnavailable(f"{left} records were not acknowledged within {FLUSH_TIMEOUT_SECONDS:g} s")

    def _queue(self, output: Output, told: _Told) -> None:
        try:
            self._produce(output, told)
        except BufferError:
            self._client.poll(_QUEUE_FULL_WAIT_SECONDS)
            try:
                self._produce(output, told)
            except BufferError as exception:
                raise KafkaUnavailable("the producer's queue stays full: the brokers don't take records") from exception

    def _produce(self, output: Output, told: _Told) -> None:
        try:
            self._client.produce(
                output.topic,
                key=output.key,
                value=output.value,
                headers=list(output.headers),
                on_delivery=told,
            )
        except KafkaException as exception:
            raise KafkaUnavailable(f"a record can't be sent: {describe(error_of(exception))}") from exception
        self._client.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error
