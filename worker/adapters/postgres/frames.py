"""Bytes of records as the journal keeps them: JSON text that SQL can show, exact for any bytes.

An output is `{"topic", "key", "value", "headers": [[name, value], …]}`; bytes are a text where they are UTF-8
without U+0000 (which PostgreSQL's JSON functions refuse), else `{"base64": …}`, or null.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import orjson

from worker.core.events import event_from_json, event_to_json
from worker.core.json import dumps, loads
from worker.core.outcomes import DomainedEvent
from worker.core.records import Headers, Output

Frame = str | dict[str, str] | None
"""Bytes as JSON."""


def pack_outputs(outputs: Sequence[Output]) -> bytes | None:
    """Write outputs, in order; none give None."""
    if not outputs:
        return None
    return orjson.dumps([_output_frame(output) for output in outputs])


def unpack_outputs(packed: bytes) -> tuple[Output, ...]:
    """Read what `pack_outputs` wrote."""
    return tuple(
        Output(frame["topic"], _bytes(frame["key"]), _bytes(frame["value"]), _headers(frame["headers"]))
        for frame in orjson.loads(packed)
    )


def pack_headers(headers: Headers) -> bytes | None:
    """Write a record's headers, in order; none give None."""
    if not headers:
        return None
    return orjson.dumps([(name, _frame(value)) for name, value in headers])


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


def _output_frame(output: Output) -> dict[str, Any]:
    return {
        "topic": output.topic,
        "key": _frame(output.key),
        "value": _frame(output.value),
        "headers": [(name, _frame(value)) for name, value in output.headers],
    }


def _frame(value: bytes | None) -> Frame:
    if value is None:
        return None
    try:
        if b"\0" not in value:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"base64": b64encode(value).decode()}


def _bytes(frame: Frame) -> bytes | None:
    match frame:
        case None:
            return None
        case str():
            return frame.encode()
        case _:
            return b64decode(frame["base64"])


def _headers(frames: Sequence[Sequence[Any]]) -> Headers:
    return tuple((name, _bytes(frame)) for name, frame in frames)
