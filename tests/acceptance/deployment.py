"""A deployment of the worker for a test: a database, topics of its own, and worker processes that can be killed."""

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tests.servers.kafka import KafkaCluster
from worker.adapters.embedded.server import Server, ServerPlan
from worker.core.codec import EncodedRecord
from worker.core.routing import Topics

ROOT = Path(__file__).parents[2]
SESSION_TIMEOUT_SECONDS = 3.0
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
KAFKA_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.02
RECORD_BYTES_MAX = 2 * 1024 * 1024
INHERITED = ("HOME", "LANG", "PATH", "TMPDIR")


def wait_until(done: Callable[[], bool], timeout_seconds: float, what: str) -> None:
    """Look again and again until it is so. Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s in vain until {what}")
        time.sleep(POLL_SECONDS)


@dataclass(slots=True)
class WorkerProcess:
    """One process of `worker run`, or of another command. Whatever becomes of the test, nothing of it stays.

    `ready` is the event of the log line that tells that it runs; `source` is the tree whose worker it is.
    """

    name: str
    folder: Path
    settings: Mapping[str, str]
    arguments: Sequence[str] = ("run",)
    ready: str = "running"
    source: Path = ROOT
    _server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        path = os.pathsep.join(filter(None, (str(self.source), os.environ.get("PYTHONPATH"))))
        plan = ServerPlan(
            name=self.name,
            command=[sys.executable, "-m", "worker", *self.arguments],
            environment={**inherited, "PYTHONPATH": path, **self.settings},
            directory=self.folder.parent,
            start_timeout_seconds=START_TIMEOUT_SECONDS,
        )
        self._server = Server(plan, self.folder, remove_folder=False)

    @property
    def running(self) -> bool:
        return self._server.running

    def start(self) -> Self:
        """Start the process and block until it runs."""
        self._server.start(lambda: bool(self.told(self.ready)))
        return self

    def kill(self) -> float:
        """End it as `kill -9` does, and give the moment, in seconds since the epoch."""
        killed_at = time.time()
        os.kill(self._server.pid, signal.SIGKILL)
        self._await_end()
        return killed_at

    def terminate(self) -> int:
        """Ask it to end, and give its exit status: 0, or 1 for any other."""
        os.kill(self._server.pid, signal.SIGTERM)
        return self._await_end()

    def suspend(self) -> None:
        """Stop it in its tracks."""
        os.kill(self._server.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended process go on."""
        os.kill(self._server.pid, signal.SIGCONT)

    def close(self) -> None:
        """See to it that it is gone."""
        if self.running:
            self.resume()
        self._server.stop()

    def log(self) -> list[dict[str, Any]]:
        """Give its log lines that are JSON, oldest first."""
        lines = self._server.log.read_text(errors="replace").splitlines() if self._server.log.exists() else []
        told = []
        for line in lines:
            with suppress(ValueError):
                told.append(json.loads(line))
        return told

    def told(self, event: str) -> list[dict[str, Any]]:
        """Give its log lines of an event."""
        return [line for line in self.log() if line.get("event") == event]

    def log_text(self) -> str:
        return self._server.log.read_text(errors="replace")

    def _await_end(self) -> int:
        wait_until(lambda: not self.running, STOP_TIMEOUT_SECONDS, f"{self.name} ended")
        keeper = self._server._keeper
        assert keeper is not None
        status = keeper.returncode
        self._server.stop()
        return int(status)


@dataclass(frozen=True, slots=True)
class Position:
    """A position row, as the tests look at it."""

    partition: int
    next_offset: int
    published_offset: int
    owner: str | None


