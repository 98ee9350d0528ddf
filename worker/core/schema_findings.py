"""What a schema tells before any data comes, read from Pydantic's description of it (its core schema)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_UNORDERED: Final = ("set", "frozenset")
_WITH_FIELDS: Final = ("model-fields", "typed-dict")
# Parts of Pydantic's description that hold what users gave.
_NO_SCHEMAS: Final = ("default", "expected", "metadata", "serialization")
_AROUND_FIELDS: Final = ("definitions", "definition-ref", "model", "function-after")
"""Parts of the description that leave the keys of the data to what is within them."""


@dataclass(frozen=True, slots=True)
class ObjectKeys:
    """The keys that a model reads: `required` holds the names that each required field may stand under."""

    known: frozenset[str]
    required: tuple[frozenset[str], ...]
    takes_others: bool


def object_keys(core_schema: Mapping[str, Any]) -> ObjectKeys | None:
    """Tell which keys a model reads; nothing, if code of the model's own sees the data first, or it is no model."""
    definitions = {one["ref"]: one for one in core_schema.get("definitions", ())}
    found = core_schema
    by_name = takes_others = False
    while found.get("type") in _AROUND_FIELDS and not found.get("root_model"):
        config = found.get("config", {})
        by_name = config.get("validate_by_name", by_name)
        takes_others = config.get("extra_fields_behavior", takes_others and "allow") == "allow"
        found = definitions[found["schema_ref"]] if found["type"] == "definition-ref" else found["schema"]
    if found.get("type") != "model-fields":
        return None
    fields = {
        frozenset(_names_begun(name, one.get("validation_alias"), by_name=by_name)): one for name, one in _fields(found)
    }
    return ObjectKeys(
        known=frozenset().union(*fields),
        required=tuple(names for names, one in fields.items() if one["schema"].get("type") != "default"),
        takes_others=takes_others or found.get("extra_behavior") == "allow",
    )


def schema_findings(part: Any, *, by_name: bool = False) -> Iterator[str]:
    """Find in Pydantic's own description what would not give the same JSON everywhere, and to everybody."""
    inner = part
    if isinstance(part, Mapping):
        if part.get("type") in _UNORDERED:
            yield "has a set, whose members stand in another order in each process; declare a list."
        by_name = part.get("config", {}).get("validate_by_name", by_name)
        for name, declared in _fields(part):
            written = declared.get("serialization_alias", name)
            if written not in names_read(name, declared.get("validation_alias"), by_name=by_name):
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


def names_read(name: str, alias: str | list[Any] | None, *, by_name: bool) -> set[str]:
    """Name the keys that a field is read from: its own or its alias, which may be a path or a choice of paths."""
    if alias is None:
        return {name}
    paths = [[alias]] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]
    return {path[0] for path in paths if len(path) == 1} | ({name} if by_name else set())


def _names_begun(name: str, alias: str | list[Any] | None, *, by_name: bool) -> set[str]:
    """Name the keys of the data that lead to a field, at the end of a path or at its beginning."""
    whole = names_read(name, alias, by_name=by_name)
    if alias is None or isinstance(alias, str):
        return whole
    paths = alias if isinstance(alias[0], list) else [alias]
    return whole | {path[0] for path in paths}
