"""Findings between a chart and its contracts: replies, awaited events, emitted types, domains."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from worker.core.checks.findings import Finding
from worker.core.checks.reach import Reach
from worker.core.contracts import ContractVersion
from worker.core.engine.outline import EmitCall, Outline, OutlineCode, emissions_of
from worker.core.engine.snippets import argument, literal_texts
from worker.core.machines import Machine


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
    yield from _type_findings(machine, emitting)
    yield from _domain_findings(machine, outline, emitting)


def all_code(outline: Outline) -> Iterator[OutlineCode]:
    """Go through all code of a chart."""
    if outline.preamble is not None:
        yield outline.preamble
    for state in outline.states.values():
        yield from state.code


def is_handed_on(outline: Outline, function: str) -> bool:
    """Tell whether code uses a provided function otherwise than by calling it: who calls it then can't be told."""
    for code in all_code(outline):
        named = [
            node
            for node in ast.walk(code.snippet.tree)
            if isinstance(node, ast.Name) and node.id == function and isinstance(node.ctx, ast.Load)
        ]
        if len(named) > sum(1 for _ in code.snippet.calls(function)):
            return True
    return False


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
    found = {
        _unhandled(service, reply, one): None
        for one in emitting
        # Whoever has ended waits for nothing.
        if one.state not in reach.ends
        for service in (services[type_] for type_ in one.call.types if type_ in services)
        for reply in service.replies
        if not handlers.get(reply, set()) & reach.after(one.state)
    }
    yield from found


def _unhandled(service: ContractVersion, reply: str, one: Emitting) -> Finding:
    rule = "unhandled-system-error" if reply == service.system_error_type else "unhandled-reply"
    return Finding(
        rule, one.call.place, f"{service.type!r} is called here, and no state that may follow takes its {reply!r}."
    )


def _event_findings(machine: Machine, outline: Outline) -> Iterator[Finding]:
    calls = [call for code in all_code(outline) for call in code.snippet.calls("send")]
    names = [literal_texts(argument(call, 0, "name")) for call in calls]
    if not all(names) or is_handed_on(outline, "send"):
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


def _type_findings(machine: Machine, emitting: list[Emitting]) -> Iterator[Finding]:
    for call in (one.call for one in emitting):
        for type_ in call.types:
            if type_ not in machine.outputs:
                yield Finding("unaccepted-emission", call.place, f"No contract of the machine accepts {type_!r}.")


def _domain_findings(machine: Machine, outline: Outline, emitting: list[Emitting]) -> Iterator[Finding]:
    dynamic = dict.fromkeys(one.call.place for one in emitting if one.call.dynamic_domains)
    if dynamic and not machine.declared_domains:
        for place in dynamic:
            yield Finding("undeclared-domain", place, "The domains are put together when the code runs.")
    if not dynamic and not is_handed_on(outline, "emit"):
        named = {domain for one in emitting for domain in one.call.domains}
        for domain in machine.declared_domains:
            if domain not in named:
                yield Finding(
                    "unused-domain", outline.states[outline.root].place, f"No code emits to the domain {domain!r}."
                )
