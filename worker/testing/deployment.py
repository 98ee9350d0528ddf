"""Which machines a broker hosts: those that it was given, and those of the orchestrators that it was given."""

from collections.abc import Mapping, Sequence
from typing import Final

from worker.core.engine.api import Engine
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.errors import SetupError
from worker.core.machines import Machine
from worker.core.registry import Hosted, Registry, check_engine
from worker.orchestrator import MachineMemory, Orchestrator


class Deployment:
    """Host several orchestrators, and answer what one asks of a registry for all of them together.

    Machines that are given one by one share the broker's memory, as they do in the worker; an orchestrator keeps
    its own.
    """

    def __init__(self, memory: MachineMemory, engine: Engine | None = None) -> None:
        self._memory: Final = memory
        self._engine: Final = CompiledEngine() if engine is None else check_engine(engine, "The engine")
        self._machines: dict[str, list[Machine]] = {}
        self._orchestrators: dict[str, Orchestrator] = {}

    @property
    def orchestrators(self) -> Mapping[str, Orchestrator]:
        """Give the orchestrators by their sources."""
        return self._orchestrators

    @property
    def machines(self) -> Sequence[Machine]:
        """Give all machines."""
        return [machine for one in self._orchestrators.values() for machine in one.registry.machines]

    @property
    def sources(self) -> Sequence[str]:
        """Name the orchestrators, sorted."""
        return sorted(self._orchestrators)

    @property
    def domains(self) -> frozenset[str]:
        """Name the domains that have topics in the worker: those that the machines declare."""
        return frozenset(domain for machine in self.machines for domain in machine.domains)

    def hosts(self, source: str) -> bool:
        """Tell whether this orchestrator is here."""
        return source in self._orchestrators

    def resolve(self, source: str, version: str) -> Hosted | None:
        """Find a machine and its program."""
        orchestrator = self._orchestrators.get(source)
        return orchestrator.registry.resolve(source, version) if orchestrator else None

    def is_workers(self, source: str) -> bool:
        """Tell whether an orchestrator is the worker's: made of machines, not given as it is."""
        return source in self._machines

    def add_machine(self, machine: Machine) -> None:
        """Host a machine beside the other versions of it. Raises: SetupError, if it can't stand beside them."""
        versions = self._machines.get(machine.source)
        if versions is None:
            self._require_free(machine.source)
        listed = [*(versions or ()), machine]
        registry = Registry(listed, self._engine)
        self._orchestrators[machine.source] = Orchestrator(registry=registry, memory=self._memory)
        self._machines[machine.source] = listed

    def add_orchestrator(self, orchestrator: Orchestrator) -> None:
        """Host an orchestrator as it is. Raises: SetupError, if its source is taken."""
        self._require_free(orchestrator.source)
        self._orchestrators[orchestrator.source] = orchestrator

    def _require_free(self, source: str) -> None:
        if source in self._orchestrators:
            raise SetupError(f"The broker hosts {source} already; give all versions of a machine to one orchestrator.")
