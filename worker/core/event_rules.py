"""The rules that the attributes of an ArvoEvent keep, one by one, and what is said of those that break them."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from worker.core.errors import InvalidEventError
from worker.core.json import dumps
from worker.core.uris import is_encoded_uri

SPECVERSION: Final = "1.0"
ARVO_CONTENT_TYPE: Final = "application/cloudevents+json;charset=UTF-8;profile=arvo"
DATA_DEPTH_MAX: Final = 128

ExtensionValue = str | int | float | bool | None

REVERSE_DNS: Final = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+){2,}")
_EXTENSION_NAME: Final = re.compile(r"[a-z0-9]+")
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1

# A day that exists, hours and minutes, optional seconds and fraction, and an offset. The offset's range is left
# open as the reference leaves it: peers send such times, and nothing here computes with them.
TIME: Final = re.compile(
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:[2468][048]|[13579][26]|0[48])|(?:[02468][048]|[13579][26])00)-02-29)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
)


def is_reverse_dns(text: str) -> bool:
    """Tell whether the text is a reverse-DNS name of at least three parts, as event types are."""
    return REVERSE_DNS.fullmatch(text) is not None


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
    return isinstance(value, str) and TIME.fullmatch(value) is not None


def is_number(value: object) -> bool:
    """Tell whether the value is a number that JSON keeps; a boolean is none."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and _INTEGER_MIN <= value <= _INTEGER_MAX


def _is_extension_value(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    return is_storable(value) if isinstance(value, str) else is_number(value)


def is_data(value: object) -> bool:
    """Tell whether the value can be an event's data."""
    if not isinstance(value, Mapping):
        return False
    try:
        raw = dumps(value)
    except ValueError:
        return False
    if is_plain_json(raw):
        return True
    return not _ESCAPED_NUL.search(raw) and _depth(value) <= DATA_DEPTH_MAX


def is_plain_json(text: bytes) -> bool:
    """Tell whether JSON is no deeper than data may be, by its number of brackets, and has no U+0000."""
    if b"\\" in text and b"\\u0000" in text:
        return False
    if len(text) <= DATA_DEPTH_MAX:
        return True
    # What is left without them tells their number in half the time that `count` takes.
    brackets = 2 * len(text) - len(text.replace(b"{", b"")) - len(text.replace(b"[", b""))
    return brackets <= DATA_DEPTH_MAX


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
_DATA_RULES: Final = (_Rule("data", is_data, f"a JSON object without U+0000, at most {DATA_DEPTH_MAX} levels deep"),)
_ARVO_RULES: Final = (
    _Rule("to", _is_uri, _URI_EXPECTED, optional=True),
    _Rule("accesscontrol", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("redirectto", _is_uri, _URI_EXPECTED, optional=True),
    _Rule("executionunits", is_number, "a finite number", optional=True),
    _Rule("parentid", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("domain", _is_text, _TEXT_EXPECTED, optional=True),
)
_TRACE_RULES: Final = (
    _Rule("traceparent", _is_text, _TEXT_EXPECTED, optional=True),
    _Rule("tracestate", _is_text, _TEXT_EXPECTED, optional=True),
)
_GROUPS: Final = (_CONTEXT_RULES, _DATA_RULES, _ARVO_RULES, _TRACE_RULES)

NAMES: Final = tuple(rule.attribute for group in _GROUPS for rule in group)
_RESERVED: Final = frozenset(NAMES)


def hold_to_rules(attributes: Mapping[str, Any]) -> None:
    """Check all attributes but whether `to` is needed. Raises: InvalidEventError."""
    for group in _GROUPS:
        _check(group, attributes)


def refuse_no_receiver() -> None:
    """Refuse an event that needs a receiver and has none. Raises: InvalidEventError."""
    _refuse([("to", f"{_URI_EXPECTED}, since the content type is Arvo's")])


def others(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give what names no attribute."""
    return {name: value for name, value in document.items() if name not in _RESERVED}


def _check(group: tuple[_Rule, ...], attributes: Mapping[str, Any]) -> None:
    get = attributes.get
    _refuse(
        [
            (attribute, expected)
            for attribute, holds, expected, optional in group
            if not (optional if (value := get(attribute)) is None else holds(value))
        ]
    )


def checked_extensions(extensions: object) -> Mapping[str, ExtensionValue]:
    """Give the extensions of an event, held to their rules. Raises: InvalidEventError."""
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
