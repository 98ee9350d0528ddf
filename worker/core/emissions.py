"""Turn what a machine emitted into events: validated, addressed, with derived ids and domains.

Source: the emission rules of arvo-xstate's ArvoOrchestrator, but in order of execution.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from worker.core.contracts import ContractVersion
from worker.core.digests import DerivedIds
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.engine.api import Emission, StepResult
from worker.core.errors import ExecutionFailure, InvalidDataError, InvalidEventError, InvalidSubjectError
from worker.core.event_rules import is_plain_json
from worker.core.events import ARVO_CONTENT_TYPE, Event, create_event
from worker.core.frozen import maker_of
from worker.core.machines import Machine, MachineOutput
from worker.core.outcomes import DomainedEvent
from worker.core.subjects import SubjectContent, child_subject, root_subject
from worker.core.times import to_event_time
from worker.core.traces import TraceHeaders
from worker.core.uris import ONLY_KEPT, is_encoded_uri

_DEFAULT_DOMAINS: Final = (DEFAULT_DOMAIN,)
_UNITS_MAX: Final = 2.0**53
_NUMBERS: Final = (int, float)
_is_plain_uri: Final = ONLY_KEPT.fullmatch
_event_of: Final = maker_of(Event)


class Cause(NamedTuple):
    """What the events of one step have in common. `trace` is what they carry; none: the event's own headers."""

    event: Event
    subject: SubjectContent
    parent_subject: str | None
    machine: Machine
    executionunits: float | None
    ids: DerivedIds
    now: int
    trace: TraceHeaders | None


def emitted_events(cause: Cause, result: StepResult) -> Iterator[DomainedEvent]:
    """Make events of raw emissions, in their order; the completion is the last. Raises: ExecutionFailure."""
    for ordinal, emission in enumerate(result.emissions):
        yield _plainly_emitted(cause, emission, ordinal) or _carefully_emitted(cause, emission, ordinal)
    if result.done:
        emission = _completion(cause, result.snapshot.output)
        ordinal = len(result.emissions)
        yield _plainly_emitted(cause, emission, ordinal) or _carefully_emitted(cause, emission, ordinal)


def _completion(cause: Cause, output: Mapping[str, Any] | None) -> Emission:
    """Emit the completion of an instance, addressed to whoever started it."""
    receiver = cause.subject.meta.get("redirectto")
    complete_type = cause.machine.contract.complete_type
    assert complete_type is not None, "a machine's contract is an orchestrator's"
    return Emission(complete_type, output or {}, None, cause.subject.initiator if receiver is None else receiver)


def system_error_event(cause: Cause, data: Mapping[str, Any]) -> DomainedEvent:
    """Make the one event that tells the initiator of a failure."""
    contract = cause.machine.contract
    attributes = {
        "id": cause.ids.error(),
        "source": cause.machine.source,
        "type": contract.system_error_type,
        "subject": cause.parent_subject or cause.event.subject,
        "dataschema": contract.system_error_dataschema,
        "data": dict(data),
        "to": cause.subject.initiator,
        "accesscontrol": cause.event.accesscontrol,
        "executionunits": cause.executionunits,
        **_common(cause),
    }
    return DomainedEvent(_event(attributes), _DEFAULT_DOMAINS)


def _plainly_emitted(cause: Cause, emission: Emission, ordinal: int) -> DomainedEvent | None:
    """Do as `_carefully_emitted` does, where nothing but the data can break a rule; nothing, if something else may.

    What is the machine's own was held to the rules at set-up, and what the incoming event brought when it came.
    """
    event, _, _, machine, units, ids, now, trace = cause
    type_, _, domains, to, redirectto, accesscontrol, own_units, dataschema, extensions = emission
    output = machine.outputs.get(type_)
    if (
        output is None
        or not output.is_plain
        or not (redirectto is None and accesscontrol is None and own_units is None and dataschema is None)
        or extensions
        or not (to is None or _is_plain_uri(to))
        or not (units is None or (units.__class__ in _NUMBERS and -_UNITS_MAX < units < _UNITS_MAX))
        or trace is not None
    ):
        return None
    subject = event.subject
    if not output.keeps_subject:
        subject = _subject_of(cause, emission, output.contract, ordinal)
        if not _is_plain_uri(subject):
            return None
    data, text = _validated(output, emission)
    if not is_plain_json(text):
        return None
    made = _event_of(
        ids.emission(ordinal),
        machine.contract.type,
        type_,
        subject,
        data,
        to_event_time(now),
        to or type_,
        ARVO_CONTENT_TYPE,
        output.dataschema,
        event.accesscontrol,
        machine.contract.type,
        units,
        event.id,
        event.traceparent,
        event.tracestate,
    )
    return DomainedEvent(made, domains or _DEFAULT_DOMAINS, text)


