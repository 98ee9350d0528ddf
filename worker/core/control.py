"""Control records: operators' commands to an instance, which travel through the input topic like any record.

A control record's content type tells it from events, its key is the instance's subject, and its value one JSON object:

    {"id": …, "subject": …, "command": "cancel", "reason": …, "requested_by": …, "time": …, "expected_revision": …}

Once read it is an event like any other, so that it is journalled, told from its duplicates and ordered as they are.
No event of a producer can pass for one: events have another content type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from worker.core.errors import InvalidControlError
from worker.core.event_rules import TIME, is_storable
from worker.core.events import Event
from worker.core.json import dumps
from worker.core.uris import is_encoded_uri

CONTROL_CONTENT_TYPE: Final = "application/vnd.arvo.control+json"
CONTROL_SOURCE: Final = "sys.control"
"""The source of every control record as an event: their ids are of one space."""

CANCELLED: Final = "Cancelled"
"""The error's name in what tells the initiator of a cancelled instance."""

ID_CHARACTERS_MAX: Final = 256
REASON_CHARACTERS_MAX: Final = 1_000
REQUESTED_BY_CHARACTERS_MAX: Final = 256


class Command(StrEnum):
    """What can be asked of an instance."""

    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Control:
    """One command to one instance.

    `requested_by` says who asked, and `reason` why, for people; `time` is when, with an offset. With an
    `expected_revision` it is carried out only on an instance that has taken just so many steps.
    """

    id: str
    subject: str
    command: Command
    requested_by: str
    time: str
    reason: str = ""
    expected_revision: int | None = None


def control_event(control: Control) -> Event:
    """Give a control record as the event that it is once read."""
    asked = {"reason": control.reason, "requested_by": control.requested_by}
    expected = control.expected_revision
    return Event(
        id=control.id,
        source=CONTROL_SOURCE,
        type=f"{CONTROL_SOURCE}.{control.command.value}",
        subject=control.subject,
        data=asked if expected is None else {**asked, "expected_revision": expected},
        time=control.time,
        to=None,
        datacontenttype=CONTROL_CONTENT_TYPE,
    )


def control_of(event: Event) -> Control:
    """Give the command of an event that was a control record."""
    return Control(
        id=event.id,
        subject=event.subject,
        command=Command(event.type.removeprefix(f"{CONTROL_SOURCE}.")),
        requested_by=event.data["requested_by"],
        time=event.time,
        reason=event.data["reason"],
        expected_revision=event.data.get("expected_revision"),
    )


def control_text(control: Control) -> bytes:
    """Write a control record's value. Raises: InvalidControlError, for one that would not be read."""
    document: dict[str, str | int] = {
        "id": control.id,
        "subject": control.subject,
        "command": control.command.value,
        "reason": control.reason,
        "requested_by": control.requested_by,
        "time": control.time,
    }
    if control.expected_revision is not None:
        document["expected_revision"] = control.expected_revision
    read_control(document)
    return dumps(document)


def read_control(document: object) -> Control:
    """Read a control record's value. Raises: InvalidControlError, which names all faults."""
    if not isinstance(document, dict):
        raise InvalidControlError("The control record is no JSON object; expected one command to an instance.")
    faults = [
        (name, rule.expected)
        for name, rule in _RULES.items()
        if not (rule.holds(document[name]) if name in document else rule.optional)
    ]
    faults += [(name, "nothing: no command has it") for name in document if name not in _RULES]
    if faults:
        told = "; ".join(f"{name}: expected {what}" for name, what in faults)
        raise InvalidControlError(f"The control record breaks the rules: {told}.", [name for name, _ in faults])
    return Control(**{**document, "command": Command(document["command"])})


def cancelled_text(control: Control) -> str:
    """Tell who cancelled an instance, and why if that was said."""
    return f"The workflow was cancelled by {control.requested_by}{f': {control.reason}' if control.reason else ''}"


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    expected: str
    optional: bool = False


def _text(characters_max: int, characters_min: int = 1) -> _Rule:
    def holds(value: Any) -> bool:
        return isinstance(value, str) and characters_min <= len(value) <= characters_max and is_storable(value)

    return _Rule(
        holds, f"a text of {characters_min} to {characters_max} characters without U+0000", characters_min == 0
    )


def _is_subject(value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_encoded_uri(value)


def _is_command(value: Any) -> bool:
    return isinstance(value, str) and value in set(Command)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and TIME.fullmatch(value) is not None


def _is_revision(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63


_RULES: Final[Mapping[str, _Rule]] = {
    "id": _text(ID_CHARACTERS_MAX),
    "subject": _Rule(_is_subject, "the subject of an instance"),
    "command": _Rule(_is_command, f"a command that this worker knows: {', '.join(Command)}"),
    "requested_by": _text(REQUESTED_BY_CHARACTERS_MAX),
    "time": _Rule(_is_time, "a date and time with an offset, as 2024-01-15T12:34:56.789+00:00"),
    "reason": _text(REASON_CHARACTERS_MAX, 0),
    "expected_revision": _Rule(_is_revision, "a number of steps, from 1", optional=True),
}
