"""What is written in a picture of a chart: on its states, and on its transitions.

Both pictures say the same: names, events, guards, and what is emitted into which domains. Other code of the chart is
not shown.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.core.domains import DEFAULT_DOMAIN
from worker.core.engine.outline import (
    EmitCall,
    Outline,
    OutlineCode,
    OutlineState,
    OutlineTransition,
    StateKind,
    emissions_of,
)
from worker.core.engine.snippets import argument
from worker.core.machines import Machine

ALWAYS: Final = "always"
"""Stands where a transition waits for no event and has no guard."""

CODE_CHARACTERS_MAX: Final = 160
"""How much of a guard, or of an expression that gives a type or domains, is shown."""

_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Heading:
    """What a picture says of the machine around the chart: its title, and the types that start and complete it."""

    title: str
    starts_with: str | None = None
    completes_with: str | None = None

    @classmethod
    def of_machine(cls, machine: Machine) -> "Heading":
        """Name a machine, its version, and its own event types."""
        title = f"{machine.chart.statechart.name} {machine.version}"
        return cls(title, machine.source, machine.contract.complete_type)


@dataclass(frozen=True, slots=True)
class Emitted:
    """What one `emit` asks for: a type, or the expression that gives it, and the domains or their expression."""

    type: str
    domains: tuple[str, ...]
    computed_domains: str | None = None

    @property
    def where(self) -> str:
        """Name the domains as they are written after the type."""
        return self.computed_domains or ", ".join(self.domains)


@dataclass(frozen=True, slots=True)
class TransitionWords:
    """What is written on a transition."""

    event: str | None
    guard: str | None
    priority: int
    emitted: tuple[Emitted, ...]

    @property
    def trigger(self) -> str | None:
        """Give the event, or `always` if nothing else would be there; and a priority that is not the usual one."""
        name = self.event or (None if self.guard else ALWAYS)
        if self.priority == 0:
            return name
        return f"{name or ''} (priority {self.priority})".strip()


@dataclass(frozen=True, slots=True)
class StateWords:
    """What is written on a state: what it emits when it is entered and left, and its internal transitions."""

    name: str
    kind: StateKind
    entry: tuple[Emitted, ...]
    exit: tuple[Emitted, ...]
    internal: tuple[TransitionWords, ...]

    @property
    def has_details(self) -> bool:
        """Tell whether there is more than a name."""
        return bool(self.entry or self.exit or self.internal)


@dataclass(frozen=True, slots=True)
class Edge:
    """All transitions from one state to another: they are drawn as one line. A history's default has none."""

    source: str
    target: str
    transitions: tuple[TransitionWords, ...]


def words_of_state(state: OutlineState, heading: Heading) -> StateWords:
    """Tell what is written on a state."""
    return StateWords(
        name=one_line(state.name),
        kind=state.kind,
        entry=_emitted(state.entry, heading),
        exit=_emitted(state.exit, heading),
        internal=tuple(_words(one, heading) for one in state.transitions if one.target is None),
    )


def edges_of(outline: Outline, heading: Heading) -> tuple[Edge, ...]:
    """Tell what lines a chart has, in document order of their sources."""
    edges: list[Edge] = []
    for state in outline.states.values():
        by_target: dict[str, list[TransitionWords]] = {}
        for one in state.transitions:
            if one.target is not None:
                by_target.setdefault(one.target, []).append(_words(one, heading))
        if state.memory is not None:
            by_target.setdefault(state.memory, [])
        edges += (Edge(state.name, target, tuple(words)) for target, words in by_target.items())
    return tuple(edges)


def ancestors(outline: Outline, name: str) -> list[str]:
    """Name the states around a state, the innermost first."""
    around: list[str] = []
    parent = outline.states[name].parent
    while parent is not None:
        around.append(parent)
        parent = outline.states[parent].parent
    return around


def common_ancestor(outline: Outline, source: str, target: str) -> str | None:
    """Name the innermost state that holds both and is neither of them; None if one of them is the root."""
    above = ancestors(outline, target)
    return next((name for name in ancestors(outline, source) if name in above), None)


def one_line(text: str) -> str:
    """Write a text on one line."""
    return _SPACE.sub(" ", text).strip()


def code_line(text: str) -> str:
    """Write code on one line, and not too much of it."""
    line = one_line(text)
    return line if len(line) <= CODE_CHARACTERS_MAX else f"{line[: CODE_CHARACTERS_MAX - 1]}…"


def _words(one: OutlineTransition, heading: Heading) -> TransitionWords:
    guard = None if one.guard is None else code_line(one.guard.text)
    event = None if one.event is None else one_line(one.event)
    return TransitionWords(event, guard, one.priority, _emitted(one.action, heading))


def _emitted(code: OutlineCode | None, heading: Heading) -> tuple[Emitted, ...]:
    if code is None:
        return ()
    found = [(call.call, emitted) for call in emissions_of(code) for emitted in _of_call(call)]
    if heading.completes_with is not None:
        completion = Emitted(heading.completes_with, (DEFAULT_DOMAIN,))
        found += ((call, completion) for call in code.snippet.calls("complete"))
    found.sort(key=lambda one: (one[0].lineno, one[0].col_offset))
    return tuple(dict.fromkeys(emitted for _, emitted in found))


def _of_call(emit: EmitCall) -> Iterator[Emitted]:
    domains, computed = emit.domains, None
    if emit.dynamic_domains:
        expression = argument(emit.call, 2, "domains")
        domains, computed = _literal_domains(emit), _source(expression)
    types = [*emit.types, *((_source(argument(emit.call, 0, "type")),) if emit.dynamic_type else ())]
    for type_ in types:
        yield Emitted(type_, domains, computed)


def _literal_domains(emit: EmitCall) -> tuple[str, ...]:
    """Give the domains that are spelt out beside what is computed: not the one that stands for nothing."""
    expression = argument(emit.call, 2, "domains")
    texts = {node.value for node in ast.walk(expression) if isinstance(node, ast.Constant)} if expression else set()
    return tuple(domain for domain in emit.domains if domain in texts)


def _source(expression: ast.expr | None) -> str:
    return "?" if expression is None else code_line(ast.unparse(expression))
