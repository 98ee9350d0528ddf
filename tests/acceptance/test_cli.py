"""The commands, as processes, against the servers of `worker dev`."""

import json
import os
import re
import signal
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess, run

import psycopg
import pytest
from typer._click.core import Command
from typer.core import TyperGroup
from typer.main import get_command

from tests.acceptance.commands import (
    CONTROL,
    Running,
    environment,
    exports,
    left_behind,
    run_here,
    run_worker,
    running,
    temporary_folders,
)
from tests.servers.kafka import KafkaCluster
from worker.cli.app import app
from worker.demo.playground import BOOTSTRAP_SERVERS, DATABASE_URL

HEAVY = ("alembic", "confluent_kafka", "psycopg", "pydantic", "rich", "sismic", "sqlalchemy")
OURS_MAX = 15
MODULES_MAX = 180
READY = "The worker's log"
ORDER = {"order_id": "A-1", "amount": 40, "items": [{"sku": "lamp", "qty": 1}]}
NOWHERE = "127.0.0.1:9"
ADDRESSES = {BOOTSTRAP_SERVERS: NOWHERE, DATABASE_URL: f"postgresql://worker:geheim@{NOWHERE}/worker"}


@pytest.fixture(scope="module")
def dev() -> Iterator[Running]:
    """Keep one `worker dev` on servers of its own; in the end nothing of it may be left."""
    with temporary_folders() as folder:
        with running("worker", "dev", given=None, folder=folder) as started:
            started.wait_for(READY)
            yield started
            assert started.end(signal.SIGTERM) == 0
        assert left_behind(folder) == []


@pytest.fixture(scope="module")
def given(dev: Running) -> dict[str, str]:
    """Give the variables that reach the servers of `worker dev`."""
    return exports(dev.output)


def started(given: dict[str, str], **data: object) -> str:
    """Start an order; give its subject."""
    done = run_worker("produce", "arvo.orc.order", "--json", "--data", json.dumps(ORDER | data), given=given)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["subject"])


