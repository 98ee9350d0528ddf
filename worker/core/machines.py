"""Machines: a statechart of one version, bound to its own contract and to those of the services that it calls."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from types import ModuleType
from typing import Any

from worker.core.arguments import expect, expect_list, expect_mapping, shown
from worker.core.contracts import ContractVersion
from worker.core.domains import DEFAULT_DOMAIN, unique_domains
from worker.core.engine.chart import STATECHART_TYPES, Chart, StatechartSource
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.core.schemas import Schema
from worker.core.uris import ONLY_KEPT


@dataclass(frozen=True, slots=True)
class MachineInput:
    """An event type that a machine takes: the contract that has it, and what its data must fit."""

    contract: ContractVersion
    schema: Schema
    dataschema: str


@dataclass(frozen=True, slots=True)
class MachineOutput:
    """An event type that a machine may emit under a contract, and what its data must fit.

    `is_plain` says that neither the type nor the dataschema has anything that is escaped in an event.
    `keeps_subject` says that the event is about the instance that emits it, not about its child or parent.
    """

    contract: ContractVersion
    schema: Schema
    dataschema: str
    is_plain: bool
    keeps_subject: bool


@dataclass(frozen=True, eq=False)
class Machine:
    """One version of a workflow, ready to run.

    `domains` are those that it can emit to: `default`, the declared ones (`declared_domains`), and the literals of
    its chart.
    `inputs` holds the init type, and all that the services answer with, their system errors included;
    `outputs` what the services accept, and the completion.
    """

    contract: ContractVersion
    services: tuple[ContractVersion, ...]
    chart: Chart = field(repr=False)
    domains: tuple[str, ...]
    executionunits: float | None
    inputs: Mapping[str, MachineInput] = field(repr=False)
    outputs: Mapping[str, MachineOutput] = field(repr=False)
    declared_domains: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Name the orchestrator: the type of the event that starts it."""
        return self.contract.type

    @property
    def version(self) -> str:
        """Give the version, which is its contract's."""
        return self.contract.version

    @property
    def requires_locking(self) -> bool:
        """Tell whether two events of one instance may arrive at the same time."""
        return self.chart.is_parallel or any(len(service.emits) > 1 for service in self.services)

    @cached_property
    def document(self) -> str:
        """Give all that makes the machine what it is, as JSON: the same machine gives the same text."""
        definition = {
            "contract": _described(self.contract),
            "domains": self.domains,
            "executionunits": self.executionunits,
            "functions": self.chart.functions_text,
            "services": [_described(service) for service in self.services],
            "statechart": self.chart.text,
        }
        return dumps(definition).decode()

    @cached_property
    def definition_hash(self) -> bytes:
        """Give the SHA-256 of the document, 32 bytes."""
        return hashlib.sha256(self.document.encode()).digest()


def setup_machine(  # noqa: PLR0913  # Named arguments are how a machine reads.
    *,
    contract: ContractVersion,
    services: Sequence[ContractVersion] = (),
    statechart: StatechartSource,
    functions: Mapping[str, Callable[..., Any]] | ModuleType | None = None,
    domains: Sequence[str] = (),
    version: str | None = None,
    executionunits: float | None = None,
) -> Machine:
    """Bind a statechart to its contracts.

    `statechart` is YAML text, a file, or sismic's own model. `functions` is what its code calls by name: a mapping,
    or a module. `domains` names the domains that are no literals of the chart. `version`, if given, must be the
    contract's. `executionunits` stands on emitted events that give none.
    Raises: SetupError.
    """
    _check_contracts(contract, services)
    place = f"machine {contract.type} {contract.version}"
    _check_arguments(place, statechart, functions, executionunits)
    for fault in _contract_faults(contract, services, version, executionunits):
        raise SetupError(f"{place}: {fault}")
    declared = expect_list(domains, str, f"{place}: domains", "names of domains")
    chart = Chart.parse(statechart, functions, place)
    try:
        all_domains = unique_domains((DEFAULT_DOMAIN, *declared, *chart.emitted_domains))
    except ValueError as error:
        raise SetupError(f"{place}: {error}") from error
    return Machine(
        contract=contract,
        services=tuple(services),
        chart=chart,
        domains=all_domains,
        executionunits=executionunits,
        inputs=_inputs(contract, services),
        outputs=_outputs(contract, services),
        declared_domains=declared,
    )


