"""Findings between a chart and its contracts: replies, emitted types and data, awaited events, domains."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from worker.core.checks.findings import Finding
from worker.core.checks.reach import Reach
from worker.core.contracts import ContractVersion
from worker.core.engine.outline import EmitCall, Outline, OutlineCode, Place, emissions_of
from worker.core.engine.snippets import argument, literal_texts
from worker.core.machines import Machine
from worker.core.schemas import Schema


@dataclass(frozen=True, slots=True)
class Emitting:
    """An emission, and the state that is active right after it: where the reply finds the instance."""

    call: EmitCall
    state: str


def wiring_findings(machine: Machine, outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find what does not fit between the chart and the contracts."""
    emitting = [one for one in _emitting(outline) if one.state in reach.reached]
    yield from _reply_findings(machine, outline, reach, emitting)
    yield from _event_findings(machine, outline)
    yield from _emission_findings(machine, emitting)
    yield from _completion_findings(machine, outline)
    yield from _domain_findings(machine, emitting)


def all_code(outline: Outline) -> Iterator[OutlineCode]:
    """Go through all code of a chart."""
    if outline.preamble is not None:
        yield outline.preamble
    for state in outline.states.values():
        yield from state.code


def _emitting(outline: Outline) -> Iterator[Emitting]:
    for name, state in outline.states.items():
        for code in (state.entry, state.exit):
            yield from (Emitting(call, name) for call in (emissions_of(code) if code else ()))
        for transition in state.transitions:
            calls = emissions_of(transition.action) if transition.action else ()
            yield from (Emitting(call, transition.target or name) for call in calls)


def _reply_findings(machine: Machine, outline: Outline, reach: Reach, emitting: list[Emitting]) -> Iterator[Finding]:
    handlers: dict[str, set[str]] = {}
    for name, state in outline.states.items():
        for transition in state.transitions:
            if transition.event is not None:
                handlers.setdefault(transition.event, set()).add(name)
    services = {service.type: service for service in machine.services}
    told: set[str] = set()
    for one in emitting:
        for service in (services[type_] for type_ in one.call.types if type_ in services):
            for reply in service.replies:
                taken = handlers.get(reply, set()) & reach.after(one.state)
                if not taken and reply not in told:
                    told.add(reply)
                    yield _unhandled(service, reply, one)


def _unhandled(service: ContractVersion, reply: str, one: Emitting) -> Finding:
    rule = "unhandled-system-error" if reply == service.system_error_type else "unhandled-reply"
    return Finding(
        rule, one.call.place, f"{service.type!r} is called here, and no state that may follow takes its {reply!r}."
    )


def _event_findings(machine: Machine, outline: Outline) -> Iterator[Finding]:
    calls = [call for code in all_code(outline) for name in ("send", "notify") for call in code.snippet.calls(name)]
    names = [literal_texts(argument(call, 0, "name")) for call in calls]
    if not all(names):
        # What is sent under a name that is put together may be any of them.
        return
    sent = {name for one in names for name in one}
    for state in outline.states.values():
        for transition in state.transitions:
            event = transition.event
            if event is None or event in sent:
                continue
            if event == machine.source:
                what = f"The event {event!r} starts the machine; no transition sees it."
            elif event not in machine.inputs:
                what = f"No contract of the machine emits {event!r}, and no code of the chart sends it."
            else:
                continue
            yield Finding("unknown-event", transition.place, what)


def _emission_findings(machine: Machine, emitting: list[Emitting]) -> Iterator[Finding]:
    for call in (one.call for one in emitting):
        for type_ in call.types:
            output = machine.outputs.get(type_)
            if output is None:
                yield Finding("unaccepted-emission", call.place, f"No contract of the machine accepts {type_!r}.")
            elif len(call.types) == 1:
                missing = _missing(output.schema, _given_keys(argument(call.call, 1, "data")))
                if missing:
                    yield Finding("incomplete-data", call.place, f"{type_!r} requires {missing}.")


def _completion_findings(machine: Machine, outline: Outline) -> Iterator[Finding]:
    assert machine.contract.complete_type is not None, "a machine's contract is an orchestrator's"
    schema = machine.contract.emits[machine.contract.complete_type]
    calls = [(code, call) for code in all_code(outline) for call in code.snippet.calls("complete")]
    for code, call in calls:
        given = {keyword.arg for keyword in call.keywords}
        missing = "" if None in given else _missing(schema, {name for name in given if name})
        if missing:
            yield Finding("incomplete-completion", code.place_of(call), f"The completion requires {missing}.")
    missing = _missing(schema, set())
    if not calls and missing and outline.states[outline.root].children:
        place = outline.states[outline.root].place
        yield Finding(
            "incomplete-completion", place, f"Nothing calls complete(…), and the completion requires {missing}."
        )


def _missing(schema: Schema, given: set[str] | None) -> str:
    """Name the required fields that are not given; none if what is given can't be told."""
    if given is None:
        return ""
    required = schema.json_schema().get("required", ())
    return ", ".join(repr(name) for name in required if name not in given)


def _given_keys(data: ast.expr | None) -> set[str] | None:
    """Read the keys of a dictionary that is spelt out."""
    if not isinstance(data, ast.Dict):
        return None
    keys = {key.value for key in data.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return keys if len(keys) == len(data.keys) else None


def _domain_findings(machine: Machine, emitting: list[Emitting]) -> Iterator[Finding]:
    if machine.declared_domains:
        return
    for place in dict.fromkeys(_dynamic(emitting)):
        yield Finding("undeclared-domain", place, "The domains are put together when the code runs.")


def _dynamic(emitting: list[Emitting]) -> Iterator[Place]:
    yield from (one.call.place for one in emitting if one.call.dynamic_domains)
