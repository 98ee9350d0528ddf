"""Topics: which are there, what they take, and making them for those who ask for it."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from worker.adapters.kafka.clients import KafkaConfig, describe, error_of, new_client
from worker.ports import KafkaUnavailable

ADMIN_TIMEOUT_SECONDS = 10.0
_LOOK_SECONDS = 0.05
DEFAULT_RECORD_BYTES_MAX = 1_048_588
"""Kafka's default `max.message.bytes`, for brokers that don't tell theirs."""


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What a new topic is made with."""

    partitions: int = 10
    replication_factor: int = -1


class TopicAdmin:
    """Ask the brokers about topics. All calls raise KafkaUnavailable."""

    def __init__(self, config: KafkaConfig) -> None:
        self._bootstrap_servers = config.bootstrap_servers
        self._client = new_client(AdminClient, config.client(socket_connection_setup_timeout_ms=5_000))

    def cluster_id(self) -> str:
        """Give the cluster's identity."""
        return str(self._listed().cluster_id)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Give those of `names` that are not there, in their order."""
        there = self._listed().topics
        return [name for name in names if name not in there]

    def partitions(self, name: str) -> int:
        """Count the partitions of a topic that is there."""
        return len(self._listed().topics[name].partitions)

    def create(self, names: Sequence[str], shape: TopicShape) -> None:
        """Make these topics, and wait until they are there for all; one that is there by now is fine."""
        asked = [NewTopic(name, shape.partitions, shape.replication_factor) for name in names]
        for name, future in self._client.create_topics(asked, request_timeout=ADMIN_TIMEOUT_SECONDS).items():
            try:
                future.result()
            except KafkaException as exception:
                error = error_of(exception)
                if error.name() != "TOPIC_ALREADY_EXISTS":
                    raise KafkaUnavailable(f"topic {name} can't be made: {describe(error)}") from exception
        self._await(names)

    def topic_id(self, name: str) -> str:
        """Give a topic's identity; a topic made anew has another."""
        try:
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=ADMIN_TIMEOUT_SECONDS)
            return str(described[name].result().topic_id)
        except KafkaException as exception:
            raise KafkaUnavailable(f"topic {name}: {describe(error_of(exception))}") from exception

    def first_offsets(self, name: str, partitions: Sequence[int]) -> Mapping[int, int]:
        """Give the first offset that each partition still has."""
        asked = {TopicPartition(name, partition): OffsetSpec.earliest() for partition in partitions}  # type: ignore[no-untyped-call]
        answers = self._client.list_offsets(asked, request_timeout=ADMIN_TIMEOUT_SECONDS)
        try:
            return {asked.partition: future.result().offset for asked, future in answers.items()}
        except KafkaException as exception:
            raise KafkaUnavailable(f"topic {name}: {describe(error_of(exception))}") from exception

    def record_bytes_max(self, names: Sequence[str]) -> Mapping[str, int]:
        """Give the `max.message.bytes` of each topic that is there, or Kafka's default where the broker keeps it."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._client.describe_configs(resources, request_timeout=ADMIN_TIMEOUT_SECONDS)
        sizes = {resource.name: _max_message_bytes(resource.name, future) for resource, future in answers.items()}
        return {name: size for name, size in sizes.items() if size is not None}

    def _await(self, names: Sequence[str]) -> None:
        """Wait until the brokers tell of the topics: they answer before the news of a new one is everywhere."""
        deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
        while missing := self.missing(names):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"topics were made and are not to be seen: {', '.join(missing)}")
            time.sleep(_LOOK_SECONDS)

    def _listed(self) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
        except KafkaException as exception:
            raise KafkaUnavailable(
                f"no broker answers at {self._bootstrap_servers} ({describe(error_of(exception))}): "
                "is Kafka running there, and is WORKER_KAFKA_BOOTSTRAP_SERVERS right?"
            ) from exception


def _max_message_bytes(name: str, future: Future[Mapping[str, ConfigEntry]]) -> int | None:
    """Give the size; None if there is no such topic."""
    try:
        entry = future.result().get("max.message.bytes")
    except KafkaException as exception:
        error = error_of(exception)
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if error.code() < 0 or error.code() == KafkaError.REQUEST_TIMED_OUT:
            raise KafkaUnavailable(f"topic {name}: {describe(error)}") from exception
        return DEFAULT_RECORD_BYTES_MAX
    return int(entry.value) if entry and entry.value else DEFAULT_RECORD_BYTES_MAX
