"""The composition root: settings in, a worker out. The only place that builds adapters.

Everything that can be found wrong before the first record is found here, as one `SetupError` that says what to do.
"""

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Final

import structlog

from worker.adapters.http.server import Answer, HttpServer
from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.consumer import InputTopic, KafkaConsumer
from worker.adapters.kafka.offsets import GroupWatch
from worker.adapters.kafka.publisher import KafkaPublisher, PlainPublisher
from worker.adapters.kafka.rights import Needs, require_rights
from worker.adapters.kafka.topics import DEFAULT_RECORD_BYTES_MAX, TopicAdmin, TopicShape
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.instance_counts import count_instances
from worker.adapters.postgres.migrate import require_current
from worker.adapters.postgres.session import DatabaseConfig
from worker.adapters.postgres.upkeep import PostgresUpkeep, UpkeepConfig
from worker.adapters.process.clock import SystemClock
from worker.adapters.process.collector import spare_collector
from worker.adapters.process.threads import Threads
from worker.adapters.telemetry.batch_spans import BatchTracer, SpanNames
from worker.adapters.telemetry.board import Board, Counts
from worker.adapters.telemetry.health import Health, Report
from worker.adapters.telemetry.instruments import Meters
from worker.adapters.telemetry.recorder import Names, Recorder
from worker.adapters.telemetry.telemetry import Sources, Telemetry
from worker.adapters.telemetry.tracers import Tracers, make_tracers
from worker.adapters.telemetry.watching import watched
from worker.core.codec import ContentMode
from worker.core.engine.api import Engine
from worker.core.engine.compiled.program import CompiledEngine, fallback_reason
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import SetupError
from worker.core.machines import Machine
from worker.core.registry import MachineRegistry, Registry, check_engine, check_registry
from worker.core.retention import Retention, retention_of
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.logs import identify
from worker.machine_loader import load_machines, load_part
from worker.ports import Claim, DatabaseUnavailable, KafkaUnavailable, Publisher, Upkept
from worker.runtime.batch import Limits
from worker.runtime.loop import LoopConfig, Parts, Worker
from worker.settings import Settings

CALLS_OF_A_PUBLICATION: Final = 3
"""How many calls to Kafka a publication makes, each with its own time-out."""

STOP_SECONDS = 20.0
"""How long a worker may take to end; orchestrators kill after 30 s, by their defaults."""

_ENGINES: Final[Mapping[str, Callable[[], Engine]]] = {"compiled": CompiledEngine, "sismic": SismicEngine}
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOG = structlog.get_logger("worker")
WORKER_VERSION = version("orchestrator-worker")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the settings come to before anything is connected."""

    settings: Settings
    registry: MachineRegistry
    topics: Topics

    @property
    def kafka(self) -> KafkaConfig:
        """Say where the brokers are."""
        return KafkaConfig(
            self.settings.kafka_bootstrap_servers,
            self.settings.kafka_properties,
            call_timeout_seconds=self.settings.kafka_timeout_seconds,
            group_protocol=self.settings.group_protocol,
        )

    @property
    def database(self) -> DatabaseConfig:
        """Say where the database is."""
        return DatabaseConfig(
            self.settings.database_url.get_secret_value(),
            deduplication_days=self.settings.deduplication_days,
            reads_archive=self.retention.archives,
            call_timeout_seconds=self.settings.database_timeout_seconds,
        )

    @property
    def retention(self) -> Retention:
        """Say how long instances that ended stay."""
        return retention_of(self.settings.instance_retention)

    def topic_names(self) -> list[str]:
        """Name every topic that the machines need: input, dead letters, one per domain."""
        domains = sorted({domain for machine in self.registry.machines for domain in machine.domains})
        return [self.topics.input, self.topics.dead_letters, *(self.topics.domain(domain) for domain in domains)]


def deploy(settings: Settings, directory: Path | None = None) -> Deployment:
    """Load the machines. Raises: SetupError."""
    folder = directory or Path.cwd()
    engine = _engine(settings.engine, folder)
    machines = load_machines(settings.machines, folder)
    if isinstance(engine, CompiledEngine):
        _tell_fallbacks(machines)
    return Deployment(settings, _registry(settings.registry, machines, engine, folder), Topics(settings.topic_prefix))


def _tell_fallbacks(machines: Sequence[Machine]) -> None:
    """Name the machines that sismic's interpreter runs although the engine is the compiled one."""
    reasons = {f"{one.source} {one.version}": fallback_reason(one.chart) for one in machines}
    told = {machine: reason for machine, reason in reasons.items() if reason is not None}
    if told:
        _LOG.info("runs_on_sismic", machines=told)


def _engine(named: str, folder: Path) -> Engine:
    """Make the engine that WORKER_ENGINE names; a factory of one's own is called without arguments."""
    make = _ENGINES.get(named) or load_part(named, "WORKER_ENGINE", folder)
    return check_engine(_made(make, f"WORKER_ENGINE={named}"), f"what WORKER_ENGINE={named} makes")


