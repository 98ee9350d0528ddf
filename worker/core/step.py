"""One step: what one event does to one instance. Pure: time, ids and what is stored are arguments.

The checks stand in the order in which they decide; the first that fails gives the outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from worker.core.bounds import DEFAULT_BOUNDS, Bounds
from worker.core.contracts import ContractVersion
from worker.core.control import CANCELLED, CONTROL_CONTENT_TYPE, Control, cancelled_text, control_of
from worker.core.dataschemas import dataschema_fault
from worker.core.digests import DerivedIds, content_digest
from worker.core.emissions import Cause, emitted_events, system_error_event
from worker.core.engine.api import Program, StepInput, StepResult
from worker.core.errors import ExecutionFailure, InvalidDataError
from worker.core.events import Event
from worker.core.factories import system_error_data
from worker.core.frozen import maker_of
from worker.core.instances import Instance, Status
from worker.core.machines import Machine, MachineInput
from worker.core.outcomes import (
    Advanced,
    Cancelled,
    DeadLettered,
    DeadLetterReason,
    DomainedEvent,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
    Unexpected,
)
from worker.core.progress import Emitted, Emitting, Executing, Failing, Resolving, Telling, Validating
from worker.core.registry import MachineRegistry
from worker.core.subjects import SubjectContent
from worker.core.texts import clean_text
from worker.core.times import to_datetime
from worker.core.traces import TraceHeaders

_PLANS_MAX: Final = 1024
"""How many names and versions a host remembers the machines of: a registry may find one for any version."""

_made_instance: Final = maker_of(Instance)
_made_step_input: Final = maker_of(StepInput)


@dataclass(frozen=True, slots=True)
class Plan:
    """A machine that was found, and what all its steps have in common.

    `executionunits` stands on emitted events that give none.
    """

    machine: Machine
    program: Program
    source: str
    version: str
    inputs: Mapping[str, MachineInput]
    executionunits: float | None
    definition_hash: bytes


@dataclass(frozen=True, slots=True)
class Host:
    """What all steps of one orchestrator share."""

    registry: MachineRegistry
    executionunits: float | None = None
    error_stacks: bool = False
    bounds: Bounds = DEFAULT_BOUNDS
    _plans: dict[tuple[str, str], Plan] = field(default_factory=dict, init=False, repr=False, compare=False)

    def plan(self, name: str, version: str) -> Plan | None:
        """Find the machine that runs an instance of `version`; the registry is asked once, whose answers stay."""
        return self._plans.get((name, version)) or self._resolved(name, version)

    def _resolved(self, name: str, version: str) -> Plan | None:
        hosted = self.registry.resolve(name, version)
        if hosted is None:
            return None
        machine = hosted.machine
        units = self.executionunits if machine.executionunits is None else machine.executionunits
        plan = Plan(
            machine, hosted.program, machine.source, machine.version, machine.inputs, units, machine.definition_hash
        )
        if len(self._plans) < _PLANS_MAX:
            self._plans[name, version] = plan
        return plan


class StepRequest(NamedTuple):
    """One event and what is known when it arrives.

    `seen` is the content digest of an event consumed earlier under the same subject, source and id.
    `now` is in milliseconds since the epoch (`worker.core.times.step_time`).
    `trace` is what emitted events carry; none: the event's own headers.
    """

    event: Event
    subject: SubjectContent
    instance: Instance | None
    seen: bytes | None
    now: int
    trace: TraceHeaders | None = None


def run_step(host: Host, request: StepRequest, tell: Telling | None = None) -> Outcome:
    """Run one event against one instance and give what came of it.

    `tell`, if there is one, is told wherever something begins or was made.
    """
    if request.event.datacontenttype == CONTROL_CONTENT_TYPE:
        return _controlled(host, request, control_of(request.event), tell)
    early = _decided_without_machine(host.registry, request)
    if early is not None:
        return early
    if tell:
        tell(Resolving())
    name = request.subject.name
    version = request.instance.version if request.instance else request.subject.version
    plan = host.plan(name, version)
    if plan is None:
        return _no_machine(name, version)
    if tell:
        tell(Validating(plan.machine))
    accepted = plan.inputs.get(request.event.type)
    if accepted is None:
        return no_contract(host.registry, request.event)
    return _run(host, plan, accepted, request, tell)


def _decided_without_machine(registry: MachineRegistry, request: StepRequest) -> Outcome | None:
    event, instance = request.event, request.instance
    if not registry.hosts(request.subject.name):
        return Ignored(IgnoredReason.NOT_HOSTED)
    if request.seen is not None:
        return Duplicate() if request.seen == content_digest(event) else _id_conflict()
    starts = event.type == request.subject.name
    if instance is None:
        return None if starts else _no_instance()
    if starts:
        return Duplicate() if event.id == instance.init_event_id else _already_started()
    if instance.status is not Status.ACTIVE:
        return Ignored(IgnoredReason.ENDED)
    return None


def _controlled(host: Host, request: StepRequest, control: Control, tell: Telling | None) -> Outcome:
    """Carry out an operator's command. Cancelling is the one there is."""
    instance = request.instance
    early = _decided_by_command(host.registry, request, control)
    if early is not None:
        return early
    assert instance is not None
    if tell:
        tell(Resolving())
    plan = host.plan(instance.source, instance.version)
    if plan is None:
        return _no_machine(instance.source, instance.version)
    message = clean_text(cancelled_text(control))
    error = system_error_event(_cause(plan, request, None), system_error_data(CANCELLED, message))
    after = replace(instance, status=Status.CANCELLED, now=request.now, revision=instance.revision + 1)
    return Cancelled(instance, after, error, CANCELLED, message)


