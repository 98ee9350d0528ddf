"""Run `otel.json`: the spans of one execution, and the trace headers of what it emits.

The format names no machine: each case gets one that does what the case tells.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal
from unittest.mock import patch

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id
from pydantic import BaseModel, ConfigDict

from tests.core.engine.charts import chart_text
from tests.vectors.cases import Case, expect_equal
from tests.vectors.differences import VIOLATIONS
from tests.vectors.symbols import Symbols
from worker.core.contracts import ContractVersion, create_contract, create_orchestrator_contract, parse_dataschema
from worker.core.events import Event, create_event, event_from_json, event_to_json
from worker.core.machines import Machine, setup_machine
from worker.core.subjects import SubjectContent, decode_subject
from worker.orchestrator import Orchestrator, SimpleMachineMemory, create_orchestrator
from worker.tracing import spans as tracing

Json = dict[str, Any]

# What SPEC has beside the reference's spans: the way to the memory, and the validation.
SPANS_HERE = frozenset({"Lock Instance", "Read Instance", "Validate Event", "Persist Instance"})
INHERIT_FROM: dict[str, Literal["event", "context"]] = {"EVENT": "event", "CONTEXT": "context"}
SAMPLED = 1
ANY_MESSAGE = "(message)"
SYSTEM_ERROR = re.compile(r"sys\..+\.error")
_MAIN = re.compile(r"Orchestrator<(.+)>@<(.+)>")
_DOMAIN = re.compile(r"to_emit\.(\d+)\.domains\.(\d+)")
_EMITTED = re.compile(r"to_emit\.(\d+)\.cloudevents\.(.+)")
_ATTRIBUTE = re.compile(r"to_process\.0\.(cloudevents\.(?:arvo\.)?event_(.+))")
_HEADER = re.compile(r"00-(\w+)-(\w+)-([0-9a-f]{2})")
_RENAMED = {"spec_version": "specversion"}


class _Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


def cases(document: Json) -> Iterator[Case]:
    """Give the cases of the file."""
    for vector in document["cases"]:
        yield Case("cases", vector["title"], partial(_check, _Vector(vector)))


@dataclass(frozen=True)
class _Vector:
    """What a case tells of the machine and of what was there before."""

    document: Json

    @cached_property
    def event(self) -> Event:
        return event_from_json(self.document["input"])

    @cached_property
    def subject(self) -> SubjectContent:
        return decode_subject(self.event.subject)

    @property
    def spans(self) -> list[Json]:
        spans: list[Json] = self.document["spans"]
        return spans

    @cached_property
    def main(self) -> Json:
        return next(span for span in self.spans if _MAIN.fullmatch(span["name"]))

    @property
    def around(self) -> list[Json]:
        """Give the caller's spans, the outermost first."""
        by_id = {span["span"]: span for span in self.spans}
        around: list[Json] = []
        parent = by_id.get(self.main["parent"])
        while parent is not None and parent not in around:
            around.insert(0, parent)
            parent = by_id.get(parent["parent"])
        return around

    @property
    def starts(self) -> bool:
        return self.event.type == self.subject.name

    @property
    def violation(self) -> str | None:
        """Name the violation that the reference throws, and that is a system error here."""
        threw = self.document["outcome"].get("threw")
        assert threw is None or threw in VIOLATIONS, f"the case does not tell how {threw} comes about"
        return VIOLATIONS.get(threw)

    @property
    def failure(self) -> str | None:
        """Name the error that the machine raises."""
        types = [event["type"] for event in self.document["outcome"].get("events", ())]
        return self.main["attributes"]["exception.type"] if any(map(SYSTEM_ERROR.fullmatch, types)) else None

    @property
    def is_kept(self) -> bool:
        """Tell whether there is an instance when the event comes: without one the reference resolves nothing."""
        return not self.starts and any(span["name"] == "Resolve Machine" for span in self.spans)

    @property
    def ends(self) -> bool:
        return bool(self.main["attributes"].get("arvo.orchestration.status") == "done")

    @cached_property
    def emitted(self) -> list[Json]:
        """Give the attributes of each emitted event."""
        found: dict[int, Json] = {}
        for key, value in self.main["attributes"].items():
            match = _EMITTED.fullmatch(key)
            if match:
                found.setdefault(int(match[1]), {})[match[2]] = value
        return [found[place] for place in sorted(found)]

    @cached_property
    def domains(self) -> dict[tuple[int, int], str]:
        """Give the domains as attributes: the place of the event, the place of the domain."""
        found = {}
        for key, value in self.main["attributes"].items():
            match = _DOMAIN.fullmatch(key)
            if match:
                found[int(match[1]), int(match[2])] = value
        return found

    @property
    def mistakes_places(self) -> bool:
        """Tell whether the place of a domain stands for that of its event too: 2.3 of the reference mixes them up.

        Later events then write over what earlier ones wrote.
        """
        return all(event == domain for event, domain in self.domains)

    def domains_of(self, place: int) -> list[str]:
        """Give domains of an emitted event that come to these attributes."""
        if self.mistakes_places:
            return list(self.domains.values()) if place == len(self.emitted) - 1 else ["default"]
        return [value for (event, _), value in self.domains.items() if event == place]


