"""`worker instances show` and `history`: all that is known of one instance."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.adapters.postgres.instance_rows import InstanceRow, InstanceRows
from worker.adapters.postgres.journal_records import JournalRecords
from worker.bootstrap import deploy
from worker.cli.graphing import write_picture
from worker.cli.instance_history import Entry, entries_of, unanswered
from worker.cli.instances import (
    ago_text,
    database_config,
    document_of,
    find_instance,
    instance_rows,
    states_text,
    status_text,
)
from worker.cli.loading import settings_without
from worker.cli.moments import milliseconds_of, moment_text, span_text
from worker.core.engine.outline import Outline, OutlineTransition, outline_of
from worker.core.errors import SetupError
from worker.core.events import Event
from worker.core.instances import Instance, Status
from worker.core.json import dumps
from worker.core.machines import Machine
from worker.core.routing import Topics
from worker.logs import configure_logs
from worker.settings import Settings
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.lines import short_subject
from worker.terminal.texts import counted, table

HISTORY_ENTRIES: Final = 100
_VALUE_CHARACTERS_MAX: Final = 100
_OUTCOME_COLOURS: Final = {
    "advanced": Colour.GOOD,
    "unexpected": Colour.DOUBTFUL,
    "failed": Colour.BAD,
    "cancelled": Colour.DOUBTFUL,
    "dead_lettered": Colour.BAD,
}
_HISTORY_HEADS: Final = ("#", "AT", "EVENT", "FROM", "OUTCOME", "STATES", "EMITTED")


@dataclass(frozen=True, slots=True)
class Whole:
    """An instance, with what can be found out about it. Without a machine, `why` says why it is not here."""

    row: InstanceRow
    instance: Instance
    machine: Machine | None
    why: str
    ancestors: Sequence[InstanceRow]
    descendants: Mapping[str, Sequence[InstanceRow]]
    entries: Sequence[Entry]

    @property
    def outline(self) -> Outline | None:
        """Give its chart, if that has the states that the instance is in."""
        outline = None if self.machine is None else outline_of(self.machine.chart)
        known = outline is not None and set(self.row.states) <= outline.states.keys()
        return outline if known else None

    def places(self) -> list[list[str]]:
        """Give the ways to the innermost active states, from the root on; without a chart, the states as they are."""
        outline, active = self.outline, self.row.states
        if outline is None:
            return [list(active)] if active else []
        leaves = [name for name in active if not set(outline.states[name].children) & set(active)]
        return [list(_path(outline, leaf)) for leaf in leaves]

    def waits(self) -> Iterator[OutlineTransition]:
        """Give the transitions that events can still take it by, those of inner states first."""
        if self.outline is not None and self.row.status == Status.ACTIVE:
            for name in reversed(self.row.states):
                yield from self.outline.states[name].transitions

    def open_requests(self) -> Iterator[tuple[Entry, Event, list[str]]]:
        """Give what it emitted for others to answer, and waits for still."""
        if self.row.status == Status.ACTIVE:
            yield from unanswered(self.entries)

    def document(self) -> dict[str, Any]:
        """Give all of it as JSON."""
        snapshot = self.instance.snapshot
        return {
            **document_of(self.row),
            "machine_is_here": self.machine is not None,
            "places": self.places(),
            "waits_for": [
                {"event": one.event, "state": one.source, "target": one.target, "guard": one.guard and one.guard.text}
                for one in self.waits()
            ],
            "unanswered": [
                {"entry": entry.number, "type": event.type, "id": event.id, "topics": topics}
                for entry, event, topics in self.open_requests()
            ],
            "context": dict(snapshot.context),
            "init": dict(snapshot.init),
            "remembered_states": {name: list(states) for name, states in snapshot.history.items()},
            "output": snapshot.output,
            "ancestors": [document_of(one) for one in self.ancestors],
            "children": self._children(self.row),
            "history": [one.document() for one in self.entries],
        }

    def _children(self, row: InstanceRow) -> list[dict[str, Any]]:
        found = self.descendants.get(row.subject, ())
        return [{**document_of(one), "children": self._children(one)} for one in found]


def show_instance(named: str, entries_max: int, *, as_json: bool) -> None:
    """Print all that is known of an instance. Raises: SetupError, DatabaseUnavailable, DatabaseRefused."""
    configure_logs("error", "console")
    settings = settings_without("kafka_bootstrap_servers")
    with instance_rows(settings) as rows:
        row = find_instance(rows, named)
        instance = rows.instance(row.digest)
        if instance is None:
            raise SetupError(f"there is no instance {named} any more")
        machine, why = _machine(settings, rows, row)
        entries = _entries(settings, rows, row, entries_max)
        whole = Whole(row, instance, machine, why, rows.ancestors(row), rows.descendants(row), entries)
    if as_json:
        sys.stdout.write(f"{dumps(whole.document()).decode()}\n")
        return
    sys.stdout.write("\n".join(_told(whole, colours=colours_on(sys.stdout))) + "\n")


def draw_instance(named: str, graph_format: str, output: Path | None) -> None:
    """Draw the instance's chart with its active states set off. Raises: as `show_instance`."""
    configure_logs("error", "console")
    settings = settings_without("kafka_bootstrap_servers")
    with instance_rows(settings) as rows:
        row = find_instance(rows, named)
        machine, why = _machine(settings, rows, row)
    if machine is None:
        raise SetupError(f"{short_subject(row.subject)} can't be drawn: {why}")
    unknown = [name for name in row.states if name not in outline_of(machine.chart).states]
    if unknown:
        raise SetupError(f"{row.source} {row.version} has no state {unknown[0]} here: its chart has changed")
    write_picture(machine, graph_format, output, frozenset(row.states))


