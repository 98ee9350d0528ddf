"""Topics of a test's own, and what acts on them by the runtime's Kafka ports."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.servers.kafka import ADMIN_TIMEOUT_SECONDS, KafkaCluster
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.consumer import InputTopic, KafkaConsumer
from worker.adapters.kafka.publisher import KafkaPublisher, PlainPublisher
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.records import Output, Record

PATIENCE_SECONDS = 20.0
PARTITIONS = 4


@dataclass
class Told:
    """Keep what the consumer tells of its partitions."""

    owned: set[int] = field(default_factory=set)
    revokes: list[int] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.owned.update(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)
        self.revokes.extend(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.owned.difference_update(partitions)
        self.losses.extend(partitions)


@dataclass
class Member:
    """One consumer of a group, with what it was told."""

    consumer: KafkaConsumer
    told: Told

    def poll_until(self, done: Callable[[], bool]) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            records += self.consumer.poll(100, 0.1)
        return records

    def committed(self) -> list[int | None]:
        return [standing.committed for _, standing in sorted(self.consumer.standings(range(PARTITIONS)).items())]

    def topic_id(self) -> str:
        return self.consumer.topic_id()

    def read(self, count: int) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(records) < count:
            assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
            records += self.consumer.poll(100, 0.1)
        return records


@dataclass
class Publishing:
    """A publisher and the member that it publishes for."""

    real: KafkaPublisher | PlainPublisher
    member: Member

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        self.real.send(outputs)
        self.real.send_offsets(next_offsets, self.member.consumer.membership())
        self.real.commit()


@dataclass
class Bench:
    """An input and an output topic of this test's own, and what acts on them."""

    cluster: KafkaCluster
    input: str
    output: str
    group_id: str = field(default_factory=lambda: f"group-{uuid.uuid4()}")
    bootstrap_servers: str | None = None
    group_protocol: str = "classic"
    call_timeout_seconds: float = 20.0
    properties: Mapping[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    publishers: list[Publishing] = field(default_factory=list)

    @classmethod
    def make(cls, cluster: KafkaCluster) -> "Bench":
        made = cls(cluster, cluster.make_topic("input", PARTITIONS), cluster.make_topic("output", PARTITIONS))
        admin, deadline = TopicAdmin(made.config), time.monotonic() + PATIENCE_SECONDS
        while admin.missing([made.input, made.output]):
            assert time.monotonic() < deadline, "waited in vain"
        return made

    @property
    def config(self) -> KafkaConfig:
        return KafkaConfig(
            self.bootstrap_servers or self.cluster.bootstrap_servers,
            self.properties,
            session_timeout_ms=3_000,
            call_timeout_seconds=self.call_timeout_seconds,
            group_protocol=self.group_protocol,
        )

    def consumer(self) -> KafkaConsumer:
        return KafkaConsumer(self.config, InputTopic(self.input, self.group_id), TopicAdmin(self.config))

    def join(self) -> Member:
        """Begin to join; the partitions come within `poll`."""
        self.members.append(Member(self.consumer(), Told()))
        self.members[-1].consumer.join(self.members[-1].told)
        return self.members[-1]

    def join_alone(self) -> Member:
        """Join, and wait until all partitions have come."""
        joined = self.join()
        joined.poll_until(lambda: joined.told.owned == set(range(PARTITIONS)))
        return joined

    def publisher(self, member: Member, transactional_id: str | None = None) -> Publishing:
        name = transactional_id or f"transactional-{uuid.uuid4()}"
        return self._ready(KafkaPublisher(self.config, name, self.input), member)

    def plain_publisher(self, member: Member) -> Publishing:
        return self._ready(PlainPublisher(self.config, member.consumer.commit_offsets), member)

    def out(self, value: bytes, key: bytes = b"key") -> Output:
        return Output(self.output, key, value, (("name", b"\x00\xff"), ("none", None)))

    def limit_outputs(self, bytes_max: int) -> None:
        """Have the output topic take no larger records, and wait until the brokers say so."""
        self.cluster.set_topic(self.output, "max.message.bytes", str(bytes_max))
        admin = TopicAdmin(self.config)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while admin.record_bytes_max([self.output]) != {self.output: bytes_max}:
            assert time.monotonic() < deadline, "waited in vain"

    def visible(self) -> list[bytes | str | None]:
        """Give the outputs that readers see, once no transaction waits for its markers."""
        self.cluster.wait_until_settled([self.output])
        return [record.value() for record in self.cluster.read_all(self.output)]

    def close(self) -> None:
        for publisher in self.publishers:
            publisher.real.close()
        for member in self.members:
            member.consumer.close()

    def _ready(self, publisher: KafkaPublisher | PlainPublisher, member: Member) -> Publishing:
        publisher.replace()
        self.publishers.append(Publishing(publisher, member))
        return self.publishers[-1]


def allow_only(cluster: KafkaCluster, kind: ResourceType, name: str, operations: Sequence[AclOperation]) -> None:
    """Let everybody do this and nothing else with what is named so, and wait until the broker knows."""
    anybody, anywhere, allow = "User:*", "*", AclPermissionType.ALLOW
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, anybody, anywhere, operation, allow)
        for operation in operations
    ]
    admin = cluster.admin()
    for created in admin.create_acls(bindings).values():
        created.result(ADMIN_TIMEOUT_SECONDS)
    any_of_it = AclOperation.ANY, AclPermissionType.ANY
    wanted = AclBindingFilter(kind, name, ResourcePatternType.LITERAL, anybody, anywhere, *any_of_it)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(admin.describe_acls(wanted).result(ADMIN_TIMEOUT_SECONDS)) < len(bindings):
        assert time.monotonic() < deadline, "waited in vain"
