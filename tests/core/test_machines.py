import hashlib
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from tests.core.engine.charts import chart_text
from worker.core.contracts import (
    SYSTEM_ERROR_SCHEMA,
    Contract,
    ContractVersion,
    create_contract,
    create_orchestrator_contract,
)
from worker.core.errors import SetupError
from worker.core.machines import Machine, setup_machine

CHART = chart_text("initial: a\nstates:\n  - name: a\n")
PARALLEL = chart_text("parallel states:\n  - name: a\n  - name: b\n")


class Empty(BaseModel):
    """No data."""


class Named(BaseModel):
    """Data with a name."""

    name: str


def orchestrator(uri: str = "#/orc/a", name: str = "a") -> Contract:
    sides = {"init": Named, "complete": Empty}
    return create_orchestrator_contract(uri=uri, name=name, versions={"1.0.0": sides, "2.0.0": sides})


def service(uri: str, type_: str, *emits: str) -> ContractVersion:
    sides = {"accepts": Named, "emits": dict.fromkeys(emits, Empty)}
    return create_contract(uri=uri, type=type_, versions={"1.0.0": sides, "2.0.0": sides}).version("1.0.0")


ONE = service("#/svc/one", "com.svc.one", "evt.svc.one")
TWO = service("#/svc/two", "com.svc.two", "evt.svc.two.yes", "evt.svc.two.no")


def machine(*services: ContractVersion, statechart: str = CHART, **others: Any) -> Machine:
    return setup_machine(contract=orchestrator().version("1.0.0"), services=services, statechart=statechart, **others)


def test_names_itself_after_its_contract() -> None:
    made = machine()
    assert (made.source, made.version) == ("arvo.orc.a", "1.0.0")
    assert made.services == ()


@pytest.mark.parametrize(
    ("services", "statechart", "expected"),
    [
        ((), CHART, False),
        ((ONE,), CHART, False),
        ((ONE, orchestrator("#/orc/b", "b").version("1.0.0")), CHART, False),
        ((ONE, TWO), CHART, True),
        ((), PARALLEL, True),
    ],
)
def test_requires_locking_where_two_events_may_arrive_at_once(
    services: tuple[ContractVersion, ...], statechart: str, *, expected: bool
) -> None:
    assert machine(*services, statechart=statechart).requires_locking is expected


def test_inputs_are_the_init_and_all_replies() -> None:
    inputs = machine(ONE, TWO).inputs
    assert set(inputs) == {
        "arvo.orc.a",
        "evt.svc.one",
        "sys.com.svc.one.error",
        "evt.svc.two.yes",
        "evt.svc.two.no",
        "sys.com.svc.two.error",
    }
    assert inputs["evt.svc.one"].contract is ONE
    assert inputs["evt.svc.one"].dataschema == "#/svc/one/1.0.0"
    error = inputs["sys.com.svc.one.error"]
    assert (error.contract, error.schema, error.dataschema) == (ONE, SYSTEM_ERROR_SCHEMA, "#/svc/one/0.0.0")
    init = inputs["arvo.orc.a"]
    assert init.schema.is_valid({"parentSubject$$": None, "name": "x"})
    assert init.dataschema == "#/orc/a/1.0.0"


def test_outputs_are_what_services_accept_and_the_completion() -> None:
    outputs = machine(ONE).outputs
    assert {name: output.dataschema for name, output in outputs.items()} == {
        "com.svc.one": "#/svc/one/1.0.0",
        "arvo.orc.a.done": "#/orc/a/1.0.0",
    }
    assert outputs["com.svc.one"].schema is ONE.accepts


def test_domains_are_the_default_the_declared_and_the_literals() -> None:
    text = chart_text("initial: a\nstates:\n  - name: a\n    on entry: emit('com.x', {}, domains=['z', 'y'])\n")
    assert machine(statechart=text, domains=["x", "y"]).domains == ("default", "x", "y", "z")


