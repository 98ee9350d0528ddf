"""Events on Kafka: the CloudEvents Kafka protocol binding, in both of its content modes.

Beside them control records (`worker.core.control`), which are read as events too.

Source: CloudEvents Kafka protocol binding 1.0.2, section 3.
"""

from enum import StrEnum
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

from worker.core.control import CONTROL_CONTENT_TYPE, Control, control_event, control_text, read_control
from worker.core.errors import InvalidControlError, InvalidEventError
from worker.core.events import Event, event_from_json, event_to_json
from worker.core.json import dumps, dumps_around, loads
from worker.core.records import Headers

_CONTENT_TYPE: Final = "content-type"
_PREFIX: Final = "ce_"
_STRUCTURED_TYPE: Final = "application/cloudevents+json"
_STRUCTURED_HEADER: Final = (_CONTENT_TYPE, b"application/cloudevents+json; charset=UTF-8")

# Arvo's own content type would make a receiver take a record in binary mode for a structured one.
_BINARY_DATA_TYPE: Final = "application/json"


class ContentMode(StrEnum):
    """Say where a record carries the event's attributes: in its value, or in its headers."""

    STRUCTURED = "structured"
    BINARY = "binary"


class EncodedRecord(NamedTuple):
    """What Kafka carries of one event, without the topic."""

    key: bytes
    value: bytes
    headers: Headers


def encode_record(
    event: Event, mode: ContentMode = ContentMode.STRUCTURED, data_text: bytes | None = None
) -> EncodedRecord:
    """Write an event as a record keyed by its subject.

    In structured mode `ce_*` headers repeat what consumers route by. In binary mode extensions become texts, those
    that are null are left out, and Arvo's content type becomes `application/json`. `data_text` is the event's data as
    JSON, if it was written already.

    Raises: ValueError, if the event's data is no JSON.
    """
    text = dumps(event.data) if data_text is None else data_text
    return _binary(event, text) if mode is ContentMode.BINARY else _structured(event, text)


def encode_control(control: Control) -> EncodedRecord:
    """Write a control record, keyed by its subject. Raises: InvalidControlError."""
    headers = ((_CONTENT_TYPE, CONTROL_CONTENT_TYPE.encode()),)
    return EncodedRecord(control.subject.encode(), control_text(control), headers)


def decode_record(value: bytes | None, headers: Headers) -> Event:
    """Read the event of a record; its mode is what the headers say, and whether it is a control record.

    Without any header of the binding, a value that is a JSON object is read as structured.

    Raises: InvalidEventError, whatever else the bytes are; InvalidControlError, if it is a control record.
    """
    if _is_plainly_structured(headers):
        return event_from_json(_json(value), value)
    binding = _binding_headers(headers)
    content_type = binding.get(_CONTENT_TYPE, "")
    if _is_structured(content_type):
        return event_from_json(_json(value), value)
    if _media_type(content_type) == CONTROL_CONTENT_TYPE:
        return control_event(read_control(_control_json(value)))
    attributes = {name.removeprefix(_PREFIX): text for name, text in binding.items() if name.startswith(_PREFIX)}
    if not attributes:
        return event_from_json(_json(value), value)
    return event_from_json(_with_data(attributes, content_type, value))


def _is_plainly_structured(headers: Headers) -> bool:
    """Tell at a glance that a record is structured, and that no header of the binding is odd; if not, look again."""
    try:
        names, raws = zip(*headers)  # noqa: B905 - each header is a pair.
        text = b"".join(raws)
    except (TypeError, ValueError):
        return False
    place = _content_type_at(names)
    return place is not None and text.isascii() and _is_structured(raws[place].decode())


@lru_cache(64)
def _content_type_at(names: tuple[str, ...]) -> int | None:
    """Give the place of the content type among the headers; none, if a header of the binding is there twice."""
    keys = [key for name in names if (key := _binding_key(name)) is not None]
    if len(set(keys)) < len(keys) or _CONTENT_TYPE not in keys:
        return None
    return [_binding_key(name) for name in names].index(_CONTENT_TYPE)


