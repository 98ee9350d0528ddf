"""Bytes of records as JSON text that SQL can show, exact for any bytes.

Bytes are a text where they are UTF-8 without U+0000 (which PostgreSQL's JSON functions refuse), else
`{"base64": …}`, or null. Rows of the journal from before there were blocks have their outputs as
`{"topic", "key", "value", "headers": [[name, value], …]}`.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

import orjson

from worker.core.events import event_from_json, event_to_json
from worker.core.json import dumps, loads
from worker.core.outcomes import DomainedEvent
from worker.core.records import Headers, Output

Frame = str | dict[str, str] | None
"""Bytes as JSON."""

ZERO: Final = b"u0000"
"""Is in the JSON of whatever holds U+0000, and rarely elsewhere."""


def unpack_outputs(packed: bytes) -> tuple[Output, ...]:
    """Read the outputs of a row from before there were blocks."""
    return tuple(
        Output(frame["topic"], frame_bytes(frame["key"]), frame_bytes(frame["value"]), _headers(frame["headers"]))
        for frame in orjson.loads(packed)
    )


def pack_headers(headers: Headers) -> bytes | None:
    """Write a record's headers, in order; none give None."""
    if not headers:
        return None
    try:
        text = orjson.dumps([(name, value.decode()) for name, value in headers])  # type: ignore[union-attr]
    except (AttributeError, UnicodeDecodeError):
        return _pack_any_headers(headers)
    return _pack_any_headers(headers) if ZERO in text else text


def unpack_headers(packed: bytes | None) -> Headers:
    """Read what `pack_headers` wrote."""
    return _headers(orjson.loads(packed)) if packed else ()


def pack_emitted(emitted: Sequence[DomainedEvent]) -> bytes | None:
    """Write emitted events, in order; none give None."""
    if not emitted:
        return None
    return dumps([{"domains": list(one.domains), "event": event_to_json(one.event)} for one in emitted])


def unpack_emitted(packed: bytes | None) -> tuple[DomainedEvent, ...]:
    """Read what `pack_emitted` wrote."""
    if packed is None:
        return ()
    return tuple(DomainedEvent(event_from_json(one["event"]), tuple(one["domains"])) for one in loads(packed))


def frame_of(value: bytes | None) -> Frame:
    """Give bytes as JSON."""
    if value is None:
        return None
    try:
        if b"\0" not in value:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"base64": b64encode(value).decode()}


def frame_bytes(frame: Frame) -> bytes | None:
    """Give the bytes that `frame_of` took."""
    match frame:
        case None:
            return None
        case str():
            return frame.encode()
        case _:
            return b64decode(frame["base64"])


def _pack_any_headers(headers: Headers) -> bytes:
    return orjson.dumps([(name, frame_of(value)) for name, value in headers])


def _headers(frames: Sequence[Sequence[Any]]) -> Headers:
    return tuple((name, frame_bytes(frame)) for name, frame in frames)
