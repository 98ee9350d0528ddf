"""Rows as columns: what a bulk statement takes is one array per column, as `unnest` reads it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.adapters.postgres import arrays
from worker.adapters.postgres.arrays import Array
from worker.core.digests import subject_digest
from worker.core.engine.stored_object import StoredObject
from worker.core.frozen import maker_of
from worker.core.instances import Instance, Status
from worker.core.json import dumps
from worker.core.snapshots import decode_snapshot, encode_snapshot
from worker.ports import Position, Writes

_made_instance: Final = maker_of(Instance)
_STATUSES: Final = {status.value: status for status in Status}


def instance(row: tuple[Any, ...]) -> tuple[bytes, Instance]:
    """Read a row of `statements.INSTANCES`: the digest and the instance."""
    digest, subject, source, version, status, snapshot, init_event_id, parent_subject, now, revision = row
    stored = decode_snapshot(snapshot)
    return bytes(digest), _made_instance(
        subject, source, version, _STATUSES[status], stored, init_event_id, parent_subject, now, revision
    )


def created(rows: Sequence[tuple[bytes, Instance]]) -> tuple[Array, ...]:
    """Give the columns of `statements.INSERT_INSTANCES`. Raises: UnicodeEncodeError."""
    instances = [one for _, one in rows]
    parents = [one.parent_subject for one in instances]
    return (
        arrays.blobs([digest for digest, _ in rows]),
        arrays.texts([one.subject for one in instances]),
        arrays.texts(parents),
        arrays.blobs([subject_digest(parent) if parent else None for parent in parents]),
        arrays.same_texts([one.source for one in instances], str),
        arrays.same_texts([one.version for one in instances], str),
        *_state(instances),
        arrays.texts([one.init_event_id for one in instances]),
        *_steps(instances),
    )


def changed(rows: Sequence[tuple[bytes, Instance, int]]) -> tuple[Array, ...]:
    """Give the columns of `statements.UPDATE_INSTANCES`; the third of a row is the stored revision.

    Raises: UnicodeEncodeError.
    """
    instances = [one for _, one, _ in rows]
    return (
        arrays.blobs([digest for digest, _, _ in rows]),
        *_state(instances),
        *_steps(instances),
        arrays.big_integers([before for _, _, before in rows]),
    )


def positions(writes: Writes) -> tuple[Array, ...]:
    """Give the columns of `statements.UPDATE_POSITIONS`."""
    partitions = list(writes.next_offsets)
    return (
        arrays.integers(partitions),
        arrays.big_integers(list(writes.next_offsets.values())),
        arrays.big_integers([writes.published_offsets[partition] for partition in partitions]),
    )


def inserted_positions(rows: Sequence[Position]) -> tuple[Array, ...]:
    """Give the columns of `statements.INSERT_POSITIONS`."""
    return (
        arrays.integers([row.partition for row in rows]),
        arrays.texts([row.topic_id for row in rows]),
        arrays.big_integers([row.next_offset for row in rows]),
        arrays.big_integers([row.published_offset for row in rows]),
        arrays.texts([row.owner for row in rows]),
        arrays.texts([row.transactional_id for row in rows]),
    )


def array_literal(texts: Sequence[str]) -> str:
    """Write texts as a PostgreSQL array literal: `unnest` flattens arrays of arrays, so rows carry theirs as text."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _state(instances: Sequence[Instance]) -> tuple[Array, ...]:
    """Give status, active states, snapshot and output."""
    return (
        arrays.same_texts([one.status for one in instances], str),
        arrays.same_texts([one.snapshot.configuration for one in instances], array_literal),
        arrays.utf8([encode_snapshot(one.snapshot) for one in instances]),
        arrays.utf8([None if (output := one.snapshot.output) is None else _object(output) for one in instances]),
    )


def _object(value: Mapping[str, Any]) -> bytes:
    return value.text if type(value) is StoredObject else dumps(value)


def _steps(instances: Sequence[Instance]) -> tuple[Array, ...]:
    """Give revision and time of the last step."""
    return (
        arrays.big_integers([one.revision for one in instances]),
        arrays.big_integers([one.now for one in instances]),
    )
