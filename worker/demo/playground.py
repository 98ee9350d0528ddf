"""A deployment to try out: servers, schema, topics, a worker process and sample services, for as long as it lasts.

Servers that the settings name are used; what they don't name is started here, and gone afterwards.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from worker.adapters.embedded import EmbeddedBroker, EmbeddedPostgres
from worker.adapters.embedded.server import Server, ServerPlan, ServerStartError, temporary_folder
from worker.adapters.kafka.topics import TopicAdmin
from worker.adapters.postgres.migrate import migrate
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.bootstrap import Deployment, deploy, ensure_topics
from worker.core.errors import SetupError, WorkerError
from worker.demo.rules import ORDER_MACHINE
from worker.ports import KafkaUnavailable
from worker.services.serving import ServiceWorker
from worker.settings import KAFKA_PROPERTY_PREFIX, PREFIX, Loaded, load_settings
from worker.terminal.addresses import masked_url

DATABASE_URL: Final = f"{PREFIX}DATABASE_URL"
BOOTSTRAP_SERVERS: Final = f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS"
APPLICATION_NAME: Final = "worker dev"
LOG_LINES_SHOWN: Final = 20
WORKER_GRACE_SECONDS: Final = 15.0
SAMPLES_TIMEOUT_SECONDS: Final = 60.0

_PRESETS: Final = {
    f"{PREFIX}CREATE_TOPICS": "true",
    f"{PREFIX}HTTP_HOST": "127.0.0.1",
    f"{PREFIX}LOG_FORMAT": "console",
}
# The embedded broker makes a new member wait for half of this.
_EMBEDDED_BROKER_PRESETS: Final = {f"{KAFKA_PROPERTY_PREFIX}SESSION_TIMEOUT_MS": "6000"}
_UNKNOWN_YET: Final = {DATABASE_URL: "postgresql://", BOOTSTRAP_SERVERS: "unknown"}
_USED: Final = "SELECT count(*) FROM positions"
_TAKEN: Final = "SELECT count(*) FROM positions WHERE owner IS NOT NULL"

Tell = Callable[[str], None]


class WorkerEnded(WorkerError):
    """The worker process ended although nobody stopped it; the text has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Playground:
    """What is running. `exports` are the variables that other commands need to reach the servers started here."""

    deployment: Deployment
    exports: Mapping[str, str]
    worker: Server

    def check(self) -> None:
        """Raise WorkerEnded if the worker is no longer there."""
        if self.worker.running:
            return
        with self.worker.log.open(errors="replace") as log:
            lines = "".join(f"  {line.rstrip()}\n" for line in deque(log, LOG_LINES_SHOWN))
        raise WorkerEnded(f"the worker process ended by itself. The last lines of its log:\n{lines or '  (empty)'}")


@contextmanager
def playground(tell: Tell) -> Iterator[Playground]:
    """Bring everything up, telling each step, and take it down in the end, whatever ends it.

    Raises: SetupError, DatabaseUnavailable, KafkaUnavailable, ServerStartError.
    """
    # Machines and settings first: their faults should not have to wait for servers.
    asked = load_settings(defaults=_PRESETS | _UNKNOWN_YET)
    deployment = deploy(asked.settings)
    with ExitStack() as stack:
        exports = _started_servers(stack, asked, tell)
        presets = _PRESETS | exports
        loaded = load_settings(defaults=presets)
        deployment = replace(deployment, settings=loaded.settings)
        _prepare(deployment, tell)
        if BOOTSTRAP_SERVERS in exports:
            _require_unused(deployment)
        samples = _started_samples(stack, deployment)
        worker = _started_worker(stack, deployment, _environment(presets, loaded))
        tell("the worker runs, as a process of its own")
        if samples is not None:
            _await_samples(samples, tell)
        yield Playground(deployment, exports, worker)


