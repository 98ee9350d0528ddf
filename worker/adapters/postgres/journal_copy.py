"""Rows of the journal as `COPY` reads them in PostgreSQL's binary form: the cheapest way in, for both sides.

A partition's incarnation is what `LOCK_POSITIONS` gave, and stays that as long as the position row is locked.
"""

from collections.abc import Mapping, Sequence
from struct import Struct, pack
from typing import Final, NamedTuple

from worker.adapters.postgres.arrays import NULL, blob, text
from worker.adapters.postgres.blocks import IN_BLOCK, packed
from worker.ports import JournalRow

# Partly by hand below: the order is that in which `copied` writes the fields.
_COLUMNS: Final = (
    *("partition", "record_offset", "incarnation", "record_timestamp", "now_ms", "consumed"),
    *("block_offset", "frame_start"),
    *("event_source", "event_type", "outcome", "reason", "error_name", "states_before", "states_after"),
    *("definition_hash", "subject_digest", "content_digest", "event_key", "revision"),
    *("event_id", "error_message", "outputs", "block"),
)

COPY_JOURNAL: Final = f"COPY journal ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT binary)"

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_PLACE: Final = Struct(">hiiiqiiiqiqi?iqii").pack
"""The number of fields, then each with its size: those that are numbers and always there."""
_NUMBER: Final = Struct(">iq").pack
_TEXT: Final = 25
_IN_BLOCK: Final = blob(IN_BLOCK)


class _Told(NamedTuple):
    """What many rows of a batch say alike."""

    event_source: str | None
    event_type: str | None
    outcome: str
    reason: str | None
    error_name: str | None
    states_before: tuple[str, ...] | None
    states_after: tuple[str, ...] | None
    definition_hash: bytes | None

    def fields(self) -> bytes:
        texts = map(text, (self.event_source, self.event_type, self.outcome, self.reason, self.error_name))
        states = map(_text_array, (self.states_before, self.states_after))
        return b"".join((*texts, *states, blob(self.definition_hash)))


def copied(rows: Sequence[JournalRow], incarnations: Mapping[int, int]) -> bytes:
    """Give what COPY_JOURNAL reads. Raises: UnicodeEncodeError."""
    width = len(_COLUMNS)
    told: dict[tuple[object, ...], bytes] = {}
    parts = [_BEGIN]
    for row, (block_offset, frame_start, block) in zip(rows, packed(rows), strict=True):
        # fmt: off
        (record, outcome, now, consumed, subject_digest, event_key, event_source, event_id, event_type, content_digest,
         reason, error_name, error_message, states_before, states_after, revision, definition_hash, outputs) = row
        # fmt: on
        alike = (event_source, event_type, outcome, reason, error_name, states_before, states_after, definition_hash)
        fields = told.get(alike)
        if fields is None:
            fields = told[alike] = _Told(*alike).fields()
        partition = record.partition
        place = (4, partition, 8, record.offset, 4, incarnations[partition], 8, record.timestamp, 8, now)
        parts += (
            _PLACE(width, *place, 1, consumed, 8, block_offset, 4, frame_start),
            fields,
            blob(subject_digest),
            blob(content_digest),
            NULL if event_key is None else _NUMBER(8, event_key),
            NULL if revision is None else _NUMBER(8, revision),
            text(event_id),
            NULL if error_message is None else text(error_message),
            _IN_BLOCK if outputs else NULL,
            NULL if block is None else blob(block),
        )
    parts.append(_END)
    return b"".join(parts)


def _text_array(texts: Sequence[str] | None) -> bytes:
    if texts is None:
        return NULL
    items = b"".join(map(text, texts))
    head = pack(">iiiii", 1, 0, _TEXT, len(texts), 1) if texts else pack(">iii", 0, 0, _TEXT)
    return blob(head + items)
