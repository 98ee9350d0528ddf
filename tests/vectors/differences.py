"""Where SPEC stands above the reference: what a recorded step has to come to here.

Each rule is a row of the table at the end of the vectors' README, or a row of SPEC's table of one step.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tests.vectors.cases import expect_equal
from worker.core.contracts import ContractVersion
from worker.core.domains import DEFAULT_DOMAIN, check_domain
from worker.core.errors import (
    ArvoTransactionError,
    ConfigViolation,
    InvalidDataError,
    InvalidSubjectError,
    TransactionCause,
    WorkerError,
)
from worker.core.events import ARVO_CONTENT_TYPE, SPECVERSION, Event
from worker.core.instances import Instance
from worker.core.subjects import SubjectContent, decode_subject

Json = dict[str, Any]

VIOLATIONS = {f"ViolationError<{name}>": f"{name}Violation" for name in ("Contract", "Execution")}
ATTRIBUTES = frozenset(attribute.name for attribute in fields(Event))
_PREFIX = re.compile(r"ViolationError<\w+> (?:\[\w+\] )?")
_WRAPPED = re.compile(r"Unable to evaluate guard (?:'.*' )?in transition for event '.*' in state node '.*':\n(?s:(.*))")
_NOT_IMPLEMENTED = re.compile(r"(?:Guard|Action) '(.+)' is not implemented")
_OF_JAVASCRIPT = re.compile(r"Cannot read properties of ")
_DETAILS_OF_PARENT = ".It must be follow"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`execute` raises; `message_head` begins the text, where the reference's says something."""

    error: type[WorkerError]
    cause: TransactionCause | None = None
    message_head: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a system error event says.

    `name` and `message_head` are the machine's or ours, never a library's of the reference; `mentions` are words that
    the message has to have.
    """

    name: str | None = None
    message_head: str = ""
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What `execute` returns and leaves.

    `emitted` are the reference's events with their domains, in its order. `failure` is about the one system error.
    `untouched` means that the record stays as it was, whatever the reference wrote.
    """

    emitted: tuple[tuple[Json, tuple[str, ...]], ...] = ()
    failure: Failure | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a step is run: the event, the machine that takes it, and where the instance stands."""

    event: Event
    contract: ContractVersion
    executionunits: float
    instance: Instance | None
    previous: Json | None
    reparented: Mapping[str, str] = field(default_factory=dict)
    """Where the reference now sends to the parent of a second init event: whom the first one named."""
    validated: Sequence[tuple[Json, Json]] = field(default_factory=list)
    """Data of this and earlier events: as they came, and as their contracts give them to the machine."""


def expected_here(step: Json, now: Situation) -> Refusal | Expected:
    """Give what a step has to come to."""
    expect_equal(step["outcome"], "threw" if "error" in step else "returned", "the outcome")
    refusal = _refusal(step, now)
    if refusal is not None:
        return refusal
    if now.event.type == now.contract.type and now.instance is not None:
        return Expected(untouched=True)
    if "error" in step:
        return system_error(now, violation_of(step["error"]))
    if not all(map(_is_domain, step["result"]["allEventDomains"])):
        return system_error(now, Failure())
    record = step["memoryRecord"]
    emitted = tuple(_with_domains(step, now))
    if record and record["status"] == "done" and not (now.previous and now.previous["status"] == "done"):
        return _completed(emitted, record["snapshot"].get("output"), now)
    failure = next((_failure(event["data"]) for event, _ in emitted if _is_system_error(event, now)), None)
    return Expected(emitted, failure)


def _refusal(step: Json, now: Situation) -> Refusal | None:
    error = step.get("error") or {}
    try:
        subject = decode_subject(now.event.subject)
    except InvalidSubjectError:
        return Refusal(ArvoTransactionError, TransactionCause.INVALID_SUBJECT)
    if error.get("type") == "OrchestratorTransaction":
        return Refusal(ArvoTransactionError, TransactionCause(error["cause"]))
    # An orchestrator is asked for its own instances only, whether or not there is a record.
    if subject.name != now.contract.type:
        return Refusal(
            ConfigViolation, message_head="Machine resolution failed: No machine found matching orchestrator"
        )
    if error.get("type") == "Config":
        return Refusal(ConfigViolation, message_head=_PREFIX.sub("", error["message"]).removesuffix("."))
    return None


def violation_of(error: Json) -> Failure:
    """Give what the system error says in place of a violation that the reference throws."""
    name = VIOLATIONS.get(error["name"], error["name"])
    message = _PREFIX.sub("", error.get("messageHead") or error["message"])
    places = [issue["path"][-1] for issue in error.get("zodIssues") or () if issue["path"]]
    return Failure(name, message.partition(_DETAILS_OF_PARENT)[0], tuple(map(str, places)))


def _failure(data: Json) -> Failure:
    """Read what the reference's system error says of the machine, not of XState, zod or JavaScript."""
    name, message = data["errorName"], data["errorMessage"]
    if name == "ZodError":
        paths = [issue["path"] for issue in json.loads(message)]
        return Failure(mentions=tuple(_mentioned(path) for path in paths))
    wrapped = _WRAPPED.fullmatch(message)
    message = wrapped[1] if wrapped else message
    missing = _NOT_IMPLEMENTED.match(message)
    if missing:
        return Failure(mentions=(missing[1],))
    return Failure(name) if _OF_JAVASCRIPT.match(message) else Failure(name, message)