def show_history(named: str, entries_max: int, *, as_json: bool) -> None:
    """Print what came for an instance and what it caused, the oldest first. Raises: as `show_instance`."""
    configure_logs("error", "console")
    settings = settings_without("kafka_bootstrap_servers")
    with instance_rows(settings) as rows:
        entries = _entries(settings, rows, find_instance(rows, named), entries_max)
    if as_json:
        sys.stdout.write("".join(f"{dumps(one.document()).decode()}\n" for one in entries))
        return
    if entries:
        sys.stdout.write("\n".join(_told_history(entries, colours=colours_on(sys.stdout))) + "\n")
    sys.stdout.flush()
    more = f"; --limit shows more than the newest {entries_max}" if len(entries) == entries_max else ""
    sys.stderr.write(f"{counted(len(entries), 'record')}{more}\n")


def _machine(settings: Settings, rows: InstanceRows, row: InstanceRow) -> tuple[Machine | None, str]:
    """Find the instance's machine; without one, say why, and with another than the workers', say that."""
    try:
        hosted = deploy(settings).registry.resolve(row.source, row.version)
    except SetupError as error:
        return None, str(error).rstrip(".")
    if hosted is None:
        return None, f"WORKER_MACHINES has no {row.source} {row.version}"
    registered = rows.definition_hash(row.source, row.version)
    if registered not in (None, hosted.machine.definition_hash):
        return hosted.machine, "the one here is not as the workers' last: what is told of its chart may differ"
    return hosted.machine, ""


def _entries(settings: Settings, rows: InstanceRows, row: InstanceRow, entries_max: int) -> list[Entry]:
    topic = Topics(settings.topic_prefix).input
    records = JournalRecords(database_config(settings), topic, "worker instances")
    try:
        return entries_of(rows.history(row, entries_max), records, topic)
    finally:
        records.close()


def _path(outline: Outline, name: str) -> Iterator[str]:
    parent = outline.states[name].parent
    if parent is not None:
        yield from _path(outline, parent)
    yield name


def _told(whole: Whole, *, colours: bool) -> Iterator[str]:
    yield table([*_facts(whole)], colours=colours)
    yield from _section("waits for", [*_waiting(whole)], colours=colours)
    yield from _section("not answered yet", [*_open_requests(whole)], colours=colours)
    yield from _section("context", [*_values(whole.instance.snapshot.context)], colours=colours)
    if whole.instance.snapshot.output is not None:
        yield from _section("output", [*_values(whole.instance.snapshot.output)], colours=colours)
    family = [*_family(whole)]
    yield from _section("family", family if len(family) > 1 else [], colours=colours)
    if whole.entries:
        yield from ("", "history")
        yield from (f"  {line}" for line in _told_history(whole.entries, colours=colours))


