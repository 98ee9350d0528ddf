"""ArvoEvents: the value, and the rules of its attributes.

An `Event` made by `create_event` or `event_from_json` keeps every rule, so nobody checks one again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from operator import itemgetter
from typing import Any, Final, NamedTuple

from worker.core.arguments import shown
from worker.core.errors import InvalidEventError
from worker.core.json import dumps
from worker.core.uris import ONLY_KEPT, encode_uri, is_encoded_uri

SPECVERSION: Final = "1.0"
ARVO_CONTENT_TYPE: Final = "application/cloudevents+json;charset=UTF-8;profile=arvo"
DATA_DEPTH_MAX: Final = 128

ExtensionValue = str | int | float | bool | None


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


def create_event(attributes: Mapping[str, Any], extensions: Mapping[str, Any] | None = None) -> Event:
    """Make an event of attributes as their author writes them.

    URIs are encoded (a percent sign too), `to` defaults to the type, `datacontenttype` to Arvo's. `id` and `time`
    have to be given. Keys that name no attribute are ignored.

    Raises: InvalidEventError. Source: createArvoEvent of arvo-core.
    """
    if not isinstance(attributes, Mapping):
        raise InvalidEventError(f"An event is made of a mapping of attributes, not of {shown(attributes)}.", ())
    given = {name: attributes[name] for name in _NAMES if attributes.get(name) is not None}
    given.setdefault("specversion", SPECVERSION)
    given.setdefault("datacontenttype", ARVO_CONTENT_TYPE)
    for name in _EMPTY_IS_ABSENT:
        if given.get(name) == "":
            del given[name]
    given.setdefault("to", given.get("type"))
    if not _plainly_holds(given, None):
        for name in _ENCODED:
            given[name] = _encoded(given.get(name))
        _hold_to_rules(given)
    return _event_of(given, {} if extensions is None else extensions)


def event_from_json(document: object, text: bytes | None = None) -> Event:
    """Read an event as it travels, without encoding anything.

    What names no attribute is an extension; a missing attribute counts as null, a missing `datacontenttype` as
    `application/json`. `text` is what the document was read from, if it was: it spares a look at the data.

    Raises: InvalidEventError. Source: CloudEvents JSON format 1.0, sections 2 and 3.
    """
    if not isinstance(document, dict):
        raise InvalidEventError("The event is no JSON object; expected one object with the event's attributes.")
    attributes = document
    if document.get("datacontenttype") is None:
        attributes = {**document, "datacontenttype": "application/json"}
    extensions: dict[str, Any] = {}
    if not document.keys() <= _RESERVED:
        extensions = {name: value for name, value in document.items() if name not in _RESERVED}
    if not _plainly_holds(attributes, text):
        _hold_to_rules(attributes)
    return _event_of(attributes, extensions)


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


_TYPE: Final = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+){2,}")
_EXTENSION_NAME: Final = re.compile(r"[a-z0-9]+")
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1

# A day that exists, hours and minutes, optional seconds and fraction, and an offset. The offset's range is left
# open as the reference leaves it: peers send such times, and nothing here computes with them.
_TIME: Final = re.compile(
    r"(?:(?:[0-9]{2}(?:[2468][048]|[13579][26]|0[48])|(?:[02468][048]|[13579][26])00)-02-29"
    r"|[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])))"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
)


def is_reverse_dns(text: str) -> bool:
    """Tell whether the text is a reverse-DNS name of at least three parts, as event types are."""
    return _TYPE.fullmatch(text) is not None


def is_storable(text: str) -> bool:
    """Tell whether the text can be kept everywhere: no U+0000, no lone surrogate."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and is_storable(value)


def _is_uri(value: object) -> bool:
    return isinstance(value, str) and value != "" and is_encoded_uri(value)


def _is_type(value: object) -> bool:
    return isinstance(value, str) and is_reverse_dns(value)


def _is_specversion(value: object) -> bool:
    return value == SPECVERSION


def _is_content_type(value: object) -> bool:
    return (
        isinstance(value, str)
        and is_storable(value)
        and ("application/cloudevents+json" in value or "application/json" in value)
    )


def _is_time(value: object) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and _INTEGER_MIN <= value <= _INTEGER_MAX


