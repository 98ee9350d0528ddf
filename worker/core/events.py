"""ArvoEvents: the value, and the rules of its attributes.

An `Event` made by `create_event` or `event_from_json` keeps every rule, so nobody checks one again.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import itemgetter
from typing import Any, Final

from worker.core.arguments import shown
from worker.core.errors import InvalidEventError
from worker.core.event_rules import (
    ARVO_CONTENT_TYPE,
    NAMES,
    REVERSE_DNS,
    SPECVERSION,
    TIME,
    ExtensionValue,
    checked_extensions,
    hold_to_rules,
    is_data,
    is_number,
    is_plain_json,
    others,
    refuse_no_receiver,
)
from worker.core.frozen import maker_of
from worker.core.uris import ONLY_KEPT, encode_uri

__all__ = [
    "ARVO_CONTENT_TYPE",
    "SPECVERSION",
    "Event",
    "ExtensionValue",
    "create_event",
    "event_from_json",
    "event_to_json",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One valid ArvoEvent.

    `time` is the text as it came, with an offset. `to` is null only where `datacontenttype` is not Arvo's.
    """

    id: str
    source: str
    type: str
    subject: str
    data: Mapping[str, Any]
    time: str
    to: str | None
    datacontenttype: str = ARVO_CONTENT_TYPE
    dataschema: str | None = None
    accesscontrol: str | None = None
    redirectto: str | None = None
    executionunits: float | None = None
    parentid: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    domain: str | None = None
    extensions: Mapping[str, ExtensionValue] = field(default_factory=dict)


_ENCODED: Final = ("source", "subject", "dataschema", "to", "redirectto")
_EMPTY_IS_ABSENT: Final = ("dataschema", "to", "redirectto")

_made: Final = maker_of(Event)
_FIELDS: Final = tuple(one.name for one in fields(Event) if one.name != "extensions")
_IN_ORDER: Final = ("specversion", *_FIELDS)
_WRITTEN: Final = _IN_ORDER[:-1]
"""The attributes that peers of both generations always write: all but `domain`, the last."""

_WRITTEN_OF: Final = itemgetter(*_WRITTEN)


def create_event(attributes: Mapping[str, Any], extensions: Mapping[str, Any] | None = None) -> Event:
    """Make an event of attributes as their author writes them.

    URIs are encoded (a percent sign too), `to` defaults to the type, `datacontenttype` to Arvo's. `id` and `time`
    have to be given. Keys that name no attribute are ignored.

    Raises: InvalidEventError. Source: createArvoEvent of arvo-core.
    """
    if not isinstance(attributes, Mapping):
        raise InvalidEventError(f"An event is made of a mapping of attributes, not of {shown(attributes)}.", ())
    get = attributes.get
    given = {name: value for name in NAMES if (value := get(name)) is not None}
    given.setdefault("specversion", SPECVERSION)
    given.setdefault("datacontenttype", ARVO_CONTENT_TYPE)
    for name in _EMPTY_IS_ABSENT:
        if given.get(name) == "":
            del given[name]
    given.setdefault("to", given.get("type"))
    event = _plain_event(map(given.get, _IN_ORDER), extensions, None)
    if event is None:
        for name in _ENCODED:
            given[name] = _encoded(given.get(name))
        event = _ruled_event(given, {} if extensions is None else extensions)
    return event


def event_from_json(document: object, text: bytes | None = None) -> Event:
    """Read an event as it travels, without encoding anything.

    What names no attribute is an extension; a missing attribute counts as null, a missing `datacontenttype` as
    `application/json`. `text` is what the document was read from, if it was: it spares a look at the data.

    Raises: InvalidEventError. Source: CloudEvents JSON format 1.0, sections 2 and 3.
    """
    if not isinstance(document, dict):
        raise InvalidEventError("The event is no JSON object; expected one object with the event's attributes.")
    event = _written_event(document, text)
    if event is not None:
        return event
    attributes = document
    if document.get("datacontenttype") is None:
        attributes = {**document, "datacontenttype": "application/json"}
    extensions = others(document)
    return _plain_event(map(attributes.get, _IN_ORDER), extensions, text) or _ruled_event(attributes, extensions)


