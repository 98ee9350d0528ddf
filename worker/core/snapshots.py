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

_PLUS: Final = ord("+")
_LARGE_FLOAT: Final = re.compile(rb"[0-9]e\+[0-9]")

# JSONB gives keys in the order of their lengths, then bytes. `output` would stand behind `init`, `history` and
# `remembered` behind `context`.
_INIT: Final = b'{"init": {'
_INIT_AT: Final = len(_INIT) - 1
_OUTPUT: Final = b'}, "output": '
_CONTEXT: Final = b', "context": '
_CONFIGURATION: Final = b', "configuration": '


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
    if isinstance(stored, bytes):
        snapshot = _plainly_decoded(stored)
        if snapshot is not None:
            return snapshot
    document: Any = orjson.loads(stored) if isinstance(stored, bytes) else stored
    try:
        return _decoded(document)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"The snapshot is damaged: {error!r}; restore the row from a backup.") from error


def _plainly_decoded(text: bytes) -> Snapshot | None:
    """Read a snapshot that JSONB gave, of init data, context and configuration only."""
    if not text.startswith(_INIT):
        return None
    init, _, rest = text.partition(_CONTEXT)
    # A state's name holds no quote that is not escaped, so the last one is the document's own key.
    context_text, _, names_text = rest.rpartition(_CONFIGURATION)
    if init.find(_OUTPUT) >= 0:
        return None
    try:
        # It is one object only if it begins behind the document's own key, and nothing else stands behind it.
        context = orjson.loads(context_text)
        return Snapshot(_read_names(names_text), context, StoredObject(init[_INIT_AT:]))
    except (TypeError, ValueError):
        return None


def _decoded(document: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        configuration=tuple(document["configuration"]),
        context=document["context"],
        init=document["init"],
        history={name: tuple(states) for name, states in document.get("history", {}).items()},
        remembered=document.get("remembered", {}),
        output=document.get("output"),
    )


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
        rest["output"] = dict(snapshot.output)
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
