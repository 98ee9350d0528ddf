"""Dead letters through the real worker: listed, shown, redriven, and then processed exactly once."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance import archive, redrive_child
from tests.acceptance.checks import published_of
from tests.acceptance.commands import ROOT, environment, run_worker
from tests.acceptance.deployment import Deployment, wait_until
from tests.workload import OUTPUT_TYPES, STATES, Order
from worker.core.codec import EncodedRecord, encode_record
from worker.core.factories import init_event
from worker.core.records import Headers
from worker.core.redrives import REDRIVEN_FROM

ORDERS = 300
REPLIES = range(1, len(STATES))
PATIENCE_SECONDS = 60.0
NOWHERE = "127.0.0.1:9"
POINTS = ("begin:1", "produce:1", "produce:2", "produce:300", "commit:1", "committed:1", "begin:2", "commit:2")
TOPIC_BYTES_MAX = 1_048_588

pytestmark = pytest.mark.timeout(300)


def ask(deployment: Deployment, *arguments: str) -> CompletedProcess[str]:
    return run_worker("dead-letters", *arguments, given=deployment.environment())


def listed(deployment: Deployment, *arguments: str) -> list[dict[str, Any]]:
    done = ask(deployment, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def redriven(deployment: Deployment, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = ask(deployment, "redrive", "--yes", "--json", *arguments)
    assert done.returncode == status, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def letters(deployment: Deployment, count: int) -> None:
    """Wait until so many dead letters can be read."""
    wait_until(lambda: len(deployment.dead_letters()) >= count, PATIENCE_SECONDS, f"{count} dead letters are there")


def finish(deployment: Deployment, journalled: int) -> None:
    """Wait until so many records are journalled and published, then end the workers in good order.

    The end of the input topic is no measure here: a redrive leaves its transaction's own record behind its last one.
    """
    deployment.wait_until_journalled(journalled)
    wait_until(deployment._is_published, PATIENCE_SECONDS, "all that is applied is published")
    topics = [deployment.topics.dead_letters, *map(deployment.topics.domain, deployment.domains)]
    wait_until(lambda: deployment.cluster.is_settled(topics), PATIENCE_SECONDS, "no transaction is open")
    for worker in deployment.workers:
        assert not worker.running or worker.terminate() == 0


def assert_orders_done_once(deployment: Deployment, numbers: range) -> None:
    subjects = {Order(number).subject for number in numbers}
    published = [one for record in deployment.outputs() if (one := published_of(record)).subject in subjects]
    assert Counter(one.type for one in published) == dict.fromkeys(OUTPUT_TYPES, len(numbers))
    ended = deployment.rows("SELECT subject, status, revision FROM instances WHERE subject = ANY(%s)", [list(subjects)])
    assert sorted(ended) == sorted((subject, "done", len(STATES)) for subject in subjects)


def fed_backwards(deployment: Deployment, numbers: range) -> None:
    """Send each order's replies before the event that starts it: they become dead letters, the order begins."""
    # Fewer dead letters than a worker takes for a flood.
    deployment.produce(Order(number).record(step) for number in numbers for step in (*REPLIES, 0))
    letters(deployment, len(numbers) * len(REPLIES))
    deployment.wait_until_applied()


@pytest.mark.parametrize("command", ["list", "show", "redrive"])
def test_each_command_has_help_with_an_example(command: str) -> None:
    done = run_worker("dead-letters", command, "--help")
    assert re.search(rf"Examples?:\n +worker dead-letters {command}", done.stdout)