def _is_extension_value(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    return is_storable(value) if isinstance(value, str) else _is_number(value)


def _is_data(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    try:
        raw = dumps(value)
    except ValueError:
        return False
    if _is_plain_json(raw):
        return True
    return not _ESCAPED_NUL.search(raw) and _depth(value) <= DATA_DEPTH_MAX


def _is_plain_json(text: bytes) -> bool:
    """Tell whether JSON is no deeper than data may be, by its number of brackets, and has no U+0000."""
    return text.count(b"{") + text.count(b"[") <= DATA_DEPTH_MAX and b"\\u0000" not in text


def _depth(value: object) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [child for item in level for child in _children(item) if isinstance(child, (Mapping, list, tuple))]
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


class _Rule(NamedTuple):
    attribute: str
    holds: Callable[[object], bool]
    expected: str
    optional: bool = False


_TEXT_EXPECTED: Final = "a non-empty text without U+0000 and lone surrogates"
_URI_EXPECTED: Final = "a non-empty URI, encoded as encodeURI does"

# The first group with a fault is the one that is reported, with all of its faults, as the reference does.
_CONTEXT_RULES: Final = (
    _Rule("id", _is_text, _TEXT_EXPECTED),
    _Rule("source", _is_uri, _URI_EXPECTED),
    _Rule("specversion", _is_specversion, "1.0"),
    _Rule("type", _is_type, "a reverse-DNS name of at least three parts, as com.example.created"),
    _Rule("subject", _is_uri, _URI_EXPECTED),
    _Rule("datacontenttype", _is_content_type, "a JSON content type"),
    _Rule("dataschema", _is_uri, _URI_EXPECTED, optional=True),
    _Rule("time", _is_time, "a date and time with an offset, as 2024-01-15T12:34:56.789+00:00"),
)
_DATA_RULES: Final = (_Rule("data", _is_data, f"a JSON object without U+0000, at most {DATA_DEPTH_MAX} levels deep"),)
_ARVO_RULES: Final = (
    _Rule("to", _is_uri, _URI_EXPECTED, optional=True),
    _Rule("accesscontrol", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("redirectto", _is_uri, _URI_EXPECTED, optional=True),
    _Rule("executionunits", _is_number, "a finite number", optional=True),
    _Rule("parentid", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("domain", _is_text, _TEXT_EXPECTED, optional=True),
)
_TRACE_RULES: Final = (
    _Rule("traceparent", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("tracestate", _is_text, _TEXT_EXPECTED, optional=True),
)
_GROUPS: Final = (_CONTEXT_RULES, _DATA_RULES, _ARVO_RULES, _TRACE_RULES)

_NAMES: Final = tuple(rule.attribute for group in _GROUPS for rule in group)
_RESERVED: Final = frozenset(_NAMES)
_ENCODED: Final = ("source", "subject", "dataschema", "to", "redirectto")
_EMPTY_IS_ABSENT: Final = ("dataschema", "to", "redirectto")


def _encoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return encode_uri(value)
    except ValueError:
        # A lone surrogate: the rule of the attribute refuses it, in its turn.
        return value


def _hold_to_rules(attributes: Mapping[str, Any]) -> None:
    for group in _GROUPS:
        _check(group, attributes)


def _event_of(attributes: Mapping[str, Any], extensions: object) -> Event:
    checked = _checked_extensions(extensions)
    if attributes.get("to") is None and attributes["datacontenttype"] == ARVO_CONTENT_TYPE:
        _refuse([("to", f"{_URI_EXPECTED}, since the content type is Arvo's")])
    get = attributes.get
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=attributes["subject"],
        data=attributes["data"],
        time=attributes["time"],
        to=get("to"),
        datacontenttype=attributes["datacontenttype"],
        dataschema=get("dataschema"),
        accesscontrol=get("accesscontrol"),
        redirectto=get("redirectto"),
        executionunits=get("executionunits"),
        parentid=get("parentid"),
        traceparent=get("traceparent"),
        tracestate=get("tracestate"),
        domain=get("domain"),
        extensions=checked,
    )


# All rules of texts in one look, where the texts are printable ASCII: nearly every event is done with it. None of the
# patterns takes the line feed that stands between the texts.
_PLAIN_TEXT: Final = "[ -~]+"
_PLAIN_URI: Final = ONLY_KEPT.pattern.removesuffix("*") + "+"
_PLAIN_REQUIRED: Final = {
    "id": _PLAIN_TEXT,
    "source": _PLAIN_URI,
    "specversion": re.escape(SPECVERSION),
    "type": _TYPE.pattern,
    "subject": _PLAIN_URI,
    "datacontenttype": f"(?:{re.escape(ARVO_CONTENT_TYPE)}|application/json)",
    "time": _TIME.pattern,
}
_PLAIN_OPTIONAL: Final = {
    rule.attribute: _PLAIN_URI if rule.holds is _is_uri else _PLAIN_TEXT
    for group in _GROUPS
    for rule in group
    if rule.optional and rule.holds in (_is_uri, _is_text)
}
_PLAIN: Final = re.compile("\n".join((*_PLAIN_REQUIRED.values(), *_PLAIN_OPTIONAL.values())))
_REQUIRED_OF: Final = itemgetter(*_PLAIN_REQUIRED)
_ABSENT: Final = "-"
"""Stands for an optional text that is null: one that every pattern takes."""


def _plainly_holds(attributes: Mapping[str, Any], text: bytes | None) -> bool:
    """Tell whether every rule holds at a glance, and nothing is to be encoded; if not, the rules themselves decide."""
    get = attributes.get
    optional = [_ABSENT if (value := get(name)) is None else value for name in _PLAIN_OPTIONAL]
    try:
        texts = "\n".join((*_REQUIRED_OF(attributes), *optional))
    except (KeyError, TypeError):
        return False
    if _PLAIN.fullmatch(texts) is None:
        return False
    units, data = get("executionunits"), get("data")
    if not (units is None or _is_number(units)):
        return False
    return isinstance(data, dict) if text is not None and _is_plain_json(text) else _is_data(data)


def _check(group: tuple[_Rule, ...], attributes: Mapping[str, Any]) -> None:
    get = attributes.get
    _refuse(
        [
            (attribute, expected)
            for attribute, holds, expected, optional in group
            if not (optional if (value := get(attribute)) is None else holds(value))
        ]
    )


def _checked_extensions(extensions: object) -> Mapping[str, ExtensionValue]:
    if not isinstance(extensions, Mapping):
        raise InvalidEventError("The event's extensions are no mapping of names to values.", ("extensions",))
    faults = [name for name, value in extensions.items() if not _is_extension(name, value)]
    if faults:
        raise InvalidEventError(
            "The event has an extension against the rules; expected a name of a-z and 0-9 that no attribute has, "
            "and a text, a number, a boolean or null.",
            faults,
        )
    return dict(extensions)


def _is_extension(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and _EXTENSION_NAME.fullmatch(name) is not None
        and name not in _RESERVED
        and _is_extension_value(value)
    )


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        raise InvalidEventError(_text_of_faults(faults), [name for name, _ in faults])


def _text_of_faults(faults: list[tuple[str, str]]) -> str:
    return "The event breaks the rules: " + "; ".join(f"{name}: expected {what}" for name, what in faults) + "."
