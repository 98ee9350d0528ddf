"""Dead letters as values: what their headers say, and which are wanted. Pure.

A dead letter's own headers stand behind those of the record that it keeps, from the last `dlq-reason` on. A marker is
a record of the same partition that tells which dead letter was redriven; it is no dead letter itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.core.codec import decode_record
from worker.core.errors import InvalidEventError, InvalidSubjectError
from worker.core.events import Event
from worker.core.records import Headers, Output, Record
from worker.core.subjects import decode_subject

MARKED_OFFSET: Final = "redriven-offset"
MARKED_TO: Final = "redriven-to"
MARKED_AT: Final = "redriven-at"
"""A marker's headers: which dead letter of its partition, to which topic, and when in milliseconds.

One that was discarded went to no topic: the text is empty.
"""

_REASON: Final = "dlq-reason"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stands in a topic; written as `PARTITION:OFFSET`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def read_place(text: str) -> Place | None:
    """Read `PARTITION:OFFSET`; None if it is something else."""
    numbers = [_number(part) for part in text.split(":")]
    match numbers:
        case [int(partition), int(offset)]:
            return Place(partition, offset)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be processed, or an output that a broker refused, and what is told of it.

    `original` is what came from `original.topic`, or was to go there, as it was. `origin` is a record's place in that
    topic; an output has none, and `cause` is then the place of the record that caused it. With a `value_digest` the
    bytes were too large for the topic, and stand in the journal alone. Times are in milliseconds since the epoch.
    """

    place: Place
    reason: str
    error_name: str
    error_message: str
    original: Output
    origin: Place | None
    cause_topic: str | None
    cause: Place | None
    failed_at: int
    group_id: str
    worker_version: str
    value_digest: str | None

    @property
    def source(self) -> str:
        """Say where it came from, as `topic[partition]@offset`; of an output, where it was to go."""
        return self.original.topic if self.origin is None else placed(self.original.topic, self.origin)

    @property
    def sources(self) -> frozenset[str]:
        """Give every name that its source goes by: topics, and each with its partition as `topic-partition`."""
        named = [(self.original.topic, self.origin), (self.cause_topic, self.cause)]
        topics = {topic for topic, _ in named if topic is not None}
        return frozenset(topics | {f"{topic}-{place.partition}" for topic, place in named if place is not None})

    def event(self) -> Event | None:
        """Decode the event in it, if there is one."""
        if self.value_digest is not None:
            return None
        try:
            return decode_record(self.original.value, self.original.headers)
        except InvalidEventError:
            return None

    def machines(self) -> frozenset[str]:
        """Name the machines that it has to do with: its instance's, and the one that emitted it, if one did."""
        event = self.event()
        if event is None:
            return frozenset()
        try:
            return frozenset((event.source, decode_subject(event.subject).name))
        except InvalidSubjectError:
            return frozenset((event.source,))

    def texts(self) -> Iterator[str]:
        """Give what can be looked through: the error, and the value with the event in it, as far as it is text."""
        yield f"{self.error_name}: {self.error_message}"
        yield (self.original.value or b"").decode("utf-8", "replace")
        event = self.event()
        if event is not None:
            yield event.type

    def subject(self) -> str | None:
        """Give the subject of the instance: the event's, else the key."""
        event = self.event()
        if event is not None:
            return event.subject
        key = self.original.key
        return None if key is None else key.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Marker:
    """What tells that the dead letter at `place` was redriven: to which topic, and when in milliseconds.

    One that was discarded has the topic "".
    """

    place: Place
    topic: str
    at: int

    @property
    def is_discard(self) -> bool:
        """Whether it went nowhere."""
        return not self.topic


def read_record(record: Record) -> DeadLetter | Marker | None:
    """Read a record of the dead letters' topic; None for what neither the worker nor a redrive wrote."""
    names = [name for name, _ in record.headers]
    if _REASON in names:
        begin = len(names) - 1 - names[::-1].index(_REASON)
        return _dead_letter(record, record.headers[:begin], _texts(record.headers[begin:]))
    told = _texts(record.headers)
    offset = _number(told.get(MARKED_OFFSET))
    if offset is None:
        return None
    return Marker(Place(record.partition, offset), told.get(MARKED_TO, ""), _number(told.get(MARKED_AT)) or 0)


def placed(topic: str, place: Place) -> str:
    """Write a place in a topic."""
    return f"{topic}[{place.partition}]@{place.offset}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Say which dead letters are wanted; what is empty, or None, lets all through.

    `since` and `until` bound the time of the failure, in milliseconds, and `below` the offset by partition. A source is
    a topic, or `topic-partition`. `matching` is to be found in the error, the value, or the event's type.
    """

    reasons: frozenset[str] = frozenset()
    names_subject: Callable[[str | None], bool] | None = None
    since: int | None = None
    until: int | None = None
    below: Mapping[int, int] | None = None
    sources: frozenset[str] = frozenset()
    places: frozenset[Place] = frozenset()
    machines: frozenset[str] = frozenset()
    matching: re.Pattern[str] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a dead letter is wanted."""
        return (
            (not self.places or letter.place in self.places)
            and (self.below is None or letter.place.offset < self.below.get(letter.place.partition, 0))
            and (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (not self.sources or not self.sources.isdisjoint(letter.sources))
            and (self.names_subject is None or self.names_subject(letter.subject()))
            and (not self.machines or not self.machines.isdisjoint(letter.machines()))
            and (self.matching is None or any(map(self.matching.search, letter.texts())))
        )


def _dead_letter(record: Record, original: Headers, told: Mapping[str, str]) -> DeadLetter:
    topic = told.get("dlq-topic", "")
    return DeadLetter(
        place=Place(record.partition, record.offset),
        reason=told[_REASON],
        error_name=told.get("dlq-error-class", ""),
        error_message=told.get("dlq-error-message", ""),
        original=Output(topic, record.key, record.value, original),
        origin=_place(told.get("dlq-partition"), told.get("dlq-offset")),
        cause_topic=told.get("dlq-cause-topic"),
        cause=_place(told.get("dlq-cause-partition"), told.get("dlq-cause-offset")),
        failed_at=_number(told.get("dlq-first-failure-time")) or record.timestamp,
        group_id=told.get("dlq-consumer-group", ""),
        worker_version=told.get("dlq-worker-version", ""),
        value_digest=told.get("dlq-value-sha256"),
    )


def _texts(headers: Headers) -> dict[str, str]:
    """Give headers as texts; of a name that is there twice the first counts."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in reversed(headers)}


def _place(partition: str | None, offset: str | None) -> Place | None:
    numbers = _number(partition), _number(offset)
    match numbers:
        case (int(first), int(second)):
            return Place(first, second)
        case _:
            return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