def _decided_by_command(registry: MachineRegistry, request: StepRequest, control: Control) -> Outcome | None:
    instance, expected = request.instance, control.expected_revision
    if not registry.hosts(request.subject.name):
        return Ignored(IgnoredReason.NOT_HOSTED)
    if request.seen is not None:
        return Duplicate() if request.seen == content_digest(request.event) else _id_conflict()
    if instance is None:
        return Ignored(IgnoredReason.ABSENT)
    if instance.status is not Status.ACTIVE:
        return Ignored(IgnoredReason.ENDED)
    if expected is not None and expected != instance.revision:
        return Ignored(IgnoredReason.CHANGED)
    return None


def no_contract(registry: MachineRegistry, event: Event) -> DeadLettered | Ignored:
    """Say what becomes of an event that no contract of its machine emits: it may be meant for somebody else."""
    if event.to is not None and not registry.hosts(event.to):
        return Ignored(IgnoredReason.FOREIGN)
    text = "Contract validation failed - Event does not match any registered contract schemas in the machine"
    return DeadLettered(DeadLetterReason.NO_CONTRACT, "ConfigViolation", f"{text} (type {event.type!r})")


def failed_step(host: Host, request: StepRequest, failure: ExecutionFailure) -> Failed:
    """Make of a step a failed one, for a reason found after it: what it emitted can't be published, say.

    The machine must be hosted.
    """
    version = request.instance.version if request.instance else request.subject.version
    plan = host.plan(request.subject.name, version)
    assert plan is not None
    return _failed(host, _cause(plan, request, None), request, failure)


def _run(host: Host, plan: Plan, accepted: MachineInput, request: StepRequest, tell: Telling | None) -> Outcome:
    data: Mapping[str, Any] | None = None
    try:
        data = _accepted_data(accepted, request)
        cause = _cause(plan, request, data)
        if tell:
            tell(Executing(plan.machine))
        result = _run_program(host, plan, request, cause.ids, data)
        if not result.expected and request.instance is not None:
            return Unexpected(request.instance, plan.program.expected(request.instance.snapshot))
        emitted = _told_emissions(cause, result, tell) if tell else tuple(emitted_events(cause, result))
        return Advanced(request.instance, _next_instance(request, plan, cause, result), emitted)
    except ExecutionFailure as failure:
        if tell:
            tell(Failing(plan.machine, failure))
        return _failed(host, _cause(plan, request, data), request, failure)


