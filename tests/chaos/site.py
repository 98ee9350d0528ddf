"""The servers of a run, and the workers that are kept running on them, through proxies that can fail."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.acceptance import family
from tests.acceptance.deployment import WorkerProcess, wait_until
from tests.chaos.history import History
from tests.servers.kafka import KafkaBrokers, KafkaCluster, fetch_jars
from tests.servers.proxy import TcpProxy
from tests.servers.restartable import RestartablePostgres
from worker.adapters.embedded.server import ServerStartError
from worker.adapters.postgres.migrate import migrate
from worker.core.routing import Topics

PREFIX = "chaos"
DOMAINS = ("default", "external")
END_SECONDS = 30.0
RETRY_SECONDS = 0.3
SERVING_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a site is, and how its workers are set."""

    brokers: int = 3
    workers: int = 3
    partitions: int = 6
    session_timeout_seconds: float = 6.0
    settings: Mapping[str, str] = field(default_factory=dict)
    proxied: bool = True


@dataclass(slots=True)
class Slot:
    """A place for one worker: whoever ends there is followed by another, as long as one is wanted."""

    number: int
    folder: Path
    settings: Mapping[str, str]
    history: History
    wanted: threading.Event = field(default_factory=threading.Event)
    ends: list[str] = field(default_factory=list)
    workers: list[WorkerProcess] = field(default_factory=list)
    _closing: threading.Event = field(default_factory=threading.Event, init=False)
    _serving: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._keep, name=f"slot-{self.number}", daemon=True)
        self._thread.start()

    @property
    def current(self) -> WorkerProcess | None:
        """Give the worker that serves here now."""
        return self.workers[-1] if self._serving.is_set() and self.workers[-1].running else None

    def wait_until(self, *, serving: bool) -> None:
        """Block until somebody serves here, or nobody. Raises: TimeoutError."""
        what = f"worker {self.number} {'serves' if serving else 'is gone'}"
        wait_until(lambda: (self.current is not None) == serving, SERVING_SECONDS, what)

    def close(self) -> None:
        """See to it that nothing of it runs."""
        self._closing.set()
        self._thread.join(SERVING_SECONDS)
        for worker in self.workers:
            worker.close()

    def _keep(self) -> None:
        while not self._closing.wait(RETRY_SECONDS / 3):
            serving = self._serving.is_set()
            if serving and not self.workers[-1].running:
                self._serving.clear()
                self.workers[-1].close()
            elif serving and not self.wanted.is_set():
                self._end(self.workers[-1])
                self._serving.clear()
            elif not serving and self.wanted.is_set():
                self._start()

    def _start(self) -> None:
        name = f"worker-{self.number}-{len(self.workers) + 1}"
        worker = WorkerProcess(name, self.folder / name, self.settings)
        self.workers.append(worker)
        try:
            worker.start()
        except ServerStartError as error:
            self.history.add("worker", worker=name, event="not_started", why=str(error)[-300:])
            self._closing.wait(RETRY_SECONDS)
        else:
            self._serving.set()

    def _end(self, worker: WorkerProcess) -> None:
        """Ask a worker to end; it has its time, and a little more."""
        begun = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(worker._server.pid, signal.SIGTERM)
        try:
            wait_until(lambda: not worker.running, END_SECONDS, f"{worker.name} ended")
        except TimeoutError:
            self.ends.append("not in time")
        else:
            keeper = worker._server._keeper
            self.ends.append("in order" if keeper is not None and keeper.returncode == 0 else "badly")
        self.history.add("worker", worker=worker.name, event="ended", how=self.ends[-1], s=time.monotonic() - begun)
        worker.close()


