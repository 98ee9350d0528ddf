"""A consumer group from outside: who is in it, what it has committed, and what a topic has. It changes nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.ports import KafkaUnavailable

T = TypeVar("T")

REQUEST_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.1
_PASSING: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What brokers say of a group that nobody has asked about before, or whose coordinator has just changed."""
_PENDING: Final = (
    " (a transaction that a worker left open holds them up; it ends by itself, within a minute by default)"
)


@dataclass(frozen=True, slots=True)
class Member:
    """A process that the brokers count among a group's members."""

    client_id: str
    host: str


class GroupWatch:
    """Ask the brokers about one group. All calls raise KafkaUnavailable, and end within half a minute."""

    def __init__(self, config: KafkaConfig, group_id: str) -> None:
        self._config = config
        self._group_id = group_id
        self._client = new_client(AdminClient, config.client())

    def members(self) -> list[Member]:
        """Name who is in the group; one that was killed stays for its session's time-out."""

        def ask() -> list[Member]:
            asked = self._client.describe_consumer_groups([self._group_id], request_timeout=REQUEST_SECONDS)
            members = asked[self._group_id].result().members
            return [Member(one.client_id, one.host.removeprefix("/")) for one in members]

        return _answered(f"group {self._group_id}", ask)

    def committed(self, topic: str, partitions: Sequence[int], *, stable: bool) -> Mapping[int, int | None]:
        """Give the committed offsets; `stable` ones wait for transactions that are open, and fail if those stay."""
        # By a consumer that never joins: the admin client crashes if the group's coordinator does not know it yet.
        client = new_client(
            Consumer,
            self._config.client(
                group_id=self._group_id, isolation_level="read_committed" if stable else "read_uncommitted"
            ),
        )
        places = [TopicPartition(topic, one) for one in partitions]
        what = f"offsets of group {self._group_id}{_PENDING if stable else ''}"
        try:
            answers = _answered(what, lambda: client.committed(places, timeout=REQUEST_SECONDS))
        finally:
            client.close()
        for one in answers:
            if one.error is not None:
                raise KafkaUnavailable(f"{what}, partition {one.partition}: {describe(one.error)}")
        return {one.partition: one.offset if one.offset >= 0 else None for one in answers}

    def ends(self, topic: str, partitions: Sequence[int]) -> Mapping[int, int]:
        """Give the offset that the next record of each partition will have."""
        asked = {TopicPartition(topic, one): OffsetSpec.latest() for one in partitions}  # type: ignore[no-untyped-call]
        return _answered(
            f"topic {topic}",
            lambda: {
                place.partition: future.result().offset
                for place, future in self._client.list_offsets(asked, request_timeout=REQUEST_SECONDS).items()
            },
        )


def _answered(what: str, ask: Callable[[], T]) -> T:
    """Ask until there is an answer that is none of those that pass. Raises: KafkaUnavailable."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as exception:
            error = error_of(exception)
            if error.code() not in _PASSING or time.monotonic() > deadline:
                raise KafkaUnavailable(f"{what}: {describe(error)}") from exception
        time.sleep(_RETRY_SECONDS)
