"""`worker instances cancel` on real servers: parents with children, an operator, and a worker that is killed."""

import json
import shutil
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance import patient_family
from tests.acceptance.checks import Published, published_of
from tests.acceptance.commands import run_here, running
from tests.acceptance.deployment import Deployment, wait_until
from worker.core.codec import EncodedRecord, encode_record
from worker.core.factories import init_event
from worker.core.json import dumps

FAMILIES = 12
PATIENCE_SECONDS = 60.0
INITIATOR = "com.example.school"
PARENT_ERROR, CHILD_ERROR = "sys.arvo.orc.parent.error", "sys.arvo.orc.child.error"


def start_of(number: int) -> EncodedRecord:
    attributes = {
        "id": f"family-{number}",
        "source": INITIATOR,
        "data": {"number": number, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.parent",
    }
    return encode_record(init_event(patient_family.parent, attributes, execution_id=f"family-{number}"))


def subject_of(number: int) -> str:
    return start_of(number).key.decode()


@pytest.fixture
def families(deployment: Deployment) -> Deployment:
    """Have parents wait for children that wait for an answer."""
    shutil.copy(Path(patient_family.__file__), deployment.folder)
    deployment.settings = {"WORKER_MACHINES": "patient_family", "WORKER_BATCH_RECORDS_MAX": "5"}
    deployment.start_worker()
    deployment.produce(map(start_of, range(FAMILIES)))
    waiting = "SELECT count(*) FROM instances WHERE source = 'arvo.orc.child' AND status = 'active'"
    wait_until(lambda: deployment.rows(waiting) == [(FAMILIES,)], PATIENCE_SECONDS, "all children wait")
    return deployment


def cancel(deployment: Deployment, *arguments: str) -> CompletedProcess[str]:
    return run_here("instances", "cancel", *arguments, given=deployment.environment(), directory=deployment.folder)


def cancelled(deployment: Deployment, *arguments: str) -> list[dict[str, Any]]:
    done = cancel(deployment, *arguments, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def child_of(deployment: Deployment, number: int) -> str:
    ((subject,),) = deployment.rows("SELECT subject FROM instances WHERE parent_subject = %s", [subject_of(number)])
    return str(subject)


def statuses(deployment: Deployment) -> Counter[tuple[str, str]]:
    return Counter(dict(deployment.rows("SELECT (source, status)::text, count(*) FROM instances GROUP BY 1")))


def emitted(deployment: Deployment, type_: str) -> list[Published]:
    return [one for one in map(published_of, deployment.outputs()) if one.type == type_]


@pytest.mark.slow
def test_an_operator_cancels_families(families: Deployment) -> None:
    # A look at what would be done does nothing.
    looked = cancel(families, subject_of(0), "--children", "--dry-run")
    assert (looked.returncode, looked.stderr) == (0, "2 instances would be cancelled\n")
    assert [line.split()[1] for line in looked.stdout.splitlines()[1:]] == ["parent", "child"]
    nobody = cancel(families, subject_of(0))
    assert (nobody.returncode, "there is nobody to ask" in nobody.stderr) == (2, True)

    # A child alone: its parent is told, and goes on.
    (alone,) = cancelled(families, child_of(families, 0), "--reason", "no use", "--by", "ann")
    assert (alone["outcome"], alone["message"]) == ("cancelled", "The workflow was cancelled by ann: no use")
    ended = "SELECT output ->> 'how' FROM instances WHERE subject = %s AND status = 'done'"
    wait_until(lambda: families.rows(ended, [subject_of(0)]) == [("Cancelled",)], PATIENCE_SECONDS, "the parent knows")

    # A family, parent first. Again it finds nothing to do.
    told = cancelled(families, subject_of(1), "--children")
    assert [(one["machine"], one["outcome"]) for one in told] == [
        ("arvo.orc.parent", "cancelled"),
        ("arvo.orc.child", "cancelled"),
    ]
    assert [one["outcome"] for one in cancelled(families, subject_of(1), "--children")] == ["ended"]
    late = cancel(families, subject_of(2), "--at-step", "7", "--yes", "--json")
    assert (late.returncode, json.loads(late.stdout)["outcome"]) == (1, "changed")

    # The others while the worker is killed, and none is there to wait for.
    sent = cancelled(families, *map(subject_of, range(2, FAMILIES)), "--wait", "0")
    assert [one["outcome"] for one in sent] == ["sent"] * (FAMILIES - 2)
    families.workers[0].kill()
    families.start_worker()
    left = "SELECT count(*) FROM instances WHERE source = 'arvo.orc.parent' AND status = 'active'"
    wait_until(lambda: families.rows(left) == [(0,)], PATIENCE_SECONDS, "no parent is active")
    unknown = send_unknown(families)
    rest = cancelled(families, *map(subject_of, range(2, FAMILIES)), "--children")
    assert Counter(one["outcome"] for one in rest) == {"ended": FAMILIES - 2, "cancelled": FAMILIES - 2}

    assert statuses(families) == {
        "(arvo.orc.parent,done)": 1,
        "(arvo.orc.parent,cancelled)": FAMILIES - 1,
        "(arvo.orc.child,cancelled)": FAMILIES,
    }
    wait_until(lambda: len(emitted(families, CHILD_ERROR)) == FAMILIES, PATIENCE_SECONDS, "all errors are out")
    errors = emitted(families, PARENT_ERROR)
    assert sorted(one.subject for one in errors) == sorted(map(subject_of, range(1, FAMILIES)))
    outcomes = families.rows("SELECT outcome, coalesce(reason, ''), count(*) FROM journal GROUP BY 1, 2")
    assert {(outcome, reason): count for outcome, reason, count in outcomes} == {
        ("advanced", ""): 2 * FAMILIES + 1,
        ("cancelled", ""): 2 * FAMILIES - 1,
        # Children's errors for parents that are cancelled.
        ("ignored", "ENDED"): FAMILIES - 1,
        ("ignored", "CHANGED"): 1,
        ("dead_lettered", "INVALID_CONTROL"): 1,
    }
    wait_until(lambda: bool(families.dead_letters()), PATIENCE_SECONDS, "the dead letter is out")
    assert [record.value() for record in families.dead_letters()] == [unknown.value]
    history = run_here("instances", "history", subject_of(1), given=families.environment(), directory=families.folder)
    assert "sys.control.cancel" in history.stdout
    assert "Cancelled: The workflow was cancelled by " in history.stdout


def send_unknown(deployment: Deployment) -> EncodedRecord:
    """Send a command that no worker knows."""
    record = EncodedRecord(
        subject_of(2).encode(),
        dumps(
            {
                "id": "x",
                "subject": subject_of(2),
                "command": "pause",
                "requested_by": "ann",
                "time": "2026-01-01T00:00Z",
            }
        ),
        (("content-type", b"application/vnd.arvo.control+json"),),
    )
    deployment.produce([record])
    return record


@pytest.mark.slow
def test_children_that_are_not_there_yet_are_found(deployment: Deployment) -> None:
    """One of two workers stands still: the starts of children in its partitions are published, and not applied."""
    shutil.copy(Path(patient_family.__file__), deployment.folder)
    deployment.settings = {"WORKER_MACHINES": "patient_family", "WORKER_KAFKA__SESSION_TIMEOUT_MS": "45000"}
    deployment.start_worker()
    still = deployment.start_worker()
    # A partition has an owner in PostgreSQL once it has records.
    for partition in range(deployment.partitions):
        deployment.produce([EncodedRecord(b"", b"no event", ())], partition)
    name = still.told("running")[0]["worker"]
    owned = "SELECT array_agg(partition) FROM positions GROUP BY owner ORDER BY owner = %s"
    wait_until(lambda: [len(one) for (one,) in deployment.rows(owned, [name])] == [2, 2], PATIENCE_SECONDS, "two each")
    ((theirs,), _) = deployment.rows(owned, [name])
    still.suspend()

    places = deployment.produce(map(start_of, range(FAMILIES)))
    parents = [subject_of(number) for number, (partition, _) in enumerate(places) if partition in theirs]
    begun = "SELECT count(*) FROM instances WHERE source = %s"

    def count(source: str) -> int:
        return int(deployment.rows(begun, [source])[0][0])

    wait_until(lambda: count("arvo.orc.parent") == len(parents), PATIENCE_SECONDS, "the parents wait")
    arguments = ("worker", "instances", "cancel", *parents, "--children", "--yes", "--json", "--wait", "120")
    folder = deployment.folder / "command"
    folder.mkdir()
    with running(*arguments, given=deployment.environment(), folder=folder) as command:
        command.wait_for("all that these instances started")
        assert count("arvo.orc.child") < len(parents)
        still.resume()
        assert command.program.wait(PATIENCE_SECONDS * 2) == 0, command.output
    told = [json.loads(line) for line in command.output.splitlines() if line.startswith("{")]
    assert Counter((one["machine"], one["outcome"]) for one in told) == {
        ("arvo.orc.parent", "cancelled"): len(parents),
        ("arvo.orc.child", "cancelled"): len(parents),
    }
