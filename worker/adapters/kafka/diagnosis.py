"""What brokers tell of themselves, for `worker doctor`: what they speak, topics and settings, rights, times.

Nothing is changed, and nothing is written: a broker's clock can't be asked, only the time of what others wrote.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.ports import KafkaUnavailable

T = TypeVar("T")

REQUEST_SECONDS: Final = 10.0
_LOG_SECONDS: Final = 2.0
_API: Final = re.compile(r"ApiKey \S+ \((\d+)\) Versions (\d+)\.\.(\d+)")
_POLL_SECONDS: Final = 0.05
_PASSING: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)
"""What brokers say of a topic that was just made, or of a group whose coordinator has just changed."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Brokers, and what they let us do with the cluster; `None`: they don't tell. `settings` are one broker's."""

    cluster_id: str
    brokers: int
    operations: frozenset[str] | None
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic. `replicas` is the least of any partition, `lagging` counts partitions with a replica out of sync."""

    name: str
    partitions: int
    replicas: int
    lagging: int
    leaderless: int
    settings: Mapping[str, str]
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The consumer group, as its coordinator has it; `members` is None where that does not tell."""

    members: int | None
    is_stable: bool
    operations: frozenset[str] | None


class KafkaDiagnosis:
    """Ask the brokers. All calls raise KafkaUnavailable."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client = new_client(AdminClient, config.client(socket_connection_setup_timeout_ms=5_000))

    def versions(self) -> Mapping[int, int]:
        """Give the newest version of each request that the brokers take, by its number; empty if they don't say.

        The client has no call for it, but says what it was told when it connects.
        """
        found: dict[int, int] = {}
        logger = logging.Logger("worker.kafka.versions")  # noqa: LOG001 - One of its own: nothing of it is a log.
        logger.addHandler(_Reading(found))
        client = new_client(AdminClient, {**self._config.client(debug="feature"), "logger": logger})
        _answered("the brokers", lambda: client.list_topics(timeout=REQUEST_SECONDS))
        deadline = time.monotonic() + _LOG_SECONDS
        while time.monotonic() < deadline:
            before = len(found)
            client.poll(_POLL_SECONDS)
            if found and len(found) == before:
                break
        return found

    def cluster(self) -> ClusterFacts:
        """Describe the cluster."""
        told = _answered(
            "the cluster",
            lambda: self._client.describe_cluster(
                include_authorized_operations=True, request_timeout=REQUEST_SECONDS
            ).result(),
        )
        node = str(told.nodes[0].id)
        return ClusterFacts(
            cluster_id=str(told.cluster_id),
            brokers=len(told.nodes),
            operations=_operations(told.authorized_operations),
            settings=self._settings(ResourceType.BROKER, [node])[node],
        )

    def topics(self, names: Sequence[str]) -> Mapping[str, TopicFacts]:
        """Describe those of the topics that are there."""
        listed = _answered("the topics", lambda: self._client.list_topics(timeout=REQUEST_SECONDS)).topics
        there = [name for name in names if name in listed]
        if not there:
            return {}
        told = _answered(
            "the topics",
            lambda: {
                name: future.result()
                for name, future in self._client.describe_topics(
                    TopicCollection(there), include_authorized_operations=True, request_timeout=REQUEST_SECONDS
                ).items()
            },
        )
        settings = self._settings(ResourceType.TOPIC, there)
        return {name: _topic_facts(name, told[name], settings[name]) for name in there}

    def group(self, group_id: str) -> GroupFacts:
        """Describe the group."""

        def ask() -> Any:
            asked = self._client.describe_consumer_groups(
                [group_id], include_authorized_operations=True, request_timeout=REQUEST_SECONDS
            )
            return asked[group_id].result()

        told = _answered(f"group {group_id}", ask)
        is_stable = told.state in (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        # Nobody shares partitions out among no members: such a broker (the embedded one) keeps them to itself.
        is_told = bool(told.members) or told.state is not ConsumerGroupState.STABLE
        members = len(told.members) if is_told else None
        return GroupFacts(members, is_stable, _operations(told.authorized_operations))

    def newest(self, topic: str, partitions: int) -> int | None:
        """Give the latest time that a record of a topic has, in milliseconds since the epoch; None: it has none."""
        asked = {TopicPartition(topic, one): OffsetSpec.max_timestamp() for one in range(partitions)}  # type: ignore[no-untyped-call]
        told = _answered(
            f"topic {topic}",
            lambda: [
                future.result().timestamp
                for future in self._client.list_offsets(asked, request_timeout=REQUEST_SECONDS).values()
            ],
        )
        return max((int(one) for one in told if one is not None and one >= 0), default=None)

    def _settings(self, kind: ResourceType, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Give the settings that the brokers tell; who may not ask for them is told none."""
        found: dict[str, Mapping[str, str]] = {}
        resources = [ConfigResource(kind, name) for name in names]
        for resource, future in self._client.describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
            try:
                entries = future.result()
            except KafkaException:
                entries = {}
            found[resource.name] = {name: one.value for name, one in entries.items() if one.value is not None}
        return found


class _Reading(logging.Handler):
    """Read what the client says of the brokers' versions."""

    def __init__(self, found: dict[int, int]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """Note one line."""
        told = _API.search(record.getMessage())
        if told is not None:
            key, newest = int(told[1]), int(told[3])
            # Brokers of several versions: what all of them take counts.
            self._found[key] = min(self._found.get(key, newest), newest)


def _topic_facts(name: str, told: Any, settings: Mapping[str, str]) -> TopicFacts:
    return TopicFacts(
        name=name,
        partitions=len(told.partitions),
        replicas=min((len(one.replicas) for one in told.partitions), default=0),
        lagging=sum(len(one.isr) < len(one.replicas) for one in told.partitions),
        leaderless=sum(one.leader is None or one.leader.id < 0 for one in told.partitions),
        settings=settings,
        operations=_operations(told.authorized_operations),
    )


def _operations(told: Sequence[Any] | None) -> frozenset[str] | None:
    """Name what may be done; brokers that keep no rights tell of none."""
    return frozenset(one.name for one in told) if told else None


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
        time.sleep(_POLL_SECONDS)