def _told_emissions(cause: Cause, result: StepResult, tell: Telling) -> tuple[DomainedEvent, ...]:
    tell(Emitting())
    emitted = []
    for one in emitted_events(cause, result):
        emitted.append(one)
        tell(Emitted(one.event))
    return tuple(emitted)


def _run_program(host: Host, plan: Plan, request: StepRequest, ids: DerivedIds, data: Mapping[str, Any]) -> StepResult:
    event, instance = request.event, request.instance
    step = _made_step_input(event, data, event.subject, to_datetime(request.now), ids.new_id, host.bounds)
    return plan.program.start(step) if instance is None else plan.program.resume(instance.snapshot, step)


def _accepted_data(accepted: MachineInput, request: StepRequest) -> Mapping[str, Any]:
    """Hold the event against the contract that emits its type."""
    if request.event.dataschema != accepted.dataschema:
        _check_dataschema(accepted.contract, request)
    try:
        return accepted.schema.validate(request.event.data)
    except InvalidDataError as error:
        raise _contract_violation(str(error)) from error


def _check_dataschema(contract: ContractVersion, request: StepRequest) -> None:
    role = "self" if request.event.type == request.subject.name else "service"
    fault = dataschema_fault(contract, request.event, role)
    if fault is not None:
        raise _contract_violation(fault)


def _contract_violation(text: str) -> ExecutionFailure:
    head = "Input validation failed - Event data does not meet contract requirements"
    return ExecutionFailure("ContractViolation", f"{head}: {text}")


def _parent_subject(request: StepRequest, data: Mapping[str, Any] | None) -> str | None:
    """Give the parent's subject: kept since the start, or named by the init event, even one that fails."""
    if request.instance is not None:
        return request.instance.parent_subject
    named = (request.event.data if data is None else data).get("parentSubject$$")
    return named if isinstance(named, str) and named else None


def _cause(plan: Plan, request: StepRequest, data: Mapping[str, Any] | None) -> Cause:
    event = request.event
    return Cause(
        event,
        request.subject,
        _parent_subject(request, data),
        plan.machine,
        plan.executionunits,
        DerivedIds(event),
        request.now,
        request.trace,
    )


def _next_instance(request: StepRequest, plan: Plan, cause: Cause, result: StepResult) -> Instance:
    before = request.instance
    return _made_instance(
        request.event.subject,
        plan.source,
        plan.version,
        Status.DONE if result.done else Status.ACTIVE,
        result.snapshot,
        before.init_event_id if before else request.event.id,
        cause.parent_subject,
        request.now,
        before.revision + 1 if before else 1,
    )


def _failed(host: Host, cause: Cause, request: StepRequest, failure: ExecutionFailure) -> Failed:
    # A machine's functions may raise an ExecutionFailure of their own, with any text.
    name, message = clean_text(failure.name), clean_text(failure.message)
    stack = clean_text(failure.stack) if host.error_stacks and failure.stack else None
    error = system_error_event(cause, system_error_data(name, message, stack))
    return Failed(request.instance, error, name, message)


def _no_instance() -> DeadLettered:
    text = (
        "no instance has this subject and the event does not start one; was its init event lost or dead-lettered, "
        "or was the instance removed some time after its end?"
    )
    return DeadLettered(DeadLetterReason.NO_INSTANCE, "NoInstance", text)


def _already_started() -> DeadLettered:
    text = "an init event with a new id for an instance that exists; start another execution with a new subject"
    return DeadLettered(DeadLetterReason.ALREADY_STARTED, "AlreadyStarted", text)


def _id_conflict() -> DeadLettered:
    text = "an event with this subject, source and id was consumed with other content; ids must not be used twice"
    return DeadLettered(DeadLetterReason.ID_CONFLICT, "IdConflict", text)


def _no_machine(source: str, version: str) -> DeadLettered:
    text = (
        "Machine resolution failed: No machine found matching orchestrator "
        f"name='{source}' and version='{version}'. Deploy that version or correct the subject."
    )
    return DeadLettered(DeadLetterReason.NO_MACHINE, "ConfigViolation", text)