REFUSED: list[tuple[str, tuple[ContractVersion, ...], dict[str, Any], str]] = [
    ("version", (), {"version": "2.0.0"}, "Version mismatch: Machine version must be '1.0.0' or undefined"),
    ("one uri twice", (ONE, service("#/svc/one", "com.svc.other")), {}, "must have unique URIs"),
    ("a service twice", (ONE, service("#/svc/one", "com.svc.one")), {}, "must have unique URIs"),
    ("itself", (orchestrator().version("1.0.0"),), {}, "Circular dependency detected"),
    ("itself in another version", (orchestrator().version("2.0.0"),), {}, "Circular dependency detected"),
    ("its own uri", (service("#/orc/a", "com.svc.self"),), {}, "Circular dependency detected"),
    (
        "one reply of two services",
        (ONE, service("#/svc/b", "com.svc.b", "evt.svc.one")),
        {},
        "'evt.svc.one' is emitted by '#/svc/b' and belongs to '#/svc/one' too",
    ),
    (
        "a reply named as a system error",
        (ONE, service("#/svc/b", "com.svc.b", "sys.com.svc.one.error")),
        {},
        "'sys.com.svc.one.error' is emitted by '#/svc/b'",
    ),
    (
        "one request of two services",
        (ONE, service("#/svc/b", "com.svc.one")),
        {},
        "'sys.com.svc.one.error' is emitted by '#/svc/b' and belongs to '#/svc/one' too",
    ),
    ("units", (), {"executionunits": float("nan")}, "executionunits must be a finite number"),
    ("reserved domain", (), {"domains": ["dlq"]}, "'dlq' is no domain: the name is reserved"),
    ("domains as a text", (), {"domains": "external"}, "domains is 'external'; expected a list: names of domains"),
    ("bad domain", (), {"domains": ["A b"]}, "'A b' is no domain"),
    ("bad chart", (), {"statechart": "statechart: {}"}, "line 1: the chart: the key 'name' is missing"),
]


@pytest.mark.parametrize(
    ("services", "others", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refuses(services: tuple[ContractVersion, ...], others: dict[str, Any], text: str) -> None:
    with pytest.raises(SetupError) as refusal:
        machine(*services, **others)
    assert str(refusal.value).startswith(("machine arvo.orc.a 1.0.0: ", "machine arvo.orc.a 1.0.0, line "))
    assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("contract", "services"), [(orchestrator(), ()), (orchestrator().version("1.0.0"), (orchestrator(),))]
)
def test_refuses_a_contract_in_place_of_its_version(contract: Any, services: Any) -> None:
    with pytest.raises(SetupError, match=r"a Contract.*expected (a version|versions)"):
        setup_machine(contract=contract, services=services, statechart=CHART)


def test_refuses_the_contract_of_a_service_as_its_own() -> None:
    with pytest.raises(SetupError, match="'#/svc/one' is no orchestrator's"):
        setup_machine(contract=ONE, statechart=CHART)


def test_its_own_version_may_be_given() -> None:
    assert machine(version="1.0.0").version == "1.0.0"


def test_the_document_tells_all_that_makes_the_machine() -> None:
    made = machine(ONE, functions={"shout": str.upper}, domains=["x"], executionunits=2)
    document = orjson.loads(made.document)
    assert document["contract"]["uri"] == "#/orc/a"
    assert [described["type"] for described in document["services"]] == ["com.svc.one"]
    assert document["statechart"].startswith("statechart:")
    assert document["functions"]
    assert (document["domains"], document["executionunits"]) == (["default", "x"], 2)
    assert made.definition_hash == hashlib.sha256(made.document.encode()).digest()


def test_the_same_machine_has_the_same_hash_and_another_has_another() -> None:
    def twice(number: int) -> int:
        return 2 * number

    hashes = [
        made.definition_hash
        for made in (
            machine(),
            machine(statechart=CHART.replace("name: a", "name:   a")),
            machine(statechart=PARALLEL),
            machine(ONE),
            machine(domains=["x"]),
            machine(functions={"f": twice}),
            machine(executionunits=1),
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == len(hashes) - 1
