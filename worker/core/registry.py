"""The registry: which machines this deployment has, by source and version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.core.engine.api import Engine, Program
from worker.core.errors import SetupError
from worker.core.machines import Machine
from worker.core.versions import WILDCARD_VERSION, version_key


@dataclass(frozen=True, slots=True)
class Hosted:
    """A machine and the program that its chart was compiled to."""

    machine: Machine
    program: Program


class Registry:
    """Find machines. `machines` keeps the order in which they were given."""

    def __init__(self, machines: Sequence[Machine], engine: Engine) -> None:
        """Compile every machine's chart. Raises: SetupError."""
        if not machines:
            raise SetupError("At least one machine must be provided; a package of machines sets some up.")
        self.machines = tuple(machines)
        self.engine_name = engine.name
        self._hosted: dict[str, dict[str, Hosted]] = {}
        for machine in machines:
            self._add(machine, engine)
        self._newest = {source: versions[max(versions, key=version_key)] for source, versions in self._hosted.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        """Name the orchestrators that are hosted, sorted."""
        return tuple(sorted(self._hosted))

    def hosts(self, source: str) -> bool:
        """Tell whether some version of this orchestrator is here."""
        return source in self._hosted

    def versions(self, source: str) -> Mapping[str, Hosted]:
        """Give the machines of one orchestrator by version."""
        return self._hosted.get(source, {})

    def resolve(self, source: str, version: str) -> Hosted | None:
        """Find a machine; the wildcard version gives the newest."""
        if version == WILDCARD_VERSION:
            return self._newest.get(source)
        return self._hosted.get(source, {}).get(version)

    def _add(self, machine: Machine, engine: Engine) -> None:
        versions = self._hosted.setdefault(machine.source, {})
        if machine.version in versions:
            raise SetupError(
                f"{machine.source} has two machines of version {machine.version}; "
                "an orchestrator must have unique machine versions: give one of them a new version."
            )
        for other in versions.values():
            if other.machine.contract.uri != machine.contract.uri:
                raise SetupError(
                    f"{machine.source} has machines of two contracts, {other.machine.contract.uri!r} and "
                    f"{machine.contract.uri!r}; the versions of one machine share one contract."
                )
        versions[machine.version] = Hosted(machine, engine.compile(machine.chart))
