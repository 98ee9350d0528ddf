"""Rows as the runtime writes them, for the tests of the database's ports."""

from dataclasses import replace
from typing import Any

from worker.core.digests import subject_digest
from worker.core.engine.api import Snapshot
from worker.core.instances import Instance, Status
from worker.core.records import Output, Record
from worker.ports import Claim, JournalRow, Position, Wanted, Writes

OURS = Claim("owner-1", "transactional-1")
THEIRS = Claim("owner-2", "transactional-2")
TOPIC_ID = "topic-id"
FIRST = 10
"""The offset at which positions begin."""

OUTPUT = Output("out", b"key", b'{"a": "\\u0000"}', (("h", b"\x00\xff"), ("n", None)))


def position(partition: int = 0, offset: int = FIRST, claim: Claim = OURS) -> Position:
    """Give the row of a partition that was just begun."""
    return Position(partition, TOPIC_ID, offset, offset, claim.owner, claim.transactional_id)


def subject(number: int = 1) -> str:
    return f"subject-{number}"


def digest(number: int = 1) -> bytes:
    return subject_digest(subject(number))


def instance(number: int = 1, revision: int = 1, **changed: Any) -> Instance:
    snapshot = Snapshot(configuration=("root", 'w"ait\\,'), context={"n": 2**62, "text": "ü"}, init={"a": 1.5})
    made = Instance(
        subject(number), "arvo.orc.test", "1.0.0", Status.ACTIVE, snapshot, f"event-{number}", None, 1_000, revision
    )
    return replace(made, **changed)


def row(offset: int = FIRST, partition: int = 0, **known: Any) -> JournalRow:
    """Give the journal's row of a record that is no event."""
    headers = (("x", b"\x00"), ("y", None))
    record = Record(partition, offset, 1_700_000_000_000, b"\xff\x00", b"not \xff utf-8", headers)
    return JournalRow(record=record, outcome="advanced", now=1_000, **known)


def consumed(offset: int = FIRST, key: int = 7, partition: int = 0, **known: Any) -> JournalRow:
    """Give the journal's row of an event that was consumed."""
    event = {"event_source": "source", "event_id": "id", "event_type": "type", "content_digest": b"c" * 16}
    return row(offset, partition, consumed=True, event_key=key, **{"subject_digest": digest(), **event, **known})


def wanted(
    offset: int = FIRST, numbers: tuple[int, ...] = (1,), keys: tuple[int, ...] = (), partition: int = 0
) -> Wanted:
    return Wanted({partition: offset}, [digest(number) for number in numbers], keys)


def writes(offset: int = FIRST + 1, published: int = 0, partition: int = 0, **written: Any) -> Writes:
    nothing = Writes((), (), (), {partition: offset}, {partition: published})
    return replace(nothing, **written)