def tailed(given: dict[str, str], *arguments: str) -> list[str]:
    done = run_worker("tail", "--from-beginning", *arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def kill_worker(database_url: str) -> None:
    """Kill the worker process: the child of a keeper that runs `worker run` on this database."""
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = cmdline.read_bytes().split(b"\0")
            if words[1:4] != [b"-m", b"worker", b"run"]:
                continue
            if database_url.encode() in (cmdline.parent / "environ").read_bytes():
                os.kill(int(cmdline.parent.name), signal.SIGKILL)
                return
    pytest.fail("no worker process was found")


def assert_one_message(done: CompletedProcess[str], status: int, *texts: str) -> None:
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr


def leaves(of: Command, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Give every command, by the words that name it."""
    if isinstance(of, TyperGroup):
        for word, command in of.commands.items():
            yield from leaves(command, (*name, word))
    else:
        yield name, of


COMMANDS = dict(leaves(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    done = run_here(*command, "--help")
    assert done.returncode == 0
    assert re.search(rf"Examples?:\n +.*worker {' '.join(command)}", done.stdout)


def test_what_lists_or_shows_gives_json() -> None:
    without = {name for name, one in COMMANDS.items() if not any("--json" in option.opts for option in one.params)}
    changing = {("run",), ("serve",), ("dev",), ("adopt",), ("partitions", "begin")}
    # A picture is one, and an export is JSON.
    assert without == changing | {("machines", "graph"), ("instances", "export")}


def test_options_that_are_alike_are_called_alike() -> None:
    helps: dict[str, set[bool | None]] = {}
    for one in COMMANDS.values():
        for option in one.params:
            for name in option.opts:
                helps.setdefault(name, set()).add(getattr(option, "is_flag", None))
    assert {name for name, kinds in helps.items() if len(kinds) > 1} == set(), "a flag here, and a value there"


def test_help_imports_nothing_heavy() -> None:
    """Count what is imported, of which start-up time is made: for the first help, then for that of every command."""
    code = (
        (
            "import sys\n"
            "from worker.cli import main\n"
            "for words in ([], *WORDS):\n"
            "    sys.argv = ['worker', *words, '--help']\n"
            "    try:\n        main()\n    except SystemExit:\n        pass\n"
            "    if not words or words == WORDS[-1]:\n"
            "        ours = sum(name.startswith('worker.') for name in sys.modules)\n"
            "        heavy = set(HEAVY) & set(sys.modules)\n"
            "        sys.stderr.write(f'{len(sys.modules)} {ours} {sorted(heavy)}\\n')\n"
        )
        .replace("WORDS", str([list(words) for words in COMMANDS]))
        .replace("HEAVY", str(HEAVY))
    )
    done = run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment())
    first, every = (line.split(" ", 2) for line in done.stderr.splitlines())
    assert first[2] == "[]"
    assert int(first[0]) < MODULES_MAX
    # Typer asks pydantic for the types of options, whatever they are.
    assert every[2] == "['pydantic']"
    assert int(every[1]) < OURS_MAX, "commands import what they need when they run"


def test_names_are_completed() -> None:
    def completed(words: str, **given: str) -> list[str]:
        asked = {"_WORKER_COMPLETE": "complete_bash", "COMP_WORDS": f"worker {words}"}
        asked["COMP_CWORD"] = str(len(words.split()))
        return run_here(given=asked | given).stdout.split()

    assert completed("dead-letters list --reason NO_M") == ["NO_MACHINE"]
    assert completed("instances list --status d") == ["done"]
    assert completed("machines graph arvo.orc.or", WORKER_MACHINES="machines.order") == ["arvo.orc.order@1.0.0"]
    assert completed("machines graph arvo", WORKER_MACHINES="nothing") == []


@pytest.mark.slow
def test_dev_tells_what_to_paste_without_control_codes(dev: Running, given: dict[str, str]) -> None:
    assert {DATABASE_URL, BOOTSTRAP_SERVERS} <= given.keys()
    assert not CONTROL.search(dev.output)
    for text in ("orchestrator.input", "worker produce arvo.orc.order", "psql"):
        assert text in dev.output
    # What follows a command that goes on would be lost when all is pasted at once.
    pasted = re.findall(r"^  (\S.*)$", dev.output, re.MULTILINE)
    assert pasted[-1].endswith("worker tail --from-beginning")


@pytest.mark.slow
def test_an_order_flows_to_its_end(given: dict[str, str]) -> None:
    subject = started(given)
    documents = [json.loads(line) for line in tailed(given, "--json", "--subject", subject, "--count", "8")]
    types = [document["event"]["type"] for document in documents]
    assert sorted(types) == sorted(
        [
            "arvo.orc.order",
            "com.inventory.reserve",
            "evt.inventory.reserve.success",
            "com.approval.request",
            "evt.approval.request.success",
            "com.payment.charge",
            "evt.payment.charge.success",
            "arvo.orc.order.done",
        ]
    )
    events = {document["event"]["type"]: document["event"] for document in documents}
    assert events["arvo.orc.order.done"]["data"]["status"] == "completed"
    assert events["arvo.orc.order.done"]["to"] == "com.example.cli"
    reply = events["evt.inventory.reserve.success"]
    assert reply["parentid"] == events["com.inventory.reserve"]["id"]
    assert reply["to"] == "arvo.orc.order"
    with psycopg.connect(given[DATABASE_URL]) as connection:
        status = connection.execute("SELECT status FROM instances WHERE subject = %s", (subject,)).fetchone()
    assert status == ("done",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "events", "status", "reason"),
    [
        ({"items": [{"sku": "out-of-stock", "qty": 1}]}, 4, "failed", "an item is out of stock"),
        ({"items": [{"sku": "chair", "qty": 5}]}, 8, "failed", "the card's limit is 500"),
        ({"amount": 1001}, 6, "rejected", None),
    ],
)
def test_the_sample_services_answer_by_what_is_in_the_order(
    given: dict[str, str], data: dict[str, object], events: int, status: str, reason: str | None
) -> None:
    subject = started(given, **data)
    lines = tailed(given, "--json", "--subject", subject, "--count", str(events))
    (end,) = [event for line in lines if (event := json.loads(line)["event"])["type"] == "arvo.orc.order.done"]
    assert (end["data"]["status"], end["data"]["reason"]) == (status, reason)


@pytest.mark.slow
def test_lines_are_all_checked_before_one_is_sent(given: dict[str, str]) -> None:
    good, bad = json.dumps(ORDER | {"order_id": "never"}), json.dumps(ORDER | {"amount": -1})
    done = run_worker("produce", "arvo.orc.order", "--file", "-", given=given, stdin=f"{good}\n\n{bad}\n")
    assert_one_message(done, 2, "line 3", "amount", "Nothing was sent")
    done = run_worker("produce", "arvo.orc.order", "--file", "-", given=given, stdin=f"{good}\n{good}\n")
    assert done.returncode == 0
    assert len({line.split()[1] for line in done.stdout.splitlines()}) == 2


@pytest.mark.slow
def test_whole_events_are_sent_as_they_are(given: dict[str, str]) -> None:
    subject = started(given)
    first = tailed(given, "--domain", "input", "--json", "--subject", subject, "--count", "1")
    event = json.loads(first[0])["event"] | {"id": str(uuid.uuid4()), "traceparent": "00-0-0-00"}
    done = run_worker("produce", "--file", "-", "--json", given=given, stdin=json.dumps(event))
    assert json.loads(done.stdout) == {"id": event["id"], "type": "arvo.orc.order", "subject": subject}
    # A second start of an instance that is there, with another id.
    letters = tailed(given, "--domain", "dlq", "--subject", subject, "--count", "1")
    assert "ALREADY_STARTED" in letters[0]


@pytest.mark.slow
def test_a_broken_record_becomes_a_dead_letter_that_tail_shows(given: dict[str, str]) -> None:
    done = run_worker("produce", "--unchecked", "--file", "-", given=given, stdin="no event")
    assert done.returncode == 0
    lines = tailed(given, "--domain", "dlq", "--count", "1")
    assert re.search(r"orchestrator\.dlq  (INVALID_EVENT|ALREADY_STARTED)  orchestrator\.input\[\d\]@\d+  ", lines[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("arvo.orc.nothing", "--data", "{}"), "these do: arvo.orc.approval, arvo.orc.flight"),
        (("evt.payment.charge.success", "--data", "{}"), "--subject"),
        (("evt.payment.charge.success", "--data", "{}", "--subject", "x"), "subject can't be read"),
        (
            ("arvo.orc.order", "--data", '{"order_id": 5}'),
            "order_id: Input should be a valid string; amount: Field required",
        ),
        (("arvo.orc.order", "--data", "[]"), "expected a JSON object"),
        (("arvo.orc.order", "--data", "{"), "no JSON"),
        (("arvo.orc.order", "--data", "{}", "--version", "3.0.0"), "arvo.orc.order 1.0.0"),
        (("arvo.orc.order", "--data", "{}", "--source", "me"), "com.example.cli"),
        (("arvo.orc.order", "--file", "/nowhere"), "No such file"),
        (("arvo.orc.order", "--file", "-", "--data", "{}"), "exclude each other"),
        (("arvo.orc.order",), "nothing to send"),
        (("--data", '{"specversion": "1.0"}'), "id"),
    ],
)
def test_produce_refuses_what_no_machine_takes(given: dict[str, str], arguments: tuple[str, ...], text: str) -> None:
    assert_one_message(run_worker("produce", *arguments, given=given), 2, text)


@pytest.mark.slow
def test_migrate_tells_where_the_schema_is(given: dict[str, str], database_url: str) -> None:
    empty = {DATABASE_URL: database_url}
    assert_one_message(run_worker("migrate", "--check", given=empty), 1, "run `worker migrate`")
    assert_one_message(run_worker("run", given=given | empty), 2, "run `worker migrate`")
    assert re.fullmatch(r"schema: no schema → \d+\n", run_worker("migrate", given=empty).stdout)
    assert run_worker("migrate", given=empty).stdout.startswith("schema is current: ")
    assert run_worker("migrate", "--check", given=empty).returncode == 0
    told = json.loads(run_worker("migrate", "--check", "--json", given=empty).stdout)
    assert (told["is_current"], told["before"]) == (True, told["needed"])


@pytest.mark.slow
def test_missing_topics_are_named(given: dict[str, str]) -> None:
    other = given | {"WORKER_TOPIC_PREFIX": "other"}
    for arguments in (("run",), ("tail",), ("produce", "arvo.orc.order", "--data", json.dumps(ORDER))):
        assert_one_message(run_worker(*arguments, given=other), 2, "other.input", "WORKER_CREATE_TOPICS=true")
    assert_one_message(run_worker("tail", "--domain", "nowhere", given=given), 2, "orchestrator.nowhere")


@pytest.mark.parametrize("arguments", [("run",), ("tail",), ("dev",)])
def test_an_unreachable_server_is_one_message(arguments: tuple[str, ...]) -> None:
    assert_one_message(run_worker(*arguments, given=ADDRESSES), 2, "127.0.0.1")


@pytest.mark.parametrize("arguments", [("migrate",), ("migrate", "--check")])
def test_an_unreachable_database_is_one_message_without_the_password(arguments: tuple[str, ...]) -> None:
    done = run_worker(*arguments, given=ADDRESSES)
    assert_one_message(done, 2, "can't be reached")
    assert "geheim" not in done.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://worker:geheim@host:abc/worker", "postgresql://worker:geheim@[::1/worker"]
)
def test_a_malformed_database_url_is_one_message_without_the_password(url: str) -> None:
    done = run_worker("dev", given=ADDRESSES | {DATABASE_URL: url})
    assert_one_message(done, 2, "the database URL is malformed")
    assert "geheim" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["run", "config"])
def test_all_faults_of_the_settings_are_told_at_once(command: str) -> None:
    done = run_worker(command, given={"WORKER_GROUPID": "x", "WORKER_JOURNAL_DAYS": "x"})
    assert_one_message(done, 2, "WORKER_GROUP_ID", "WORKER_JOURNAL_DAYS", BOOTSTRAP_SERVERS, DATABASE_URL)


def test_machines_that_are_not_there_are_told() -> None:
    assert_one_message(run_worker("run", given=ADDRESSES | {"WORKER_MACHINES": "nothing"}), 2, "WORKER_MACHINES")


def test_config_shows_values_and_origins_and_masks_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_GROUP_ID=shop\nWORKER_LOG_LEVEL=debug\n")
    given = ADDRESSES | {"WORKER_LOG_LEVEL": "warning", "WORKER_KAFKA__SASL_PASSWORD": "geheim"}
    done = run_worker("config", "--json", given=given, directory=tmp_path)
    rows = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)["settings"]}
    assert rows["WORKER_GROUP_ID"] == ("shop", ".env")
    assert rows["WORKER_LOG_LEVEL"] == ("warning", "environment")
    assert rows["WORKER_TOPIC_PREFIX"] == ("orchestrator", "default")
    assert rows[DATABASE_URL] == (f"postgresql://worker:***@{NOWHERE}/worker", "environment")
    assert rows["WORKER_KAFKA__SASL_PASSWORD"] == ("***", "environment")
    shown = run_worker("config", given=given, directory=tmp_path)
    assert shown.returncode == 0
    assert "WORKER_GROUP_ID" in shown.stdout
    assert "geheim" not in done.stdout + shown.stdout


def test_config_shows_some_settings_and_each_propertys_own_origin(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_KAFKA__SECURITY_PROTOCOL=SASL_SSL\n")
    given = ADDRESSES | {"WORKER_KAFKA__SASL_PASSWORD": "geheim"}

    def origins(*arguments: str) -> dict[str, str]:
        shown = run_here("config", "--json", *arguments, given=given, directory=tmp_path).stdout
        return {row["setting"]: row["origin"] for row in json.loads(shown)["settings"]}

    assert origins("--changed") == {
        BOOTSTRAP_SERVERS: "environment",
        DATABASE_URL: "environment",
        "WORKER_KAFKA__SASL_PASSWORD": "environment",
        "WORKER_KAFKA__SECURITY_PROTOCOL": ".env",
    }
    assert origins("journal", "LOG_LEVEL") == {"WORKER_JOURNAL_DAYS": "default", "WORKER_LOG_LEVEL": "default"}
    assert run_here("config", "nothing", given=given, directory=tmp_path).stdout == ""


def test_config_lists_the_settings_although_some_are_wrong() -> None:
    done = run_worker("config", "--json", given={"WORKER_GROUPID": "x"})
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert len(document["faults"]) == 3
    assert {row["setting"] for row in document["settings"]} >= {"WORKER_GROUP_ID", DATABASE_URL}


@pytest.mark.slow
def test_dev_refuses_a_database_whose_topics_its_own_broker_lacks(database_url: str) -> None:
    given = {DATABASE_URL: database_url}
    assert run_worker("migrate", given=given).returncode == 0
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO positions (partition, topic_id, next_offset, published_offset) VALUES (0, 'other', 0, 0)"
        )
    assert_one_message(run_worker("dev", given=given), 2, DATABASE_URL, BOOTSTRAP_SERVERS)


@pytest.mark.slow
def test_dev_uses_given_servers_and_says_so_when_its_worker_dies(
    embedded_broker: KafkaCluster, database_url: str
) -> None:
    given = {
        BOOTSTRAP_SERVERS: embedded_broker.bootstrap_servers,
        DATABASE_URL: database_url,
        "WORKER_KAFKA__SESSION_TIMEOUT_MS": "6000",
        "WORKER_TOPIC_PREFIX": f"dev-{uuid.uuid4().hex[:8]}",
        "WORKER_TOPIC_PARTITIONS": "2",
    }
    given["WORKER_GROUP_ID"] = given["WORKER_TOPIC_PREFIX"]
    with temporary_folders() as folder:
        with running("worker", "dev", given=given, folder=folder) as started:
            started.wait_for(READY)
            assert exports(started.output) == {}
            kill_worker(given[DATABASE_URL])
            assert started.program.wait(30) == 1
            assert "error: the worker process ended by itself" in started.output
            assert "ended by SIGKILL" in started.output
        assert left_behind(folder) == []
    host, _, port = embedded_broker.bootstrap_servers.partition(":")
    socket.create_connection((host, int(port)), timeout=1).close()
