"""Snapshots as JSON, and back.

The init data never change and few steps look at them: of a row of PostgreSQL they are kept as the text that they came
as, and written as that.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from worker.core.engine.api import Snapshot
from worker.core.engine.stored_object import StoredObject
from worker.core.frozen import maker_of

_PLUS: Final = ord("+")
_LARGE_FLOAT: Final = re.compile(rb"[0-9]e\+[0-9]")

# JSONB gives keys in the order of their lengths, then bytes. `output` would stand behind `init`, `history` and
# `remembered` behind `context`.
_INIT: Final = b'{"init": {'
_INIT_AT: Final = len(_INIT) - 1
_OUTPUT: Final = b'}, "output": '
_CONTEXT: Final = b', "context": '
_HISTORY: Final = b', "history": '
_CONFIGURATION: Final = b', "configuration": '
_CONTEXT_BEHIND: Final = len(_CONTEXT)
_CONFIGURATION_BEHIND: Final = len(_CONFIGURATION)


_made_snapshot: Final = maker_of(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as one JSON object that JSONB keeps exactly; parts that are empty are left out."""
    text = b'{"configuration":%b,"context":%b,"init":%b%b}' % (
        _names(snapshot.configuration),
        _text(snapshot.context),
        _text(snapshot.init),
        _rest(snapshot) if snapshot.history or snapshot.remembered or snapshot.output is not None else b"",
    )
    if _PLUS in text and text.find(b"e+") >= 0 and _LARGE_FLOAT.search(text):
        return orjson.dumps(_spelled_out(orjson.loads(text)))
    return text


def decode_snapshot(stored: bytes | str | Mapping[str, Any]) -> Snapshot:
    """Read a snapshot from its JSON text, or from the object that the text holds; the order of keys is of no account.

    A text in the form that JSONB has is taken to be one: its init data are not read before somebody looks.
    Raises: ValueError, if the text is no JSON or lacks a part.
    """
    if isinstance(stored, str):
        stored = stored.encode()
    if type(stored) is bytes:
        snapshot = _plainly_decoded(stored)
        if snapshot is not None:
            return snapshot
    document: Any = orjson.loads(stored) if isinstance(stored, bytes) else stored
    try:
        return _decoded(document)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"The snapshot is damaged: {error!r}; restore the row from a backup.") from error


def _plainly_decoded(text: bytes) -> Snapshot | None:
    """Read a snapshot that JSONB gave, without an output and without what is remembered."""
    end = text.find(_CONTEXT)
    if not text.startswith(_INIT) or text.find(_OUTPUT, 0, end) >= 0:
        return None
    # A state's name holds no quote that is not escaped, so the last one is the document's own key.
    names_at = text.rfind(_CONFIGURATION)
    context, history = text[end + _CONTEXT_BEHIND : names_at], {}
    try:
        # It is one object only if it begins behind the document's own key, and nothing else stands behind it.
        try:
            values = orjson.loads(context)
        except ValueError:
            context, _, remembered = context.rpartition(_HISTORY)
            values, history = orjson.loads(context), _read_history(orjson.loads(remembered))
        names = _read_names(text[names_at + _CONFIGURATION_BEHIND :])
    except (AttributeError, TypeError, ValueError):
        return None
    return _made_snapshot(names, StoredObject(context, values), StoredObject(text[_INIT_AT:end]), history, {}, None)


def _decoded(document: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        configuration=tuple(document["configuration"]),
        context=document["context"],
        init=document["init"],
        history=_read_history(document.get("history", {})),
        remembered=document.get("remembered", {}),
        output=document.get("output"),
    )


def _read_history(history: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(states) for name, states in history.items()}


def _text(value: Mapping[str, Any]) -> bytes:
    return value.text if type(value) is StoredObject else orjson.dumps(dict(value))


@lru_cache(maxsize=10_000)
def _names(configuration: tuple[str, ...]) -> bytes:
    return orjson.dumps(configuration)


@lru_cache(maxsize=10_000)
def _read_names(text: bytes) -> tuple[str, ...]:
    return tuple(orjson.loads(text.removesuffix(b"}")))


def _rest(snapshot: Snapshot) -> bytes:
    rest: dict[str, Any] = {}
    if snapshot.history:
        rest["history"] = {name: list(states) for name, states in snapshot.history.items()}
    if snapshot.remembered:
        rest["remembered"] = {key: dict(context) for key, context in snapshot.remembered.items()}
    if snapshot.output is not None:
        rest["output"] = orjson.Fragment(_text(snapshot.output))
    return b"," + orjson.dumps(rest)[1:-1]


def _spelled_out(value: Any) -> Any:
    """Write large floats with all their digits: JSONB would give 1e+16 back as an integer."""
    if isinstance(value, float) and "e+" in repr(value):
        return orjson.Fragment(f"{value:.1f}")
    if isinstance(value, Mapping):
        return {key: _spelled_out(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelled_out(item) for item in value]
    return value
