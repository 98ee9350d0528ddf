"""Rows as columns: what a bulk statement takes is one list per column, as `unnest` reads it."""

from collections.abc import Sequence
from typing import Any

from worker.adapters.postgres.frames import pack_headers, pack_outputs
from worker.core.digests import subject_digest
from worker.core.instances import Instance, Status
from worker.core.json import dumps
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.ports import JournalRow, Position, Writes

_NO_STATES = None


def instance(row: tuple[Any, ...]) -> tuple[bytes, Instance]:
    """Read a row of `statements.INSTANCES`: the digest and the instance."""
    digest, subject, source, version, status, snapshot, init_event_id, parent_subject, now, revision = row
    return bytes(digest), Instance(
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


def created(rows: Sequence[tuple[bytes, Instance]]) -> tuple[list[Any], ...]:
    """Give the columns of `statements.INSERT_INSTANCES`."""
    return _columns(
        13,
        [
            (
                digest,
                one.subject,
                one.parent_subject,
                subject_digest(one.parent_subject) if one.parent_subject else None,
                one.source,
                one.version,
                one.status.value,
                array_literal(one.snapshot.configuration),
                encode_snapshot(one.snapshot).decode(),
                _output(one),
                one.init_event_id,
                one.revision,
                one.now,
            )
            for digest, one in rows
        ],
    )


def changed(rows: Sequence[tuple[bytes, Instance, int]]) -> tuple[list[Any], ...]:
    """Give the columns of `statements.UPDATE_INSTANCES`; the third of a row is the stored revision."""
    return _columns(
        8,
        [
            (
                digest,
                one.status.value,
                array_literal(one.snapshot.configuration),
                encode_snapshot(one.snapshot).decode(),
                _output(one),
                one.revision,
                one.now,
                revision_before,
            )
            for digest, one, revision_before in rows
        ],
    )


def journal(rows: Sequence[JournalRow]) -> tuple[list[Any], ...]:
    """Give the columns of `statements.INSERT_JOURNAL`."""
    return _columns(
        23,
        [
            (
                row.record.partition,
                row.record.offset,
                row.record.timestamp,
                row.subject_digest,
                row.event_key,
                row.event_source,
                row.event_id,
                row.event_type,
                row.content_digest,
                row.consumed,
                row.outcome,
                row.reason,
                row.error_name,
                row.error_message,
                _NO_STATES if row.states_before is None else array_literal(row.states_before),
                _NO_STATES if row.states_after is None else array_literal(row.states_after),
                row.revision,
                row.definition_hash,
                row.now,
                row.record.key,
                row.record.value,
                pack_headers(row.record.headers),
                pack_outputs(row.outputs),
            )
            for row in rows
        ],
    )


def positions(writes: Writes) -> tuple[list[Any], ...]:
    """Give the columns of `statements.UPDATE_POSITIONS`."""
    partitions = list(writes.next_offsets)
    return (
        partitions,
        [writes.next_offsets[partition] for partition in partitions],
        [writes.published_offsets[partition] for partition in partitions],
    )


def inserted_positions(rows: Sequence[Position]) -> tuple[list[Any], ...]:
    """Give the columns of `statements.INSERT_POSITIONS`."""
    return _columns(
        6,
        [
            (
                row.partition,
                row.topic_id,
                row.next_offset,
                row.published_offset,
                row.owner,
                row.transactional_id,
            )
            for row in rows
        ],
    )


def array_literal(texts: Sequence[str]) -> str:
    """Write texts as a PostgreSQL array literal: `unnest` flattens arrays of arrays, so rows carry theirs as text."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _output(one: Instance) -> str | None:
    return None if one.snapshot.output is None else dumps(one.snapshot.output).decode()


def _columns(width: int, rows: list[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(width))
