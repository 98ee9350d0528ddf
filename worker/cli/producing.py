"""`worker produce`: events from arguments or lines, checked against the machines' contracts, then sent."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from worker.adapters.kafka.producing import EventProducer
from worker.bootstrap import Deployment
from worker.cli.loading import deployment_without, missing_topics
from worker.core.codec import encode_record
from worker.core.contracts import PARENT_SUBJECT
from worker.core.errors import InvalidDataError, InvalidEventError, InvalidSubjectError, SetupError
from worker.core.event_rules import is_reverse_dns
from worker.core.events import Event, create_event, event_from_json
from worker.core.json import dumps, loads
from worker.core.machines import Machine, MachineInput
from worker.core.records import Output
from worker.core.registry import MachineRegistry
from worker.core.subjects import decode_subject, root_subject
from worker.core.times import to_event_time
from worker.core.versions import WILDCARD_VERSION
from worker.logs import configure_logs
from worker.terminal.texts import counted

STANDARD_INPUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Draft:
    """What the arguments say of the events to be made; without a type the lines are whole events."""

    type: str | None
    subject: str | None
    source: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the lines come from."""

    data: str | None
    file: Path | None
    unchecked: bool


def produce_events(draft: Draft, origin: Origin, *, as_json: bool) -> None:
    """Make and check all events, send them, and print what was sent. Raises: SetupError, KafkaUnavailable."""
    configure_logs("error", "console")
    deployment = deployment_without("database_url")
    lines = list(_lines(origin))
    if not lines:
        raise SetupError("there is nothing to send: give --data '{…}', or --file with a line per event")
    topic = deployment.topics.input
    if origin.unchecked:
        _send(deployment, [Output(topic, None, line, ()) for _, line in lines])
        sys.stderr.write(f"{counted(len(lines), 'record')} sent to {topic}, unchecked\n")
        return
    events = [_event(deployment.registry, draft, place, line) for place, line in lines]
    _send(deployment, [_output(topic, event) for event in events])
    for event in events:
        sys.stdout.write(_told(event, as_json=as_json))
    sys.stdout.flush()
    sys.stderr.write(f"{counted(len(events), 'event')} sent to {topic}\n")


def _lines(origin: Origin) -> Iterator[tuple[str, bytes]]:
    """Give each line that is not empty, with its place for error texts. Raises: SetupError."""
    if origin.data is not None and origin.file is not None:
        raise SetupError("--data and --file exclude each other: give one of them")
    if origin.data is not None:
        yield "--data", origin.data.encode()
        return
    if origin.file is None:
        return
    for number, line in enumerate(_read(origin.file).splitlines(), 1):
        if line.strip():
            yield f"line {number}", line


def _read(path: Path) -> bytes:
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"the file {path} can't be read: {error.strerror}") from error


def _event(registry: MachineRegistry, draft: Draft, place: str, line: bytes) -> Event:
    """Make the event of one line and check it. Raises: SetupError that names the place."""
    try:
        document = _object(line)
        event = event_from_json(document) if draft.type is None else _drafted(registry, draft, document)
        _check(registry, event)
    except (SetupError, InvalidEventError, InvalidSubjectError) as error:
        raise SetupError(f"{place}: {str(error).rstrip('.')}. Nothing was sent.") from error
    return event


def _object(line: bytes) -> dict[str, Any]:
    try:
        document = loads(line)
    except ValueError as error:
        raise SetupError(f"no JSON that can be kept exactly: {error}") from error
    if not isinstance(document, dict):
        raise SetupError("expected a JSON object")
    return document


def _drafted(registry: MachineRegistry, draft: Draft, data: Mapping[str, Any]) -> Event:
    """Make an event of its data: a workflow's start, or an event for the instance that `--subject` names."""
    assert draft.type is not None
    if registry.hosts(draft.type):
        machine = _machine(registry, draft.type, draft.version or WILDCARD_VERSION)
        accepted = machine.inputs[draft.type]
        data = {PARENT_SUBJECT: None, **data}
        subject = draft.subject or _new_subject(machine, draft.source)
    elif draft.subject is None:
        raise SetupError(_no_subject(registry, draft.type))
    else:
        subject = draft.subject
        machine, accepted = _accepting(registry, subject, draft.type)
    return create_event(
        {
            "id": str(uuid4()),
            "source": draft.source,
            "type": draft.type,
            "subject": subject,
            "dataschema": accepted.dataschema,
            "data": data,
            "time": to_event_time(time.time_ns() // 1_000_000),
            "to": machine.source,
        }
    )


def _new_subject(machine: Machine, source: str) -> str:
    if not is_reverse_dns(source):
        raise SetupError(
            f"the source {source} can start nothing: expected a name of three parts or more, as com.example.cli"
        )
    return root_subject(name=machine.source, version=machine.version, initiator=source, execution_id=str(uuid4()))


def _check(registry: MachineRegistry, event: Event) -> None:
    """Check that a hosted machine takes the event and that its data fits. Raises: SetupError, InvalidSubjectError."""
    machine, accepted = _accepting(registry, event.subject, event.type)
    try:
        accepted.schema.validate(event.data)
    except InvalidDataError as error:
        raise SetupError(f"{machine.source} {machine.version} does not take this {event.type}: {error}") from error


def _accepting(registry: MachineRegistry, subject: str, event_type: str) -> tuple[Machine, MachineInput]:
    content = decode_subject(subject)
    machine = _machine(registry, content.name, content.version)
    accepted = machine.inputs.get(event_type)
    if accepted is None:
        raise SetupError(
            f"{machine.source} {machine.version} takes no {event_type}; it takes {', '.join(machine.inputs)}."
        )
    return machine, accepted


def _machine(registry: MachineRegistry, source: str, version: str) -> Machine:
    hosted = registry.resolve(source, version)
    if hosted is None:
        there = ", ".join(f"{one.source} {one.version}" for one in registry.machines)
        raise SetupError(f"there is no machine {source} of version {version}; there are: {there}.")
    return hosted.machine


def _no_subject(registry: MachineRegistry, event_type: str) -> str:
    if any(event_type in machine.inputs for machine in registry.machines):
        return f"{event_type} goes to an instance that runs: name it with --subject."
    return f"{event_type} starts no workflow; these do: {', '.join(registry.sources)}."


def _output(topic: str, event: Event) -> Output:
    encoded = encode_record(event)
    return Output(topic, encoded.key, encoded.value, encoded.headers)


def _send(deployment: Deployment, outputs: list[Output]) -> None:
    """Send all. Raises: SetupError, if the topic is missing; KafkaUnavailable."""
    missing = missing_topics(deployment, [deployment.topics.input])
    if missing:
        raise SetupError(
            f"the topic {missing[0]} is missing: start a worker with WORKER_CREATE_TOPICS=true, or make it"
        )
    producer = EventProducer(deployment.kafka)
    for output in outputs:
        producer.send(output)
    producer.flush()


def _told(event: Event, *, as_json: bool) -> str:
    if as_json:
        return dumps({"id": event.id, "type": event.type, "subject": event.subject}).decode() + "\n"
    return f"{event.id} {event.subject}\n"
