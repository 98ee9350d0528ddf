"""`worker instances explain`: what an event would do to an instance now, without doing it.

The step that is run is the worker's own, on the instance as it is stored; nothing of it is kept. A second run of the
same step tells what was weighed on the way.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, assert_never
from uuid import uuid4

from worker.adapters.postgres.instance_rows import InstanceRows
from worker.bootstrap import Deployment, deploy
from worker.cli.instance_showing import value_text
from worker.cli.instances import find_instance, instance_rows, is_subject, states_text
from worker.cli.loading import settings_without
from worker.cli.moments import moment_text
from worker.core.digests import subject_digest
from worker.core.engine.explaining import ExplainingEngine, Round, Verdict, WatchedStep, Weighed
from worker.core.errors import InvalidEventError, SetupError
from worker.core.events import Event, create_event, event_from_json, event_to_json
from worker.core.instances import Instance
from worker.core.json import dumps, loads
from worker.core.outcomes import (
    Advanced,
    Cancelled,
    DeadLettered,
    DomainedEvent,
    Duplicate,
    Failed,
    Ignored,
    Outcome,
    Unexpected,
)
from worker.core.registry import RegistryOnEngine
from worker.core.routing import Topics
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject
from worker.core.times import step_time, to_event_time
from worker.logs import configure_logs
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.lines import short_subject
from worker.terminal.texts import harmless, table

_STANDARD_INPUT: Final = Path("-")
_SOURCE: Final = "com.example.cli"
_COLOURS: Final = {Verdict.TAKEN: Colour.GOOD, Verdict.FALSE: Colour.DOUBTFUL, Verdict.RAISED: Colour.BAD}


@dataclass(frozen=True, slots=True)
class Explained:
    """What an event would come to: the outcome, what was weighed on the way, and what else there is to say."""

    request: StepRequest
    outcome: Outcome
    rounds: Sequence[Round]
    topics: Topics
    notes: Sequence[str]

    def document(self) -> dict[str, Any]:
        """Give all of it as JSON."""
        event = self.request.event
        return {
            "subject": event.subject,
            "event": {"type": event.type, "source": event.source, "id": event.id},
            "now": moment_text(self.request.now),
            **outcome_document(self.request.instance, self.outcome),
            "rounds": [_round_document(one) for one in self.rounds],
            "emits": [
                {"topics": [self.topics.domain(one) for one in emitted.domains], "event": event_to_json(emitted.event)}
                for emitted in _emitted(self.outcome)
            ],
            "context": {name: {"before": old, "after": new} for name, old, new in changes(self.outcome)},
            "notes": list(self.notes),
        }


def explain_event(named: str, file: Path, *, as_json: bool) -> None:
    """Print what an event would do to an instance. Raises: SetupError, DatabaseUnavailable, DatabaseRefused."""
    configure_logs("error", "console")
    settings = settings_without("kafka_bootstrap_servers")
    document = _read(file)
    deployment = deploy(settings)
    with instance_rows(settings) as rows:
        subject, instance = _instance(rows, named)
        event = event_for(deployment, subject, instance, document)
        seen = rows.seen(event, settings.deduplication_days)
        notes = list(_notes(deployment, rows, instance))
    now = time.time_ns() // 1_000_000
    request = StepRequest(
        event, decode_subject(subject), instance, seen, step_time(now, now, instance.now if instance else None)
    )
    explained = explain(deployment, request, notes)
    text = dumps(explained.document()).decode() if as_json else "\n".join(_told(explained))
    sys.stdout.write(f"{text}\n")


def explain(deployment: Deployment, request: StepRequest, notes: Sequence[str] = ()) -> Explained:
    """Run a step on the deployment's engine, then again where it can be watched."""
    settings, engine = deployment.settings, ExplainingEngine()
    host = Host(deployment.registry, settings.executionunits, settings.error_stacks)
    outcome = run_step(host, request)
    watched = run_step(replace(host, registry=RegistryOnEngine(deployment.registry, engine)), request)
    told = outcome_document(request.instance, outcome)
    if told != outcome_document(request.instance, watched):
        also = f"WORKER_ENGINE={settings.engine} and the engine that explains do not agree: what was weighed may differ"
        notes = [*notes, also]
    return Explained(
        request, outcome, [one for one in engine.rounds if one.weighed or one.steps], deployment.topics, notes
    )