def _registry(named: str | None, machines: Sequence[Machine], engine: Engine, folder: Path) -> MachineRegistry:
    """Make the registry; a factory of one's own, named by WORKER_REGISTRY, is given the machines and the engine."""
    if named is None:
        return Registry(machines, engine)
    make = load_part(named, "WORKER_REGISTRY", folder)
    registry = _made(lambda: make(machines, engine), f"WORKER_REGISTRY={named}")
    return check_registry(registry, f"what WORKER_REGISTRY={named} makes")


def _made(make: Callable[[], object], what: str) -> object:
    try:
        return make()
    except SetupError:
        raise
    except Exception as error:
        # Whatever a user's factory raises: the start stops with one text.
        raise SetupError(
            f"{what} can't be made: {type(error).__name__}: {error}. Correct it and start again"
        ) from error


def run_worker(deployment: Deployment) -> None:
    """Check everything that can be checked, connect a worker, and run it until it is stopped. Raises: SetupError."""
    try:
        parts = parts_of(deployment)
    except (DatabaseUnavailable, KafkaUnavailable) as error:
        raise SetupError(str(error)) from error
    identify(worker=parts.claim.owner)
    # Before any thread begins: the signals are for the one that waits for them.
    _block_stop_signals()
    seen = observe(deployment, parts)
    try:
        run_until_stopped(Worker(seen.parts), seen)
    finally:
        seen.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker's parts with its telemetry around them, and the server that shows it."""

    parts: Parts
    telemetry: Telemetry
    server: HttpServer

    def start(self) -> None:
        """Begin to answer probes and scrapers."""
        self.telemetry.start()
        self.server.start()

    def close(self) -> None:
        """Answer no more."""
        self.server.close()
        self.telemetry.close()


