"""Events as the outside sends them: those that start workflows, and the answers of services. Pure, but for a count."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.core.contracts import PARENT_SUBJECT, ContractVersion
from worker.core.control import Command, Control, control_event, control_text
from worker.core.errors import SetupError
from worker.core.events import Event, create_event
from worker.core.subjects import root_subject
from worker.core.times import to_event_time
from worker.testing.clock import Clock
from worker.testing.texts import closest

TEST_SOURCE: Final = "com.example.test"
"""Who starts workflows here, and so gets their completions."""


class EventMaker:
    """Make events whose ids are counted: the same test has the same events each time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0

    def start(self, contract: ContractVersion, data: Mapping[str, Any]) -> Event:
        """Make the event that starts a workflow, with no parent unless the data names one; data stays as it is."""
        event_id = self._next_id()
        subject = root_subject(
            name=contract.type, version=contract.version, initiator=TEST_SOURCE, execution_id=event_id
        )
        return create_event(
            {
                "id": event_id,
                "source": TEST_SOURCE,
                "type": contract.type,
                "subject": subject,
                "dataschema": contract.dataschema,
                "data": {PARENT_SUBJECT: None, **data},
                "time": to_event_time(self._clock.milliseconds),
                "to": contract.type,
            }
        )

    def reply(self, request: Event, service: ContractVersion, event_type: str, data: Mapping[str, Any]) -> Event:
        """Make a service's answer to a request, of one of its reply types; data stays as it is."""
        is_error = event_type == service.system_error_type
        return create_event(
            {
                "id": self._next_id(),
                "source": service.type,
                "type": event_type,
                "subject": _subject_of_reply(request, service),
                "dataschema": service.system_error_dataschema if is_error else service.dataschema,
                "data": data,
                "time": to_event_time(self._clock.milliseconds),
                "to": request.redirectto or request.source,
                "accesscontrol": request.accesscontrol,
                "parentid": request.id,
                "traceparent": request.traceparent,
                "tracestate": request.tracestate,
            }
        )

    def cancel(self, subject: str, reason: str, by: str) -> Event:
        """Make an operator's command as the event that it is once read. Raises: InvalidControlError."""
        time = to_event_time(self._clock.milliseconds)
        asked = Control(self._next_id(), subject, Command.CANCEL, by, time, reason)
        control_text(asked)
        return control_event(asked)

    def _next_id(self) -> str:
        self._count += 1
        return f"test-{self._count}"


def _subject_of_reply(request: Event, service: ContractVersion) -> str:
    """Give the requester's subject: what starts an orchestrator has the subject of the instance that it starts."""
    parent = request.data.get(PARENT_SUBJECT) if service.is_orchestrator else None
    return parent if isinstance(parent, str) and parent else request.subject


def service_with_reply(services: Sequence[ContractVersion], reply_type: str) -> ContractVersion:
    """Find the service that answers with this type. Raises: SetupError."""
    for service in services:
        if reply_type in service.replies:
            return service
    types = sorted(event_type for service in services for event_type in service.replies)
    near = closest(reply_type, types)
    raise SetupError(f"No service answers with {reply_type!r}{near}; expected one of {', '.join(types) or '-'}.")


def merged(data: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give data that is written as a mapping, as named fields, or as both."""
    return {**(data or {}), **fields}
