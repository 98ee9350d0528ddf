"""Orchestrators of the vectors: real ones, with the real engine, on a memory that keeps a record of its use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.vectors.schemas import contract_of
from tests.vectors.xstate import TranslatedChart, translate
from worker.core.contracts import Contract, ContractVersion
from worker.core.instances import Instance
from worker.core.machines import Machine, setup_machine
from worker.orchestrator import MachineMemory, Orchestrator, SimpleMachineMemory, create_orchestrator

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BuiltMachine:
    """A machine, and the chart that it runs."""

    machine: Machine
    chart: TranslatedChart


class RecordingMemory:
    """Note each call, and fail where a vector says so. `faults` maps an operation to how it fails."""

    def __init__(self) -> None:
        self.inner = SimpleMachineMemory()
        self.operations: list[Json] = []
        self.faults: Mapping[str, Json] = {}
        self._read: dict[str, Instance | None] = {}

    def read(self, subject: str) -> Instance | None:
        self._begin("read", subject)
        instance = None if "return" in self.faults.get("read", {}) else self.inner.read(subject)
        self._read[subject] = instance
        self.operations[-1]["found"] = instance is not None
        return instance

    def write(self, subject: str, instance: Instance, previous: Instance | None) -> None:
        was_read = "the record that was read" if previous is not None else None
        assert previous is self._read[subject], "a write has to name the record that was read"
        self._begin("write", subject, previous=was_read)
        self.inner.write(subject, instance, previous)

    def lock(self, subject: str) -> bool:
        return self._answered("lock", subject, self.inner.lock)

    def unlock(self, subject: str) -> bool:
        return self._answered("unlock", subject, self.inner.unlock)

    def _answered(self, operation: str, subject: str, answer: Any) -> bool:
        self._begin(operation, subject)
        fault = self.faults.get(operation, {})
        returned = fault["return"] if "return" in fault else answer(subject)
        self.operations[-1]["returned"] = returned
        return bool(returned)

    def _begin(self, operation: str, subject: str, **more: Any) -> None:
        self.operations.append({"op": operation, "id": subject, **more})
        fault = self.faults.get(operation, {})
        for text in (fault[key] for key in ("throw", "throwValue") if key in fault):
            self.operations[-1]["threw"] = text
            raise RuntimeError(text)


@dataclass(frozen=True)
class Deployment:
    """What a vector puts together: contracts, machines, and orchestrators with their memories by name."""

    machines: Mapping[str, BuiltMachine]
    orchestrators: Mapping[str, Orchestrator]
    memories: Mapping[str, RecordingMemory]


def built_machine(declared: Json, contracts: Mapping[str, Contract]) -> BuiltMachine:
    """Set a machine of a vector up. Raises: SetupError; NoCounterpartError."""
    own = _version(declared["self"], contracts)
    services = [_version(service, contracts) for service in (declared.get("services") or {}).values()]
    chart = translate(declared, [reply for service in services for reply in service.replies])
    machine = setup_machine(
        contract=own,
        services=services,
        statechart=chart.text,
        functions=chart.functions,
        version=declared["config"].get("version"),
    )
    return BuiltMachine(machine, chart)


def deployment_of(document: Json) -> Deployment:
    """Put a scenario's orchestrators together. Raises: SetupError; NoCounterpartError."""
    contracts = {key: contract_of(declared) for key, declared in document["contracts"].items()}
    machines = {key: built_machine(declared, contracts) for key, declared in document["machines"].items()}
    memories = {declared["memory"]: RecordingMemory() for declared in document["orchestrators"].values()}
    orchestrators = {
        name: orchestrator_of(declared["machines"], machines, memories[declared["memory"]], declared["executionunits"])
        for name, declared in document["orchestrators"].items()
    }
    return Deployment(machines, orchestrators, memories)


def orchestrator_of(
    names: Sequence[str], machines: Mapping[str, BuiltMachine], memory: MachineMemory, executionunits: float
) -> Orchestrator:
    """Make an orchestrator of machines by name. Raises: SetupError."""
    listed = [machines[name].machine for name in names]
    return create_orchestrator(machines=listed, memory=memory, executionunits=executionunits)


def _version(named: Mapping[str, str], contracts: Mapping[str, Contract]) -> ContractVersion:
    return contracts[named["contract"]].version(named["version"])