@dataclass
class _Identities:
    """Hold the names of traces and spans against the ids that they stand for, one to one."""

    known: dict[str, str] = field(default_factory=dict)

    def expect(self, name: str | None, actual: str | None, what: str) -> None:
        """Compare an id, or bind it if its name is new. Raises: AssertionError."""
        if name is None or actual is None:
            assert name is actual, f"{what} is {actual}; the reference has {name}"
            return
        if name not in self.known:
            assert actual not in self.known.values(), f"{what} is {actual}, which is not {name} but another"
            self.known[name] = actual
        assert self.known[name] == actual, f"{what} is {actual}; {name} is {self.known[name]}"

    def expect_header(self, header: str | None, actual: str | None, what: str) -> None:
        """Compare a traceparent: its ids, and whether it is sampled."""
        expected_parts, parts = _HEADER.fullmatch(header or ""), _HEADER.fullmatch(actual or "")
        if expected_parts is None or parts is None:
            expect_equal(actual, header, what)
            return
        self.expect(expected_parts[1], parts[1], f"the trace of {what}")
        self.expect(expected_parts[2], parts[2], f"the span of {what}")
        expect_equal(int(parts[3], 16) & SAMPLED, int(expected_parts[3], 16) & SAMPLED, f"the sampling of {what}")


def _check(vector: _Vector) -> None:
    orchestrator = _orchestrator(vector)
    if vector.is_kept:
        orchestrator.execute(_init_event(vector))
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("vectors")
    with ExitStack() as stack:
        stack.enter_context(patch.object(tracing, "TRACER", tracer))
        for span in vector.around:
            stack.enter_context(tracer.start_as_current_span(span["name"]))
        emitted = orchestrator.execute(vector.event, INHERIT_FROM[vector.document["inheritFrom"]])
    identities = _identities_of(vector)
    every = emitted.domained_events["all"]
    _check_spans(vector, identities, exporter.get_finished_spans(), every)
    _check_headers(vector, identities, every)


def _orchestrator(vector: _Vector) -> Orchestrator:
    units = {attributes["arvo.event_executionunits"] for attributes in vector.emitted}
    machines = [_machine(vector)]
    return create_orchestrator(machines=machines, memory=SimpleMachineMemory(), executionunits=max(units, default=1))


def _machine(vector: _Vector) -> Machine:
    uri = _MAIN.fullmatch(vector.main["name"])
    assert uri is not None
    sides = {"init": _Anything, "complete": _Anything}
    name = vector.subject.name.removeprefix("arvo.orc.")
    own = create_orchestrator_contract(uri=uri[1], name=name, versions={vector.subject.version: sides})
    return setup_machine(
        contract=own.version(vector.subject.version),
        services=[] if vector.starts else [_service(vector)],
        statechart=_chart(vector),
        functions={"fail": partial(_fail, vector.failure)},
    )


def _service(vector: _Vector) -> ContractVersion:
    """Make the service that the event comes from; where the event breaks its contract, it is another one's."""
    named = parse_dataschema(vector.event.dataschema or "")
    uri, version = named or ("#/service", "1.0.0")
    if vector.violation:
        uri += "/right"
    sides = {"accepts": _Anything, "emits": {vector.event.type: _Anything}}
    return create_contract(uri=uri, type=vector.event.source, versions={version: sides}).version(version)


def _chart(vector: _Vector) -> str:
    """Do what the case tells when its event comes, and nothing before."""
    taken = {} if vector.starts else {"event": vector.event.type, "action": _code(vector)}
    transition = taken | ({"target": "end"} if vector.ends else {})
    waiting = {"name": "w", "on entry": _code(vector) if vector.starts else "pass"}
    end = {"name": "end", "type": "final", "on entry": "complete()"}
    states = [{**waiting, "transitions": [transition]} if transition else waiting, end]
    return chart_text(f"initial: w\nstates: {json.dumps(states)}")


def _code(vector: _Vector) -> str:
    if vector.failure:
        return "fail()"
    done = f"{vector.subject.name}.done"
    types = [attributes["event_type"] for attributes in vector.emitted]
    emissions = [
        f"emit({type_!r}, {{}}, domains={vector.domains_of(place)!r})"
        for place, type_ in enumerate(types)
        if type_ != done
    ]
    return "; ".join(emissions) or "pass"


def _fail(name: str | None) -> None:
    raise type(name or "Error", (Exception,), {})("raised as the case tells")


def _init_event(vector: _Vector) -> Event:
    return create_event(
        {
            "id": "started-before",
            "source": vector.subject.initiator,
            "type": vector.subject.name,
            "subject": vector.event.subject,
            "data": {"parentSubject$$": None},
            "time": vector.event.time,
            "to": vector.subject.name,
        }
    )


def _identities_of(vector: _Vector) -> _Identities:
    header = _HEADER.fullmatch(vector.event.traceparent or "")
    return _Identities({"traceOfInputEvent": header[1], "spanOfInputEvent": header[2]} if header else {})


