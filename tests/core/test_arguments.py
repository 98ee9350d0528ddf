"""What a user's Python may get wrong at set-up: each is told of there, in one text that says what to do."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from machines.order import functions
from machines.order.contracts import inventory, order
from worker import (
    InvalidEventError,
    Registry,
    SetupError,
    SimpleMachineMemory,
    SismicEngine,
    create_contract,
    create_event,
    create_orchestrator,
    create_orchestrator_contract,
    create_simple_contract,
    init_event,
    setup_machine,
)

ORDER = order.version("1.0.0")
INVENTORY = inventory.version("1.0.0")
CHART = Path(__file__).parents[2] / "machines/order/order.yaml"
MACHINE = "machine arvo.orc.order 1.0.0"


class Model(BaseModel):
    amount: int


SIDES = {"accepts": Model, "emits": {"evt.order.create.success": Model}}


def _machine(**wrong: Any) -> object:
    right = {"contract": ORDER, "services": [INVENTORY], "statechart": CHART, "functions": functions}
    return setup_machine(**{**right, **wrong})


def _contract(**wrong: Any) -> object:
    right = {"uri": "#/services/order", "type": "com.order.create", "versions": {"1.0.0": SIDES}}
    return create_contract(**{**right, **wrong})


def _orchestrator(**wrong: Any) -> object:
    right = {"machines": [_machine()], "memory": SimpleMachineMemory()}
    return create_orchestrator(**{**right, **wrong})


def _versions(accepts: object = Model, emits: object = SIDES["emits"]) -> Mapping[str, object]:
    return {"1.0.0": {"accepts": accepts, "emits": emits}}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: _machine(contract=order), "a machine's contract is a Contract; expected a version of a contract, as"),
        (lambda: _machine(contract=None), "a machine's contract is None; expected a version of a contract, as"),
        (lambda: _machine(services=INVENTORY), "a machine's services is a ContractVersion; expected a list: versions"),
        (lambda: _machine(services=[inventory]), "a machine's services has a Contract in it; expected versions of"),
        (lambda: _machine(statechart=None), f"{MACHINE}: statechart is None; expected YAML text, a file, or sismic's"),
        (lambda: _machine(statechart={}), f"{MACHINE}: statechart is a dict; expected YAML text, a file, or sismic's"),
        (lambda: _machine(statechart="no.yaml"), "the statechart can't be read"),
        (lambda: _machine(functions=[len]), f"{MACHINE}: functions is a list; expected a module, or a mapping of"),
        (lambda: _machine(functions={"x": 5}), f"{MACHINE}: the function 'x' is 5; expected a function."),
        (lambda: _machine(functions={5: len}), f"{MACHINE}: functions has the key 5; expected texts"),
        (lambda: _machine(executionunits="3"), f"{MACHINE}: executionunits is '3'; expected a finite number."),
        (lambda: _machine(executionunits=True), f"{MACHINE}: executionunits is True; expected a finite number."),
        (lambda: _machine(executionunits=float("nan")), "executionunits must be a finite number, received nan."),
        (lambda: _machine(domains="external"), f"{MACHINE}: domains is 'external'; expected a list: names of domains."),
        (lambda: _machine(domains=[5]), f"{MACHINE}: domains has 5 in it; expected names of domains."),
        (lambda: _machine(domains=["A B"]), f"{MACHINE}: 'A B' is no domain"),
        (lambda: _machine(version="2.0.0"), "Machine version must be '1.0.0' or undefined, received '2.0.0'"),
        (lambda: _contract(uri=None), "A contract's URI is None; expected a non-empty URI"),
        (lambda: _contract(type=None), "The contract #/services/order: type is None; expected a reverse-DNS name"),
        (lambda: _contract(versions=None), "#/services/order: versions is None; expected a mapping of versions"),
        (lambda: _contract(versions=["1.0.0"]), "#/services/order: versions is a list; expected a mapping of versions"),
        (lambda: _contract(versions={1: SIDES}), "#/services/order: versions has the key 1; expected texts"),
        (lambda: _contract(versions={}), "#/services/order has no version; expected at least one, as 1.0.0."),
        (lambda: _contract(versions={"1.0.0": None}), "version 1.0.0, is None; expected a mapping with accepts and"),
        (lambda: _contract(versions=_versions(int)), "1.0.0: The schema int takes no JSON object; expected a class"),
        (lambda: _contract(versions=_versions({"x": 1})), "version 1.0.0: a dict is no schema; expected a class"),
        (lambda: _contract(versions=_versions(emits=[Model])), "emits is a list; expected a mapping of types to"),
        (lambda: _contract(versions=_versions(emits={5: Model})), "emits has the key 5; expected texts: a mapping"),
        (lambda: _contract(versions=_versions(emits={"evt.a.b": str})), "evt.a.b: The schema str takes no JSON"),
        (
            lambda: create_simple_contract(uri="#/x", type=None, versions={}),  # type: ignore[arg-type]
            "The contract #/x: type is None; expected a text, as order.create.",
        ),
        (
            lambda: create_orchestrator_contract(uri="#/x", name=None, versions={}),  # type: ignore[arg-type]
            "The contract #/x: name is None; expected a text, as order.",
        ),
        (
            lambda: create_orchestrator_contract(uri="#/x", name="x", versions={"1.0.0": SIDES}),
            "The contract #/x, version 1.0.0, has accepts, emits; expected init and complete.",
        ),
        (lambda: order.version("9.0.0"), "has no version 9.0.0; it has 1.0.0, and answers to latest and oldest."),
        (lambda: _orchestrator(machines=None), "a registry's machines is None; expected a list: machines, as"),
        (lambda: _orchestrator(machines=[order]), "a registry's machines has a Contract in it; expected machines, as"),
        (lambda: _orchestrator(machines=[]), "At least one machine must be provided"),
        (lambda: _orchestrator(memory=None), "The memory, a NoneType, lacks read, write, lock, unlock; see Machine"),
        (lambda: _orchestrator(executionunits="1"), "executionunits must be a finite number, received '1'."),
        (lambda: Registry([_machine()], None), "The engine, a NoneType, lacks name, compile; see Engine"),  # type: ignore[list-item,arg-type]
        (lambda: Registry([_machine()], SismicEngine), "The engine is the class SismicEngine; give an instance"),  # type: ignore[list-item,arg-type]
        (lambda: init_event(order, {}, execution_id="1"), "the contract is a Contract; expected a version of one"),  # type: ignore[arg-type]
    ],
)
def test_wrong_use_is_told_of_at_set_up(make: Callable[[], object], told: str) -> None:
    with pytest.raises(SetupError) as failure:
        make()
    assert told in str(failure.value)


def test_an_event_is_made_of_a_mapping() -> None:
    with pytest.raises(InvalidEventError, match="An event is made of a mapping of attributes, not of None"):
        create_event(None)  # type: ignore[arg-type]


def test_what_is_right_is_taken() -> None:
    assert _machine()
    assert _contract()
    assert _orchestrator()