def event_for(deployment: Deployment, subject: str, instance: Instance | None, document: Mapping[str, Any]) -> Event:
    """Make the event: a whole one, or of its type and data alone. Raises: SetupError."""
    try:
        event = (
            event_from_json(dict(document))
            if "specversion" in document
            else _drafted(deployment, subject, instance, document)
        )
    except InvalidEventError as error:
        raise SetupError(f"the event is none: {str(error).rstrip('.')}") from error
    if event.subject != subject:
        raise SetupError(
            f"the event is for another instance, {short_subject(event.subject)}, not for {short_subject(subject)}"
        )
    return event


def _drafted(deployment: Deployment, subject: str, instance: Instance | None, document: Mapping[str, Any]) -> Event:
    content = decode_subject(subject)
    hosted = deployment.registry.resolve(content.name, instance.version if instance else content.version)
    accepted = hosted.machine.inputs.get(str(document.get("type"))) if hosted else None
    return create_event(
        {
            "id": str(uuid4()),
            "source": _SOURCE,
            "dataschema": accepted and accepted.dataschema,
            "data": {},
            "time": to_event_time(time.time_ns() // 1_000_000),
            "to": content.name,
            **document,
            "subject": document.get("subject", subject),
        }
    )


def outcome_document(  # noqa: PLR0911 - One for each outcome.
    before: Instance | None, outcome: Outcome
) -> dict[str, Any]:
    """Tell an outcome in the journal's words, as JSON."""
    states = None if before is None else list(before.snapshot.configuration)
    known: dict[str, Any] = {"states_before": states, "states_after": states, "status": before and before.status.value}
    match outcome:
        case Advanced(instance=after):
            return (
                {"outcome": "advanced"}
                | known
                | {
                    "states_after": list(after.snapshot.configuration),
                    "status": after.status.value,
                    "revision": after.revision,
                    "output": after.snapshot.output,
                }
            )
        case Unexpected(expected=expected):
            return {"outcome": "unexpected"} | known | {"expected": list(expected)}
        case Failed(error_name=name, error_message=message):
            return {"outcome": "failed"} | known | {"error_name": name, "error_message": message}
        case Cancelled(instance=after, error_name=name, error_message=message):
            named = {"error_name": name, "error_message": message}
            return {"outcome": "cancelled"} | known | {"status": after.status.value, "revision": after.revision} | named
        case Duplicate():
            return {"outcome": "duplicate"} | known
        case Ignored(reason=reason):
            return {"outcome": "ignored"} | known | {"reason": reason.value}
        case DeadLettered(reason=dead, error_name=name, error_message=message):
            named = {"reason": dead.value, "error_name": name, "error_message": message}
            return {"outcome": "dead_lettered"} | known | named
        case _:
            assert_never(outcome)


def changes(outcome: Outcome) -> Iterator[tuple[str, Any, Any]]:
    """Give the context variables that would change, each before and after; none is null."""
    if isinstance(outcome, Advanced):
        before = dict(outcome.before.snapshot.context) if outcome.before else {}
        after = dict(outcome.instance.snapshot.context)
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield name, before.get(name), after.get(name)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        text = sys.stdin.buffer.read() if file == _STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise SetupError(f"the file {file} can't be read: {error.strerror}") from error
    try:
        document = loads(text)
    except ValueError as error:
        raise SetupError(f"the event is no JSON that can be kept exactly: {error}") from error
    if not isinstance(document, dict) or "type" not in document:
        raise SetupError('expected one event, or {"type": …, "data": {…}}, as a JSON object')
    return document


def _instance(rows: InstanceRows, named: str) -> tuple[str, Instance | None]:
    """Find the instance; a subject that has none yet is one that the event may start. Raises: SetupError."""
    if is_subject(named):
        return named, rows.instance(subject_digest(named))
    row = find_instance(rows, named)
    return row.subject, rows.instance(row.digest)


def _notes(deployment: Deployment, rows: InstanceRows, instance: Instance | None) -> Iterator[str]:
    if instance is None:
        return
    hosted = deployment.registry.resolve(instance.source, instance.version)
    registered = rows.definition_hash(instance.source, instance.version)
    if hosted is not None and registered not in (None, hosted.machine.definition_hash):
        yield f"the {instance.source} {instance.version} here is not the one that the workers brought last"


def _emitted(outcome: Outcome) -> Sequence[DomainedEvent]:
    match outcome:
        case Advanced(emitted=emitted):
            return emitted
        case Failed(emitted=error) | Cancelled(emitted=error):
            return (error,)
        case _:
            return ()


def _round_document(one: Round) -> dict[str, Any]:
    return {
        "event": one.event,
        "transitions": [
            {
                "source": weighed.source,
                "target": weighed.target,
                "event": weighed.event,
                "guard": weighed.guard,
                "line": weighed.line,
                "verdict": weighed.verdict.name.lower(),
            }
            for weighed in one.weighed
        ],
        "steps": [
            {
                "exited": list(step.exited),
                "entered": list(step.entered),
                "emitted": [emission.type for emission in step.emissions],
                "sent": list(step.sent),
            }
            for step in one.steps
        ],
    }


def _told(explained: Explained) -> Iterator[str]:
    colours = colours_on(sys.stdout)
    yield table([*_facts(explained)], colours=colours)
    for one in explained.rounds:
        yield from ("", f"{harmless(one.event)}" if one.event else "at once")
        if one.weighed:
            yield table([_weighed_cells(weighed) for weighed in one.weighed], "  ", colours=colours)
        elif one.event and isinstance(explained.outcome, Unexpected):
            yield "  no transition of the active states waits for it"
        yield from (f"  {harmless(line)}" for step in one.steps if (line := _step_line(step)))
    rows = [
        (one.event.type, f"to {', '.join(map(explained.topics.domain, one.domains))}", value_text(one.event.data))
        for one in _emitted(explained.outcome)
    ]
    yield from _section("would emit", rows, colours=colours)
    altered = [(name, f"{value_text(old)} → {value_text(new)}") for name, old, new in changes(explained.outcome)]
    yield from _section("would change", altered, colours=colours)
    yield from ("", "Nothing was done.")


def _section(title: str, rows: Sequence[tuple[str, ...]], *, colours: bool) -> Iterator[str]:
    if rows:
        yield from ("", title, table(rows, "  ", colours=colours))


def _facts(explained: Explained) -> Iterator[tuple[str, str]]:
    request = explained.request
    event, instance = request.event, request.instance
    stands = "which is not there yet" if instance is None else f"revision {instance.revision}"
    yield "instance", f"{short_subject(event.subject)}, {stands}"
    yield "event", f"{event.type} from {event.source}, id {event.id}"
    for name, tell in _OUTCOME_FACTS:
        told = outcome_document(instance, explained.outcome)
        if (text := tell(told)) is not None:
            yield name, text
    for note in explained.notes:
        yield "note", Tinted(note, Colour.DOUBTFUL)


def _outcome_text(told: Mapping[str, Any]) -> str:
    colour = {"advanced": Colour.GOOD, "failed": Colour.BAD, "dead_lettered": Colour.BAD}
    return Tinted(told["outcome"], colour.get(told["outcome"], Colour.DOUBTFUL))


def _states_text(told: Mapping[str, Any]) -> str | None:
    before, after = told["states_before"], told["states_after"]
    if told["outcome"] != "advanced":
        return None if before is None else f"{states_text(before)}, as before"
    return f"{'-' if before is None else states_text(before)} → {states_text(after)}, {told['status']}"


def _why_text(told: Mapping[str, Any]) -> str | None:
    named = [told[key] for key in ("reason", "error_name", "error_message") if told.get(key)]
    return ": ".join(named) or None


_OUTCOME_FACTS: Final[Sequence[tuple[str, Callable[[Mapping[str, Any]], str | None]]]] = (
    ("outcome", _outcome_text),
    ("why", _why_text),
    ("expected", lambda told: None if "expected" not in told else ", ".join(told["expected"]) or "nothing"),
    ("states", _states_text),
    ("output", lambda told: None if told.get("output") is None else value_text(told["output"])),
)


def _weighed_cells(one: Weighed) -> tuple[str, ...]:
    guard = "" if one.guard is None else f"[{' '.join(one.guard.split())}]"
    way = f"{one.source} → {one.target or '(stays)'}"
    return (
        way,
        "" if one.event else "(without event)",
        guard,
        Tinted(one.verdict.value, _COLOURS.get(one.verdict, Colour.FAINT)),
    )


def _step_line(step: WatchedStep) -> str:
    parts = [
        ("leaves", step.exited),
        ("enters", step.entered),
        ("emits", [emission.type for emission in step.emissions]),
        ("sends itself", step.sent),
    ]
    return "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