@lru_cache(64)
def _is_structured(content_type: str) -> bool:
    return _media_type(content_type) == _STRUCTURED_TYPE


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _structured(event: Event, data_text: bytes) -> EncodedRecord:
    value, key = _event_text(event, data_text), event.subject.encode()
    headers = [
        _STRUCTURED_HEADER,
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_subject", key),
    ]
    if event.to is not None:
        headers.append(("ce_to", event.to.encode()))
    _add_trace(headers, event)
    return EncodedRecord(key, value, tuple(headers))


def _event_text(event: Event, data_text: bytes) -> bytes:
    document = event_to_json(event)
    if event.extensions or not isfinite(event.executionunits or 0):
        return dumps(document)
    return dumps_around(document, "data", data_text)


def _binary(event: Event, data_text: bytes) -> EncodedRecord:
    content_type = _BINARY_DATA_TYPE if _is_structured(event.datacontenttype) else event.datacontenttype
    attributes = event_to_json(event)
    del attributes["data"], attributes["datacontenttype"]
    headers = [(_CONTENT_TYPE, content_type.encode())]
    headers += [(_PREFIX + name, _header_text(item).encode()) for name, item in attributes.items() if item is not None]
    _add_trace(headers, event)
    return EncodedRecord(event.subject.encode(), data_text, tuple(headers))


def _add_trace(headers: list[tuple[str, bytes]], event: Event) -> None:
    if event.traceparent is not None:
        headers.append(("traceparent", event.traceparent.encode()))
    if event.tracestate is not None:
        headers.append(("tracestate", event.tracestate.encode()))


def _header_text(value: object) -> str:
    """Print an attribute as CloudEvents does: numbers and booleans as in JSON."""
    return value if isinstance(value, str) else dumps(value).decode("ascii")


def _binding_headers(headers: Headers) -> dict[str, str]:
    """Pick the binding's headers, names in lower case; the others are nobody's business here."""
    binding: dict[str, str] = {}
    for name, raw in headers:
        key = _binding_key(name)
        if key is not None:
            if key in binding:
                raise InvalidEventError(
                    "The record repeats a header of CloudEvents; expected it once.", (_attribute_of(key),)
                )
            binding[key] = _header_value(raw, key)
    return binding


@lru_cache(256)
def _binding_key(name: str) -> str | None:
    """Give the name of a header of the binding in lower case; none, if it is another."""
    key = name.lower()
    return key if key == _CONTENT_TYPE or key.startswith(_PREFIX) else None


def _attribute_of(header: str) -> str:
    return "datacontenttype" if header == _CONTENT_TYPE else header.removeprefix(_PREFIX)


def _header_value(raw: bytes | None, key: str) -> str:
    if raw is None:
        raise InvalidEventError(
            "The record has a CloudEvents header that is null; expected a text.", (_attribute_of(key),)
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEventError(
            "The record has a CloudEvents header that is no UTF-8.", (_attribute_of(key),)
        ) from error


def _with_data(attributes: dict[str, str], content_type: str, value: bytes | None) -> dict[str, Any]:
    if "data" in attributes:
        raise InvalidEventError("The record has a header ce_data; the data belongs into its value.", ("data",))
    event: dict[str, Any] = {**attributes, "data": _json(value)}
    if content_type:
        event["datacontenttype"] = content_type
    if "executionunits" in attributes:
        event["executionunits"] = _number(attributes["executionunits"])
    return event


def _number(text: str) -> object:
    try:
        return loads(text)
    except ValueError:
        # The rule of the attribute refuses the text as it is.
        return text


def _control_json(value: bytes | None) -> Any:
    try:
        return _json(value)
    except InvalidEventError as error:
        raise InvalidControlError(str(error), error.failed) from error


def _json(value: bytes | None) -> Any:
    if value is None:
        raise InvalidEventError("The record is a tombstone: it has no value; expected an event.", ("data",))
    try:
        return loads(value)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise InvalidEventError(
            f"The record's value is no JSON that can be kept exactly: {reason}; expected one event, or its data.",
            ("data",),
        ) from error
