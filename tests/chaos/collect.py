"""Read everything, of Kafka with `read_committed`, and hand it to the checker as digests."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.chaos.checker import Checker, InstanceRow, Row, Violation, Visible
from tests.chaos.records import Digest, input_digest, output_digest, place_of, text_digest
from tests.chaos.replay import Recorded, Replayer
from tests.chaos.site import PREFIX, Site
from worker.adapters.postgres.blocks import HELD, ROW_BYTES, kept
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.instances import Instance, Status
from worker.core.registry import Registry
from worker.core.routing import Router
from worker.core.snapshots import decode_snapshot
from worker.core.step import Host
from worker.machine_loader import load_machines

READ_AT_ONCE = 5_000
SILENCE_SECONDS = 60.0
ROWS_AT_ONCE = 2_000
SHARES = 256

JOURNAL = f"""
SELECT row.partition, row.record_offset, row.record_timestamp, row.subject_digest, row.outcome, row.reason,
       row.revision, CASE WHEN row.consumed THEN row.event_key END, {ROW_BYTES}
FROM journal AS row {HELD}
ORDER BY row.partition, row.record_offset
"""  # noqa: S608 - Put together of constants.

INSTANCES = """
SELECT subject, source, status, states, revision,
       coalesce(snapshot #>> '{context,order_id}', snapshot #>> '{init,number}'),
       coalesce(output -> 'status', output -> 'double')
FROM instances
"""

RECORDED = f"""
SELECT row.subject_digest, row.partition, row.record_offset, row.now_ms, row.outcome,
       subject, source, version, status, snapshot::text, init_event_id, parent_subject, instances.now_ms,
       instances.revision, {ROW_BYTES}
FROM journal AS row LEFT JOIN instances ON instances.subject_digest = row.subject_digest {HELD}
WHERE row.subject_digest IS NOT NULL AND get_byte(row.subject_digest, 0) < %s
ORDER BY row.subject_digest, row.partition, row.record_offset
"""  # noqa: S608


def feed(checker: Checker, site: Site, roots: Mapping[Digest, tuple[str, int]]) -> None:
    """Give the checker everything that there is."""
    for record in committed_records(site, [site.topics.input]):
        content = input_digest(record.timestamp()[1], *_content(record))
        checker.add_input(place_of(record.partition() or 0, record.offset() or 0), content)
    for row in _rows(site, JOURNAL):
        checker.add_row(_row(row))
    for record in committed_records(site, site.all_topics):
        if record.topic() != site.topics.input or not _is_produced(checker, record):
            checker.add_visible(_visible(record))
    checker.add_instances(map(_instance_row, _rows(site, INSTANCES)), roots)


def replayed(site: Site, records_max: int) -> Iterator[tuple[int, list[Violation]]]:
    """Run journals of instances again, at most about so many records: for each, how many, and what is wrong."""
    ((total,),) = _rows(site, "SELECT count(*) FROM journal")
    share = SHARES if total <= records_max else max(SHARES * records_max // total, 1)
    replayer = _replayer(site)
    for _, group in groupby(_rows(site, RECORDED, (share,)), key=lambda row: bytes(row[0])):
        rows = list(group)
        recorded = [_recorded(row) for row in rows]
        yield len(rows), list(replayer.violations(recorded, _instance(rows[0])))


def committed_records(site: Site, topics: Sequence[str]) -> Iterator[Message]:
    """Give all records of topics up to their present ends, in order within a partition. Raises: TimeoutError."""
    consumer = Consumer(
        {
            "bootstrap.servers": site.cluster.bootstrap_servers,
            "group.id": f"check-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    try:
        places = [(topic, partition) for topic in topics for partition in range(site.partitions)]
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
        yield from _to_ends(consumer, set(places))
    finally:
        consumer.close()


def _to_ends(consumer: Consumer, left: set[tuple[str, int]]) -> Iterator[Message]:
    heard_at = time.monotonic()
    while left:
        for message in consumer.consume(READ_AT_ONCE, 1.0):
            heard_at, error = time.monotonic(), message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic() or "", message.partition() or 0))
            elif not error.retriable():
                raise KafkaException(error)
        if time.monotonic() - heard_at > SILENCE_SECONDS:
            message_text = f"nothing came for {SILENCE_SECONDS:g} s, and these were not read to their ends: {left}"
            raise TimeoutError(message_text)


def _rows(site: Site, statement: Any, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a query without holding them all."""
    with psycopg.connect(site.postgres.url) as connection, connection.cursor("check") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(statement, parameters)
        yield from cursor


def _content(record: Message) -> tuple[bytes | None, bytes | None, Any]:
    key, value, headers = record.key(), record.value(), record.headers()
    return key, value, tuple(headers or ())


def _is_produced(checker: Checker, record: Message) -> bool:
    return checker.is_produced(place_of(record.partition() or 0, record.offset() or 0))


def _visible(record: Message) -> Visible:
    topic, (key, value, headers) = record.topic() or "", _content(record)
    content = output_digest(topic, key, value, headers)
    return Visible(topic, record.partition() or 0, record.offset() or 0, content, text_digest(key))


def _row(row: tuple[Any, ...]) -> Row:
    partition, offset, timestamp, digest, outcome, reason, revision, event, *stored = row
    key, value, headers, outputs = kept(stored)
    return Row(
        place=place_of(partition, offset),
        content=input_digest(timestamp, key, value, headers),
        subject=None if digest is None else text_digest(key),
        outcome=outcome,
        reason=reason,
        revision=revision,
        outputs=tuple(output_digest(one.topic, one.key, one.value, one.headers) for one in outputs),
        event=event,
    )


def _instance_row(row: tuple[Any, ...]) -> InstanceRow:
    subject, source, status, states, revision, number, result = row
    return InstanceRow(
        subject=text_digest(subject.encode()),
        source=source,
        status=status,
        states=tuple(states),
        revision=revision,
        number=int(str(number).removeprefix("order-")),
        result=result,
    )


def _recorded(row: tuple[Any, ...]) -> Recorded:
    _, partition, offset, now, outcome = row[:5]
    _, value, headers, outputs = kept(row[-6:])
    assert value is not None, "what names a subject has a value"
    return Recorded(
        place=place_of(partition, offset),
        value=value,
        headers=headers,
        now=now,
        outcome=outcome,
        outputs=outputs,
    )


def _instance(row: tuple[Any, ...]) -> Instance | None:
    subject, source, version, status, snapshot, init_event_id, parent_subject, now, revision = row[5:14]
    if subject is None:
        return None
    return Instance(
        subject=subject,
        source=source,
        version=version,
        status=Status(status),
        snapshot=decode_snapshot(snapshot),
        init_event_id=init_event_id,
        parent_subject=parent_subject,
        now=now,
        revision=revision,
    )


def _replayer(site: Site) -> Replayer:
    machines = load_machines(["machines.order", "tests.acceptance.family"], Path(__file__).parents[2])
    registry = Registry(machines, SismicEngine())
    return Replayer(Host(registry), Router(site.topics, registry, PREFIX, version=""))
