"""Snapshots as JSON, and back."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from worker.core.engine.api import Snapshot
from worker.core.engine.stored_context import StoredContext

_LARGE_FLOAT: Final = re.compile(rb"[0-9]e\+[0-9]")


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as one JSON object that JSONB keeps exactly; parts that are empty are left out."""
    kept = snapshot.context
    text = orjson.dumps(_document(snapshot, kept.fragment if isinstance(kept, StoredContext) else dict(kept)))
    if b"e+" in text and _LARGE_FLOAT.search(text):
        return orjson.dumps(_spelled_out(_document(snapshot, dict(kept))))
    return text


def _document(snapshot: Snapshot, context: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "configuration": list(snapshot.configuration),
        "context": context,
        "init": dict(snapshot.init),
    }
    if snapshot.history:
        document["history"] = {name: list(states) for name, states in snapshot.history.items()}
    if snapshot.remembered:
        document["remembered"] = {key: dict(context) for key, context in snapshot.remembered.items()}
    if snapshot.output is not None:
        document["output"] = dict(snapshot.output)
    return document


def decode_snapshot(stored: bytes | str | Mapping[str, Any]) -> Snapshot:
    """Read a snapshot from its JSON text, or from the object that the text holds; the order of keys is of no account.

    Raises: ValueError, if the text is no JSON or lacks a part.
    """
    document = orjson.loads(stored) if isinstance(stored, (bytes, str)) else stored
    try:
        return Snapshot(
            configuration=tuple(document["configuration"]),
            context=document["context"],
            init=document["init"],
            history={name: tuple(states) for name, states in document.get("history", {}).items()},
            remembered=document.get("remembered", {}),
            output=document.get("output"),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"The snapshot is damaged: {error!r}; restore the row from a backup.") from error


def _spelled_out(value: Any) -> Any:
    """Write large floats with all their digits: JSONB would give 1e+16 back as an integer."""
    if isinstance(value, float) and "e+" in repr(value):
        return orjson.Fragment(f"{value:.1f}")
    if isinstance(value, Mapping):
        return {key: _spelled_out(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelled_out(item) for item in value]
    return value
