"""One line for a record: time, topic, type, instance, id; a dead letter with its reason. Pure."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from worker.adapters.kafka.tailing import Received
from worker.core.codec import decode_record
from worker.core.dead_letters import DeadLetter, Marker, placed, read_record
from worker.core.errors import InvalidEventError, InvalidSubjectError
from worker.core.events import Event, event_to_json
from worker.core.subjects import decode_subject
from worker.terminal.texts import harmless

SHORT_ID_CHARACTERS: Final = 8
TYPE_WIDTH: Final = 32
INSTANCE_WIDTH: Final = 18
_UNREADABLE: Final = "(no event)"
_TEXT_CHARACTERS_MAX: Final = 120
_ORCHESTRATOR_PREFIX: Final = "arvo.orc."


@dataclass(frozen=True)
class Told:
    """A record, as far as it can be read."""

    received: Received

    @cached_property
    def event(self) -> Event | None:
        """Give the event in it, if there is one."""
        record = self.received.record
        try:
            return decode_record(record.value, record.headers)
        except InvalidEventError:
            return None

    @cached_property
    def subject(self) -> str | None:
        """Give the subject: the event's, else the key."""
        if self.event is not None:
            return self.event.subject
        key = self.received.record.key
        return None if key is None else key.decode("utf-8", "replace")

    @cached_property
    def dead_letter(self) -> DeadLetter | Marker | None:
        """Give what is said of a dead letter, or of its redrive, if it is one."""
        return read_record(self.received.record)

    def line(self, topic_width: int = 0) -> str:
        """Write the line; characters that would steer a terminal are replaced."""
        topic = self.received.topic.ljust(topic_width)
        return harmless(f"{clock_text(self.received.record.timestamp)}  {topic}  {self._what()}")

    def document(self) -> dict[str, Any]:
        """Give everything as JSON; bytes that are no event stand as base64 in `value`."""
        record = self.received.record
        told: dict[str, Any] = {
            "topic": self.received.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": None if record.key is None else record.key.decode("utf-8", "replace"),
            "headers": {name: None if one is None else one.decode("utf-8", "replace") for name, one in record.headers},
        }
        if self.event is not None:
            return told | {"event": event_to_json(self.event)}
        return told | {"value": None if record.value is None else base64.b64encode(record.value).decode()}

    def _what(self) -> str:
        match self.dead_letter:
            case DeadLetter() as letter:
                return f"{letter.reason}  {letter.source}  {_cut(letter.error_message)}"
            case Marker(place=place, is_discard=True):
                return f"discarded  {placed(self.received.topic, place)}"
            case Marker(place=place, topic=topic):
                return f"redriven  {placed(self.received.topic, place)}  to {topic}"
            case None:
                pass
        if self.event is None:
            record = self.received.record
            return f"{_UNREADABLE}  [{record.partition}]@{record.offset}"
        instance = short_subject(self.event.subject)
        return f"{self.event.type:{TYPE_WIDTH}}  {instance:{INSTANCE_WIDTH}}  {self.event.id}"


def short_subject(subject: str) -> str:
    """Name an instance in short: the machine and the beginning of the execution's id."""
    try:
        content = decode_subject(subject)
    except InvalidSubjectError:
        return f"{subject[:SHORT_ID_CHARACTERS]}…"
    return f"{content.name.removeprefix(_ORCHESTRATOR_PREFIX)} {content.execution_id[:SHORT_ID_CHARACTERS]}"


def names_subject(wanted: str, subject: str | None) -> bool:
    """Tell whether `wanted` is the subject, or the beginning of its execution's id."""
    if subject is None:
        return False
    if wanted == subject:
        return True
    try:
        return decode_subject(subject).execution_id.startswith(wanted)
    except InvalidSubjectError:
        return False


def counts_text(counts: Mapping[str, int]) -> str:
    """Write counts as `input 12, default 6`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def clock_text(milliseconds: int) -> str:
    """Write the time of day in UTC, to the millisecond."""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return "--:--:--.---"
    return moment.strftime("%H:%M:%S.") + f"{milliseconds % 1000:03}"


def _cut(text: str) -> str:
    first = text.partition("\n")[0]
    return first if len(first) <= _TEXT_CHARACTERS_MAX else f"{first[:_TEXT_CHARACTERS_MAX]}…"