def _carefully_emitted(cause: Cause, emission: Emission, ordinal: int) -> DomainedEvent:
    output = cause.machine.outputs.get(emission.type)
    contract = output.contract if output else None
    attributes = {
        "id": cause.ids.emission(ordinal),
        "source": cause.machine.source,
        "type": emission.type,
        # A parent's subject that is none is told of before other faults of the data.
        "subject": _subject_of(cause, emission, contract, ordinal),
        "dataschema": contract.dataschema if contract else emission.dataschema,
        "data": _validated(output, emission)[0] if output else dict(emission.data),
        "to": emission.to or emission.type,
        "accesscontrol": cause.event.accesscontrol if emission.accesscontrol is None else emission.accesscontrol,
        "redirectto": _redirectto(cause, emission) or None,
        "executionunits": cause.executionunits if emission.executionunits is None else emission.executionunits,
        **_common(cause),
    }
    try:
        event = _event(attributes, emission.extensions)
    except InvalidEventError as error:
        text = f"the emitted event {emission.type!r} is no valid event: {error}"
        raise ExecutionFailure("InvalidEventError", text) from error
    return DomainedEvent(event, emission.domains or _DEFAULT_DOMAINS)


def _event(attributes: Mapping[str, Any], extensions: Mapping[str, Any] | None = None) -> Event:
    """Make an event, its subject left as it is: that is the instance's name. Raises: InvalidEventError."""
    event = create_event(attributes, extensions)
    subject = attributes["subject"]
    return replace(event, subject=subject) if is_encoded_uri(subject) and subject != event.subject else event


def _common(cause: Cause) -> dict[str, Any]:
    trace = cause.trace or TraceHeaders.of(cause.event)
    return {
        "datacontenttype": ARVO_CONTENT_TYPE,
        "time": to_event_time(cause.now),
        "parentid": cause.event.id,
        "traceparent": trace.traceparent,
        "tracestate": trace.tracestate,
    }


def _validated(output: MachineOutput, emission: Emission) -> tuple[dict[str, Any], bytes]:
    """Strip the data to the schema of the contract that accepts the type."""
    try:
        return output.schema.validated(emission.data)
    except InvalidDataError as error:
        text = (
            "Invalid event data: Schema validation failed - Check emit parameters in machine definition.\n"
            f"Event type: {emission.type}\nDetails: {error}"
        )
        raise ExecutionFailure("ContractViolation", text) from error


def _redirectto(cause: Cause, emission: Emission) -> str:
    return cause.machine.source if emission.redirectto is None else emission.redirectto


def _subject_of(cause: Cause, emission: Emission, contract: ContractVersion | None, ordinal: int) -> str:
    if emission.type == cause.machine.contract.complete_type:
        return cause.parent_subject or cause.event.subject
    if contract is None or not contract.is_orchestrator:
        return cause.event.subject
    name, version, execution_id = contract.type, contract.version, cause.ids.execution(ordinal)
    meta = {"redirectto": _redirectto(cause, emission)}
    parent = emission.data.get("parentSubject$$")
    try:
        if parent:
            return child_subject(parent, name=name, version=version, execution_id=execution_id, meta=meta)
        initiator = cause.machine.source
        return root_subject(name=name, version=version, initiator=initiator, execution_id=execution_id, meta=meta)
    except InvalidSubjectError as error:
        text = (
            f"Invalid parentSubject$$ for the event(type='{emission.type}', uri='{contract.dataschema}'). "
            f"It must be a subject; in chart code the instance's own is `subject`. {error}"
        )
        raise ExecutionFailure("ExecutionViolation", text) from error
