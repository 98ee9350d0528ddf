"""Contracts: what a service accepts and emits, by version.

A version's events carry the `dataschema` `<uri>/<version>`; the system error, which every contract has, carries
the wildcard version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, RootModel, create_model

from worker.core.arguments import expect, expect_mapping
from worker.core.errors import SetupError
from worker.core.event_rules import is_reverse_dns
from worker.core.schemas import SYSTEM_ERROR_SCHEMA, Number, Schema
from worker.core.uris import is_encoded_uri
from worker.core.versions import (
    WILDCARD_VERSION,
    compare_versions,
    is_valid_version,
    make_dataschema,
    parse_dataschema,
    version_key,
)

__all__ = [
    "PARENT_SUBJECT",
    "SYSTEM_ERROR_SCHEMA",
    "WILDCARD_VERSION",
    "Contract",
    "ContractVersion",
    "Number",
    "Schema",
    "clean_lines",
    "compare_versions",
    "complete_type",
    "create_contract",
    "create_orchestrator_contract",
    "create_simple_contract",
    "is_orchestrator_type",
    "is_valid_version",
    "make_dataschema",
    "orchestrator_type",
    "parse_dataschema",
    "system_error_type",
    "version_key",
]

PARENT_SUBJECT: Final = "parentSubject$$"

_ORCHESTRATOR_PREFIX: Final = "arvo.orc"
_ORCHESTRATOR_NAME: Final = re.compile(r"[a-z0-9.]+")
_LATEST: Final = ("latest", "any")
_OLDEST: Final = "oldest"


def orchestrator_type(name: str) -> str:
    """Name the event that starts an orchestrator; it is the orchestrator's own name too."""
    return f"{_ORCHESTRATOR_PREFIX}.{name}"


def complete_type(name: str) -> str:
    """Name the event that an orchestrator completes with."""
    return f"{orchestrator_type(name)}.done"


def system_error_type(accepts_type: str) -> str:
    """Name the system error event of the service that accepts `accepts_type`."""
    return f"sys.{accepts_type}.error"


def is_orchestrator_type(text: str) -> bool:
    """Tell whether the type is in the name space of orchestrators."""
    return text.startswith(_ORCHESTRATOR_PREFIX)


def clean_lines(text: str) -> str:
    """Strip each line, and drop the empty ones, of a text written across lines of source."""
    return "\n".join(filter(None, (line.strip() for line in text.split("\n"))))


@dataclass(frozen=True)
class ContractVersion:
    """One version of a contract. `emits` maps event types to schemas, the system error left out."""

    uri: str
    type: str
    version: str
    accepts: Schema
    emits: Mapping[str, Schema]
    complete_type: str | None = None
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def dataschema(self) -> str:
        """Name this version as its events carry it."""
        return make_dataschema(self.uri, self.version)

    @cached_property
    def system_error_type(self) -> str:
        """Name the event that tells of a failure of the service."""
        return system_error_type(self.type)

    @cached_property
    def system_error_dataschema(self) -> str:
        """Name what the system error event carries, in any version."""
        return make_dataschema(self.uri, WILDCARD_VERSION)

    @property
    def is_orchestrator(self) -> bool:
        """Tell whether an orchestrator stands behind the contract."""
        return self.complete_type is not None

    @cached_property
    def replies(self) -> Mapping[str, Schema]:
        """Map each type that the service may answer with to its schema, the system error last."""
        return {**self.emits, self.system_error_type: SYSTEM_ERROR_SCHEMA}

    def json_schema(self) -> dict[str, Any]:
        """Give the version with JSON Schemas: version, accepts, systemError, emits, metadata."""
        return {
            "version": self.version,
            "accepts": _described(self.type, self.accepts),
            "systemError": _described(self.system_error_type, SYSTEM_ERROR_SCHEMA),
            "emits": [_described(event_type, schema) for event_type, schema in self.emits.items()],
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True)
class Contract:
    """A contract: its versions, oldest first."""

    uri: str
    type: str
    versions: Mapping[str, ContractVersion]
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def system_error_type(self) -> str:
        """Name the event that tells of a failure of the service."""
        return system_error_type(self.type)

    def version(self, name: str) -> ContractVersion:
        """Give a version: `latest`, `oldest`, or one as 1.2.3. Raises: SetupError, if there is none."""
        ordered = tuple(self.versions.values())
        if name in _LATEST:
            return ordered[-1]
        if name == _OLDEST:
            return ordered[0]
        if name not in self.versions:
            raise SetupError(
                f"The contract {self.uri} has no version {name}; it has {', '.join(self.versions)}, "
                "and answers to latest and oldest."
            )
        return self.versions[name]

    def json_schema(self) -> dict[str, Any]:
        """Give the contract with JSON Schemas: uri, description, metadata, versions (oldest first)."""
        return {
            "uri": self.uri,
            "description": self.description,
            "metadata": dict(self.metadata),
            "versions": [version.json_schema() for version in self.versions.values()],
        }


