"""Orchestrators that call orchestrators: their events reach the input topic without any router, exactly once."""

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from confluent_kafka import Message

from tests.acceptance import family
from tests.acceptance.checks import Published, published_of
from tests.acceptance.deployment import Deployment, wait_until
from worker.core.codec import EncodedRecord, encode_record
from worker.core.factories import init_event

FAMILIES = 150
PATIENCE_SECONDS = 60.0
EVENTS_OF_A_FAMILY = ("arvo.orc.child", "arvo.orc.child.done", "arvo.orc.parent.done")
INITIATOR = "com.example.school"


def start_of(number: int) -> EncodedRecord:
    attributes = {
        "id": f"family-{number}",
        "source": INITIATOR,
        "data": {"number": number, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.parent",
    }
    return encode_record(init_event(family.parent, attributes, execution_id=f"family-{number}"))


def done(deployment: Deployment, source: str) -> int:
    ((count,),) = deployment.rows(
        "SELECT count(*) FROM instances WHERE source = %s AND status = 'done' AND output IS NOT NULL", [source]
    )
    return int(count)


def events_of(records: Iterable[Message]) -> list[Published]:
    return [published_of(record) for record in records]


@pytest.mark.slow
def test_a_child_answers_its_parent_through_a_kill(deployment: Deployment) -> None:
    shutil.copy(Path(family.__file__), deployment.folder)
    deployment.settings = {"WORKER_MACHINES": "family", "WORKER_BATCH_RECORDS_MAX": "10"}
    worker = deployment.start_worker()
    deployment.produce(map(start_of, range(FAMILIES)))
    wait_until(lambda: done(deployment, "arvo.orc.child") >= FAMILIES // 3, PATIENCE_SECONDS, "a third is done")
    worker.kill()
    heir = deployment.start_worker()
    wait_until(lambda: done(deployment, "arvo.orc.parent") == FAMILIES, PATIENCE_SECONDS, "all parents are done")
    assert heir.terminate() == 0

    results = deployment.rows(
        "SELECT (snapshot -> 'init' ->> 'number')::int, (output ->> 'double')::int, parent_subject IS NULL "
        "FROM instances"
    )
    assert sorted(results) == sorted((n, 2 * n, root) for n in range(FAMILIES) for root in (False, True))
    published = events_of(deployment.outputs())
    assert Counter(one.type for one in published) == dict.fromkeys(EVENTS_OF_A_FAMILY, FAMILIES)
    assert len({one.id for one in published}) == len(published)
    delivered = events_of(deployment.cluster.read_all(deployment.topics.input))
    ours = {one.id for one in published if one.type != "arvo.orc.parent.done"}
    assert Counter(one.id for one in delivered) == Counter(ours | {f"family-{n}" for n in range(FAMILIES)})
    outcomes = deployment.rows("SELECT outcome, count(*) FROM journal GROUP BY outcome")
    assert outcomes == [("advanced", 3 * FAMILIES)]