def _started_servers(stack: ExitStack, asked: Loaded, tell: Tell) -> dict[str, str]:
    """Start the servers that no setting names; give the variables that name them."""
    exports: dict[str, str] = {}
    if asked.origins["database_url"] == "preset":
        begun = time.monotonic()
        exports[DATABASE_URL] = stack.enter_context(EmbeddedPostgres(durable=False)).url
        place = exports[DATABASE_URL].rpartition("@")[2]
        tell(f"PostgreSQL is up at {place} ({time.monotonic() - begun:.1f} s)")
    else:
        tell(f"PostgreSQL at {masked_url(asked.settings.database_url.get_secret_value())}, as the settings say")
    if asked.origins["kafka_bootstrap_servers"] == "preset":
        begun = time.monotonic()
        exports[BOOTSTRAP_SERVERS] = stack.enter_context(EmbeddedBroker()).bootstrap_servers
        exports |= _EMBEDDED_BROKER_PRESETS
        tell(f"a Kafka-protocol broker is up at {exports[BOOTSTRAP_SERVERS]} ({time.monotonic() - begun:.1f} s)")
    else:
        tell(f"Kafka at {asked.settings.kafka_bootstrap_servers}, as the settings say")
    return exports


def _prepare(deployment: Deployment, tell: Tell) -> None:
    """Migrate the database and make the topics."""
    report = migrate(deployment.settings.database_url.get_secret_value())
    tell(f"the schema is at {report.after}" + (" (migrated)" if report.applied else ""))
    try:
        ensure_topics(deployment, TopicAdmin(deployment.kafka))
    except KafkaUnavailable as error:
        raise SetupError(str(error)) from error
    tell(f"topics are there: {', '.join(deployment.topic_names())}")


def _require_unused(deployment: Deployment) -> None:
    """Refuse a database that has served another broker: its positions mean nothing on one just started."""
    session = Session(DatabaseConfig(deployment.database.url), APPLICATION_NAME)
    try:
        used = session.rows(_USED) != [(0,)]
    finally:
        session.close()
    if used:
        raise SetupError(
            f"the database that {DATABASE_URL} names has served a broker before, and the one that is started here has "
            f"none of its topics. Name an empty database, or that broker in {BOOTSTRAP_SERVERS}"
        )


def _started_worker(stack: ExitStack, deployment: Deployment, environment: Mapping[str, str]) -> Server:
    """Start the worker process and wait until it has taken every partition."""
    plan = ServerPlan(
        name="worker",
        command=[sys.executable, "-m", "worker", "run"],
        environment=environment,
        # Where machines and `.env` are looked up.
        directory=Path.cwd(),
        grace_seconds=WORKER_GRACE_SECONDS,
        start_timeout_seconds=60.0,
    )
    partitions = TopicAdmin(deployment.kafka).partitions(deployment.topics.input)
    session = Session(DatabaseConfig(deployment.database.url), APPLICATION_NAME)
    server = Server(plan, temporary_folder("worker"))
    stack.callback(server.stop)
    try:
        return server.start(lambda: session.rows(_TAKEN) >= [(partitions,)])
    finally:
        session.close()


def _started_samples(stack: ExitStack, deployment: Deployment) -> ServiceWorker | None:
    """Have sample services answer the order machine, if it is here. They join their groups while the worker starts."""
    if not deployment.registry.hosts(ORDER_MACHINE):
        return None
    from worker.demo.services import SAMPLE_SERVICES

    return stack.enter_context(ServiceWorker(SAMPLE_SERVICES, settings=deployment.settings))


def _await_samples(samples: ServiceWorker, tell: Tell) -> None:
    """Wait until the sample services have joined. Raises: ServerStartError."""
    if not samples.wait_until_serving(SAMPLES_TIMEOUT_SECONDS):
        raise ServerStartError(
            f"the sample services were given no partitions within {SAMPLES_TIMEOUT_SECONDS:g} s; do others answer on "
            "these topics, in the same consumer groups?"
        )
    tell("sample services answer: inventory, approval, payment")


def _environment(presets: Mapping[str, str], loaded: Loaded) -> dict[str, str]:
    """Give the worker's environment: ours, with those presets that nothing else has set."""
    needed = {name: value for name, value in presets.items() if _is_preset(name, loaded)}
    return {**needed, **os.environ}


def _is_preset(name: str, loaded: Loaded) -> bool:
    if name.startswith(KAFKA_PROPERTY_PREFIX):
        kafka_property = name.removeprefix(KAFKA_PROPERTY_PREFIX).lower().replace("_", ".")
        return loaded.settings.kafka_properties[kafka_property] == _EMBEDDED_BROKER_PRESETS.get(name)
    return loaded.origins[name.removeprefix(PREFIX).lower()] == "preset"