def _section(title: str, rows: Sequence[tuple[str, ...]], *, colours: bool) -> Iterator[str]:
    if rows:
        yield from ("", title, table(rows, "  ", colours=colours))


def _facts(whole: Whole) -> Iterator[tuple[str, str]]:
    row, now = whole.row, time.time_ns() // 1_000_000
    yield "instance", f"{short_subject(row.subject)}, id {row.id}"
    yield "subject", row.subject
    yield "machine", f"{row.source} {row.version}{f' ({whole.why})' if whole.why else ''}"
    yield "status", status_text(row.status)
    yield "stands in", "; ".join(" > ".join(path) for path in whole.places()) or "-"
    yield "started", f"{_moment(row.created_at)}, {ago_text(row.created_at, now)}, by event {row.init_event_id}"
    yield "last step", f"{_moment(row.updated_at)}, {ago_text(row.updated_at, now)}, the {row.revision}."
    if row.ended_at is not None:
        lasted = span_text(milliseconds_of(row.ended_at) - milliseconds_of(row.created_at))
        yield "ended", f"{_moment(row.ended_at)}, after {lasted}"
    if row.parent_subject is not None:
        yield "parent", row.parent_subject


def _waiting(whole: Whole) -> Iterator[tuple[str, str, str]]:
    for one in whole.waits():
        guard = f"if {' '.join(one.guard.text.split())}" if one.guard else ""
        yield one.event or "(no event)", f"{one.source} → {one.target or one.source}", Tinted(guard, Colour.FAINT)


def _open_requests(whole: Whole) -> Iterator[tuple[str, ...]]:
    now = time.time_ns() // 1_000_000
    for entry, event, topics in whole.open_requests():
        yield event.type, f"to {', '.join(topics)}", f"{span_text(now - entry.at)} ago", f"id {event.id}"


def _values(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, value_text(value)) for name, value in sorted(values.items()))


def value_text(value: Any) -> str:
    """Write a value as JSON, and not too much of it."""
    text = dumps(value).decode()
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[:_VALUE_CHARACTERS_MAX]}…"


def _family(whole: Whole) -> Iterator[tuple[str, ...]]:
    line = [*reversed(whole.ancestors), whole.row]
    for depth, row in enumerate(line):
        yield _relative(row, f"{'   ' * (depth - 1)}└─ " if depth else "", is_self=row is whole.row)
    yield from _below(whole, whole.row, "   " * (len(line) - 1))


def _below(whole: Whole, row: InstanceRow, indent: str) -> Iterator[tuple[str, ...]]:
    children = whole.descendants.get(row.subject, ())
    for number, child in enumerate(children, 1):
        is_last = number == len(children)
        yield _relative(child, f"{indent}{'└─' if is_last else '├─'} ", is_self=False)
        yield from _below(whole, child, f"{indent}{'   ' if is_last else '│  '}")


def _relative(row: InstanceRow, branch: str, *, is_self: bool) -> tuple[str, ...]:
    name = f"{branch}{short_subject(row.subject)}"
    return Tinted(name, Colour.STRONG if is_self else None), row.id, status_text(row.status), states_text(row.states)


def _told_history(entries: Sequence[Entry], *, colours: bool) -> list[str]:
    return table([_HISTORY_HEADS, *map(_history_cells, entries)], colours=colours).splitlines()


def _history_cells(entry: Entry) -> tuple[str, ...]:
    row = entry.row
    answers = "" if entry.answers is None else f", answers #{entry.answers[0]}"
    why = ": ".join(part for part in (row.reason or row.error_name, row.error_message) if part)
    emitted = ", ".join(f"{event.type} → {'+'.join(topics)}" for event, topics in entry.emitted())
    states = [states_text(one) for one in (row.states_before, row.states_after) if one is not None]
    return (
        str(entry.number),
        moment_text(entry.at),
        row.type or "-",
        f"{row.source or '-'}{answers}",
        Tinted(row.outcome, _OUTCOME_COLOURS.get(row.outcome)),
        " → ".join(states) or "-",
        emitted if row.outcome == "advanced" else (why or emitted)[:_VALUE_CHARACTERS_MAX],
    )


def _moment(moment: Any) -> str:
    return moment_text(milliseconds_of(moment))
