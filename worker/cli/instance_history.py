"""What came for an instance, and what it caused: the journal's rows with their events, and which answers which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.adapters.postgres.instance_rows import HistoryRow
from worker.adapters.postgres.journal_records import JournalRecords
from worker.cli.moments import milliseconds_of, moment_text
from worker.core.codec import decode_record
from worker.core.errors import InvalidEventError
from worker.core.events import Event, event_to_json
from worker.core.records import Output


@dataclass(frozen=True, slots=True)
class Published:
    """What went to a topic; an event that went to several stands once for each."""

    topic: str
    event: Event | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that came. `answers` is the event that it answers, if that is known, and the number of its entry."""

    number: int
    row: HistoryRow
    event: Event | None
    outputs: Sequence[Published]
    answers: tuple[int, Event] | None

    @property
    def at(self) -> int:
        """Give the time of the record, else of its journal row, in milliseconds since the epoch."""
        return milliseconds_of(self.row.record_time or self.row.recorded_at)

    def emitted(self) -> Iterator[tuple[Event, list[str]]]:
        """Give the events that were emitted, each with the topics that it went to."""
        topics: dict[str, list[str]] = {}
        events: dict[str, Event] = {}
        for one in self.outputs:
            if one.event is not None:
                events.setdefault(one.event.id, one.event)
                topics.setdefault(one.event.id, []).append(one.topic)
        yield from ((event, topics[name]) for name, event in events.items())

    def document(self) -> dict[str, Any]:
        """Give all of it as JSON."""
        row = self.row
        return {
            "number": self.number,
            "at": moment_text(self.at),
            "partition": row.partition,
            "offset": row.offset,
            "type": row.type,
            "source": row.source,
            "event_id": row.event_id,
            "answers": self.answers and self.answers[0],
            "outcome": row.outcome,
            "reason": row.reason,
            "error_name": row.error_name,
            "error_message": row.error_message,
            "states_before": row.states_before and list(row.states_before),
            "states_after": row.states_after and list(row.states_after),
            "revision": row.revision,
            "event": self.event and event_to_json(self.event),
            "emitted": [{"topics": topics, "event": event_to_json(event)} for event, topics in self.emitted()],
        }


def entries_of(rows: Sequence[HistoryRow], records: JournalRecords, input_topic: str) -> list[Entry]:
    """Read the events of journal rows, in their order. Raises: DatabaseUnavailable, DatabaseRefused."""
    emitted: dict[str, tuple[int, Event]] = {}
    entries: list[Entry] = []
    for number, row in enumerate(rows, 1):
        event, outputs = _bytes_of(row, records.kept(row.partition, row.offset), input_topic)
        entry = Entry(number, row, event, outputs, None if event is None else _answered(event, emitted, entries))
        emitted |= {one.id: (number, one) for one, _ in entry.emitted()}
        entries.append(entry)
    return entries


def unanswered(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Event, list[str]]]:
    """Give what was emitted for others to answer, and has had no answer yet."""
    answered = {entry.answers[1].id for entry in entries if entry.answers is not None}
    for entry in entries:
        if entry.row.outcome == "advanced":
            yield from ((entry, event, topics) for event, topics in entry.emitted() if event.id not in answered)


def _answered(
    event: Event, emitted: Mapping[str, tuple[int, Event]], entries: Sequence[Entry]
) -> tuple[int, Event] | None:
    """Find what an event answers: its cause; or, as a child's end is caused by its last event, what started a child."""
    if event.parentid is not None and event.parentid in emitted:
        return emitted[event.parentid]
    known = {entry.answers[1].id for entry in entries if entry.answers is not None}
    starts = ((number, one) for number, one in emitted.values() if one.id not in known)
    ends = (found for found in starts if event.type in (f"{found[1].type}.done", f"sys.{found[1].type}.error"))
    return next(ends, None)


def _bytes_of(row: HistoryRow, kept: Sequence[Output], input_topic: str) -> tuple[Event | None, Sequence[Published]]:
    """Find the row's own record among those that stand, or stood, at its place; each is followed by what it caused."""
    groups: list[tuple[Event | None, list[Published]]] = []
    for one in kept:
        if one.topic == input_topic or not groups:
            groups.append((_event(one), []))
        else:
            groups[-1][1].append(Published(one.topic, _event(one)))
    name = (row.source, row.event_id)
    own = (group for group in groups if group[0] is not None and (group[0].source, group[0].id) == name)
    return next(own, (None, ()))


def _event(output: Output) -> Event | None:
    try:
        return decode_record(output.value, output.headers)
    except InvalidEventError:
        return None
