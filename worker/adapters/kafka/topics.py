"""Topics: which are there, what they take, and making them for those who ask for it."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from worker.adapters.kafka.clients import Causes, KafkaConfig, describe, error_of, new_client
from worker.ports import KafkaUnavailable

ADMIN_TIMEOUT_SECONDS = 10.0
FIRST_ANSWER_SECONDS = 5.0
"""Bound of the question that every command begins with: is Kafka there?"""
FIRST_LOOK_SECONDS = 1.0
"""After this long it is told if brokers refuse the login, or their certificate is not trusted."""

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
        self._timeout_seconds = min(ADMIN_TIMEOUT_SECONDS, config.call_timeout_seconds)
        self._causes = Causes()
        self._client = new_client(
            AdminClient, config.client(socket_connection_setup_timeout_ms=5_000, error_cb=self._causes)
        )

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
        for name, future in self._client.create_topics(asked, request_timeout=self._timeout_seconds).items():
            try:
                future.result()
            except KafkaException as exception:
                error = error_of(exception)
                if error.name() != "TOPIC_ALREADY_EXISTS":
                    raise KafkaUnavailable(f"topic {name} can't be made: {describe(error)}") from exception
        self._await(names)

    def topic_id(self, name: str) -> str:
        """Give a topic's identity; a topic made anew has another."""
        self._hear_of_controller()
        try:
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=self._timeout_seconds)
            return str(described[name].result().topic_id)
        except KafkaException as exception:
            raise KafkaUnavailable(f"topic {name}: {describe(error_of(exception))}") from exception

    def first_offsets(self, name: str, partitions: Sequence[int]) -> Mapping[int, int]:
        """Give the first offset that each partition still has."""
        asked = {TopicPartition(name, partition): OffsetSpec.earliest() for partition in partitions}  # type: ignore[no-untyped-call]
        answers = self._client.list_offsets(asked, request_timeout=self._timeout_seconds)
        try:
            return {asked.partition: future.result().offset for asked, future in answers.items()}
        except KafkaException as exception:
            raise KafkaUnavailable(f"topic {name}: {describe(error_of(exception))}") from exception

    def record_bytes_max(self, names: Sequence[str]) -> Mapping[str, int]:
        """Give the `max.message.bytes` of each topic that takes records, or Kafka's default where the broker keeps it.

        A topic that is not there is left out, and so is one that this worker may not write to.
        """
        denied = self.denied(names)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._client.describe_configs(resources, request_timeout=self._timeout_seconds)
        sizes = {resource.name: _max_message_bytes(resource.name, future) for resource, future in answers.items()}
        return {name: size for name, size in sizes.items() if size is not None and name not in denied}

    def denied(self, names: Sequence[str]) -> Mapping[str, str]:
        """Say which of the topics that are there this worker may not write to, and what to do."""
        self._hear_of_controller()
        asked = TopicCollection(list(names))
        answers = self._client.describe_topics(
            asked, include_authorized_operations=True, request_timeout=self._timeout_seconds
        )
        found = {name: _denial(name, future) for name, future in answers.items()}
        return {name: text for name, text in found.items() if text is not None}

    def _hear_of_controller(self) -> None:
        """Have the client know which broker to ask: it asks the controller that it last heard of, gone or not."""
        self._listed()

    def _await(self, names: Sequence[str]) -> None:
        """Wait until the brokers tell of the topics: they answer before the news of a new one is everywhere."""
        deadline = time.monotonic() + self._timeout_seconds
        while missing := self.missing(names):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"topics were made and are not to be seen: {', '.join(missing)}")
            time.sleep(_LOOK_SECONDS)

    def _listed(self) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=FIRST_LOOK_SECONDS)
        except KafkaException as exception:
            self._client.poll(0)  # Has the causes told.
            if self._causes.are_final:
                raise self._unanswered() from exception
        try:
            return self._client.list_topics(timeout=FIRST_ANSWER_SECONDS - FIRST_LOOK_SECONDS)
        except KafkaException as exception:
            self._client.poll(0)
            raise self._unanswered() from exception

    def _unanswered(self) -> KafkaUnavailable:
        return KafkaUnavailable(
            f"no broker answers at {self._bootstrap_servers} ({self._causes.text()}): "
            "is Kafka running there, and is WORKER_KAFKA_BOOTSTRAP_SERVERS right?"
        )


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


def _denial(name: str, future: Future[TopicDescription]) -> str | None:
    """Say why nothing can be written to a topic; None if it can be, there is no such topic, or brokers don't tell."""
    try:
        operations = future.result().authorized_operations
    except KafkaException as exception:
        error = error_of(exception)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return f"this worker may not even see topic {name}; grant it DESCRIBE and WRITE"
        if error.code() < 0 or error.code() == KafkaError.REQUEST_TIMED_OUT:
            raise KafkaUnavailable(f"topic {name}: {describe(error)}") from exception
        return None
    if not operations or AclOperation.WRITE in operations:
        return None
    return f"this worker may not write to topic {name}; grant it WRITE"
