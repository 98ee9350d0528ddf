"""Contracts as the vectors write them: JSON Schema made into Pydantic models."""

from typing import Any, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field, create_model

from worker.core.contracts import (
    Contract,
    Number,
    create_contract,
    create_orchestrator_contract,
    create_simple_contract,
)

EXTRA: dict[str, Literal["ignore", "allow", "forbid"]] = {
    "strip": "ignore",
    "passthrough": "allow",
    "strict": "forbid",
}
KNOWN_KEYS = frozenset(
    ("type", "properties", "required", "additionalProperties", "x-unknownKeys", "default", "enum", "const", "items")
)


def contract_of(declared: dict[str, Any]) -> Contract:
    """Make a contract of its description in a vector."""
    about = {"description": declared.get("description"), "metadata": declared.get("metadata")}
    uri, versions = declared["uri"], declared["versions"]
    if declared["kind"] == "orchestrator":
        sides = {number: _models(version, ("init", "complete")) for number, version in versions.items()}
        return create_orchestrator_contract(uri=uri, name=declared["name"], versions=sides, **about)
    if declared["kind"] == "simple":
        sides = {number: _models(version, ("accepts", "emits")) for number, version in versions.items()}
        return create_simple_contract(uri=uri, type=declared["type"], versions=sides, **about)
    return create_contract(
        uri=uri,
        type=declared["type"],
        versions={
            number: {
                "accepts": model_of(version["accepts"]),
                "emits": {event_type: model_of(schema) for event_type, schema in version["emits"].items()},
            }
            for number, version in versions.items()
        },
        **about,
    )


def model_of(schema: dict[str, Any], name: str = "Data") -> type[BaseModel]:
    """Make a model of a JSON Schema of an object; what `x-unknownKeys` does not say is `strip`."""
    required = schema.get("required", [])
    fields: dict[str, Any] = {
        f"field_{index}": _field(key, declared, required=key in required)
        for index, (key, declared) in enumerate(schema.get("properties", {}).items())
    }
    config = ConfigDict(extra=EXTRA[schema.get("x-unknownKeys", "strip")])
    return create_model(name, __config__=config, **fields)


def plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave of a JSON Schema what both schema libraries print alike: types, properties, required, defaults."""
    kept: dict[str, Any] = {key: schema[key] for key in ("default", "minLength", "enum", "const") if key in schema}
    branches = schema.get("anyOf")
    if isinstance(schema.get("type"), list):
        branches = [{"type": name} for name in schema["type"]]
    if branches is not None:
        return kept | _plain_union([plain_schema(branch) for branch in branches])
    kept["type"] = schema["type"]
    if "properties" in schema:
        kept["properties"] = {key: plain_schema(declared) for key, declared in schema["properties"].items()}
        kept["required"] = sorted(schema.get("required", []))
    return kept


def _plain_union(branches: list[dict[str, Any]]) -> dict[str, Any]:
    if branches == [{"type": "integer"}, {"type": "number"}]:
        return {"type": "number"}
    return {"anyOf": branches}


def _models(version: dict[str, Any], sides: tuple[str, ...]) -> dict[str, Any]:
    return {side: model_of(version[side]) for side in sides}


def _field(key: str, schema: dict[str, Any], *, required: bool) -> tuple[Any, Any]:
    declared = _type(key, schema)
    if "default" in schema:
        return declared, Field(default=schema["default"], alias=key)
    return (declared, Field(alias=key)) if required else (declared | MISSING, Field(default=MISSING, alias=key))


def _type(key: str, schema: dict[str, Any]) -> Any:
    unknown = schema.keys() - KNOWN_KEYS
    if unknown:
        message = f"the schema of {key} has {sorted(unknown)}, which are not translated"
        raise NotImplementedError(message)
    if "const" in schema:
        return Literal[schema["const"]]
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    declared = _single_type(key, names[0], schema)
    for name in names[1:]:
        declared = declared | _single_type(key, name, schema)
    return declared


def _single_type(key: str, name: str, schema: dict[str, Any]) -> Any:
    match name:
        case "object":
            return model_of(schema, key)
        case "array":
            return list[_type(key, schema["items"])] if "items" in schema else list[Any]  # type: ignore[misc]
        case _:
            return {"string": str, "number": Number, "integer": int, "boolean": bool, "null": None}[name]
