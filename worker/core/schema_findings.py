"""What is wrong with a schema before any data comes, read from Pydantic's description of it (its core schema)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_UNORDERED: Final = ("set", "frozenset")
_WITH_FIELDS: Final = ("model-fields", "typed-dict")
# Parts of Pydantic's description that hold what users gave.
_NO_SCHEMAS: Final = ("default", "expected", "metadata", "serialization")


def schema_findings(part: Any, *, by_name: bool = False) -> Iterator[str]:
    """Find in Pydantic's own description what would not give the same JSON everywhere, and to everybody."""
    inner = part
    if isinstance(part, Mapping):
        if part.get("type") in _UNORDERED:
            yield "has a set, whose members stand in another order in each process; declare a list."
        by_name = part.get("config", {}).get("validate_by_name", by_name)
        for name, declared in _fields(part):
            written = declared.get("serialization_alias", name)
            if written not in _names_read(name, declared.get("validation_alias"), by_name=by_name):
                yield f"writes its field {name!r} as {written!r}, and does not read it so; give it one `alias`."
        inner = [value for key, value in part.items() if key not in _NO_SCHEMAS]
    if isinstance(inner, (list, tuple)):
        for item in inner:
            yield from schema_findings(item, by_name=by_name)


def _fields(part: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Give the fields of a model or a typed dictionary by name; other things have none with aliases."""
    if part.get("type") not in _WITH_FIELDS:
        return ()
    fields: Mapping[str, Mapping[str, Any]] = part["fields"]
    return fields.items()


def _names_read(name: str, alias: str | list[Any] | None, *, by_name: bool) -> set[str]:
    """Name the keys that a field is read from: its own or its alias, which may be a path or a choice of paths."""
    if alias is None:
        return {name}
    paths = [[alias]] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]
    return {path[0] for path in paths if len(path) == 1} | ({name} if by_name else set())
