"""Read the dead letters' topic as it stands, in order per partition, without holding more of it than a fetch.

Partitions are assigned, not shared out; only committed records are seen.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from worker.adapters.kafka.clients import CALL_TIMEOUT_SECONDS, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.messages import record_of
from worker.core.records import Record
from worker.ports import KafkaUnavailable

READ_WAIT_SECONDS: Final = 90.0
"""How long reading waits without a step ahead: longer than brokers leave another's transaction open."""

_READ_RECORDS_MAX: Final = 500
_POLL_SECONDS: Final = 0.1
_FETCHED_KILOBYTES_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Extent:
    """What is there of each partition: from `firsts` on, and below `ends`."""

    firsts: Mapping[int, int]
    ends: Mapping[int, int]


class DeadLetterTopic:
    """Read one topic; `group` is a group in name only: no offsets are committed. All calls raise KafkaUnavailable."""

    def __init__(self, config: KafkaConfig, topic: str, group: str) -> None:
        self._topic: Final = topic
        self._admin = new_client(AdminClient, config.client())
        self._client = new_client(
            Consumer,
            config.client(
                group_id=group,
                isolation_level="read_committed",
                # What retention removes while it is read is gone: what is left is read on.
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                enable_partition_eof=True,
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=_FETCHED_KILOBYTES_MAX,
            ),
        )

    def __enter__(self) -> Self:
        """Give the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def extent(self) -> Extent:
        """Give all that is there, records of transactions that are still open included."""
        return self._extent(IsolationLevel.READ_UNCOMMITTED)

    def stable_extent(self) -> Extent:
        """Give what is there below the first transaction that is still open."""
        return self._extent(IsolationLevel.READ_COMMITTED)

    def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Record]:
        """Give the committed records of each partition from its start to below its end, in order per partition.

        Waits for transactions that are still open before an end, which brokers see to.
        """
        open_ends = {one: ends[one] for one, start in starts.items() if start < ends[one]}
        self._assign(starts, open_ends)
        deadline = time.monotonic() + READ_WAIT_SECONDS
        while open_ends:
            for message in self._consume():
                deadline = time.monotonic() + READ_WAIT_SECONDS
                yield from self._taken(message, open_ends)
            if time.monotonic() > deadline:
                raise KafkaUnavailable(
                    f"{self._topic} could not be read to its end in {READ_WAIT_SECONDS:g} s: a transaction is open in "
                    f"it, or a broker is away; missing: {_places(open_ends)}"
                )

    def _taken(self, message: Message, open_ends: dict[int, int]) -> Iterator[Record]:
        """Give the record of a message, if it is one that is wanted still; note which partitions are at their end."""
        partition, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            raise KafkaUnavailable(f"{self._topic}: {describe(error)}")
        assert partition is not None
        assert offset is not None
        end = open_ends.get(partition)
        if end is None:
            return
        if error is None and offset < end:
            yield record_of(message)
        # Transactions' own markers take offsets too, so that the last record may stand well below the end.
        if offset >= (end if error is not None else end - 1):
            del open_ends[partition]
            self._client.incremental_unassign([TopicPartition(self._topic, partition)])

    def _consume(self) -> list[Message]:
        try:
            return self._client.consume(_READ_RECORDS_MAX, _POLL_SECONDS)
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception

    def _assign(self, starts: Mapping[int, int], wanted: Mapping[int, int]) -> None:
        """Read these partitions alone, and nothing that was fetched for an earlier reading."""
        try:
            self._client.unassign()
            self._client.incremental_assign([TopicPartition(self._topic, one, starts[one]) for one in wanted])
        except KafkaException as exception:
            raise KafkaUnavailable(describe(error_of(exception))) from exception

    def _extent(self, level: IsolationLevel) -> Extent:
        partitions = self._partitions()
        firsts = self._offsets(partitions, OffsetSpec.earliest(), level)  # type: ignore[no-untyped-call]
        return Extent(firsts, self._offsets(partitions, OffsetSpec.latest(), level))  # type: ignore[no-untyped-call]

    def _partitions(self) -> Sequence[int]:
        try:
            there = self._admin.list_topics(timeout=CALL_TIMEOUT_SECONDS).topics
        except KafkaException as exception:
            raise KafkaUnavailable(f"no broker answers: {describe(error_of(exception))}") from exception
        if self._topic not in there:
            raise KafkaUnavailable(f"there is no topic {self._topic}, or this user may not see it")
        return sorted(there[self._topic].partitions)

    def _offsets(self, partitions: Sequence[int], which: OffsetSpec, level: IsolationLevel) -> dict[int, int]:
        asked = {TopicPartition(self._topic, partition): which for partition in partitions}
        answers = self._admin.list_offsets(asked, isolation_level=level, request_timeout=CALL_TIMEOUT_SECONDS)
        try:
            return {place.partition: int(answer.result().offset) for place, answer in answers.items()}
        except KafkaException as exception:
            raise KafkaUnavailable(f"{self._topic}: {describe(error_of(exception))}") from exception


def _places(offsets: Mapping[int, int]) -> str:
    return ", ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