def event_to_json(event: Event) -> dict[str, Any]:
    """Give the event as it travels, in the reference's order of keys; `domain` only if there is one."""
    document = {
        "id": event.id,
        "source": event.source,
        "specversion": SPECVERSION,
        "type": event.type,
        "subject": event.subject,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
        "data": event.data,
        "time": event.time,
        **event.extensions,
        "to": event.to,
        "accesscontrol": event.accesscontrol,
        "redirectto": event.redirectto,
        "executionunits": event.executionunits,
        "traceparent": event.traceparent,
        "tracestate": event.tracestate,
        "parentid": event.parentid,
    }
    if event.domain is not None:
        document["domain"] = event.domain
    return document


def _encoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return encode_uri(value)
    except ValueError:
        # A lone surrogate: the rule of the attribute refuses it, in its turn.
        return value


def _ruled_event(attributes: Mapping[str, Any], extensions: object) -> Event:
    """Make an event that is held to the rules, one by one."""
    hold_to_rules(attributes)
    checked = checked_extensions(extensions)
    if attributes.get("to") is None and attributes["datacontenttype"] == ARVO_CONTENT_TYPE:
        refuse_no_receiver()
    values: list[Any] = [*map(attributes.get, _FIELDS), checked]
    return _made(*values)


# All rules of texts in one look, where the texts are printable ASCII: nearly every event is done with it. None of the
# patterns takes the line feed that stands between the texts.
_PLAIN_TEXT: Final = "[ -~]+"
_PLAIN_URI: Final = ONLY_KEPT.pattern.removesuffix("*") + "+"
_PLAIN: Final = re.compile(
    "\n".join(
        (
            *(_PLAIN_TEXT, _PLAIN_URI, REVERSE_DNS.pattern, _PLAIN_URI, TIME.pattern, _PLAIN_URI),
            *(_PLAIN_URI, _PLAIN_URI, _PLAIN_TEXT, _PLAIN_TEXT, _PLAIN_TEXT, _PLAIN_TEXT, _PLAIN_TEXT),
        )
    )
)
_PLAIN_CONTENT_TYPES: Final = (ARVO_CONTENT_TYPE, "application/json")
_ABSENT: Final = "-"
"""Stands for an optional text that is null: one that every pattern takes."""


def _written_event(document: dict[str, Any], text: bytes | None) -> Event | None:
    """Make the event of a document with all the keys that an event is written with, and no others; if it is plain."""
    if len(document) != len(_WRITTEN):
        return None
    try:
        return _plain_event((*_WRITTEN_OF(document), None), None, text)
    except KeyError:
        return None


def _plain_event(values: Iterable[Any], extensions: object, text: bytes | None) -> Event | None:
    """Make an event that keeps every rule at a glance, with nothing to be encoded; if not, the rules decide.

    The values stand in the order of the fields, behind the `specversion`. `text` is what they were read from, if so.
    """
    (
        specversion,
        id_,
        source,
        type_,
        subject,
        data,
        time,
        to,
        content_type,
        dataschema,
        accesscontrol,
        redirectto,
        units,
        parentid,
        traceparent,
        tracestate,
        domain,
    ) = values
    texts = (
        id_,
        source,
        type_,
        subject,
        time,
        to,
        _ABSENT if dataschema is None else dataschema,
        _ABSENT if redirectto is None else redirectto,
        _ABSENT if accesscontrol is None else accesscontrol,
        _ABSENT if parentid is None else parentid,
        _ABSENT if traceparent is None else traceparent,
        _ABSENT if tracestate is None else tracestate,
        _ABSENT if domain is None else domain,
    )
    try:
        holds = _PLAIN.fullmatch("\n".join(texts)) is not None
    except TypeError:
        return None
    if not (
        holds
        and specversion == SPECVERSION
        and content_type in _PLAIN_CONTENT_TYPES
        and (units is None or is_number(units))
        and (isinstance(data, dict) if text is not None and is_plain_json(text) else is_data(data))
    ):
        return None
    return _made(
        id_,
        source,
        type_,
        subject,
        data,
        time,
        to,
        content_type,
        dataschema,
        accesscontrol,
        redirectto,
        units,
        parentid,
        traceparent,
        tracestate,
        domain,
        checked_extensions(extensions) if extensions is not None else {},
    )