def _check_contracts(contract: object, services: object) -> None:
    example = 'as `order.version("1.0.0")` gives it'
    expect(contract, ContractVersion, "a machine's contract", f"a version of a contract, {example}")
    expect_list(services, ContractVersion, "a machine's services", f"versions of contracts, each {example}")


def _check_arguments(place: str, statechart: object, functions: object, executionunits: object) -> None:
    expect(statechart, STATECHART_TYPES, f"{place}: statechart", "YAML text, a file, or sismic's Statechart")
    if functions is not None and not isinstance(functions, ModuleType):
        named = expect_mapping(functions, f"{place}: functions", "a module, or a mapping of names to functions")
        for name, function in named.items():
            if not callable(function):
                raise SetupError(f"{place}: the function {name!r} is {shown(function)}; expected a function.")
    if executionunits is not None:
        expect(executionunits, (int, float), f"{place}: executionunits", "a finite number")


def _contract_faults(
    contract: ContractVersion,
    services: Sequence[ContractVersion],
    version: str | None,
    executionunits: float | None,
) -> Iterator[str]:
    if not contract.is_orchestrator:
        yield f"its contract {contract.uri!r} is no orchestrator's; declare it with create_orchestrator_contract."
    if version not in (None, contract.version):
        yield (
            f"Version mismatch: Machine version must be '{contract.version}' or undefined, received '{version}'; "
            "the version is the contract's."
        )
    if executionunits is not None and not isfinite(executionunits):
        yield f"executionunits must be a finite number, received {executionunits}."
    yield from _service_faults(contract, services)
    yield from _type_faults(contract, services)


def _service_faults(contract: ContractVersion, services: Sequence[ContractVersion]) -> Iterator[str]:
    by_uri: dict[str, ContractVersion] = {}
    for service in services:
        if service.uri == contract.uri:
            yield (
                f"Circular dependency detected: Machine with URI '{contract.uri}' is registered as service "
                f"'{service.type}'. Self-referential services create execution loops and are prohibited."
            )
        other = by_uri.setdefault(service.uri, service)
        if other is not service:
            yield (
                "The service contracts must have unique URIs. Multiple versions of the same contract are not allowed. "
                f"The contracts '{service.type}' ({service.version}) and '{other.type}' ({other.version}) "
                f"have the same URI '{service.uri}'."
            )


def _type_faults(contract: ContractVersion, services: Sequence[ContractVersion]) -> Iterator[str]:
    """Find event types that would name two things: one of them would never be reached."""
    inputs = {contract.type: contract.uri}
    outputs = {contract.complete_type: contract.uri}
    for service in services:
        for event_type in service.replies:
            other = inputs.setdefault(event_type, service.uri)
            if other != service.uri:
                yield (
                    f"The event type '{event_type}' is emitted by '{service.uri}' and belongs to '{other}' too; "
                    "a type must name one reply: rename one of them."
                )
        other = outputs.setdefault(service.type, service.uri)
        if other != service.uri:
            yield (
                f"The event type '{service.type}' is accepted by '{service.uri}' and belongs to '{other}' too; "
                "a type must name one service: rename one of them."
            )


def _inputs(contract: ContractVersion, services: Sequence[ContractVersion]) -> Mapping[str, MachineInput]:
    inputs = {contract.type: MachineInput(contract, contract.accepts, contract.dataschema)}
    for service in services:
        for event_type, schema in service.replies.items():
            is_error = event_type == service.system_error_type
            dataschema = service.system_error_dataschema if is_error else service.dataschema
            inputs[event_type] = MachineInput(service, schema, dataschema)
    return inputs


def _outputs(contract: ContractVersion, services: Sequence[ContractVersion]) -> Mapping[str, MachineOutput]:
    outputs = {service.type: _output(service, service.accepts) for service in services}
    if contract.complete_type is not None:
        outputs[contract.complete_type] = _output(contract, contract.emits[contract.complete_type])
    return outputs


def _output(contract: ContractVersion, schema: Schema) -> MachineOutput:
    return MachineOutput(
        contract=contract,
        schema=schema,
        dataschema=contract.dataschema,
        is_plain=ONLY_KEPT.fullmatch(contract.dataschema) is not None,
        keeps_subject=not contract.is_orchestrator,
    )


def _described(contract: ContractVersion) -> dict[str, Any]:
    return {"uri": contract.uri, "type": contract.type, **contract.json_schema()}