def create_contract(
    *,
    uri: str,
    type: str,  # noqa: A002 - the field's name on the wire
    versions: Mapping[str, Mapping[str, Any]],
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Contract:
    """Declare a contract; `versions` is `{"1.0.0": {"accepts": Model, "emits": {event type: Model}}}`.

    Raises: SetupError.
    """
    for version, sides in _sides(uri, versions, ("accepts", "emits")):
        expect_mapping(sides["emits"], f"The contract {uri}, version {version}, emits", "a mapping of types to models")
        _check_free_of_orchestrators(uri, (type, *sides["emits"]))
    return _contract(uri, type, versions, _About(description, dict(metadata or {})))


def create_simple_contract(
    *,
    uri: str,
    type: str,  # noqa: A002 - the field's name on the wire
    versions: Mapping[str, Mapping[str, Any]],
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Contract:
    """Declare a contract with one reply; `versions` is `{"1.0.0": {"accepts": Model, "emits": Model}}`.

    The accepted type is `com.<type>`, the emitted one `evt.<type>.success`.

    Raises: SetupError.
    """
    expect(type, str, f"The contract {uri}: type", "a text, as order.create")
    given = _sides(uri, versions, ("accepts", "emits"))
    return create_contract(
        uri=uri,
        type=f"com.{type}",
        versions={
            version: {"accepts": sides["accepts"], "emits": {f"evt.{type}.success": sides["emits"]}}
            for version, sides in given
        },
        description=description,
        metadata={**(metadata or {}), "contractType": "SimpleArvoContract", "rootType": type},
    )


def create_orchestrator_contract(
    *,
    uri: str,
    name: str,
    versions: Mapping[str, Mapping[str, Any]],
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Contract:
    """Declare an orchestrator's contract; `versions` is `{"1.0.0": {"init": Model, "complete": Model}}`.

    The accepted data is that of `init`, and `parentSubject$$`: the subject of the parent, or null.

    Raises: SetupError.
    """
    if not _ORCHESTRATOR_NAME.fullmatch(expect(name, str, f"The contract {uri}: name", "a text, as order")):
        raise SetupError(f"The contract {uri} has the name {name!r}; expected a-z, 0-9 and dots, as order.process.")
    given = _sides(uri, versions, ("init", "complete"))
    init, complete = orchestrator_type(name), complete_type(name)
    own = {
        "contractType": "ArvoOrchestratorContract",
        "rootType": name,
        "completeEventType": complete,
        "initEventType": init,
    }
    return _contract(
        uri,
        init,
        {
            version: {"accepts": _with_parent_subject(uri, sides["init"]), "emits": {complete: sides["complete"]}}
            for version, sides in given
        },
        _About(description, {**(metadata or {}), **own}, complete),
    )


@dataclass(frozen=True, slots=True)
class _About:
    description: str | None
    metadata: Mapping[str, Any]
    complete_type: str | None = None


def _contract(uri: str, accepts_type: str, versions: Mapping[str, Mapping[str, Any]], about: _About) -> Contract:
    expect(uri, str, "A contract's URI", "a non-empty URI, encoded as encodeURI does")
    if uri == "" or not is_encoded_uri(uri):
        raise SetupError(f"A contract has the URI {uri!r}; expected a non-empty URI, encoded as encodeURI does.")
    _check_type(uri, accepts_type)
    _check_versions(uri, versions)
    description = None if about.description is None else clean_lines(about.description)
    return Contract(
        uri=uri,
        type=accepts_type,
        versions={
            version: ContractVersion(
                uri=uri,
                type=accepts_type,
                version=version,
                accepts=_schema(f"The contract {uri}, version {version}", versions[version]["accepts"]),
                emits=_emitted_schemas(uri, version, versions[version]["emits"]),
                complete_type=about.complete_type,
                description=description,
                metadata=about.metadata,
            )
            for version in sorted(versions, key=version_key)
        },
        description=description,
        metadata=about.metadata,
    )


def _emitted_schemas(uri: str, version: str, emits: Mapping[str, Any]) -> Mapping[str, Schema]:
    for event_type in emits:
        _check_type(uri, event_type)
    return {
        event_type: _schema(f"The contract {uri}, version {version}, {event_type}", declared)
        for event_type, declared in emits.items()
    }


def _schema(place: str, declared: Any) -> Schema:
    try:
        return declared if isinstance(declared, Schema) else Schema(declared)
    except SetupError as error:
        raise SetupError(f"{place}: {error}") from error


def _with_parent_subject(uri: str, init: Any) -> Any:
    if not (isinstance(init, type) and issubclass(init, BaseModel)) or issubclass(init, RootModel):
        raise SetupError(
            f"The contract {uri} has an init that is no Pydantic model with fields; expected a class of BaseModel."
        )
    if any(declared.alias == PARENT_SUBJECT for declared in init.model_fields.values()):
        return init
    parent_subject = Annotated[Annotated[str, Field(min_length=1)] | None, Field(alias=PARENT_SUBJECT)]
    return create_model(
        init.__name__, __base__=init, __module__=init.__module__, arvo_parent_subject=(parent_subject, ...)
    )


def _sides(uri: str, versions: object, expected: tuple[str, ...]) -> list[tuple[str, Mapping[str, Any]]]:
    """Give each version with its two sides."""
    wanted = " and ".join(expected)
    given = expect_mapping(versions, f"The contract {uri}: versions", f"a mapping of versions, as 1.0.0, to {wanted}")
    for version, sides in given.items():
        expect_mapping(sides, f"The contract {uri}, version {version},", f"a mapping with {wanted}")
        if set(sides) != set(expected):
            raise SetupError(
                f"The contract {uri}, version {version}, has {', '.join(sorted(sides)) or 'nothing'}; "
                f"expected {wanted}."
            )
    return list(given.items())


def _check_free_of_orchestrators(uri: str, types: tuple[str, ...]) -> None:
    for event_type in types:
        _check_type(uri, event_type)
        if is_orchestrator_type(event_type):
            raise SetupError(
                f"The contract {uri} has the type {event_type}; types that begin with {_ORCHESTRATOR_PREFIX} are kept "
                "for orchestrators. Take another, or use create_orchestrator_contract."
            )


def _check_type(uri: str, event_type: str) -> None:
    expect(event_type, str, f"The contract {uri}: type", "a reverse-DNS name, as com.order.create")
    if not is_reverse_dns(event_type):
        raise SetupError(
            f"The contract {uri} has the type {event_type!r}; expected a reverse-DNS name of at least three parts "
            "of a-z and 0-9, as com.order.create."
        )


def _check_versions(uri: str, versions: Mapping[str, Any]) -> None:
    if not versions:
        raise SetupError(f"The contract {uri} has no version; expected at least one, as 1.0.0.")
    for version in versions:
        if not is_valid_version(version):
            raise SetupError(f"The contract {uri} has the version {version!r}; expected three numbers, as 1.0.0.")
        if version_key(version) == version_key(WILDCARD_VERSION):
            raise SetupError(f"The contract {uri} has the version {version}; it is kept as the wildcard. Take another.")


def _described(event_type: str, schema: Schema) -> dict[str, Any]:
    return {"type": event_type, "schema": schema.json_schema()}
