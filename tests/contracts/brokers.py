"""Kafka for the tests of its ports: real brokers and the simulated ones, behind one face.

A bench has an input topic with two partitions, two output topics with one, and one group; they are the test's own.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

import pytest
from confluent_kafka import Consumer as RawConsumer
from confluent_kafka import IsolationLevel, Producer, TopicPartition

from tests.servers.kafka import KafkaCluster
from tests.simulation.servers.consumer import SimConsumer
from tests.simulation.servers.faults import Faults
from tests.simulation.servers.group import EMPTY
from tests.simulation.servers.kafka import SimKafka
from tests.simulation.servers.publisher import SimPublisher
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.consumer import GroupMembership, InputTopic, KafkaConsumer
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.records import Record
from worker.ports import Consumer, KafkaUnavailable, Membership, Publisher

SERVERS: Final = ("simulated", "real")
"""Whose members share partitions out."""

BROKERS_SHARE_OUT: Final = "real-consumer-protocol"
"""Real ones, whose brokers share partitions out (KIP-848); they take their time, five seconds by their defaults."""

EVERY: Final = (*SERVERS, pytest.param(BROKERS_SHARE_OUT, marks=pytest.mark.slow))
"""For tests about the group itself."""

PARTITIONS: Final = 2
BATCH_BYTES_MAX: Final = 1_000_000
SESSION_MS: Final = 2_000
SHORT_LIFE_MS: Final = 2_000
CALL_TIMEOUT_SECONDS: Final = 8.0
PATIENCE_SECONDS: Final = 30.0

Told = tuple[str, str, int]
"""Member, what it was told, partition."""


@dataclass
class Member:
    """One consumer of the group; `log` has what all members of the bench were told, in order."""

    name: str
    consumer: Consumer
    log: list[Told]
    owned: set[int] = field(default_factory=set)
    at_revoke: Callable[[], None] = lambda: None

    def assigned(self, partitions: Sequence[int]) -> None:
        self.owned.update(partitions)
        self._keep("assigned", partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.at_revoke()
        self.owned.difference_update(partitions)
        self._keep("revoked", partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)
        self._keep("lost", partitions)

    def told(self, what: str) -> set[int]:
        return {partition for name, kind, partition in self.log if (name, kind) == (self.name, what)}

    def poll(self) -> Sequence[Record]:
        """Poll once; what the client tells of its own misfortunes is passed over."""
        with suppress(KafkaUnavailable):
            return self.consumer.poll(100, 0.1)
        return []

    def join(self) -> None:
        """Join the group and poll until some partitions are there."""
        self.consumer.join(self)
        poll_until(lambda: bool(self.owned), self.poll)

    def read(self, count: int) -> list[Record]:
        """Poll until so many records came."""
        records: list[Record] = []
        poll_until(lambda: len(records) >= count, lambda: records.extend(self.poll()))
        return records

    def read_values(self, count: int) -> list[bytes | None]:
        return [record.value for record in self.read(count)]

    def committed(self) -> list[int | None]:
        return [one.committed for _, one in sorted(self.consumer.standings(range(PARTITIONS)).items())]

    def _keep(self, what: str, partitions: Sequence[int]) -> None:
        self.log.extend((self.name, what, partition) for partition in partitions)


def poll_until(done: Callable[[], bool], *polls: Callable[[], object]) -> None:
    """Poll in turn until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        for poll in polls:
            poll()


