"""The one door for JSON: what comes in is kept exactly or refused, what goes out is JSON.

Everything that reads or writes JSON text goes through here, so that no number is rounded, no key is lost and
no NaN appears on the way between Kafka, the machines and PostgreSQL.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import orjson

_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
_NUMBER_CHARACTERS_MAX: Final = 1_100

# Dates and dataclasses are no JSON values: orjson would print them, and they would come back as something else.
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

_LEAVES: Final = frozenset((str, int, bool, type(None)))


def loads(text: bytes | str) -> Any:
    """Read one JSON value.

    Raises: ValueError, for what is no JSON, and for what would not be kept exactly: repeated keys, integers beyond
    64 bits, numbers that a double alters, lone surrogates, nesting beyond 253 levels.
    """
    raw = text.encode("utf-8") if isinstance(text, str) else text
    value = orjson.loads(raw)
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise _unwritten(error) from error
    # Compact JSON that is written back as the same bytes has lost nothing; that is what most producers send.
    if written != raw:
        _check_exact(raw)
    return value


def dumps(value: object) -> bytes:
    """Write one value as compact UTF-8 JSON, keys in their order.

    Raises: ValueError, for NaN, infinities, integers beyond 64 bits, lone surrogates, keys that are no texts,
    nesting beyond 253 levels and values that JSON does not have.
    """
    try:
        raw = orjson.dumps(value, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise _unwritten(error) from error
    # orjson writes NaN and the infinities as null, so only text with more nulls than are plain to see can hide one.
    # Reading it back is the quick way to tell that it does not; mappings and tuples are looked through.
    nulls = raw.count(b"null")
    if (
        nulls
        and nulls > _nulls(value)
        and nulls > _nulls_within(value)
        and orjson.loads(raw) != value
        and not _all_finite(value)
    ):
        raise ValueError("The value can't be written as JSON: it has a number that is not finite.")
    return raw


def dumps_around(document: dict[str, Any], key: str, text: bytes) -> bytes:
    """Write an object of texts, finite numbers and nulls, and put JSON text there as the value of one of its keys.

    Raises: ValueError, as `dumps` does.
    """
    document[key] = orjson.Fragment(text)
    try:
        return orjson.dumps(document, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise _unwritten(error) from error


def _nulls(value: object) -> int:
    """Count the nulls of an object itself; events have many."""
    return list(value.values()).count(None) if isinstance(value, dict) else 0


def _nulls_within(value: object) -> int:
    """Count the nulls of an object and of the objects in it; the data of events has some."""
    if not isinstance(value, dict):
        return 0
    return _nulls(value) + sum([_nulls(item) for item in value.values() if item.__class__ is dict])


def _unwritten(error: orjson.JSONEncodeError) -> ValueError:
    return ValueError(f"The value can't be written as JSON: {error}.")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON type")


def _all_finite(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) in _LEAVES:
            continue
        if isinstance(item, float):
            if not isfinite(item):
                return False
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        elif isinstance(item, Mapping):
            pending.extend(item.values())
    return True


def _check_exact(raw: bytes) -> None:
    try:
        _EXACT_DECODER.decode(raw.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("The JSON text is nested too deeply.") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("The JSON text repeats a key within one object; each key may stand once.")
    return members


def _exact_integer(digits: str) -> int:
    # Twenty characters hold every 64-bit integer; longer text is refused before the costly conversion.
    if len(digits) > len(str(_INTEGER_MIN)) or not _INTEGER_MIN <= int(digits) <= _INTEGER_MAX:
        raise ValueError("The JSON text has an integer beyond 64 bits; send it as a text.")
    return int(digits)


def _exact_float(digits: str) -> float:
    number = float(digits)
    if len(digits) > _NUMBER_CHARACTERS_MAX or not isfinite(number) or not _is_kept(digits, number):
        raise ValueError("The JSON text has a number that a 64-bit float does not keep; send it as a text.")
    return number


def _is_kept(digits: str, number: float) -> bool:
    try:
        exact = Decimal(digits)
    except ArithmeticError:
        return False
    return exact in (Decimal(repr(number)), Decimal(number))


_EXACT_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_exact_integer, parse_float=_exact_float)
