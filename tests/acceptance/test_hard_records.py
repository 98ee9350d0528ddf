"""Records that kill the worker or never return, versions under roll-out, floods: real processes, nothing is lost."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance import deadly
from tests.acceptance.deployment import SESSION_TIMEOUT_SECONDS, Deployment, WorkerProcess, wait_until
from worker.core.codec import EncodedRecord, encode_record
from worker.core.factories import init_event
from worker.runtime.careful import ATTEMPTS_MAX
from worker.runtime.flood import FLOOD_RECORDS_MIN
from worker.runtime.taking import CAREFUL_DEATHS

INNOCENT = 20
PATIENCE_SECONDS = 90.0
BATCH = 50


def start_of(name: str, deed: str, version: str = "1.0.0") -> EncodedRecord:
    attributes = {
        "id": name,
        "source": "com.example.tests",
        "data": {"deed": deed, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.deadly",
    }
    return encode_record(init_event(deadly.deadly.version(version), attributes, execution_id=name))


def innocents(stem: str) -> Iterable[EncodedRecord]:
    return [start_of(f"{stem}-{number}", "nothing") for number in range(INNOCENT)]


def done(deployment: Deployment) -> int:
    ((count,),) = deployment.rows("SELECT count(*) FROM instances WHERE status = 'done'")
    return int(count)


def reasons(deployment: Deployment) -> Counter[str]:
    letters = [dict(one.headers() or ()) for one in deployment.dead_letters()]
    return Counter(one["dlq-reason"].decode() for one in letters)  # type: ignore[union-attr]


@pytest.fixture
def with_deadly(deployment: Deployment) -> Deployment:
    shutil.copy(Path(deadly.__file__), deployment.folder)
    deployment.settings = {
        "WORKER_MACHINES": "deadly",
        "WORKER_BATCH_RECORDS_MAX": str(BATCH),
        "WORKER_STEP_TIMEOUT_SECONDS": "1",
    }
    return deployment


def restart_until_done(deployment: Deployment, count: int) -> list[WorkerProcess]:
    """Start another worker whenever one died, as an orchestrator of containers does, until all others are done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    workers = [deployment.start_worker()]
    while done(deployment) < count:
        assert time.monotonic() < deadline, f"{done(deployment)} of {count} are done"
        if not workers[-1].running:
            workers.append(deployment.start_worker())
        time.sleep(0.05)
    return workers


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("deed", ["kill", "spin"])
def test_a_record_that_ends_its_worker_becomes_a_dead_letter(with_deadly: Deployment, deed: str) -> None:
    deployment = with_deadly
    deployment.produce([*innocents("before"), start_of("poison", deed), *innocents("after")], partition=0)
    deployment.produce(innocents("beside"), partition=1)
    workers = restart_until_done(deployment, 3 * INNOCENT)
    assert len(workers) == CAREFUL_DEATHS + ATTEMPTS_MAX + 1
    deployment.finish()
    assert reasons(deployment) == {"CRASHED": 1}
    (letter,) = deployment.dead_letters()
    assert letter.value() == start_of("poison", deed).value
    assert len(deployment.outputs()) == 3 * INNOCENT
    if deed == "spin":
        assert "in do\n" in workers[0].log_text(), "the stacks tell where it was"


@pytest.mark.slow
def test_a_version_under_roll_out_is_waited_for(with_deadly: Deployment) -> None:
    deployment = with_deadly
    old = deployment.start_worker()
    deployment.produce([start_of("first", "nothing")], partition=0)
    wait_until(lambda: done(deployment) == 1, PATIENCE_SECONDS, "the old one works")

    newer = 'setup_machine(contract=deadly.version("2.0.0"), statechart=CHART, functions={"do": do})'
    newer = f"{Path(deadly.__file__).read_text()}\nmachines = [machine, {newer}]\n"
    (deployment.folder / "deadly.py").write_text(newer)
    new = deployment.start_worker()
    for partition in range(deployment.partitions):
        records = [start_of(f"new-{partition}", "nothing", "2.0.0"), start_of(f"old-{partition}", "nothing")]
        deployment.produce(records, partition=partition)
    wait_until(lambda: bool(old.told("waiting_for_version")), PATIENCE_SECONDS, "the old one waits")
    assert reasons(deployment) == {}
    assert old.terminate() == 0
    wait_until(lambda: done(deployment) == 1 + 2 * deployment.partitions, PATIENCE_SECONDS, "the new one did it all")
    assert reasons(deployment) == {}
    assert new.running
    deployment.finish()


@pytest.mark.slow
def test_a_flood_of_dead_letters_pauses_the_worker_and_leaves_it_in_the_group(with_deadly: Deployment) -> None:
    deployment = with_deadly
    worker = deployment.start_worker()
    deployment.produce([EncodedRecord(b"key", b"garbage %d" % number, ()) for number in range(2_000)], partition=0)
    wait_until(lambda: bool(worker.told("dead_letter_flood")), PATIENCE_SECONDS, "it pauses")
    time.sleep(SESSION_TIMEOUT_SECONDS + 1)  # Longer than the group waits for a member that does not poll.
    assert deployment.journal_size() <= FLOOD_RECORDS_MIN + 2 * BATCH
    assert worker.running
    assert worker.told("lost") == []
    assert [one.owner for one in deployment.positions() if one.owner is None] == []
    assert worker.terminate() == 0