@dataclass(slots=True)
class Deployment:
    """Topics of a prefix of their own, a database, and the workers that serve them, started in `folder`.

    `settings` are given to every worker, above those of the deployment.
    """

    cluster: KafkaCluster
    database_url: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    domains: Sequence[str] = ("default", "external")
    partitions: int = 4
    prefix: str = field(default_factory=lambda: f"acceptance-{uuid.uuid4().hex[:12]}")
    workers: list[WorkerProcess] = field(default_factory=list)

    def __enter__(self) -> Self:
        names = [self.topics.input, self.topics.dead_letters, *map(self.topics.domain, self.domains)]
        self.cluster.create_topics(names, self.partitions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.close()
        if error is not None:
            for worker in self.workers:
                print(f"--- the log of {worker.name}\n{worker.log_text()[-20_000:]}")

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    def environment(self) -> dict[str, str]:
        """Give the settings of a worker of this deployment."""
        return {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
            "WORKER_DATABASE_URL": self.database_url,
            "WORKER_TOPIC_PREFIX": self.prefix,
            "WORKER_GROUP_ID": self.prefix,
            "WORKER_MACHINES": "machines.order",
            "WORKER_HTTP_HOST": "127.0.0.1",
            "WORKER_KAFKA__SESSION_TIMEOUT_MS": str(round(SESSION_TIMEOUT_SECONDS * 1000)),
            **self.settings,
        }

    def start_worker(self, source: Path = ROOT) -> WorkerProcess:
        """Start a worker, of this tree or of another, and block until it runs."""
        name = f"worker-{len(self.workers) + 1}"
        worker = WorkerProcess(name, self.folder / name, self.environment(), source=source)
        self.workers.append(worker)
        return worker.start()

    # Kafka

    def produce(self, records: Iterable[EncodedRecord], partition: int | None = None) -> list[tuple[int, int]]:
        """Send records to the input topic, as Java's clients share them out, and give partition and offset of each."""
        placed: dict[int, tuple[int, int]] = {}

        def keep(number: int) -> Callable[[object, Message], None]:
            def delivered(error: object, message: Message) -> None:
                assert error is None, error
                placed[number] = (message.partition() or 0, message.offset() or 0)

            return delivered

        producer = Producer(
            {
                "bootstrap.servers": self.cluster.bootstrap_servers,
                "partitioner": "murmur2_random",
                "message.max.bytes": RECORD_BYTES_MAX,
                "enable.idempotence": True,
                "linger.ms": 5,
            }
        )
        for number, record in enumerate(records):
            where = -1 if partition is None else partition  # -1: as the partitioner has it.
            producer.produce(
                self.topics.input,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=keep(number),
                partition=where,
            )
            producer.poll(0)
        producer.flush(KAFKA_TIMEOUT_SECONDS)
        return [placed[number] for number in range(len(placed))]

    def outputs(self) -> list[Message]:
        """Read what the domains' topics hold, in order per topic and partition, committed records only."""
        return [record for domain in self.domains for record in self.cluster.read_all(self.topics.domain(domain))]

    def dead_letters(self) -> list[Message]:
        return self.cluster.read_all(self.topics.dead_letters)

    def end_offsets(self) -> dict[int, int]:
        """Give the end of each partition of the input topic; brokers that just came up are asked again."""
        client = Consumer({"bootstrap.servers": self.cluster.bootstrap_servers, "group.id": "none"})
        ends: dict[int, int] = {}

        def all_told() -> bool:
            with suppress(KafkaException):
                for partition in range(len(ends), self.partitions):
                    place = TopicPartition(self.topics.input, partition)
                    ends[partition] = client.get_watermark_offsets(place, timeout=KAFKA_TIMEOUT_SECONDS)[1]
            return len(ends) == self.partitions

        try:
            wait_until(all_told, KAFKA_TIMEOUT_SECONDS, f"the brokers tell the ends of {self.topics.input}")
        finally:
            client.close()
        return ends

    def committed(self) -> dict[int, int]:
        """Give the group's committed offset of each partition that has one."""
        asked = [TopicPartition(self.topics.input, partition) for partition in range(self.partitions)]
        client = Consumer(
            {
                "bootstrap.servers": self.cluster.bootstrap_servers,
                "group.id": self.prefix,
                "isolation.level": "read_committed",
            }
        )
        try:
            answers = client.committed(asked, timeout=KAFKA_TIMEOUT_SECONDS)
        finally:
            client.close()
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}

    # PostgreSQL

    def rows(self, statement: LiteralString, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    def journal_size(self) -> int:
        ((count,),) = self.rows("SELECT count(*) FROM journal")
        return int(count)

    def positions(self) -> list[Position]:
        rows = self.rows("SELECT partition, next_offset, published_offset, owner FROM positions ORDER BY partition")
        return [Position(*row) for row in rows]

    def applied(self) -> dict[int, int]:
        """Give what is applied, per partition."""
        return {one.partition: one.next_offset for one in self.positions()}

    def wait_until_journalled(self, count: int, timeout_seconds: float = 60.0) -> None:
        wait_until(lambda: self.journal_size() >= count, timeout_seconds, f"{count} records are journalled")

    def wait_until_applied(self, timeout_seconds: float = 60.0) -> None:
        """Wait until everything that is in the input topic is applied."""
        ends = self.end_offsets()
        busy = {partition: end for partition, end in ends.items() if end > 0}

        def applied() -> bool:
            now = self.applied()
            return all(now.get(partition, 0) >= end for partition, end in busy.items())

        wait_until(applied, timeout_seconds, f"{busy} are applied")

    def finish(self) -> None:
        """Wait until all is applied and published, then end the workers in good order."""
        self.wait_until_applied()
        # A worker that is told to end while a publication is still open leaves it to the next owner.
        wait_until(self._is_published, 60.0, "all that is applied is published")
        # Offsets may be stable before the outputs of the same transaction are.
        topics = [self.topics.dead_letters, *map(self.topics.domain, self.domains)]
        wait_until(lambda: self.cluster.is_settled(topics), 60.0, "the last transactions have their markers")
        for worker in self.workers:
            if worker.running:
                assert worker.terminate() == 0, f"{worker.name} ended badly"

    def _is_published(self) -> bool:
        committed = self.committed()
        return all(committed.get(one.partition, 0) >= one.next_offset for one in self.positions())
