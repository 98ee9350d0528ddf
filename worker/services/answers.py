"""The events that answer a request: addressed, numbered and traced as it asks. Pure.

An answer's id is derived from the request's subject, source and id and the answer's ordinal, so a request that is
answered again is answered with the same events.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

from worker.core.contracts import ContractVersion
from worker.core.digests import DerivedIds
from worker.core.domains import DEFAULT_DOMAIN
from worker.core.errors import ExecutionFailure, InvalidEventError
from worker.core.events import ARVO_CONTENT_TYPE, SPECVERSION, Event, event_from_json
from worker.core.factories import system_error_data
from worker.core.outcomes import DomainedEvent
from worker.core.texts import clean_text
from worker.core.times import to_event_time
from worker.services.replies import CheckedReply

_NAME_CHARACTERS_MAX: Final = 256


def answering_events(
    contract: ContractVersion,
    request: Event,
    replies: Sequence[CheckedReply],
    now: int,
    executionunits: float | None = None,
) -> tuple[DomainedEvent, ...]:
    """Make the events of all replies, in their order, for whoever the request redirects to, else its sender.

    `now` is in milliseconds since the epoch; `executionunits` is for replies that have none.
    Raises: ExecutionFailure, for data that no event may hold.
    """
    ids = DerivedIds(request)
    return tuple(
        _domained(
            contract,
            request,
            now,
            id=ids.emission(ordinal),
            type=reply.type,
            dataschema=contract.dataschema,
            data=dict(reply.data),
            to=request.redirectto or request.source,
            executionunits=executionunits if reply.executionunits is None else reply.executionunits,
        )
        for ordinal, reply in enumerate(replies)
    )


def system_error(  # noqa: PLR0913 - what an answer has, and what it says.
    contract: ContractVersion,
    request: Event,
    failure: ExecutionFailure,
    now: int,
    executionunits: float | None = None,
    *,
    error_stacks: bool = False,
) -> tuple[DomainedEvent, ...]:
    """Make the one event that tells the request's sender of a failure.

    It goes to the sender whatever the request redirects, and carries the wildcard version.
    Source: ArvoEventHandler of arvo-event-handler.
    """
    stack = clean_text(failure.stack) if error_stacks and failure.stack else None
    event = _domained(
        contract,
        request,
        now,
        id=DerivedIds(request).error(),
        type=contract.system_error_type,
        dataschema=contract.system_error_dataschema,
        data=system_error_data(clean_text(failure.name), clean_text(failure.message), stack),
        to=request.source,
        executionunits=executionunits,
    )
    return (event,)


def failure_of(error: BaseException) -> ExecutionFailure:
    """Say what a service's function raised: the error's name, its text, its stack."""
    name = type(error).__name__[:_NAME_CHARACTERS_MAX]
    text = _text(lambda: str(error), f"an error of type {name} that has no text")
    return ExecutionFailure(name, text, _text(lambda: "".join(traceback.format_exception(error)), ""))


def _domained(contract: ContractVersion, request: Event, now: int, **own: Any) -> DomainedEvent:
    # Nothing is encoded again: subject and addresses are the request's, as they came.
    document = {
        "specversion": SPECVERSION,
        "source": contract.type,
        "subject": request.subject,
        "datacontenttype": ARVO_CONTENT_TYPE,
        "time": to_event_time(now),
        "accesscontrol": request.accesscontrol,
        "parentid": request.id,
        "traceparent": request.traceparent,
        "tracestate": request.tracestate,
        **own,
    }
    try:
        return DomainedEvent(event_from_json(document), (DEFAULT_DOMAIN,))
    except InvalidEventError as error:
        raise ExecutionFailure("InvalidEventError", f"The answer {own['type']!r} is no valid event: {error}") from error


def _text(tell: Callable[[], str], otherwise: str) -> str:
    """Ask an error for its text, which is the author's code and may raise anything."""
    try:
        return tell()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return otherwise
