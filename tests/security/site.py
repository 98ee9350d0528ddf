"""A deployment with the names of docs/security.md on servers that let nobody in without TLS, a login and rights."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlencode, urlsplit

import psycopg
from confluent_kafka import Producer

from tests.acceptance.commands import run_here, temporary_folders
from tests.acceptance.deployment import Deployment, WorkerProcess
from tests.security.documented import (
    CLIENT,
    DATABASE,
    OPERATOR,
    OWNER_ROLE,
    READER_ROLE,
    SERVICES,
    WORKER,
    WORKER_ROLE,
    acls,
    statements,
)
from tests.servers.certificates import Authority, Signed
from tests.servers.kafka import ADMIN_TIMEOUT_SECONDS
from tests.servers.secured import SecuredKafka, secured_postgres

DOMAINS = ("default", "external")
PASSWORDS = {
    name: f"canary-{name.replace('_', '-')}-7c1f5e"
    for name in (WORKER, SERVICES, CLIENT, OPERATOR, OWNER_ROLE, WORKER_ROLE, READER_ROLE)
}
"""Each is a text that stands nowhere else."""

KEY_PASSWORD = "canary-key-password-7c1f5e"  # noqa: S105 - It keeps a key that lives as long as the test.


@dataclass(slots=True)
class Site:
    """Both servers, and a way in for each user that the page has."""

    folder: Path
    authority: Authority
    kafka: SecuredKafka
    administrator_url: str
    worker_certificate: Signed = field(init=False)
    _started: int = 0

    def __post_init__(self) -> None:
        self.worker_certificate = self.authority.sign(WORKER, password=KEY_PASSWORD.encode())

    def url(self, role: str, password: str | None = None, **parameters: str) -> str:
        """Give a role's address of the database; `parameters` stand above those that are right."""
        place = urlsplit(self.administrator_url).netloc.rpartition("@")[2]
        options = {"sslmode": "verify-full", "sslrootcert": str(self.authority.certificate), **parameters}
        return f"postgresql://{role}:{password or PASSWORDS[role]}@{place}/{DATABASE}?{urlencode(options)}"

    def settings(self, user: str = WORKER, role: str = WORKER_ROLE, **changes: str) -> dict[str, str]:
        """Give the settings of a user with a password, in the names of the page; `changes` without `WORKER_`."""
        settings = {
            "WORKER_DATABASE_URL": self.url(role),
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.kafka.address("SASL"),
            "WORKER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "WORKER_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "WORKER_KAFKA__SASL_USERNAME": user,
            "WORKER_KAFKA__SASL_PASSWORD": PASSWORDS[user],
            "WORKER_KAFKA__SSL_CA_LOCATION": str(self.authority.certificate),
            "WORKER_MACHINES": "machines.order",
            "WORKER_HTTP_HOST": "127.0.0.1",
        }
        return settings | {f"WORKER_{name}": value for name, value in changes.items()}

    def mutual_settings(self) -> dict[str, str]:
        """Give the settings of a worker that shows a certificate instead."""
        settings = self.settings(
            KAFKA_BOOTSTRAP_SERVERS=self.kafka.address("MUTUAL"),
            KAFKA__SECURITY_PROTOCOL="SSL",
            KAFKA__SSL_CERTIFICATE_LOCATION=str(self.worker_certificate.certificate),
            KAFKA__SSL_KEY_LOCATION=str(self.worker_certificate.key),
            KAFKA__SSL_KEY_PASSWORD=KEY_PASSWORD,
        )
        return {name: value for name, value in settings.items() if "__SASL_" not in name}

    @contextmanager
    def running(
        self, settings: Mapping[str, str], arguments: Sequence[str] = ("run",), ready: str = "running"
    ) -> Iterator[WorkerProcess]:
        """Run a process of the worker's until the block ends."""
        self._started += 1
        name = f"process-{self._started}"
        process = WorkerProcess(name, self.folder / name, settings, arguments, ready)
        try:
            yield process.start()
        except BaseException:
            print(f"--- the log of {name}\n{process.log_text()[-10_000:]}")
            raise
        finally:
            process.close()

    def deployment(self) -> Deployment:
        """Look at the topics and the tables as one who may do everything."""
        return Deployment(
            self.kafka.cluster, self._administrators_url(), self.folder, domains=DOMAINS, prefix=DATABASE, partitions=2
        )

    def execute(self, statement: LiteralString, role: str | None = None) -> None:
        """Run statements as a role, or as the administrator."""
        url = self.url(role) if role else self._administrators_url()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

    def rows(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._administrators_url(), autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def set_up(self) -> None:
        """Do what the page says, in its order."""
        with psycopg.connect(self.administrator_url, autocommit=True) as connection:
            connection.execute(_unchecked(statements("roles")))
            for role in (OWNER_ROLE, WORKER_ROLE, READER_ROLE):
                connection.execute(_unchecked(f"ALTER ROLE {role} PASSWORD '{PASSWORDS[role]}'"))
            connection.execute(_unchecked(f"CREATE DATABASE {DATABASE}"))
        self.execute(_unchecked(statements("database")))
        migrated = run_here("migrate", given=self.settings(role=OWNER_ROLE))
        assert migrated.returncode == 0, migrated.stderr
        self.execute(_unchecked(statements("grants")), OWNER_ROLE)
        self.kafka.make_users({user: PASSWORDS[user] for user in (WORKER, SERVICES, CLIENT, OPERATOR)})
        self.kafka.allow(acls())
        topics = self.deployment().topics
        self.kafka.cluster.create_topics(
            [topics.input, topics.dead_letters, *map(topics.domain, DOMAINS)], partitions=2
        )

    def make_dead_letter(self) -> None:
        """Put what looks like one where they are: there is something to read, and to discard."""
        headers = {
            "dlq-reason": "INVALID_EVENT",
            "dlq-topic": f"{DATABASE}.input",
            "dlq-partition": "0",
            "dlq-offset": "0",
            "dlq-consumer-group": DATABASE,
        }
        producer = Producer({"bootstrap.servers": self.kafka.cluster.bootstrap_servers})
        producer.produce(
            f"{DATABASE}.dlq", b"no event", headers=[(name, text.encode()) for name, text in headers.items()]
        )
        assert producer.flush(ADMIN_TIMEOUT_SECONDS) == 0

    def _administrators_url(self) -> str:
        return urlsplit(self.administrator_url)._replace(path=f"/{DATABASE}").geturl()


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """Start both servers, and set the deployment up; certificates lie where PostgreSQL's user can enter."""
    with temporary_folders() as certificates:
        authority = Authority(certificates, "authority")
        with secured_postgres(certificates, authority) as postgres:
            kafka = SecuredKafka(folder, authority)
            kafka.server.start()
            try:
                site = Site(folder, authority, kafka, postgres.url)
                site.set_up()
                yield site
            finally:
                kafka.server.stop()


def _unchecked(statement: str) -> LiteralString:
    """Pass a statement on that was read from the page."""
    return statement
