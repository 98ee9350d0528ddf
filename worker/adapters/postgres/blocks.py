"""The journal's bytes: what came in and what goes out, of several records together, compressed.

A block is the LZ4 of frames, one after another. It stands in the row of its last record, so whatever keeps a row, as
being unpublished, keeps its block; each row says which that is, and where in it its frame begins.

A frame is four sizes (-1: null) and what they measure: the record's key, its value, its headers and its outputs; then
the outputs' values. Headers are JSON as `frames.pack_headers` writes them, outputs
`[[topic, key, size of the value or null, headers], …]`. SQL reads them too, by the functions of `views.py`.
Rows of older versions have key, value, headers and outputs as columns of their own, and no block.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import Any, Final, LiteralString, NamedTuple

import lz4.block
import orjson

from worker.adapters.postgres.frames import ZERO, frame_bytes, frame_of, pack_headers, unpack_headers, unpack_outputs
from worker.core.records import Headers, Output
from worker.ports import JournalRow

BLOCK_BYTES: Final = 16_384
"""A block ends with the record that fills it so far: larger ones take less room, and SQL longer to read one row."""

ROW_BYTES: Final[LiteralString] = (
    "row.record_key, row.event, row.event_headers, row.outputs, row.frame_start, held.block"
)
"""What `kept` reads, of `journal AS row` joined with HELD."""

HELD: Final[LiteralString] = """
LEFT JOIN journal AS held ON held.partition = row.partition AND held.record_offset = row.block_offset
    AND held.incarnation = row.incarnation AND held.day = row.day
"""

IN_BLOCK: Final = b""
"""Stands in a row's `outputs` if the block has some: a worker that knows no blocks fails on it, and skips nothing."""

_SIZES: Final = Struct(">iiii")
_NULL: Final = -1


class Place(NamedTuple):
    """Where a row's bytes are; the row of the block's last record has the block itself."""

    block_offset: int
    frame_start: int
    block: bytes | None


class Kept(NamedTuple):
    """What the journal has of a record's bytes, and of its outputs."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    outputs: tuple[Output, ...]


def packed(rows: Sequence[JournalRow]) -> list[Place]:
    """Put the bytes of rows into blocks; the rows are in the order of their partitions and offsets."""
    places: list[Place] = []
    frames: list[bytes] = []
    starts: list[int] = []
    size = 0
    for row, following in zip(rows, chain(rows[1:], (None,)), strict=True):
        starts.append(size)
        frame = _frame(row)
        frames += frame
        size += sum(map(len, frame))
        record = row.record
        if size >= BLOCK_BYTES or following is None or following.record.partition != record.partition:
            block: bytes = lz4.block.compress(b"".join(frames))
            places += [Place(record.offset, start, None) for start in starts[:-1]]
            places.append(Place(record.offset, starts[-1], block))
            frames, starts, size = [], [], 0
    return places


def kept(columns: Sequence[Any]) -> Kept:
    """Read what ROW_BYTES selects. A block that is gone, past retention, leaves nothing."""
    key, value, headers, outputs, start, block = columns
    if block is not None:
        return _read(_unpacked(bytes(block)), start)
    return Kept(key, value, unpack_headers(headers), unpack_outputs(outputs) if outputs else ())


def _frame(row: JournalRow) -> list[bytes]:
    """Give the parts of a row's frame."""
    record = row.record
    key, value, headers = record.key, record.value, pack_headers(record.headers)
    outputs = _outputs(row.outputs) if row.outputs else None
    sizes = _SIZES.pack(
        _NULL if key is None else len(key),
        _NULL if value is None else len(value),
        _NULL if headers is None else len(headers),
        _NULL if outputs is None else len(outputs),
    )
    parts = [sizes, key or b"", value or b"", headers or b"", outputs or b""]
    parts += [output.value for output in row.outputs if output.value]
    return parts


def _outputs(outputs: Sequence[Output]) -> bytes:
    """Write outputs but for their values."""
    try:
        text = orjson.dumps(
            [
                (
                    one.topic,
                    one.key.decode(),  # type: ignore[union-attr]
                    len(one.value),  # type: ignore[arg-type]
                    [(name, value.decode()) for name, value in one.headers],  # type: ignore[union-attr]
                )
                for one in outputs
            ]
        )
    except (AttributeError, TypeError, UnicodeDecodeError):
        return _any_outputs(outputs)
    return _any_outputs(outputs) if ZERO in text else text


def _any_outputs(outputs: Sequence[Output]) -> bytes:
    return orjson.dumps(
        [
            (
                one.topic,
                frame_of(one.key),
                None if one.value is None else len(one.value),
                [(name, frame_of(value)) for name, value in one.headers],
            )
            for one in outputs
        ]
    )


@lru_cache(1)
def _unpacked(block: bytes) -> bytes:
    """Decompress a block; rows that follow each other share it."""
    unpacked: bytes = lz4.block.decompress(block)
    return unpacked


def _read(frames: bytes, start: int) -> Kept:
    place = start + _SIZES.size
    parts: list[bytes | None] = []
    for size in _SIZES.unpack_from(frames, start):
        parts.append(None if size == _NULL else frames[place : place + size])
        place += max(size, 0)
    key, value, headers, outputs = parts
    read = []
    for topic, output_key, size, output_headers in orjson.loads(outputs) if outputs else ():
        content = None if size is None else frames[place : place + size]
        place += size or 0
        written = tuple((name, frame_bytes(one)) for name, one in output_headers)
        read.append(Output(topic, frame_bytes(output_key), content, written))
    return Kept(key, value, unpack_headers(headers), tuple(read))
