"""The registry: which machines this deployment has, by source and version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from worker.core.arguments import expect_list
from worker.core.engine.api import Engine, Program
from worker.core.errors import SetupError
from worker.core.machines import Machine
from worker.core.versions import WILDCARD_VERSION, version_key

_REGISTRY_PARTS: Final = ("machines", "sources", "hosts", "resolve")
_ENGINE_PARTS: Final = ("name", "compile")


@dataclass(frozen=True, slots=True)
class Hosted:
    """A machine and the program that its chart was compiled to."""

    machine: Machine
    program: Program


@runtime_checkable
class MachineRegistry(Protocol):
    """Find machines: what the step asks of a registry, `Registry` or one of your own.

    What it has is settled when it is handed over: the same questions get the same answers from then on, from any
    thread, and no answer waits for anything. A record that is run again must meet the same machine.
    """

    @property
    def machines(self) -> Sequence[Machine]:
        """Give all machines, at least one; their domains' topics are looked for at the start."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """Name the orchestrators that are hosted, sorted, each once."""
        ...

    def hosts(self, source: str) -> bool:
        """Tell whether some version of this orchestrator is here."""
        ...

    def resolve(self, source: str, version: str) -> Hosted | None:
        """Find the machine that runs an instance of `version`, and its compiled program; nothing if there is none.

        The version is a subject's, `0.0.0` (the wildcard) included, or the one that an instance was started with.
        """
        ...


class Registry:
    """Find machines among those that are given at the beginning."""

    def __init__(self, machines: Sequence[Machine], engine: Engine) -> None:
        """Compile every machine's chart. Raises: SetupError."""
        expect_list(machines, Machine, "a registry's machines", "machines, as setup_machine makes them")
        check_engine(engine, "The engine")
        if not machines:
            raise SetupError("At least one machine must be provided; a package of machines sets some up.")
        self._machines = tuple(machines)
        self._hosted: dict[str, dict[str, Hosted]] = {}
        for machine in machines:
            self._add(machine, engine)
        self._newest = {source: versions[max(versions, key=version_key)] for source, versions in self._hosted.items()}

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Give all machines, in the order in which they were given."""
        return self._machines

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


class RegistryOnEngine:
    """Find what another registry finds, run by another engine."""

    def __init__(self, registry: MachineRegistry, engine: Engine) -> None:
        """Compile every machine's chart with this engine. Raises: SetupError."""
        self._registry = registry
        self._hosted = {id(machine): Hosted(machine, engine.compile(machine.chart)) for machine in registry.machines}

    @property
    def machines(self) -> Sequence[Machine]:
        """Give the registry's machines."""
        return self._registry.machines

    @property
    def sources(self) -> Sequence[str]:
        """Name the registry's orchestrators."""
        return self._registry.sources

    def hosts(self, source: str) -> bool:
        """Tell whether the registry has some version of this orchestrator."""
        return self._registry.hosts(source)

    def resolve(self, source: str, version: str) -> Hosted | None:
        """Find the registry's machine and this engine's program."""
        found = self._registry.resolve(source, version)
        return None if found is None else self._hosted[id(found.machine)]


def check_registry(registry: object, found_in: str) -> MachineRegistry:
    """Give back what may be a registry; `found_in` says whose it is. Raises: SetupError."""
    if isinstance(registry, type):
        raise SetupError(f"{found_in} is the class {registry.__name__}; give an instance of it.")
    missing = [name for name in _REGISTRY_PARTS if not hasattr(registry, name)]
    if missing or not isinstance(registry, MachineRegistry):
        lacking = f"{found_in}, a {type(registry).__name__}, lacks {', '.join(missing)}"
        raise SetupError(f"{lacking}; see MachineRegistry for what each promises.")
    found: Sequence[object] = registry.machines
    strangers = [one for one in found if not isinstance(one, Machine)]
    if strangers:
        raise SetupError(f"{found_in} has a {type(strangers[0]).__name__} among its machines; use setup_machine.")
    if not registry.machines:
        raise SetupError(f"{found_in} has no machine; a registry has at least one.")
    return registry


def check_engine(engine: object, found_in: str) -> Engine:
    """Give back what may be an engine; `found_in` says whose it is. Raises: SetupError."""
    if isinstance(engine, type):
        raise SetupError(f"{found_in} is the class {engine.__name__}; give an instance of it.")
    if not isinstance(engine, Engine):
        missing = [name for name in _ENGINE_PARTS if not hasattr(engine, name)]
        raise SetupError(
            f"{found_in}, a {type(engine).__name__}, lacks {', '.join(missing)}; see Engine for what each promises."
        )
    return engine
