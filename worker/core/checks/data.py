"""Findings in what chart code hands out, held against the schemas that must take it: emitted data, the completion."""

import ast
from collections.abc import Iterator

from worker.core.checks.findings import Finding
from worker.core.checks.reach import Reach
from worker.core.checks.wiring import all_code, is_handed_on
from worker.core.engine.outline import EmitCall, Outline, OutlineCode, OutlineState, emissions_of
from worker.core.engine.snippets import argument
from worker.core.machines import Machine
from worker.core.schema_findings import ObjectKeys


def data_findings(machine: Machine, outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find emitted data and completions whose fields are not those of their contracts."""
    for code in all_code(outline):
        for call in emissions_of(code):
            yield from _emission_findings(machine, call)
    assert machine.contract.complete_type is not None, "a machine's contract is an orchestrator's"
    keys = machine.contract.emits[machine.contract.complete_type].keys()
    if keys is not None:
        yield from _completion_findings(keys, outline, reach)


def _emission_findings(machine: Machine, call: EmitCall) -> Iterator[Finding]:
    output = machine.outputs.get(call.types[0]) if len(call.types) == 1 and not call.dynamic_type else None
    keys = output.schema.keys() if output else None
    data = argument(call.call, 1, "data")
    given = None if data is None else _given_keys(data)
    if keys is None or given is None:
        return
    missing, unknown = _missing(keys, given), _unknown(keys, given)
    if missing:
        yield Finding("incomplete-data", call.place, f"{call.types[0]!r} requires {missing}.")
    if unknown:
        yield Finding("unknown-field", call.place, f"{call.types[0]!r} has no {unknown}.")


def _completion_findings(keys: ObjectKeys, outline: Outline, reach: Reach) -> Iterator[Finding]:
    for code in all_code(outline):
        for call in code.snippet.calls("complete"):
            given = _given_keywords(call)
            if given is None:
                continue
            missing, unknown = _missing(keys, given), _unknown(keys, given)
            if missing:
                yield Finding("incomplete-completion", code.place_of(call), f"The completion requires {missing}.")
            if unknown:
                yield Finding("unknown-field", code.place_of(call), f"The completion has no {unknown}.")
    missing = _missing(keys, set())
    if missing and not is_handed_on(outline, "complete"):
        for name in sorted(reach.ends & reach.reached):
            if not any(_completes_before(outline.states[one], name, reach) for one in outline.states):
                text = f"Nothing calls complete(…) on the way to {name!r}, and the completion requires {missing}."
                yield Finding("incomplete-completion", outline.states[name].place, text)


def _completes_before(state: OutlineState, end: str, reach: Reach) -> bool:
    """Tell whether code of the state that may run before the end is reached calls `complete`."""
    codes: list[OutlineCode | None] = []
    if end in reach.after(state.name):
        codes += [state.entry, state.exit]
    for one in state.transitions:
        if end in reach.after(one.target or state.name):
            codes.append(one.action)
    return any(code is not None and any(code.snippet.calls("complete")) for code in codes)


def _missing(keys: ObjectKeys, given: set[str]) -> str:
    """Name the required fields that are not given."""
    return ", ".join(repr(min(names)) for names in keys.required if not names & given)


def _unknown(keys: ObjectKeys, given: set[str]) -> str:
    """Name what is given and not read."""
    return "" if keys.takes_others else " and no ".join(repr(name) for name in sorted(given - keys.known))


def _given_keys(data: ast.expr) -> set[str] | None:
    """Read the keys of a dictionary that is spelt out; nothing, if there may be more."""
    if isinstance(data, ast.Call) and isinstance(data.func, ast.Name) and data.func.id == "dict" and not data.args:
        return _given_keywords(data)
    if not isinstance(data, ast.Dict):
        return None
    keys = {key.value for key in data.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return keys if len(keys) == len(data.keys) else None


def _given_keywords(call: ast.Call) -> set[str] | None:
    named = [keyword.arg for keyword in call.keywords]
    return None if None in named else {name for name in named if name is not None}
