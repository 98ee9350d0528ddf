"""Values as JSON keeps them: what a machine may put into its context, an emission or its output."""

import re
from collections.abc import Mapping
from enum import Enum
from math import copysign, isfinite
from typing import Any, Final, cast

import orjson

from worker.core.engine.stored_object import StoredObject

OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_SORT_KEYS
)
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
_DEPTH_MAX: Final = 200

CONTAINERS: Final = frozenset({dict, list, tuple})
"""Types of values that hold others."""

EXACT: Final = frozenset({bool, int, str, type(None)})
"""Types whose values come back from their texts as they were."""

_ROOM: Final = 2
"""How much deeper a snapshot puts a value. Orjson bounds the depth, so a value that it takes here it takes there."""

# What JSON text keeps and PostgreSQL's JSONB does not: U+0000 and the sign of a zero.
_ALTERED_BY_JSONB: Final = re.compile(rb"\\u0000|-0\.0(?![0-9])")
# Without these in it, a text needs no search.
_BACKSLASH: Final = ord("\\")
_MINUS_ZERO: Final = b"-0.0"


def fresh(value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a JSON object, keys sorted.

    JSONB keeps no order of keys, so chart code never sees any but this one.
    """
    given = value if type(value) is dict else value.read() if type(value) is StoredObject else dict(value)
    copied: dict[str, Any] = orjson.loads(orjson.dumps(given, option=orjson.OPT_SORT_KEYS))
    return copied


def fresh_value(value: Any) -> Any:
    """Copy one JSON value, keys sorted."""
    if type(value) is list and EXACT.issuperset(map(type, value)):
        return value.copy()
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def altered_by_jsonb(text: bytes) -> bool:
    """Tell whether JSONB gives back another value than a JSON text has."""
    return (_BACKSLASH in text or text.find(_MINUS_ZERO) >= 0) and _ALTERED_BY_JSONB.search(text) is not None


def exact_text(value: Mapping[str, Any]) -> bytes | None:
    """Write what `stored` would, if no closer look is needed: `keeps_exactly` must hold of what `value` holds."""
    try:
        text = orjson.dumps([[value]], option=OPTIONS)
    except TypeError:
        return None
    if altered_by_jsonb(text):
        return None
    return text[_ROOM:-_ROOM]


def plain_object_text(value: dict[str, Any]) -> bytes | None:
    """Write what `stored` would; none, if the value has to be looked at more closely. Raises: TypeError, as orjson."""
    for one in value.values():
        if type(one) not in EXACT and not is_plain_value(one):
            return None
    text = orjson.dumps([[value]], option=OPTIONS)[_ROOM:-_ROOM]
    return None if _BACKSLASH in text and _ALTERED_BY_JSONB.search(text) else text


def plain_context_text(context: dict[str, Any]) -> bytes | None:
    """Write a context of plain values; none, if it has to be looked at more closely. Raises: TypeError, as orjson."""
    text = orjson.dumps([[context]], option=OPTIONS)[_ROOM:-_ROOM]
    return None if _BACKSLASH in text and _ALTERED_BY_JSONB.search(text) else text


def is_plain_value(value: Any) -> bool:
    """Tell whether a value comes back from JSONB as it was, if orjson takes it and its text has no U+0000."""
    kind = value.__class__
    if kind is float:
        # NaN is not equal to itself; the sign of a zero would be lost.
        return value - value == 0.0 and (value != 0.0 or copysign(1.0, value) > 0)
    if kind is list:
        return EXACT.issuperset(map(type, value)) or all(map(is_plain_value, value))
    if kind is dict:
        return EXACT.issuperset(map(type, value.values())) or all(map(is_plain_value, value.values()))
    return kind in EXACT


def keeps_exactly(value: object) -> bool:
    """Tell whether a value that has a text comes back equal from it."""
    kind = type(value)
    if kind in EXACT:
        return True
    if kind is float:
        return isfinite(cast("float", value))
    if kind is list and EXACT.issuperset(map(type, cast("list[Any]", value))):
        return True
    try:
        return bool(orjson.loads(orjson.dumps(value, option=OPTIONS)) == value)
    except TypeError:
        return False


def stored(value: object) -> tuple[Any, int]:
    """Give what the stored form of a value gives back, and how many bytes it takes.

    Tuples become lists and enum members their values.
    Raises: ValueError, for what JSON or JSONB can't keep; the text holds no data.
    """
    kept = kept_as_is(value)
    if kept is not None:
        return kept
    plain = _plain(value, 0)
    return plain, len(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS))


def kept_as_is(value: object) -> tuple[Any, int] | None:
    """Do as `stored` does, the fast way: what comes back equal from its text needs no closer look."""
    try:
        text = orjson.dumps([[value]], option=OPTIONS)
    except TypeError:
        return None
    if altered_by_jsonb(text):
        return None
    decoded = orjson.loads(text)[0][0]
    return (decoded, len(text) - 2 * _ROOM) if decoded == value else None


def _plain(value: object, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {_DEPTH_MAX} levels")
    if isinstance(value, Enum):
        value = value.value
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _text(cast("str", value))
    if kind is int:
        return _integer(cast("int", value))
    if kind is float:
        return _float(cast("float", value))
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"a value of type {kind.__name__} is no JSON value")


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("a text holds U+0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds a lone surrogate") from None
    return value


def _integer(value: int) -> int:
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise ValueError("an integer is beyond 64 bits")
    return value


def _float(value: float) -> float:
    if not isfinite(value):
        raise ValueError("a number is not finite")
    return value or 0.0


def _key(key: object) -> str:
    if type(key) is not str:
        raise ValueError(f"a key of type {type(key).__name__} is no text")
    return _text(key)
