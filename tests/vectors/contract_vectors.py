"""Run `contract.json`."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal, expect_refused, expect_same_places
from tests.vectors.schemas import contract_of, plain_schema
from worker.core.contracts import (
    WILDCARD_VERSION,
    Contract,
    ContractVersion,
    clean_lines,
    compare_versions,
    complete_type,
    is_orchestrator_type,
    is_valid_version,
    make_dataschema,
    orchestrator_type,
    parse_dataschema,
    system_error_type,
    version_key,
)
from worker.core.errors import InvalidDataError, SetupError
from worker.core.events import Event, event_to_json
from worker.core.factories import (
    accepts_event,
    complete_event,
    emits_event,
    init_event,
    system_error_data,
    system_error_event,
)
from worker.core.schemas import SYSTEM_ERROR_SCHEMA, Schema
from worker.core.subjects import decode_document
from worker.core.times import to_event_time
from worker.core.uris import encode_uri, is_encoded_uri

FACTORIES = {
    "accepts": accepts_event,
    "emits": emits_event,
    "init": init_event,
    "complete": complete_event,
    "systemError": system_error_event,
}


def cases(document: dict[str, Any]) -> Iterator[Case]:
    """Give the cases of the file."""
    yield Case("wildcard", "wildcard", lambda: expect_equal(WILDCARD_VERSION, document["wildcard"]))
    for section, (keys, check) in SIMPLE_SECTIONS.items():
        for vector in document[section]:
            yield Case(section, " ".join(str(vector[key]) for key in keys), partial(check, vector))
    contracts = {vector["key"]: vector for vector in document["contracts"]}
    yield from _contract_cases(contracts)
    for vector in document["initData"]:
        title = f"{vector['contract']} {vector['version']} {vector['data']}"
        yield Case("initData", title, partial(_check_init_data, contracts, vector))
    for vector in document["factory"]:
        check = partial(_check_factory, contracts, document["factorySubjects"], vector)
        yield Case("factory", vector["title"], check)
    for clock in document["timestamp"]["cases"]:
        for key in clock.keys() - {"tz", "clock"}:
            yield Case("timestamp", f"{clock['tz']} {key}", partial(_check_time, clock, key))


def _check_dataschema(vector: dict[str, Any]) -> None:
    parsed = parse_dataschema(vector["dataschema"])
    assert (parsed is not None) is vector["isValid"]
    expect_equal(parsed and {"uri": parsed[0], "version": parsed[1]}, vector["parsed"])


def _check_version(vector: dict[str, Any]) -> None:
    assert is_valid_version(vector["version"]) is vector["isValid"]
    assert (vector["version"] == WILDCARD_VERSION) is vector["isWildCard"]


def _check_comparison(vector: dict[str, Any]) -> None:
    expect_equal(compare_versions(vector["a"], vector["b"]), vector["sign"])


def _check_version_key(vector: dict[str, Any]) -> None:
    if "result" in vector:
        expect_equal(version_key(vector["version"]), list(vector["result"].values()))
        return
    try:
        version_key(vector["version"])
    except ValueError:
        return
    message = "it was accepted; the reference refuses it"
    raise AssertionError(message)


def _check_invalid(vector: dict[str, Any]) -> None:
    if not vector["valid"]:
        expect_refused(lambda: contract_of(vector["contract"]), SetupError)
        return
    contract = contract_of(vector["contract"])
    expect_equal({"type": contract.type, "uri": contract.uri}, vector["result"])


def _check_types(vector: dict[str, Any]) -> None:
    init = orchestrator_type(vector["name"])
    expect_equal(
        {"init": init, "complete": complete_type(vector["name"]), "systemError": system_error_type(init)},
        {key: vector[key] for key in ("init", "complete", "systemError")},
    )


def _check_orchestrator_type(vector: dict[str, Any]) -> None:
    assert is_orchestrator_type(vector["type"]) is vector["isOrchestratorEventType"]


def _check_lines(vector: dict[str, Any]) -> None:
    expect_equal(clean_lines(vector["in"]), vector["out"])


def _check_uri(vector: dict[str, Any]) -> None:
    assert is_encoded_uri(vector["value"]) is vector["validateURI"]
    expect_equal(encode_uri(vector["value"]), vector["encodeURI"])


def _check_error_data(vector: dict[str, Any]) -> None:
    stack = None if vector["errorStackIsNull"] else "stack"
    data = SYSTEM_ERROR_SCHEMA.validate(system_error_data(vector["errorName"], vector["errorMessage"], stack))
    expect_equal(data | {"errorStackIsNull": data.pop("errorStack") is None}, vector)


def _check_error_schema(vector: dict[str, Any]) -> None:
    _check_data(SYSTEM_ERROR_SCHEMA, vector)


def _check_init_data(contracts: dict[str, Any], vector: dict[str, Any]) -> None:
    contract = contract_of(contracts[vector["contract"]]["contract"])
    _check_data(contract.version(vector["version"]).accepts, vector)


def _check_data(schema: Schema, vector: dict[str, Any]) -> None:
    if vector["ok"]:
        expect_equal(schema.validate(vector["data"]), vector["parsed"])
        return
    error = expect_refused(lambda: schema.validate(vector["data"]), InvalidDataError)
    assert isinstance(error, InvalidDataError)
    expect_same_places(error.paths, [place for issue in vector["issues"] for place in _places(issue)])


def _places(issue: dict[str, Any]) -> list[list[Any]]:
    """Name unlisted keys one by one, as Pydantic does, where the reference names the object that has them."""
    if issue.get("code") == "unrecognized_keys":
        return [[*issue["path"], key] for key in re.findall(r"'([^']*)'", issue["message"])]
    return [issue["path"]]


def _contract_cases(contracts: dict[str, Any]) -> Iterator[Case]:
    for key, vector in contracts.items():
        yield Case("contracts", f"{key}: types and versions", partial(_check_contract, vector))
        yield Case("contracts", f"{key}: JSON Schema", partial(_check_json_schema, vector))
        for name, expected in vector["version"].items():
            yield Case("contracts", f"{key}: version {name}", partial(_check_lookup, vector, name, expected))


def _check_contract(vector: dict[str, Any]) -> None:
    contract = contract_of(vector["contract"])
    for key in ("uri", "type", "description", "metadata"):
        expect_equal(getattr(contract, key), vector[key], key)
    expect_equal(contract.system_error_type, vector["systemErrorType"])
    expect_equal(list(contract.versions), vector["sortedASC"], "the order of versions")
    derived = vector["contract"]["derived"]
    expect_equal(contract.type, derived["acceptsType"])
    for version in contract.versions.values():
        expect_equal(list(version.emits), derived["emitTypes"][version.version], "the emitted types")
        expect_equal(version.dataschema, derived["dataschemas"][version.version])
        expect_equal(version.system_error_dataschema, derived["systemErrorDataschema"])


def _check_json_schema(vector: dict[str, Any]) -> None:
    actual = contract_of(vector["contract"]).json_schema()
    expected = vector["toJsonSchemaWithoutDescriptions"]
    expect_equal(actual["uri"], expected["uri"])
    expect_equal(actual["metadata"], expected["metadata"])
    expect_equal(
        [_plain_version(version) for version in actual["versions"]],
        [
            _plain_version(version)
            for version in sorted(expected["versions"], key=lambda version: version_key(version["version"]))
        ],
    )


def _plain_version(version: dict[str, Any]) -> dict[str, Any]:
    return {
        **version,
        "accepts": _plain_side(version["accepts"]),
        "systemError": _plain_side(version["systemError"]),
        "emits": [_plain_side(side) for side in version["emits"]],
    }


def _plain_side(side: dict[str, Any]) -> dict[str, Any]:
    return {"type": side["type"], "schema": plain_schema(side["schema"])}


def _check_lookup(vector: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    contract = contract_of(vector["contract"])
    if "error" in expected:
        expect_refused(lambda: contract.version(name), SetupError)
        return
    expect_equal(_summary(contract.version(name)), {**expected["result"]})


def _summary(version: ContractVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "uri": version.uri,
        "description": version.description,
        "metadata": version.metadata,
        "dataschema": version.dataschema,
        "acceptsType": version.type,
        "emitTypes": list(version.emits),
        "emitListTypes": list(version.emits),
        "systemErrorType": version.system_error_type,
        "systemErrorDataschema": version.system_error_dataschema,
        "create": make_dataschema(version.uri, version.version),
        "createWithWildCardVersion": make_dataschema(version.uri, WILDCARD_VERSION),
    }


def _check_factory(contracts: dict[str, Any], subjects: dict[str, Any], vector: dict[str, Any]) -> None:
    contract = contract_of(contracts[vector["contract"]]["contract"])
    if "error" in vector:
        error = expect_refused(lambda: _made(contract, vector, "$exec"))
        if isinstance(error, InvalidDataError):
            expect_same_places(error.paths, [issue["path"] for issue in vector["error"]["issues"]])
        return
    expected = vector["result"]
    new_subject = subjects.get(expected["subject"])
    execution_id = new_subject["content"]["execution"]["id"] if new_subject else "$exec"
    document = event_to_json(_made(contract, vector, execution_id))
    if new_subject:
        content = decode_document(document["subject"])
        assert content["execution"].pop("domain", "missing") is None, "a new subject has to carry a null domain"
        expect_equal(content, new_subject["content"], "the subject")
        document["subject"] = expected["subject"]
    expect_equal(document, expected)


def _made(contract: Contract, vector: dict[str, Any], execution_id: str) -> Event:
    attributes = dict(vector["param"])
    if "error" in attributes:
        error = attributes.pop("error")
        attributes["data"] = system_error_data(error.get("name", "Error"), error["message"], "$stack")
    version = contract.version(vector["version"])
    make = FACTORIES[vector["method"]]
    return make(version, attributes, vector.get("extensions"), execution_id=execution_id)


def _check_time(clock: dict[str, Any], key: str) -> None:
    assert key == "offset0", "the worker writes times in UTC only"
    moment = datetime.fromisoformat(clock["clock"])
    milliseconds = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
    expect_equal(to_event_time(milliseconds), clock[key])


SIMPLE_SECTIONS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], None]]] = {
    "dataschemaParse": (("dataschema",), _check_dataschema),
    "versionsValid": (("version",), _check_version),
    "compare": (("a", "b"), _check_comparison),
    "parseVersion": (("version",), _check_version_key),
    "invalid": (("title",), _check_invalid),
    "typegen": (("name",), _check_types),
    "isOrc": (("type",), _check_orchestrator_type),
    "cleanStrings": (("in",), _check_lines),
    "uris": (("value",), _check_uri),
    "arvoError": (("errorName", "errorMessage"), _check_error_data),
    "errorSchema": (("data",), _check_error_schema),
}
