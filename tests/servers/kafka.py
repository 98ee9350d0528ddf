"""Apache Kafka for the tests: a broker from Maven's jars in KRaft mode, and what tests do with a cluster."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.servers.locks import one_at_a_time
from worker.adapters.embedded.server import LOOPBACK, Server, ServerPlan, free_port, listens

Isolation = Literal["read_committed", "read_uncommitted"]

POM = Path(__file__).with_name("pom.xml")
FETCH_TIMEOUT_SECONDS = 900
FORMAT_TIMEOUT_SECONDS = 60
START_TIMEOUT_SECONDS = 60
STOP_GRACE_SECONDS = 15
READ_TIMEOUT_SECONDS = 30
ADMIN_TIMEOUT_SECONDS = 15
RECORDS_PER_CALL = 1_000
SYNC_POLL_SECONDS = 0.2
REPLICAS_MAX = 3
HEAP: Sequence[str] = ("-Xmx512m",)
QUICK: Sequence[str] = (*HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a broker that does not live long enough for the best of compilers to be worth its while."""
SMALL_HEAP: Sequence[str] = ("-Xmx384m", "-XX:+UseSerialGC")
"""What several brokers on one small machine get each."""


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """A running cluster, ours or a given one; tests share it and use topics of their own."""

    bootstrap_servers: str
    replicas: int = 1

    def make_topic(self, stem: str, partitions: int = 4) -> str:
        """Create a topic with a unique name that begins with the stem."""
        name = f"{stem}-{uuid.uuid4().hex[:12]}"
        self.create_topics([name], partitions)
        return name

    def create_topics(self, names: Sequence[str], partitions: int = 4) -> None:
        topics = [NewTopic(name, partitions, self.replicas) for name in names]
        admin = self.admin()  # Held on to: without a client its requests are off.
        for created in admin.create_topics(topics, operation_timeout=ADMIN_TIMEOUT_SECONDS).values():
            created.result(ADMIN_TIMEOUT_SECONDS)

    def delete_topics(self, names: Sequence[str]) -> None:
        admin = self.admin()
        for deleted in admin.delete_topics(list(names), operation_timeout=ADMIN_TIMEOUT_SECONDS).values():
            deleted.result(ADMIN_TIMEOUT_SECONDS)

    def add_partitions(self, topic: str, total: int) -> None:
        """Give a topic more partitions, so many in all."""
        admin = self.admin()
        for added in admin.create_partitions([NewPartitions(topic, total)]).values():
            added.result(ADMIN_TIMEOUT_SECONDS)

    def set_topic(self, topic: str, name: str, value: str) -> None:
        """Change one property of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = self.admin()
        for altered in admin.incremental_alter_configs([resource]).values():
            altered.result(ADMIN_TIMEOUT_SECONDS)

    def read_all(self, topic: str, isolation: Isolation = "read_committed") -> list[Message]:
        """Read a topic to its present end, partition by partition, each in its order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"read-all-{uuid.uuid4()}",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            partitions = consumer.list_topics(topic, ADMIN_TIMEOUT_SECONDS).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
            records = _read_to_end(consumer, len(partitions))
        finally:
            consumer.close()
        return sorted(records, key=lambda record: (record.partition() or 0, record.offset() or 0))

    def is_settled(self, topics: Sequence[str]) -> bool:
        """Tell whether readers of committed records see all that is there: no transaction waits for its markers."""
        admin = self.admin()
        there = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).topics
        places = [TopicPartition(topic, partition) for topic in topics for partition in there[topic].partitions]
        ends = [self._ends(admin, places, level) for level in IsolationLevel]
        return ends[0] == ends[1]

    def wait_until_settled(self, topics: Sequence[str]) -> None:
        """Wait until `is_settled`.

        A lone broker that is killed between a commit and its markers may count the transaction as complete when it is
        back, without markers (seen with Apache Kafka 4.3.1): readers of committed records then wait for ever.
        """
        deadline = time.monotonic() + READ_TIMEOUT_SECONDS
        while not self.is_settled(topics):
            if time.monotonic() > deadline:
                raise TimeoutError(f"a transaction is open still after {READ_TIMEOUT_SECONDS} s: {', '.join(topics)}")

    def _ends(self, admin: AdminClient, places: Sequence[TopicPartition], level: IsolationLevel) -> list[int]:
        asked = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        answers = admin.list_offsets(asked, isolation_level=level, request_timeout=ADMIN_TIMEOUT_SECONDS)
        return [answers[place].result().offset for place in places]

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 4})


