"""Secrets stand in nothing that is printed: every command, whatever is wrong, from variables, files and `.env`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.acceptance.commands import ROOT, run_here

CANARY = "canary-5f2b"
NOWHERE = "127.0.0.1:9"
PASSWORD = f"{CANARY}%2Fpassword"

URLS = {
    "in its place": f"postgresql://worker:{PASSWORD}@{NOWHERE}/orders",
    "in the query": f"postgresql://{NOWHERE}/orders?user=worker&password={PASSWORD}&sslpassword={CANARY}",
    "with a slip": f"postgresql://worker:{CANARY}@home/{CANARY}@{NOWHERE}/orders",
    "of another kind": f"mysql://worker:{PASSWORD}@{NOWHERE}/orders",
    "with an odd port": f"postgresql://worker:{PASSWORD}@127.0.0.1:port-{CANARY}/orders",
}
KAFKA = {
    "WORKER_KAFKA__SASL_PASSWORD": CANARY,
    "WORKER_KAFKA__SSL_KEY_PASSWORD": CANARY,
    "WORKER_KAFKA__SSL_KEY_PEM": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
    "WORKER_KAFKA__SSL_KEYSTORE_PASSWORD": CANARY,
    "WORKER_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": CANARY,
    "WORKER_KAFKA__SASL_OAUTHBEARER_CONFIG": f"secret={CANARY}",
}
COMMANDS = (
    ("run",),
    ("migrate",),
    ("migrate", "--check"),
    ("config",),
    ("config", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("serve", "worker.demo.services"),
    ("instances", "list"),
    ("partitions", "list"),
    ("dead-letters", "list"),
    ("dead-letters", "redrive", "0:1", "--yes"),
    ("produce", "arvo.orc.order", "--data", '{"order_id": "A", "amount": 1}'),
    ("tail", "--count", "1"),
    ("adopt", "--yes"),
)


def run(arguments: Sequence[str], settings: Mapping[str, str], directory: Path = ROOT) -> CompletedProcess[str]:
    """Run a command with these settings on servers that are not there."""
    given = {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "WORKER_DATABASE_URL": URLS["in its place"],
        "WORKER_LOG_LEVEL": "debug",
        "WORKER_MACHINES": "machines.order",
    }
    given = {name: value for name, value in (given | dict(settings)).items() if value}
    return run_here(*arguments, given=given, directory=directory)


def assert_silent(done: CompletedProcess[str]) -> None:
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands give up soon where no broker answers."""
    monkeypatch.setattr("worker.adapters.kafka.topics.FIRST_LOOK_SECONDS", 0.2)
    monkeypatch.setattr("worker.adapters.kafka.topics.FIRST_ANSWER_SECONDS", 0.4)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_shows_them(arguments: tuple[str, ...]) -> None:
    passwords = {name: value for name, value in KAFKA.items() if "PEM" not in name and "OAUTH" not in name}
    login = {"WORKER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "WORKER_KAFKA__SASL_MECHANISM": "PLAIN"}
    assert_silent(run(arguments, {"WORKER_KAFKA__SASL_USERNAME": "worker", **login, **passwords}))


@pytest.mark.parametrize("place", URLS)
@pytest.mark.parametrize("arguments", [("config",), ("migrate",), ("run",), ("doctor",)], ids=" ".join)
def test_wherever_an_address_has_them(arguments: tuple[str, ...], place: str) -> None:
    done = run(arguments, {"WORKER_DATABASE_URL": URLS[place]})
    assert_silent(done)
    assert arguments == ("config",) or done.returncode == 2


@pytest.mark.parametrize("name", KAFKA)
def test_whatever_property_has_them(name: str) -> None:
    for arguments in (("config",), ("config", "--json"), ("run",), ("doctor",)):
        assert_silent(run(arguments, {name: KAFKA[name]}))
    document = json.loads(run(("config", "--json"), {name: KAFKA[name]}).stdout)
    assert [row["value"] for row in document["settings"] if row["setting"] == name] == ["***"]


def test_from_files_and_from_dotenv(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(URLS["in its place"])
    password = tmp_path / "password"
    password.write_text(CANARY)
    (tmp_path / ".env").write_text(f"WORKER_KAFKA__SSL_KEY_PASSWORD={CANARY}\nWORKER_MACHINES=nothing.here\n")
    files: Mapping[str, str] = {
        "WORKER_DATABASE_URL": "",
        "WORKER_DATABASE_URL_FILE": str(secret),
        "WORKER_KAFKA__SASL_PASSWORD_FILE": str(password),
    }
    for arguments in (("config",), ("run",), ("doctor", "--json")):
        assert_silent(run(arguments, files, tmp_path))
    (tmp_path / ".env").write_text(f'WORKER_KAFKA__SSL_KEY_PASSWORD="{CANARY}\n')
    assert_silent(run(("config",), files, tmp_path))


def test_what_is_looked_for_is_found() -> None:
    done = CompletedProcess(["worker"], 0, f"password={CANARY}", "")
    with pytest.raises(AssertionError):
        assert_silent(done)