@dataclass(slots=True)
class Site:
    """What a run has, and what can be done to it. Readers and checks go to the servers straight."""

    shape: Shape
    folder: Path
    history: History
    brokers: KafkaBrokers
    postgres: RestartablePostgres
    kafka_proxies: list[TcpProxy] = field(default_factory=list)
    database_proxies: list[TcpProxy] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    partitions: int = 0

    @property
    def topics(self) -> Topics:
        return Topics(PREFIX)

    @property
    def output_topics(self) -> list[str]:
        return [*map(self.topics.domain, DOMAINS), self.topics.dead_letters]

    @property
    def all_topics(self) -> list[str]:
        return [self.topics.input, *self.output_topics]

    @property
    def cluster(self) -> KafkaCluster:
        return self.brokers.cluster

    def want(self, count: int) -> None:
        """Say how many workers there are to be from now on."""
        for slot in self.slots:
            slot.wanted.set() if slot.number <= count else slot.wanted.clear()

    def wait_until_wanted(self) -> None:
        """Block until as many workers serve as are wanted. Raises: TimeoutError."""
        for slot in self.slots:
            slot.wait_until(serving=slot.wanted.is_set())

    def end_database(self, how: signal.Signals) -> None:
        """End PostgreSQL: SIGINT is a clean end, SIGQUIT an immediate one."""
        server = self.postgres._running()
        os.kill(server.pid, how)
        wait_until(lambda: not server.running, END_SECONDS, "PostgreSQL ended")

    def heal(self) -> None:
        """Restore every connection and let every worker go on."""
        for proxy in (*self.kafka_proxies, *self.database_proxies):
            proxy.restore()
        for slot in self.slots:
            if worker := slot.current:
                with suppress(ProcessLookupError):
                    worker.resume()

    def connect(self) -> psycopg.Connection:
        """Open a connection of our own to PostgreSQL, in autocommit mode. Raises: psycopg.OperationalError."""
        return psycopg.connect(self.postgres.url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)

    def settings(self, proxy: TcpProxy) -> dict[str, str]:
        """Give what a worker behind this proxy is set to."""
        servers, database = self.cluster.bootstrap_servers, self.postgres.url
        if self.shape.proxied:
            servers = self.brokers.proxied_cluster.bootstrap_servers
            database = database.replace(f":{urlsplit(database).port}/", f":{proxy.port}/")
        return {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": servers,
            "WORKER_DATABASE_URL": database,
            "WORKER_TOPIC_PREFIX": PREFIX,
            "WORKER_GROUP_ID": PREFIX,
            "WORKER_MACHINES": "machines.order,family",
            "WORKER_BATCH_RECORDS_MAX": "200",
            **self._session(),
            **self.shape.settings,
        }

    def _session(self) -> dict[str, str]:
        if self.shape.settings.get("WORKER_GROUP_PROTOCOL") == "consumer":
            return {}  # The brokers set it then, and librdkafka refuses it.
        return {"WORKER_KAFKA__SESSION_TIMEOUT_MS": str(round(self.shape.session_timeout_seconds * 1000))}


def kill(worker: WorkerProcess) -> None:
    """End a worker as `kill -9` does. Its slot sees to what is left of it."""
    with suppress(ProcessLookupError):
        os.kill(worker._server.pid, signal.SIGKILL)
    wait_until(lambda: not worker.running, END_SECONDS, f"{worker.name} is dead")


@contextmanager
def running_site(shape: Shape, folder: Path, history: History) -> Iterator[Site]:
    """Start servers, topics and proxies, and places for workers; all of it ends with the block."""
    fetch_jars()
    workers = folder / "workers"
    workers.mkdir()
    shutil.copy(Path(family.__file__), workers)
    with ExitStack() as stack:
        brokers = KafkaBrokers(folder / "kafka", shape.brokers)
        brokers.start()
        stack.callback(brokers.stop)
        postgres = stack.enter_context(RestartablePostgres())
        migrate(postgres.url)
        site = Site(shape, folder, history, brokers, postgres, partitions=shape.partitions)
        brokers.cluster.create_topics(site.all_topics, shape.partitions)
        for server in brokers.servers:
            proxy = stack.enter_context(TcpProxy(server.proxied_port, server.proxy_port))
            site.kafka_proxies.append(proxy)
        for number in range(1, shape.workers + 1):
            proxy = stack.enter_context(TcpProxy(urlsplit(postgres.url).port or 0))
            site.database_proxies.append(proxy)
            site.slots.append(Slot(number, workers, site.settings(proxy), history))
            stack.callback(site.slots[-1].close)
        stack.callback(site.heal)
        yield site