def _read_to_end(consumer: Consumer, partitions: int) -> list[Message]:
    records: list[Message] = []
    at_end: set[int | None] = set()
    deadline = time.monotonic() + READ_TIMEOUT_SECONDS
    while len(at_end) < partitions:
        if time.monotonic() > deadline:
            message = f"read {len(records)} records in {READ_TIMEOUT_SECONDS} s, and {len(at_end)} of {partitions} ends"
            raise TimeoutError(message)
        for record in consumer.consume(RECORDS_PER_CALL, timeout=0.2):
            error = record.error()
            if error is None:
                records.append(record)
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(record.partition())
            else:
                raise KafkaException(error)
    return records


@dataclass(frozen=True, slots=True)
class Quorum:
    """What the brokers of one cluster know of each other: the ports of their controllers, by node."""

    cluster_id: str
    controllers: Mapping[int, int]

    @property
    def voters(self) -> str:
        return ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in self.controllers.items())

    @property
    def replicas(self) -> int:
        """Say how often each record is kept."""
        return min(len(self.controllers), REPLICAS_MAX)

    @property
    def in_sync_min(self) -> int:
        """Say how many must have a record before it counts: one broker may be away."""
        return max(self.replicas - 1, 1)


@dataclass(slots=True)
class KafkaServer:
    """One broker of our own, that can be killed and started again on the same data and ports.

    Without a `quorum` it is a cluster of one. `proxy_port` is what the broker tells clients of its second listener,
    `proxied_port`: put a `TcpProxy` between the two, and clients that know the proxy's port go through it for good.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)
    proxied_port: int = field(default_factory=free_port)
    proxy_port: int = field(default_factory=free_port)
    node: int = 1
    quorum: Quorum | None = None
    java_options: Sequence[str] = HEAP
    properties: Mapping[str, str] = field(default_factory=dict)
    _server: Server = field(init=False)

    def __post_init__(self) -> None:
        if self.quorum is None:
            self.quorum = Quorum(str(uuid.uuid4()), {self.node: self.controller_port})
        self._server = Server(self._plan(), self.folder, remove_folder=False)

    @property
    def cluster(self) -> KafkaCluster:
        return KafkaCluster(f"{LOOPBACK}:{self.port}")

    @property
    def proxied_cluster(self) -> KafkaCluster:
        return KafkaCluster(f"{LOOPBACK}:{self.proxy_port}")

    def start(self) -> None:
        """Start the broker and block until it answers; format its folder first, if it is new."""
        if not self._properties.exists():
            self._format()
        self._server.start(lambda: listens(self.port))
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, f"Kafka did not answer within {START_TIMEOUT_SECONDS} s"

    def stop(self) -> None:
        self._server.stop()

    def kill(self) -> None:
        """End the broker as a crash does."""
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            # A new client each time: one whose first question came too early takes the broker for a very old one.
            self.cluster.admin().list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
        except KafkaException:
            return False
        return True

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _plan(self) -> ServerPlan:
        return ServerPlan(
            name="kafka",
            command=_java(self.java_options, "kafka.Kafka", str(self._properties)),
            environment=_environment(),
            grace_seconds=STOP_GRACE_SECONDS,
            start_timeout_seconds=START_TIMEOUT_SECONDS,
        )

    def _format(self) -> None:
        assert self.quorum is not None
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        arguments = ("format", "-t", self.quorum.cluster_id, "-c", str(self._properties))
        command = _java(QUICK, "kafka.tools.StorageTool", *arguments)
        try:
            _run(command, FORMAT_TIMEOUT_SECONDS)
        except BaseException:
            self._properties.unlink()
            raise

    def _settings(self) -> dict[str, str | int]:
        assert self.quorum is not None
        return {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": self.quorum.voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "DIRECT",
            "listeners": ",".join(
                (
                    f"DIRECT://{LOOPBACK}:{self.port}",
                    f"PROXIED://{LOOPBACK}:{self.proxied_port}",
                    f"CONTROLLER://{LOOPBACK}:{self.controller_port}",
                )
            ),
            "advertised.listeners": f"DIRECT://{LOOPBACK}:{self.port},PROXIED://{LOOPBACK}:{self.proxy_port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            # A killed broker is let in again only when its last session is over.
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 3000,
            "auto.create.topics.enable": "false",
            "num.partitions": 4,
            "default.replication.factor": self.quorum.replicas,
            "min.insync.replicas": self.quorum.in_sync_min,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": self.quorum.replicas,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": self.quorum.replicas,
            "transaction.state.log.min.isr": self.quorum.in_sync_min,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            **self.properties,
        }


@dataclass(slots=True)
class KafkaBrokers:
    """Brokers that are one cluster, each record on three of them; each can be killed and started again alone.

    A record counts when two have it, so with three brokers one may be away.
    """

    folder: Path
    count: int = REPLICAS_MAX
    servers: list[KafkaServer] = field(init=False)

    def __post_init__(self) -> None:
        quorum = Quorum(str(uuid.uuid4()), {node: free_port() for node in range(1, self.count + 1)})
        self.servers = [
            KafkaServer(
                self.folder / f"broker-{node}",
                controller_port=port,
                node=node,
                quorum=quorum,
                java_options=HEAP if self.count == 1 else SMALL_HEAP,
            )
            for node, port in quorum.controllers.items()
        ]

    @property
    def cluster(self) -> KafkaCluster:
        return self._cluster([server.port for server in self.servers])

    @property
    def proxied_cluster(self) -> KafkaCluster:
        return self._cluster([server.proxy_port for server in self.servers])

    def start(self) -> None:
        """Start all, at once since none can serve before most are there, and block until each has everything."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        with ThreadPoolExecutor(self.count) as pool:
            list(pool.map(KafkaServer.stop, self.servers))

    def wait_until_in_sync(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Block until every broker has every record that it keeps. Raises: TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        admin = self.cluster.admin()
        while not self._is_in_sync(admin):
            if time.monotonic() > deadline:
                message = f"the brokers were not in sync within {timeout_seconds:g} s"
                raise TimeoutError(message)
            time.sleep(SYNC_POLL_SECONDS)

    def _start(self) -> None:
        for server in self.servers:
            server.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self.count) as pool:
            list(pool.map(KafkaServer.start, self.servers))
        self.wait_until_in_sync()

    def _is_in_sync(self, admin: AdminClient) -> bool:
        try:
            found = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
        except KafkaException:
            return False
        partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
        replicated = all(one.error is None and set(one.isrs) == set(one.replicas) for one in partitions)
        return len(found.brokers) == self.count and replicated

    def _cluster(self, ports: Sequence[int]) -> KafkaCluster:
        return KafkaCluster(",".join(f"{LOOPBACK}:{port}" for port in ports), min(self.count, REPLICAS_MAX))