def _check_spans(
    vector: _Vector, identities: _Identities, finished: Sequence[ReadableSpan], emitted: Sequence[Event]
) -> None:
    actual = sorted(finished, key=lambda span: span.start_time or 0)
    pairs = _pairs(_expected_spans(vector, emitted), [span for span in actual if span.name not in SPANS_HERE])
    for expected, span in pairs:
        assert span.context is not None
        what = f"the span {span.name}"
        identities.expect(expected["trace"], format_trace_id(span.context.trace_id), f"the trace of {what}")
        identities.expect(expected["span"], format_span_id(span.context.span_id), what)
    symbols = Symbols({})
    for expected, span in pairs:
        what = f"the span {span.name}"
        identities.expect(expected["parent"], _parent_of(span), f"the parent of {what}")
        expect_equal(span.kind.name, expected["kind"], f"the kind of {what}")
        expect_equal(span.status.status_code.name, expected["status"], f"the status of {what}")
        exceptions = [event for event in span.events if event.name == "exception"]
        expect_equal(len(exceptions), expected["events"].get("exception", 0), f"the number of exceptions of {what}")
        _check_attributes(vector, symbols, expected["attributes"], dict(span.attributes or {}), what)
    for span in actual:
        if span.name in SPANS_HERE:
            identities.expect(vector.main["span"], _parent_of(span), f"the parent of the span {span.name}")


def _pairs(expected: list[Json], actual: list[ReadableSpan]) -> list[tuple[Json, ReadableSpan]]:
    """Pair spans by name; those of one name in the order in which they began."""
    names = sorted(span["name"] for span in expected)
    expect_equal(sorted(span.name for span in actual), names, "the list of spans")
    left = list(actual)
    pairs = []
    for span in expected:
        found = next(other for other in left if other.name == span["name"])
        left.remove(found)
        pairs.append((span, found))
    return pairs


def _expected_spans(vector: _Vector, emitted: Sequence[Event]) -> list[Json]:
    """Give the reference's spans; where it throws a violation, also what the system error event adds here."""
    if vector.violation is None:
        return vector.spans
    (event,) = emitted
    document = event_to_json(event)
    names = {match[1]: match[2] for match in map(_ATTRIBUTE.fullmatch, vector.main["attributes"]) if match}
    values = {key: document[_RENAMED.get(name, name)] for key, name in names.items()}
    attributes = {key: "N/A" if value is None else value for key, value in values.items()}
    main = vector.main["attributes"] | {f"to_emit.0.{key}": value for key, value in attributes.items()}
    dataschema = parse_dataschema(document["dataschema"])
    assert dataschema is not None
    made = {
        "name": "ArvoOrchestratorEventFactory.systemError",
        "kind": "INTERNAL",
        "trace": vector.main["trace"],
        "span": "spanOfSystemError",
        "parent": vector.main["span"],
        "status": "OK",
        "attributes": {
            "arvo.span.kind": "INTERNAL",
            "openinference.span.kind": "INTERNAL",
            "arvo.contract.uri": dataschema[0],
            "arvo.contract.version": vector.subject.version,
            **attributes,
        },
        "events": {},
    }
    here = {**vector.main, "attributes": {**main, "exception.type": vector.violation}}
    return [*(here if span is vector.main else span for span in vector.spans), made]


def _check_attributes(vector: _Vector, symbols: Symbols, expected: Json, actual: Json, what: str) -> None:
    if vector.mistakes_places:
        expected, actual = _with_mistaken_places(expected), _with_mistaken_places(actual)
    if expected.get("exception.message") == ANY_MESSAGE:
        assert actual.get("exception.message"), f"{what} has to have exception.message"
        expected = {**expected, "exception.message": actual["exception.message"]}
    symbols.expect(actual, expected, f"the attributes of {what}")


def _with_mistaken_places(attributes: Json) -> Json:
    """File each domain under its own place alone, later ones over earlier ones."""
    filed: Json = {}
    for key, value in attributes.items():
        match = _DOMAIN.fullmatch(key)
        filed[f"to_emit.{match[2]}.domains.{match[2]}" if match else key] = value
    return filed


def _parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def _check_headers(vector: _Vector, identities: _Identities, emitted: Sequence[Event]) -> None:
    expected = vector.document["outcome"].get("events")
    if expected is None:
        expected = [{"type": f"sys.{vector.subject.name}.error", **_headers_of_main(vector)}]
    expect_equal([event.type for event in emitted], [event["type"] for event in expected], "the list of emitted types")
    for place, (event, document) in enumerate(zip(emitted, expected, strict=True)):
        identities.expect_header(document["traceparent"], event.traceparent, f"the traceparent of event {place}")
        expect_equal(event.tracestate, document["tracestate"], f"the tracestate of event {place}")


def _headers_of_main(vector: _Vector) -> Json:
    continues = vector.main["trace"] == "traceOfInputEvent"
    return {
        "traceparent": f"00-{vector.main['trace']}-{vector.main['span']}-01",
        "tracestate": vector.event.tracestate if continues else None,
    }