class Bench(Protocol):
    """Topics and a group, and what an onlooker does to them."""

    @property
    def log(self) -> list[Told]:
        """Give what members were told."""
        ...

    @property
    def input(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def other(self) -> str:
        """Name another output topic."""
        ...

    def member(self, name: str, *, frail: bool = False) -> Member:
        """Make a consumer; it has not joined. A frail one can be expelled."""
        ...

    def empty_membership(self) -> Membership:
        """Give what a client sends that never joined; no port gives it."""
        ...

    def id(self, name: str) -> str:
        """Give the transactional id of this test's own by a short name."""
        ...

    def publisher(self, name: str, *, is_short_lived: bool = False) -> Publisher:
        """Make a publisher; no producer is in place yet. Transactions of a short-lived one can be outlived."""
        ...

    def outlive(self, name: str) -> None:
        """Have the brokers abort the transaction of a short-lived producer for its age, soon."""
        ...

    def produce(self, partition: int, *values: bytes) -> None:
        """Have somebody else produce to the input topic, without a transaction."""
        ...

    def await_sent(self, topic: str, count: int) -> None:
        """Wait until so many records of a transaction are in a topic, whatever becomes of them."""
        ...

    def visible(self, topic: str | None = None) -> list[bytes | None]:
        """Give what readers of committed records see of the output topic, or another, in order."""
        ...

    def expire(self, partition: int, first_offset: int) -> None:
        """Delete the input topic's records below an offset."""
        ...

    def make_anew(self) -> None:
        """Delete the input topic and make it again."""
        ...

    def refuse(self) -> None:
        """Have the output topic take nothing that is larger than a few hundred bytes."""
        ...

    def expel(self, member: Member) -> None:
        """Have the group take a frail member for dead, which learns that when it polls again."""
        ...

    def close(self) -> None: ...


@dataclass
class SimulatedBench:
    """The simulated brokers."""

    kafka: SimKafka = field(default_factory=lambda: SimKafka(PARTITIONS))
    log: list[Told] = field(default_factory=list)
    consumers: dict[str, SimConsumer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kafka.group.automatic = range(PARTITIONS)

    @property
    def input(self) -> str:
        return self.kafka.input_topic

    @property
    def output(self) -> str:
        return f"{self.kafka.prefix}.default"

    @property
    def other(self) -> str:
        return f"{self.kafka.prefix}.other"

    def member(self, name: str, *, frail: bool = False) -> Member:
        self.consumers[name] = SimConsumer(self.kafka, Faults())
        return Member(name, self.consumers[name], self.log)

    def empty_membership(self) -> Membership:
        return EMPTY

    def id(self, name: str) -> str:
        return name

    def publisher(self, name: str, *, is_short_lived: bool = False) -> Publisher:
        return SimPublisher(self.kafka, name, Faults())

    def outlive(self, name: str) -> None:
        self.kafka.time_out(name)

    def produce(self, partition: int, *values: bytes) -> None:
        for value in values:
            self.kafka.append(partition, None, value)

    def await_sent(self, topic: str, count: int) -> None:
        pass

    def visible(self, topic: str | None = None) -> list[bytes | None]:
        return [output.value for output in self.kafka.visible if output.topic == (topic or self.output)]

    def expire(self, partition: int, first_offset: int) -> None:
        self.kafka.expire(partition, first_offset)

    def make_anew(self) -> None:
        self.kafka.topic_id = "topic-2"
        self.kafka.records = {partition: [] for partition in range(PARTITIONS)}

    def refuse(self) -> None:
        self.kafka.refused_topics[self.output] = "MSG_SIZE_TOO_LARGE"

    def expel(self, member: Member) -> None:
        self.kafka.expel(self.consumers[member.name])

    def close(self) -> None:
        pass


@dataclass
class RealBench:
    """Topics on real brokers."""

    cluster: KafkaCluster
    group_protocol: Literal["classic", "consumer"] = "classic"
    log: list[Told] = field(default_factory=list)
    name: str = field(default_factory=lambda: f"contracts-{uuid.uuid4().hex[:12]}")
    members: list[KafkaConsumer] = field(default_factory=list)
    publishers: list[KafkaPublisher] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster.create_topics([self.input], PARTITIONS)
        self.cluster.create_topics([self.output, self.other], 1)

    @property
    def input(self) -> str:
        return f"{self.name}.input"

    @property
    def output(self) -> str:
        return f"{self.name}.default"

    @property
    def other(self) -> str:
        return f"{self.name}.other"

    def config(self, **properties: str) -> KafkaConfig:
        named = {name.replace("_", "."): value for name, value in properties.items()}
        return KafkaConfig(
            self.cluster.bootstrap_servers,
            named,
            session_timeout_ms=SESSION_MS,
            call_timeout_seconds=CALL_TIMEOUT_SECONDS,
            group_protocol=self.group_protocol,
        )

    def member(self, name: str, *, frail: bool = False) -> Member:
        # A client that does not poll leaves the group, without a word to the application before it polls.
        ms = str(SESSION_MS)
        config = self.config(max_poll_interval_ms=ms, session_timeout_ms=ms) if frail else self.config()
        consumer = KafkaConsumer(config, InputTopic(self.input, self.name), TopicAdmin(config))
        self.members.append(consumer)
        return Member(name, consumer, self.log)

    def empty_membership(self) -> Membership:
        never_joined = RawConsumer({"bootstrap.servers": self.cluster.bootstrap_servers, "group.id": self.name})
        return GroupMembership(never_joined.consumer_group_metadata(), 0)

    def id(self, name: str) -> str:
        return f"{self.name}-{name}"

    def outlive(self, name: str) -> None:
        """Do nothing: brokers look for such transactions every few seconds."""

    def publisher(self, name: str, *, is_short_lived: bool = False) -> Publisher:
        config = replace(self.config(), transaction_timeout_ms=SHORT_LIFE_MS) if is_short_lived else self.config()
        publisher = KafkaPublisher(config, self.id(name), self.input)
        self.publishers.append(publisher)
        return publisher

    def produce(self, partition: int, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.cluster.bootstrap_servers, "linger.ms": 1})
        for value in values:
            producer.produce(self.input, value, partition=partition)
        assert producer.flush(PATIENCE_SECONDS) == 0

    def await_sent(self, topic: str, count: int) -> None:
        admin = self.cluster.admin()
        partitions = admin.list_topics(topic, PATIENCE_SECONDS).topics[topic].partitions
        places = [TopicPartition(topic, partition) for partition in partitions]
        poll_until(lambda: sum(self.cluster._ends(admin, places, IsolationLevel.READ_UNCOMMITTED)) >= count)

    def visible(self, topic: str | None = None) -> list[bytes | None]:
        return [record.value() for record in self.cluster.read_all(topic or self.output)]

    def expire(self, partition: int, first_offset: int) -> None:
        admin = self.cluster.admin()
        for deleted in admin.delete_records([TopicPartition(self.input, partition, first_offset)]).values():
            deleted.result(PATIENCE_SECONDS)

    def make_anew(self) -> None:
        self.cluster.delete_topics([self.input])
        poll_until(lambda: self.input not in self.cluster.admin().list_topics(timeout=10).topics)
        self.cluster.create_topics([self.input], PARTITIONS)

    def refuse(self) -> None:
        self.cluster.set_topic(self.output, "max.message.bytes", "300")

    def expel(self, member: Member) -> None:
        time.sleep(2 * SESSION_MS / 1000)

    def close(self) -> None:
        for publisher in self.publishers:
            publisher.close()
        for member in self.members:
            member.close()
