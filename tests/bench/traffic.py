"""What puts the workload's records into a topic, and what waits for the outputs."""

import hashlib
import time
from collections.abc import Iterable, Sequence

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

from worker.core.codec import EncodedRecord

TIMEOUT_SECONDS = 30.0
RECORDS_PER_READ = 2_000


class Feeder:
    """Put records into a topic at once."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        self._client = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
                "log_level": 3,  # A coordinator that still loads is no news.
            }
        )

    def send(self, record: EncodedRecord) -> None:
        try:
            self._produce(record)
        except BufferError:
            self._client.flush(TIMEOUT_SECONDS)
            self._produce(record)

    def send_all(self, records: Iterable[EncodedRecord]) -> None:
        """Send these and wait until the broker has them. Raises: TimeoutError."""
        for record in records:
            self.send(record)
        self.flush()

    def flush(self) -> None:
        """Wait until the broker has everything. Raises: TimeoutError."""
        if left := self._client.flush(TIMEOUT_SECONDS):
            raise TimeoutError(f"{left} records of the workload were not taken within {TIMEOUT_SECONDS:g} s")

    def _produce(self, record: EncodedRecord) -> None:
        self._client.produce(self._topic, value=record.value, key=record.key, headers=list(record.headers))
        self._client.poll(0)


class Reader:
    """See the records of topics from their beginning, as soon as they are committed."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str], partitions: int) -> None:
        self._client = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "bench-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._client.assign(
            [TopicPartition(topic, number, OFFSET_BEGINNING) for topic in topics for number in range(partitions)]
        )

    def read(self, records_max: int, wait_seconds: float) -> list[Message]:
        """Wait until there are so many records, or so long."""
        messages = self._client.consume(records_max, wait_seconds)
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        return messages

    def wait_for(self, records: int, timeout_seconds: float) -> None:
        """Wait until so many more records were seen. Raises: TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        seen = 0
        while seen < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} of {records} outputs came within {timeout_seconds:g} s")
            seen += len(self.read(min(RECORDS_PER_READ, records - seen), 0.02))

    def checksum(self, records: int, timeout_seconds: float) -> int:
        """See so many records and add up what each says to whom, whatever their order. Raises: TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        seen = total = 0
        while seen < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} of {records} outputs came within {timeout_seconds:g} s")
            messages = self.read(min(RECORDS_PER_READ, records - seen), 0.1)
            total += sum(map(_fingerprint, messages))
            seen += len(messages)
        return total % 2**64

    def close(self) -> None:
        self._client.close()


def _fingerprint(message: Message) -> int:
    event = orjson.loads(message.value() or b"{}")
    key = (message.key() or b"").decode()
    said = [key, *(event[name] for name in ("type", "to", "subject", "dataschema", "parentid", "data"))]
    return int.from_bytes(hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()[:8], "big")
