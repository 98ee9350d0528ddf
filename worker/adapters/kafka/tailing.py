"""Read topics from outside the worker's consumer group: `worker tail`, sample services, the demo.

Partitions are assigned, not shared out, so nothing waits for a group; only committed records are seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_STORED, Consumer, KafkaException, Message, TopicPartition

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.core.records import Record
from worker.ports import KafkaUnavailable

_READ_RECORDS_MAX = 500


class Start(Enum):
    """Say where reading starts. COMMITTED is where the reader of this name left off, else the beginning."""

    BEGINNING = "beginning"
    END = "end"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Received:
    """A record and the topic that it came from."""

    topic: str
    record: Record


class TopicTail:
    """Follow topics; `name` is the group that offsets are committed for. Raises: KafkaUnavailable."""

    def __init__(self, config: KafkaConfig, topics: Sequence[str], start: Start, name: str) -> None:
        self._client = new_client(
            Consumer,
            config.client(
                group_id=name,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                fetch_wait_max_ms=100,
            ),
        )
        self._uncommitted = False
        try:
            self._client.assign([self._placed(one, start) for one in self._partitions(topics)])
        except KafkaException as exception:
            self.close()
            raise KafkaUnavailable(f"topics can't be read: {describe(error_of(exception))}") from exception
        except KafkaUnavailable:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Give the reader; it reads already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the reader."""
        self.close()

    def read(self, wait_seconds: float) -> list[Received]:
        """Wait for records and give what is there, at most 500, in order per partition. Raises: KafkaUnavailable."""
        try:
            messages = self._client.consume(_READ_RECORDS_MAX, wait_seconds)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        received = [_received(message) for message in messages]
        self._uncommitted |= bool(received)
        return received

    def commit(self) -> None:
        """Keep the place: everything read so far. Raises: KafkaUnavailable."""
        if not self._uncommitted:
            return
        try:
            self._client.commit(asynchronous=False)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        self._uncommitted = False

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        there = self._client.list_topics(timeout=CALL_TIMEOUT_SECONDS).topics
        missing = [topic for topic in topics if topic not in there]
        if missing:
            raise KafkaUnavailable(f"these topics do not exist: {', '.join(missing)}")
        return [TopicPartition(topic, number) for topic in topics for number in sorted(there[topic].partitions)]

    def _placed(self, one: TopicPartition, start: Start) -> TopicPartition:
        match start:
            case Start.BEGINNING:
                one.offset = OFFSET_BEGINNING
            case Start.COMMITTED:
                one.offset = OFFSET_STORED
            case Start.END:
                # Asked for now: the client itself would look for the end at the first read, and miss what comes before.
                _, one.offset = self._client.get_watermark_offsets(one, timeout=CALL_TIMEOUT_SECONDS)
        return one


def _received(message: Message) -> Received:
    error = message.error()
    if error is not None:
        raise KafkaUnavailable(describe(error))
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    record = Record(
        partition=partition,
        offset=offset,
        timestamp=max(message.timestamp()[1], 0),
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),  # type: ignore[arg-type]
    )
    return Received(topic, record)