def run_until_stopped(worker: Worker, seen: Seen | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT, then let it give everything back, if that can be done in time."""
    _block_stop_signals()
    Thread(target=_stop_on_signal, args=(worker, seen), name="signals", daemon=True).start()
    told = {}
    if seen is not None:
        seen.start()
        told = {"http_port": seen.server.port}
    spare_collector()
    _LOG.info("running", version=WORKER_VERSION, **told)
    worker.run()
    _LOG.info("stopped")


def _block_stop_signals() -> None:
    """Leave the signals to a thread: handlers run on the main thread, and not while that waits for a server."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


def _stop_on_signal(worker: Worker, seen: Seen | None) -> None:
    """Stop the worker on a signal; end the process if it still runs STOP_SECONDS later."""
    signal.sigwait(_STOP_SIGNALS)
    if seen is not None:
        seen.telemetry.stopping()
    worker.stop()
    time.sleep(STOP_SECONDS)
    _LOG.error(
        "stop_timed_out", why="a server did not answer; the next owner of the partitions goes on, as after a crash"
    )
    os._exit(1)


def ensure_topics(deployment: Deployment, admin: TopicAdmin) -> None:
    """Make missing topics if the settings say so, else name them. Raises: SetupError, KafkaUnavailable."""
    missing = admin.missing(deployment.topic_names())
    if not missing:
        return
    if not deployment.settings.create_topics:
        raise SetupError(
            f"these topics are missing: {', '.join(missing)}. Create them, or set WORKER_CREATE_TOPICS=true to have "
            f"them made with {deployment.settings.topic_partitions} partitions"
        )
    admin.create(missing, TopicShape(deployment.settings.topic_partitions))
    _LOG.info("topics_created", topics=missing)


def parts_of(deployment: Deployment) -> Parts:
    """Connect everything that a worker is made of. Raises: SetupError, DatabaseUnavailable, KafkaUnavailable."""
    settings = deployment.settings
    require_current(settings.database_url.get_secret_value())
    admin = TopicAdmin(deployment.kafka)
    claim = _new_claim(settings.group_id)
    # A topic that may not be seen would else be told as one that is missing.
    admin.cluster_id()
    require_rights(deployment.kafka, _needs(deployment, claim))
    ensure_topics(deployment, admin)
    database = _database(deployment, admin.cluster_id(), claim)
    topic = InputTopic(deployment.topics.input, settings.group_id)
    consumer = KafkaConsumer(deployment.kafka, topic, admin)
    return Parts(
        host=Host(deployment.registry, settings.executionunits, settings.error_stacks),
        router=Router(
            deployment.topics,
            deployment.registry,
            settings.group_id,
            WORKER_VERSION,
            ContentMode(settings.kafka_content_mode),
        ),
        limits=Limits(dict.fromkeys(deployment.topic_names(), DEFAULT_RECORD_BYTES_MAX)),
        look=lambda: admin.record_bytes_max(deployment.topic_names()),
        positions=database,
        database=database,
        publisher=_PUBLISHERS[settings.delivery](deployment.kafka, claim, topic, consumer),
        consumer=consumer,
        background=Threads(),
        clock=SystemClock(),
        claim=claim,
        housekeep=Keeping(
            PostgresUpkeep(deployment.database, claim.owner, UpkeepConfig(settings.journal_days, deployment.retention))
        ),
        config=LoopConfig(
            settings.batch_records_max,
            settings.batch_bytes_max,
            publishes_beside=settings.delivery == "exactly_once",
            step_seconds_max=settings.step_timeout_seconds,
            publication_seconds_max=CALLS_OF_A_PUBLICATION * settings.kafka_timeout_seconds + 30.0,
            version_wait_seconds=settings.version_wait_seconds,
        ),
    )


def observe(deployment: Deployment, parts: Parts) -> Seen:
    """Put telemetry around a worker's parts, and open its port. Raises: SetupError."""
    settings = deployment.settings
    resource = {
        "service.name": "orchestrator-worker",
        "service.version": WORKER_VERSION,
        "service.instance.id": parts.claim.owner,
    }
    meters, tracers = Meters(resource, os.environ), make_tracers(resource, os.environ)
    board = Board(parts.clock)
    machines = {one.definition_hash: (one.source, one.version) for one in deployment.registry.machines}
    recorder = Recorder(meters.instruments, board, Names(deployment.topics.input, settings.group_id, machines))
    health = Health(board, deployment.kafka.poll_interval_seconds)
    telemetry = Telemetry(meters, recorder, health, _sources(deployment, parts), tracers)
    server = HttpServer(settings.http_host, settings.http_port, _routes(telemetry))
    tracer = None if tracers is None else _tracer(deployment, tracers, recorder)
    return Seen(watched(parts, recorder, tracer), telemetry, server)


def _tracer(deployment: Deployment, tracers: Tracers, recorder: Recorder) -> BatchTracer:
    tracers.install()
    uris = {machine.source: machine.contract.uri for machine in deployment.registry.machines}
    return BatchTracer(tracers, recorder, SpanNames(deployment.topics.input, deployment.settings.group_id, uris))


def _sources(deployment: Deployment, parts: Parts) -> Sources:
    group = GroupWatch(deployment.kafka, deployment.settings.group_id)
    database, name = parts.database, f"{parts.claim.owner} counts"

    def count() -> Counts:
        counted = count_instances(deployment.database, name)
        return Counts(counted.statuses, counted.states, counted.waits, counted.share)

    def connections() -> Mapping[str, int]:
        return database.connections() if isinstance(database, PostgresDatabase) else {}

    return Sources(
        ends=lambda partitions: group.ends(deployment.topics.input, partitions),
        count=count,
        connections=connections,
        stages=parts.stages,
    )


def _routes(telemetry: Telemetry) -> Mapping[str, Callable[[Mapping[str, str]], Answer]]:
    def told(report: Report, fine: str) -> Answer:
        return Answer.of_json(200 if report.is_fine else 503, report.document(fine))

    def metrics(headers: Mapping[str, str]) -> Answer:
        return Answer(200, *telemetry.scrape(headers.get("accept", "")))

    return {
        "/livez": lambda _: told(telemetry.health.liveness(), "live"),
        "/readyz": lambda _: told(telemetry.health.readiness(), "ready"),
        "/metrics": metrics,
    }


_PUBLISHERS: Final[Mapping[str, Callable[[KafkaConfig, Claim, InputTopic, KafkaConsumer], Publisher]]] = {
    "exactly_once": lambda kafka, claim, topic, _: KafkaPublisher(kafka, claim.transactional_id, topic.name),
    "at_least_once": lambda kafka, _, __, consumer: PlainPublisher(kafka, consumer.commit_offsets),
}


def _needs(deployment: Deployment, claim: Claim) -> Needs:
    settings, (source, *targets) = deployment.settings, deployment.topic_names()
    is_transactional = settings.delivery == "exactly_once"
    return Needs(
        reads=[source],
        writes=targets,
        groups=[settings.group_id],
        transactional_id=claim.transactional_id if is_transactional else None,
        id_prefix=f"{settings.group_id}-",
    )


def _database(deployment: Deployment, cluster_id: str, claim: Claim) -> PostgresDatabase:
    settings = deployment.settings
    database = PostgresDatabase(deployment.database, claim.owner)
    try:
        database.check_rights()
        database.bind(cluster_id, settings.group_id, deployment.topics.input)
        database.check_lock_table(settings.batch_records_max)
        database.register(deployment.registry.machines, f"{WORKER_VERSION} on {socket.gethostname()}")
    except BaseException:
        database.close()
        raise
    database.look_for_archive()
    return database


@dataclass(slots=True)
class Keeping:
    """Do the upkeep, and tell in one line what a run changed."""

    upkeep: PostgresUpkeep

    def __call__(self) -> Upkept:
        """Do what is due. Raises: DatabaseUnavailable, DatabaseRefused."""
        done = self.upkeep.run()
        changes = {what: count for what, count in done.changes.items() if count}
        if changes:
            _LOG.info("upkeep", seconds=round(done.seconds or 0.0, 3), **changes)
        if done.kept:
            _LOG.warning("journal_days_kept", days=list(done.kept), why="rows not known to be published, or in use")
        return done


def _new_claim(group_id: str) -> Claim:
    """Name this process: no other ever has the same names. Transactional ids begin with the group's, for ACLs."""
    token = secrets.token_hex(8)
    return Claim(owner=f"worker-{token}", transactional_id=f"{group_id}-{socket.gethostname()}-{token}")