def _mentioned(path: list[Any]) -> str:
    attribute = str(path[0]) if path else "data"
    return attribute if attribute in ATTRIBUTES else "extension"


def _with_domains(step: Json, now: Situation) -> Iterator[tuple[Json, tuple[str, ...]]]:
    buckets: Mapping[str, list[int]] = step["result"]["domainedEvents"]
    expect_equal(buckets["all"], list(range(len(step["emitted"]))), "the reference's list of all events")
    expect_equal(step["result"]["events"], buckets.get(DEFAULT_DOMAIN, []), "the reference's list of default events")
    for index, event in enumerate(step["emitted"]):
        domains = tuple(name for name in step["result"]["allEventDomains"] if index in buckets.get(name, ()))
        subject = now.reparented.get(event["subject"], event["subject"])
        here = here_visible({**_traced(event, now), "subject": subject}, now.validated)
        yield here, domains or (DEFAULT_DOMAIN,)


def here_visible(value: Any, validated: Sequence[tuple[Json, Json]]) -> Any:
    """Replace data as they came by data as the contract gives them to the machine."""
    for came, given in validated:
        if value == came:
            return given
    if isinstance(value, dict):
        return {key: here_visible(item, validated) for key, item in value.items()}
    return [here_visible(item, validated) for item in value] if isinstance(value, list) else value


def _traced(event: Json, now: Situation) -> Json:
    """Without a span of its own, a step passes the event's trace on; the reference then drops it."""
    if event["traceparent"] is not None or now.event.traceparent is None:
        return event
    return {**event, "traceparent": now.event.traceparent, "tracestate": now.event.tracestate}


def _completed(emitted: tuple[tuple[Json, tuple[str, ...]], ...], output: Any, now: Situation) -> Expected:
    """Add the completion that the final configuration always gives; it has to fit the contract."""
    complete_type = now.contract.complete_type
    if any(event["type"] == complete_type for event, _ in emitted):
        return Expected(emitted)
    assert complete_type is not None
    try:
        data = now.contract.emits[complete_type].validate(output if isinstance(output, dict) else {})
    except InvalidDataError:
        return system_error(now, Failure("ContractViolation"))
    subject = decode_subject(now.event.subject)
    completion = {
        **_common(now, complete_type),
        "dataschema": now.contract.dataschema,
        "data": dict(data),
        "to": subject.meta.get("redirectto") or subject.initiator,
        "redirectto": now.contract.type,
    }
    return Expected((*emitted, (completion, (DEFAULT_DOMAIN,))))


def system_error(now: Situation, failure: Failure) -> Expected:
    """Give the one event that a failing step comes to."""
    subject: SubjectContent = decode_subject(now.event.subject)
    event = {
        **_common(now, now.contract.system_error_type),
        "dataschema": now.contract.system_error_dataschema,
        "data": {"errorName": None, "errorMessage": None, "errorStack": "$stack"},
        "to": subject.initiator,
        "redirectto": None,
    }
    return Expected(((event, (DEFAULT_DOMAIN,)),), failure, untouched=True)


def _common(now: Situation, event_type: str) -> Json:
    return {
        "id": "$uuid4",
        "source": now.contract.type,
        "specversion": SPECVERSION,
        "type": event_type,
        "subject": _parent_subject(now) or now.event.subject,
        "datacontenttype": ARVO_CONTENT_TYPE,
        "time": "$time",
        "accesscontrol": now.event.accesscontrol,
        "executionunits": now.executionunits,
        "traceparent": now.event.traceparent,
        "tracestate": now.event.tracestate,
        "parentid": now.event.id,
    }


def _parent_subject(now: Situation) -> str | None:
    parent = now.instance.parent_subject if now.instance else now.event.data.get("parentSubject$$")
    return parent if isinstance(parent, str) else None


def _is_system_error(event: Json, now: Situation) -> bool:
    return bool(event["type"] == now.contract.system_error_type)


def _is_domain(name: str) -> bool:
    try:
        check_domain(name)
    except ValueError:
        return False
    return True
