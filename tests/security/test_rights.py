"""TLS, logins and the rights of docs/security.md on real servers: they suffice, each is needed, each refusal helps."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from machines.order.contracts import order
from tests.acceptance.commands import ROOT, run_here, run_worker
from tests.acceptance.deployment import wait_until
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
    worker_grants,
)
from tests.security.site import KEY_PASSWORD, PASSWORDS, Site
from tests.servers.certificates import Authority
from tests.servers.secured import Acl
from tests.telemetry.scraping import get
from worker.adapters.postgres.rights import OWNED, RUNTIME_RIGHTS
from worker.bootstrap import deploy, parts_of
from worker.core.errors import SetupError
from worker.services.client import Client
from worker.settings import load_settings

pytestmark = pytest.mark.slow

READY_SECONDS = 30.0
OPERATORS_COMMANDS = (
    ("dead-letters", "list"),
    ("produce", "arvo.orc.order", "--data", '{"order_id": "A-2", "amount": 1}'),
    ("dead-letters", "discard", "--yes", "--matching", ""),
    ("partitions", "list"),
    ("dead-letters", "discard", "--yes", "--matching", ""),
)
"""One that can't do without each of the operators' ACLs, in their order."""
ORDER = '{"order_id": "A-1", "amount": 40, "items": [{"sku": "book-1", "qty": 2}]}'


def refusal(settings: Mapping[str, str], folder: Path) -> str:
    """Begin a worker, up to its first poll, and give what it says; fail if it would go on."""
    with pytest.raises(SetupError) as told:
        parts_of(deploy(load_settings(settings, folder).settings, ROOT))
    return str(told.value)


def operators(site: Site, *arguments: str) -> CompletedProcess[str]:
    """Run a command as an operator who may read the database."""
    return run_here(*arguments, given=site.settings(OPERATOR, READER_ROLE))


def client(site: Site) -> Client:
    settings = load_settings(site.settings(CLIENT), site.folder).settings
    return Client("com.example.desk", domains=["external"], settings=settings)


@contextmanager
def without(site: Site, acl: Acl) -> Iterator[None]:
    """Take an ACL away for the time of the block."""
    site.kafka.forbid([acl])
    try:
        yield
    finally:
        site.kafka.allow([acl])


class TestTheRightsSuffice:
    def test_for_workers_services_operators_and_readers(self, site: Site) -> None:
        domains, debug = {"default", "external"}, {"WORKER_LOG_LEVEL": "debug"}
        assert {one.name for one in acls(WORKER) if one.operation == "WRITE" and one.kind == "TOPIC"} == {
            f"{DATABASE}.{name}" for name in domains | {"dlq"}
        }
        serving = ("serve", "worker.demo.services")
        with (
            site.running({**site.settings(), **debug}) as worker,
            site.running({**site.settings(SERVICES), **debug}, serving, "serving") as services,
        ):
            with client(site) as desk:
                workflow = desk.start(order.version("1.0.0"), json.loads(ORDER))
                assert workflow.wait(READY_SECONDS).status == "completed"
            subject = workflow.subject
            sent = operators(site, "produce", "arvo.orc.order", "--data", ORDER)
            assert sent.returncode == 0, sent.stderr
            broken = operators(site, "produce", "--unchecked", "--data", "no event")
            assert broken.returncode == 0, broken.stderr
            wait_until(lambda: bool(site.deployment().dead_letters()), READY_SECONDS, "there is a dead letter")
            for arguments, has in (
                (("instances", "list"), " order "),
                (("instances", "show", subject), "completed"),
                (("instances", "history", subject), "com.payment.charge"),
                (("instances", "export"), "A-1"),
                (("dead-letters", "list"), "INVALID_EVENT"),
                (("partitions", "list"), "go-on"),
                (
                    ("tail", "--from-beginning", "--domain", "input", "--subject", subject, "--count", "1"),
                    "arvo.orc.order",
                ),
                (("dead-letters", "redrive", "--yes", "--matching", ""), ""),
                (("dead-letters", "discard", "--yes", "--matching", ""), ""),
            ):
                done = operators(site, *arguments)
                assert done.returncode == 0, (arguments, done.stderr)
                assert has in done.stdout, (arguments, done.stdout)
            port = int(worker.told("running")[0]["http_port"])
            wait_until(lambda: get(port, "/readyz")[0] == 200, READY_SECONDS, "the worker is ready")
            examined = json.loads(run_here("doctor", "--json", given=site.settings()).stdout)
            told = "".join(get(port, path)[1] for path in ("/livez", "/readyz", "/metrics"))
            assert worker.terminate() == 0
            assert services.terminate() == 0
            told += worker.log_text() + services.log_text() + json.dumps(examined)
        assert "canary" not in told
        errors = [one for one in examined["findings"] if one["level"] == "error"]
        assert [one["found"] for one in errors] == ["fsync is off: a crash loses what was committed"]
        group = next(one["found"] for one in examined["findings"] if one["check"] == f"group {DATABASE}")
        assert group == "1 member shares 2 partitions"
        rows = site.rows("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^journal_[0-9]+$'")
        assert {owner for (owner,) in rows} == {WORKER_ROLE}, "the worker makes the journal's days"

    def test_for_a_worker_that_shows_a_certificate(self, site: Site) -> None:
        with site.running(site.mutual_settings()) as worker:
            wait_until(lambda: bool(worker.told("taken")), READY_SECONDS, "its partitions are taken")
            assert worker.terminate() == 0
            assert KEY_PASSWORD not in worker.log_text()

    def test_for_the_next_migration(self, site: Site) -> None:
        """Whoever owns the schema can still change what workers own."""
        site.execute("ALTER TABLE journal ADD COLUMN next text; ALTER TABLE journal DROP COLUMN next", OWNER_ROLE)
        done = run_here("migrate", given=site.settings(role=OWNER_ROLE))
        assert (done.returncode, done.stdout.split(":")[0]) == (0, "schema is current")
        site.execute(statements("grants"), OWNER_ROLE)

    def test_and_are_no_more_than_the_program_asks_for(self) -> None:
        asked = {(privilege, table) for table, privileges in RUNTIME_RIGHTS.items() for privilege in privileges}
        assert set(worker_grants()) == asked
        assert OWNED[0] in statements("grants")


class TestEachRightIsNeeded:
    @pytest.mark.parametrize("acl", acls(WORKER), ids=lambda acl: f"{acl.operation}-{acl.name}")
    def test_by_workers(self, site: Site, tmp_path: Path, acl: Acl) -> None:
        with without(site, acl):
            told = refusal(site.settings(), tmp_path)
        assert_names(told, WORKER, acl)

    @pytest.mark.parametrize("acl", acls(SERVICES), ids=lambda acl: f"{acl.operation}-{acl.name}")
    def test_by_services(self, site: Site, acl: Acl) -> None:
        with without(site, acl):
            done = run_here("serve", "worker.demo.services", given=site.settings(SERVICES))
        assert_one_message(done)
        assert f"lacks {acl.operation} on {acl.kind.lower()} {acl.name}" in done.stderr

    @pytest.mark.parametrize("acl", acls(CLIENT), ids=lambda acl: f"{acl.operation}-{acl.name}")
    def test_by_clients(self, site: Site, acl: Acl) -> None:
        with without(site, acl), pytest.raises(SetupError) as told:
            client(site).__enter__()
        assert_names(str(told.value), CLIENT, acl)

    @pytest.mark.parametrize(
        ("acl", "arguments"),
        [*zip(acls(OPERATOR), OPERATORS_COMMANDS, strict=True)],
        ids=lambda one: one.name if isinstance(one, Acl) else one[0],
    )
    def test_by_operators(self, site: Site, acl: Acl, arguments: tuple[str, ...]) -> None:
        if arguments[0] == "dead-letters":
            site.make_dead_letter()
        with without(site, acl):
            done = operators(site, *arguments)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert "grant" in done.stderr.lower(), done.stderr

    @pytest.mark.parametrize(("privilege", "table"), worker_grants(), ids=lambda one: one)
    def test_on_tables(self, site: Site, tmp_path: Path, privilege: str, table: str) -> None:
        site.execute(f"REVOKE {privilege} ON {table} FROM {WORKER_ROLE}", OWNER_ROLE)
        try:
            told = refusal(site.settings(), tmp_path)
        finally:
            site.execute(f"GRANT {privilege} ON {table} TO {WORKER_ROLE}", OWNER_ROLE)
        assert f"{WORKER_ROLE} lacks {privilege} on {table}" in told
        assert "docs/security.md" in told

    @pytest.mark.parametrize(
        ("taken", "given", "named"),
        [
            ("REVOKE USAGE ON SCHEMA public FROM {0}", "GRANT USAGE ON SCHEMA public TO {0}", "USAGE on the schema"),
            ("REVOKE CREATE ON SCHEMA public FROM {0}", "GRANT CREATE ON SCHEMA public TO {0}", "CREATE on the schema"),
            (
                "REVOKE CONNECT ON DATABASE orchestrator FROM {0}",
                "GRANT CONNECT ON DATABASE orchestrator TO {0}",
                "GRANT CONNECT ON DATABASE",
            ),
            (
                "ALTER TABLE journal OWNER TO orchestrator_owner",
                "ALTER TABLE journal OWNER TO {0}",
                "the ownership of journal",
            ),
        ],
        ids=["usage", "create", "connect", "owner"],
    )
    def test_beside_those_on_tables(self, site: Site, tmp_path: Path, taken: str, given: str, named: str) -> None:
        site.execute(taken.format(WORKER_ROLE))
        try:
            told = refusal(site.settings(), tmp_path)
        finally:
            site.execute(given.format(WORKER_ROLE))
        assert named in told

    def test_and_the_command_ends_with_one_message(self, site: Site) -> None:
        (acl, *_) = acls(WORKER)
        with without(site, acl):
            done = run_worker("run", given=site.settings())
        assert_one_message(done)
        assert "READ on topic orchestrator.input" in done.stderr


def assert_names(told: str, user: str, acl: Acl) -> None:
    what = "transactional ids that begin with" if acl.kind == "TRANSACTIONAL_ID" else acl.kind.lower()
    assert f"Kafka's user {user} lacks {acl.operation} on {what} {acl.name}." in told
    assert f"User:{user}" in told
    assert f"--operation {acl.operation}" in told


def assert_one_message(done: CompletedProcess[str]) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Wrong:
    """A setting that is wrong, and what is said about it."""

    settings: Callable[[Site], dict[str, str]]
    told: str


def _stranger(site: Site) -> str:
    """Give an authority that has signed nothing here."""
    return str(Authority(site.folder, "stranger").certificate)


def _by_tls(site: Site, listener: str) -> dict[str, str]:
    return site.mutual_settings() | {"WORKER_KAFKA_BOOTSTRAP_SERVERS": site.kafka.address(listener)}


def _without_certificate(site: Site) -> dict[str, str]:
    return {
        name: value
        for name, value in site.mutual_settings().items()
        if "SSL_CERTIFICATE" not in name and "SSL_KEY" not in name
    }


WRONG = {
    "kafka-password": Wrong(
        lambda site: site.settings(KAFKA__SASL_PASSWORD=PASSWORDS[OPERATOR]),
        "correct WORKER_KAFKA__SASL_USERNAME and WORKER_KAFKA__SASL_PASSWORD",
    ),
    "kafka-mechanism": Wrong(
        lambda site: site.settings(KAFKA__SASL_MECHANISM="PLAIN"), "set WORKER_KAFKA__SASL_MECHANISM to one that they"
    ),
    "kafka-authority": Wrong(
        lambda site: site.settings(KAFKA__SSL_CA_LOCATION=_stranger(site)),
        "no authority of WORKER_KAFKA__SSL_CA_LOCATION has signed it",
    ),
    "kafka-expired": Wrong(lambda site: _by_tls(site, "EXPIRED"), "it has expired"),
    "kafka-name": Wrong(lambda site: _by_tls(site, "MISNAMED"), "it names another host"),
    "kafka-plain": Wrong(
        lambda site: site.settings(KAFKA__SECURITY_PROTOCOL="PLAINTEXT"), "see WORKER_KAFKA__SECURITY_PROTOCOL"
    ),
    "kafka-no-certificate": Wrong(_without_certificate, "the brokers want a client certificate"),
    "kafka-key-password": Wrong(
        lambda site: site.mutual_settings() | {"WORKER_KAFKA__SSL_KEY_PASSWORD": "canary-wrong"}, "ssl.key.location"
    ),
    "database-password": Wrong(
        lambda site: site.settings(DATABASE_URL=site.url(WORKER_ROLE, "canary-wrong")),
        "Correct user and password in WORKER_DATABASE_URL",
    ),
    "database-authority": Wrong(
        lambda site: site.settings(DATABASE_URL=site.url(WORKER_ROLE, sslrootcert=_stranger(site))),
        "no authority of sslrootcert",
    ),
    "database-no-authority": Wrong(
        lambda site: site.settings(DATABASE_URL=site.url(WORKER_ROLE, sslrootcert="/nowhere/ca.pem")),
        "sslrootcert=FILE in WORKER_DATABASE_URL",
    ),
    "database-name": Wrong(
        lambda site: site.settings(
            DATABASE_URL=site.url(WORKER_ROLE, hostaddr="127.0.0.1").replace("@127.0.0.1:", "@elsewhere.example:")
        ),
        "Name the server in WORKER_DATABASE_URL as its certificate does",
    ),
    "database-plain": Wrong(
        lambda site: site.settings(DATABASE_URL=site.url(WORKER_ROLE, sslmode="disable")),
        "The server takes connections over TLS alone",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_in_one_message(site: Site, case: str) -> None:
    done = run_here("run", given=WRONG[case].settings(site))
    assert_one_message(done)
    assert WRONG[case].told in done.stderr


def test_the_passwords_are_the_ones_that_are_looked_for() -> None:
    assert all("canary" in password for password in (*PASSWORDS.values(), KEY_PASSWORD))
