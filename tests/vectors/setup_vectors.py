"""Run `setup.json`: machines and orchestrators that are put together rightly or wrongly, and the simple memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tests.vectors.cases import Case, expect_equal, expect_refused
from tests.vectors.orchestration import built_machine
from tests.vectors.schemas import contract_of
from tests.vectors.xstate_tree import NoCounterpartError
from worker.core.contracts import Contract
from worker.core.engine.api import Snapshot
from worker.core.errors import SetupError
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.orchestrator import Orchestrator, SimpleMachineMemory, create_orchestrator

Json = dict[str, Any]

INSTANCE = Instance("x", "arvo.orc.a", "1.0.0", Status.ACTIVE, Snapshot(("w",), {}, {}), "e-1", None, 0, 1)


def cases(document: Json) -> Iterator[Case]:
    """Give the cases of the file."""
    contracts = {key: contract_of(declared) for key, declared in document["contracts"].items()}
    for vector in document["machine"]:
        yield Case("machine", vector["title"], partial(_check_machine, contracts, vector))
    for vector in document["orchestrator"]:
        yield Case("orchestrator", vector["title"], partial(_check_orchestrator, contracts, vector))
    calls = document["simpleMachineMemory"]
    for index, vector in enumerate(calls):
        yield Case("simpleMachineMemory", vector["call"], partial(_check_call, calls[: index + 1]))


def _check_machine(contracts: Mapping[str, Contract], vector: Json) -> None:
    if vector.get("setup"):
        raise NoCounterpartError(f"a chart has no set-up of {', '.join(vector['setup'])}")
    make = partial(_machine, contracts, vector["self"], vector["services"], vector["config"])
    if "error" in vector:
        expect_refused(make, SetupError)
        return
    machine = make()
    actual = {
        "version": machine.version,
        "source": machine.source,
        "requiresResourceLocking": machine.requires_locking,
    }
    expect_equal(actual, {key: vector["result"][key] for key in actual}, "the machine")


def _check_orchestrator(contracts: Mapping[str, Contract], vector: Json) -> None:
    make = partial(_orchestrator, contracts, vector["machines"])
    if "error" in vector:
        expect_refused(make, SetupError)
        return
    orchestrator = make()
    expect_equal(orchestrator.source, vector["result"]["source"], "the source")
    locking = vector["result"]["requiresResourceLocking"]
    expect_equal(orchestrator.requires_resource_locking, locking, "the locking")


def _orchestrator(contracts: Mapping[str, Contract], named: Sequence[tuple[str, str]] | None) -> Orchestrator:
    machines = [_machine(contracts, name, {}, _waiting(machine_id)) for name, machine_id in named or ()]
    return create_orchestrator(machines=machines, memory=SimpleMachineMemory())


def _machine(contracts: Mapping[str, Contract], own: str, services: Mapping[str, str], config: Json) -> Machine:
    declared = {
        "self": _named(own),
        "services": {key: _named(service) for key, service in services.items()},
        "config": config,
    }
    return built_machine(declared, contracts).machine


def _named(text: str) -> dict[str, str]:
    contract, _, version = text.partition("@")
    return {"contract": contract, "version": version}


def _waiting(machine_id: str) -> Json:
    return {"id": machine_id, "context": {}, "initial": "w", "states": {"w": {}}}


def _check_call(calls: Sequence[Json]) -> None:
    """Make the calls up to the last, which is the one to look at."""
    memory = SimpleMachineMemory()
    for earlier in calls[:-1]:
        if earlier["call"] in CALLS:
            _outcome(memory, earlier)
    outcome, expected = _outcome(memory, calls[-1]), calls[-1]
    if "error" in expected:
        assert isinstance(outcome, ValueError), f"the call gave {outcome!r}; the reference raises"
        assert str(outcome).startswith(expected["error"]), f"the error is {outcome}"
    else:
        expect_equal(outcome, expected["result"])


def _outcome(memory: SimpleMachineMemory, vector: Json) -> Any:
    try:
        return CALLS[vector["call"]](memory)
    except ValueError as error:
        return error


def _write_nothing(memory: SimpleMachineMemory) -> None:
    memory.write("x", None)  # type: ignore[arg-type]  # What the types refuse is refused at run time too.


def _clear_one(memory: SimpleMachineMemory) -> Json:
    memory.clear("x")
    return {"read": memory.read("x"), "lock": memory.lock("x")}


def _clear_all(memory: SimpleMachineMemory) -> bool:
    memory.clear()
    return memory.lock("x")


CALLS: dict[str, Callable[[SimpleMachineMemory], Any]] = {
    'read("")': lambda memory: memory.read(""),
    'read("x") of nothing': lambda memory: memory.read("x"),
    'write("", {})': lambda memory: memory.write("", INSTANCE),
    'write("x", null)': _write_nothing,
    'lock("")': lambda memory: memory.lock(""),
    'unlock("")': lambda memory: memory.unlock(""),
    'lock("x")': lambda memory: memory.lock("x"),
    'lock("x") again': lambda memory: memory.lock("x"),
    'unlock("x")': lambda memory: memory.unlock("x"),
    'unlock("x") again': lambda memory: memory.unlock("x"),
    'lock("x") after unlock': lambda memory: memory.lock("x"),
    'write("x", record)': lambda memory: memory.write("x", INSTANCE),
    "read twice gives the same object": lambda memory: memory.read("x") is memory.read("x"),
    'clear("x") then read and lock': _clear_one,
    "clear() then lock": _clear_all,
}
