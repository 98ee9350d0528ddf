"""How the kit writes things down for a person: events, data, differences."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from worker.core.contracts import PARENT_SUBJECT
from worker.core.events import Event
from worker.core.json import dumps
from worker.core.outcomes import (
    Advanced,
    Cancelled,
    DeadLettered,
    DomainedEvent,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
    Unexpected,
)

DATA_CHARACTERS_MAX: Final = 160
CONTEXT_CHARACTERS_MAX: Final = 800

_IGNORED: Final = {
    IgnoredReason.NOT_HOSTED: "its subject is another orchestrator's",
    IgnoredReason.ENDED: "the workflow has ended",
    IgnoredReason.FOREIGN: "no contract of the machine has it, and it is addressed to somebody else",
    IgnoredReason.ABSENT: "there is no such workflow",
    IgnoredReason.CHANGED: "the workflow has gone on since the command was given",
}


def closest(name: str, names: Iterable[str]) -> str:
    """Give a hint at what may have been meant, if anything is near."""
    near = get_close_matches(name, list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def names_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """Give the names that a test wrote as one text or as several."""
    return (given,) if isinstance(given, str) else tuple(given)


def data_text(data: object, characters_max: int = DATA_CHARACTERS_MAX) -> str:
    """Write JSON on one line, cut where it gets long."""
    try:
        text = dumps(data).decode()
    except ValueError:
        text = repr(data)
    return text if len(text) <= characters_max else f"{text[:characters_max]}…"


def event_text(event: Event) -> str:
    """Write an event's type and data; of the parent's subject, which nobody reads, only that there is one."""
    data = {key: value for key, value in event.data.items() if key != PARENT_SUBJECT}
    if event.data.get(PARENT_SUBJECT):
        data[PARENT_SUBJECT] = "…"
    return f"{event.type} {data_text(data)}"


def emitted_text(emitted: DomainedEvent) -> str:
    """Write an emitted event with its domains, and its receiver where that is not the type."""
    event = emitted.event
    receiver = "" if event.to == event.type else f", to {event.to}"
    return f"[{', '.join(emitted.domains)}{receiver}] {event_text(event)}"


def outcome_text(outcome: Outcome) -> str:  # noqa: PLR0911 - One for each outcome.
    """Say in a few words what came of an event."""
    match outcome:
        case Advanced(instance=instance):
            return f"it is {instance.status.value}"
        case Unexpected(expected=expected):
            return f"nothing waited for it (but for {', '.join(expected) or 'nothing'})"
        case Failed(error_name=name, error_message=message):
            return f"failed, {name}: {message}"
        case Cancelled(error_message=message):
            return message
        case Duplicate():
            return "dropped: it was consumed before"
        case Ignored(reason=reason):
            return f"ignored: {_IGNORED[reason]}"
        case DeadLettered(reason=reason, error_message=message):
            return f"dead letter {reason.value}: {message}"


def difference(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Say of each expected key what is there instead; keys that nobody asked about may be anything."""
    lines = []
    for key, value in expected.items():
        if key not in actual:
            lines.append(f"{key}: expected {data_text(value)}, and there is none{closest(key, actual)}")
        elif not same(actual[key], value):
            lines.append(f"{key}: expected {data_text(value)}, got {data_text(actual[key])}")
    return lines


def same(actual: object, expected: object) -> bool:
    """Compare as JSON does: a boolean is no number, a tuple is a list."""
    match actual, expected:
        case (Mapping(), Mapping()):
            return actual.keys() == expected.keys() and all(same(actual[key], expected[key]) for key in expected)
        case (list() | tuple(), list() | tuple()):
            return len(actual) == len(expected) and all(map(same, actual, expected))
        case _:
            return isinstance(actual, bool) == isinstance(expected, bool) and actual == expected
