"""Read topics from outside of consumer groups: `worker tail`, clients, the demo.

Partitions are assigned, not shared out, so nothing waits for a group; only committed records are seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self, assert_never

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.messages import record_of
from worker.core.records import Record
from worker.ports import KafkaUnavailable

_READ_RECORDS_MAX = 500


class Start(Enum):
    """Say where reading starts."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True)
class Since:
    """Say that reading starts at the first record of this time or later, in milliseconds since the epoch."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Received:
    """A record and the topic that it came from."""

    topic: str
    record: Record


class TopicTail:
    """Follow topics; `name` is a group in name only: no offsets are committed. Raises: KafkaUnavailable."""

    def __init__(self, config: KafkaConfig, topics: Sequence[str], start: Start | Since, name: str) -> None:
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
        self._places: dict[tuple[str, int], int] = {}
        try:
            for one in self._partitions(topics):
                self._places[one.topic, one.partition] = self._placed(one, start)
            self._assign()
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
        """Wait for records and give what is there, at most 500, in order per partition.

        Raises: KafkaUnavailable; reading goes on where it was, and no record is passed over.
        """
        try:
            messages = self._client.consume(_READ_RECORDS_MAX, wait_seconds)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception
        for message in messages:
            if (error := message.error()) is not None:
                self._assign()
                raise KafkaUnavailable(describe(error))
        received = [Received(str(message.topic()), record_of(message)) for message in messages]
        for one in received:
            self._places[one.topic, one.record.partition] = one.record.offset + 1
        return received

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        there = self._client.list_topics(timeout=CALL_TIMEOUT_SECONDS).topics
        missing = [topic for topic in topics if topic not in there]
        if missing:
            raise KafkaUnavailable(f"these topics do not exist, or this user may not see them: {', '.join(missing)}")
        return [TopicPartition(topic, number) for topic in topics for number in sorted(there[topic].partitions)]

    def _assign(self) -> None:
        """Read every partition from its place on."""
        self._client.assign([TopicPartition(*partition, place) for partition, place in self._places.items()])

    def _placed(self, one: TopicPartition, start: Start | Since) -> int:
        match start:
            case Start.BEGINNING:
                return OFFSET_BEGINNING
            case Start.END:
                return self._end(one)
            case Since(timestamp):
                asked = TopicPartition(one.topic, one.partition, timestamp)
                (found,) = self._client.offsets_for_times([asked], timeout=CALL_TIMEOUT_SECONDS)
                return int(found.offset) if found.offset >= 0 else self._end(one)
            case _:
                assert_never(start)

    def _end(self, one: TopicPartition) -> int:
        # Asked for now: the client itself would look for the end at the first read, and miss what comes before.
        return int(self._client.get_watermark_offsets(one, timeout=CALL_TIMEOUT_SECONDS)[1])