@pytest.mark.parametrize("arguments", [("list",), ("show", "0:1"), ("redrive", "--yes")])
def test_an_unreachable_broker_is_one_message(arguments: tuple[str, ...]) -> None:
    given = {"WORKER_KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "WORKER_DATABASE_URL": f"postgresql://{NOWHERE}/worker"}
    done = run_worker("dead-letters", *arguments, given=given)
    assert (done.returncode, done.stdout, done.stderr.count("error: ")) == (2, "", 1)
    assert NOWHERE in done.stderr


@pytest.mark.slow
def test_what_was_typed_wrongly_is_told_before_anything_is_done(deployment: Deployment) -> None:
    deployment.prefix, prefix = "other", deployment.prefix
    for command in ("list", "redrive"):
        done = ask(deployment, command)
        assert (done.returncode, done.stdout, "other.dlq" in done.stderr) == (2, "", True)
    deployment.prefix = prefix
    for arguments, text in (
        (("show", "17"), "PARTITION:OFFSET"),
        (("show", "0:17"), "no dead letter at 0:17"),
        (("redrive", "0:17", "--yes"), "no dead letter at 0:17"),
        (("list", "--reason", "NOTHING"), "INVALID_EVENT"),
        (("redrive", "--since", "soon"), "--since"),
    ):
        done = ask(deployment, *arguments)
        assert (done.returncode, done.stdout, text in done.stderr) == (2, "", True), done.stderr


@pytest.mark.slow
def test_replies_that_came_too_early_are_redriven_and_complete_their_order(deployment: Deployment) -> None:
    deployment.start_worker()
    fed_backwards(deployment, range(2))
    first, second = Order(0), Order(1)
    found = listed(deployment, "--subject", first.subject, "--reason", "no_instance")
    assert [one["type"].split(".")[1] for one in found] == ["inventory", "approval", "payment"]
    assert {one["redriven"] for one in found} == {False}

    shown = ask(deployment, "show", found[0]["place"])
    for text in ("NO_INSTANCE", "redrive", "evt.inventory.reserve.success", '"warehouse": "north"', first.subject):
        assert text in shown.stdout
    dry = ask(deployment, "redrive", "--subject", first.subject, "--dry-run")
    assert [line.split()[0] for line in dry.stdout.splitlines()] == [one["place"] for one in found]
    unasked = ask(deployment, "redrive", "--subject", first.subject)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)

    assert redriven(deployment, "--subject", first.subject)["topics"] == {deployment.topics.input: 3}
    deployment.wait_until_journalled(11)
    assert redriven(deployment, "--subject", first.subject)["redriven_before"] == 3
    assert [one["subject"] for one in listed(deployment)] == [second.subject] * 3
    assert Counter(one["redriven"] for one in listed(deployment, "--all")) == {True: 3, False: 3}
    assert "to " + deployment.topics.input in ask(deployment, "show", found[0]["place"]).stdout

    assert redriven(deployment)["redriven"] == 3
    finish(deployment, 14)
    assert_orders_done_once(deployment, range(2))
    assert listed(deployment) == []
    outcomes = deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome ORDER BY outcome")
    assert outcomes == [("advanced", 8), ("dead_lettered", 6)]