def kafka_version() -> str:
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text())
    assert found is not None
    return found[1]


def jars_folder() -> Path:
    """Say where the jars are kept: outside of the repository, for every clone of it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "orchestrator-worker" / f"kafka-{kafka_version()}"


def fetch_jars() -> None:
    """Have Maven fetch the jars, unless they are there; a broken fetch leaves nothing behind."""
    target = jars_folder()
    if target.is_dir():
        return
    with one_at_a_time(target), tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        if target.is_dir():
            return
        copy = "dependency:copy-dependencies"
        command = ["mvn", "-B", "-q", "-f", str(POM), copy, f"-DoutputDirectory={temporary}/jars"]
        _run(command, FETCH_TIMEOUT_SECONDS)
        (Path(temporary) / "jars").rename(target)


def kafka_can_run() -> bool:
    return shutil.which("java") is not None and (jars_folder().is_dir() or shutil.which("mvn") is not None)


def _java(java_options: Sequence[str], *arguments: str) -> list[str]:
    options = [*java_options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return ["java", *options, "-cp", f"{jars_folder()}/*", *arguments]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HOME", "JAVA_HOME", "LANG", "PATH") if name in os.environ}


def _run(command: Sequence[str], timeout_seconds: float) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_seconds)
    if done.returncode:
        message = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)