@pytest.mark.slow
def test_what_fails_again_is_a_dead_letter_again(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.produce([EncodedRecord(b"key", b"no event", ())], 0)
    letters(deployment, 1)
    (before,) = listed(deployment)
    assert redriven(deployment, before["place"])["redriven"] == 1
    letters(deployment, 3)  # With the marker of the first.
    (after,) = listed(deployment)
    assert (after["reason"], after["partition"], after["offset"]) == ("INVALID_EVENT", 0, before["offset"] + 1)
    told = json.loads(ask(deployment, "show", after["place"], "--json").stdout)
    place = before["place"].replace(":", "]@")
    assert told["headers"] == [[REDRIVEN_FROM, f"{deployment.topics.dead_letters}[{place}"]]
    assert redriven(deployment)["redriven"] == 1


@pytest.mark.slow
def test_a_record_too_large_for_the_dead_letters_comes_from_the_journal(deployment: Deployment) -> None:
    deployment.start_worker()
    headers: Headers = (("h", b"\x00\xff"), ("none", None))
    record = EncodedRecord(b"a key", b"x" * (TOPIC_BYTES_MAX - 200), headers)
    ((partition, _),) = deployment.produce([record])
    letters(deployment, 1)
    (letter,) = listed(deployment)
    assert "in PostgreSQL" in ask(deployment, "show", letter["place"]).stdout
    assert redriven(deployment)["redriven"] == 1
    first, second = (
        one for one in deployment.cluster.read_all(deployment.topics.input) if one.partition() == partition
    )
    assert (second.key(), second.value()) == (first.key(), first.value()) == (record.key, record.value)
    # There was no room for the header that tells of the redrive.
    assert second.headers() == list(headers)


@pytest.mark.slow
def test_a_record_that_the_journal_dropped_is_told_and_the_others_go(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.produce([EncodedRecord(b"a key", b"x" * (TOPIC_BYTES_MAX - 200), ())], 0)
    deployment.produce([EncodedRecord(b"a key", b"no event", ())], 1)
    letters(deployment, 2)
    deployment.rows(
        "WITH dropped AS (DELETE FROM journal WHERE partition = 0 RETURNING 1) SELECT count(*) FROM dropped"
    )
    done = redriven(deployment, status=1)
    assert done["redriven"] == 1
    (skipped,) = done["skipped"]
    assert "journal" in skipped["why"]


@pytest.mark.slow
def test_an_event_whose_topic_was_made_later_is_redriven_and_completes(deployment: Deployment) -> None:
    deployment.settings = {"WORKER_MACHINES": "archive"}
    source = Path(archive.__file__).read_text()
    (deployment.folder / "archive.py").write_text(source)
    worker = deployment.start_worker()
    attributes = {
        "id": "a-paper",
        "source": "com.example.office",
        "data": {"paper": "deed", "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.archive",
    }
    deployment.produce([encode_record(init_event(archive.archive, attributes, execution_id="a-paper"))])
    letters(deployment, 1)
    assert [one["reason"] for one in listed(deployment)] == ["NO_TOPIC"]
    assert worker.terminate() == 0

    declared = source.replace("DECLARED: tuple[str, ...] = ()", 'DECLARED: tuple[str, ...] = ("audit",)')
    assert declared != source
    (deployment.folder / "archive.py").write_text(declared)
    deployment.cluster.create_topics([deployment.topics.domain("audit")], deployment.partitions)
    deployment.domains = [*deployment.domains, "audit"]
    deployment.start_worker()
    assert redriven(deployment, "--reason", "NO_TOPIC")["redriven"] == 1
    finish(deployment, 2)
    (asked,) = deployment.outputs()
    assert published_of(asked).type == "com.shelf.find"
    assert deployment.rows("SELECT status, revision FROM instances") == [("active", 1)]


@pytest.mark.slow
def test_an_output_that_its_topic_refused_goes_there_once_it_may(deployment: Deployment) -> None:
    deployment.start_worker()
    deployment.produce([Order(1).record(0)])
    # By then the worker has looked at what the topic takes.
    wait_until(lambda: len(deployment.outputs()) == 1, PATIENCE_SECONDS, "an output is there")
    target = deployment.topics.domain("default")
    deployment.cluster.set_topic(target, "max.message.bytes", "300")
    order = Order(0)
    deployment.produce([order.record(0)])
    letters(deployment, 1)
    (refused,) = listed(deployment, "--source", deployment.topics.input)
    assert (refused["reason"], refused["source"]) == ("OUTPUT_REFUSED", target)
    assert (refused["type"], refused["subject"]) == (OUTPUT_TYPES[0], order.subject)
    deployment.cluster.set_topic(target, "max.message.bytes", "1000000")
    assert redriven(deployment)["topics"] == {target: 1}
    finish(deployment, 2)
    published = [published_of(record) for record in deployment.outputs()]
    assert sorted(one.subject for one in published) == sorted([order.subject, Order(1).subject])
    assert {one.type for one in published} == {OUTPUT_TYPES[0]}
    assert deployment.rows("SELECT status, revision FROM instances") == [("active", 1)] * 2


def start_redrive(deployment: Deployment, point: str) -> subprocess.Popen[str]:
    """Start a redrive that dies at a point."""
    command = [sys.executable, redrive_child.__file__, point, "dead-letters", "redrive", "--yes", "--json"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({**deployment.environment(), "PYTHONPATH": path}),
    )


def ended(redrive: subprocess.Popen[str]) -> CompletedProcess[str]:
    try:
        stdout, stderr = redrive.communicate(timeout=PATIENCE_SECONDS)
    finally:
        redrive.kill()
        redrive.wait()
    return CompletedProcess([], redrive.returncode, stdout, stderr)


def assert_each_redriven_once(deployment: Deployment, count: int) -> None:
    """Look at what readers of committed records see, and at what became of it."""
    sent = Counter(record.value() for record in deployment.cluster.read_all(deployment.topics.input))
    expected = {Order(number).record(0).value: 1 for number in range(ORDERS)}
    replies = {Order(number).record(step).value: 2 for number in range(ORDERS) for step in REPLIES}
    assert sent == expected | replies
    assert len(deployment.dead_letters()) == 2 * count
    assert Counter(one["redriven"] for one in listed(deployment, "--all", "--limit", "10000")) == {True: count}
    outcomes = deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome ORDER BY outcome")
    assert outcomes == [("advanced", ORDERS * len(STATES)), ("dead_lettered", count)], "a duplicate would be a second"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_redrives_that_are_killed_or_run_at_once_redrive_each_once(deployment: Deployment) -> None:
    deployment.start_worker()
    fed_backwards(deployment, range(ORDERS))
    count = ORDERS * len(REPLIES)
    for point in POINTS:
        dead = ended(start_redrive(deployment, point))
        assert dead.returncode == -signal.SIGKILL, f"{point} was not reached: {dead.stderr}"
    racing = [start_redrive(deployment, point) for point in ("commit:2", "never", "never")]
    for one in map(ended, racing):
        assert one.returncode in {0, 1, -signal.SIGKILL}
        assert one.returncode != 1 or "nothing is redriven twice" in one.stderr
    redriven(deployment)
    finish(deployment, ORDERS * len(STATES) + count)
    assert_each_redriven_once(deployment, count)
    assert_orders_done_once(deployment, range(ORDERS))
