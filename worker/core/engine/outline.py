"""A chart in the core's own words: its states, transitions and code, and where each stands in its file.

What looks at charts without running them (checks, pictures) reads this; so only the engine knows sismic.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sismic.model import (
    CompoundState,
    DeepHistoryState,
    FinalState,
    OrthogonalState,
    ShallowHistoryState,
    StateMixin,
    Transition,
)

from worker.core.domains import DEFAULT_DOMAIN
from worker.core.engine.chart import Chart
from worker.core.engine.snippets import Snippet, argument, literal_texts


class StateKind(StrEnum):
    """Say what a state is. A root without states of its own is basic."""

    BASIC = "basic"
    COMPOUND = "compound"
    PARALLEL = "parallel"
    FINAL = "final"
    SHALLOW_HISTORY = "shallow history"
    DEEP_HISTORY = "deep history"


_KINDS: Final = (
    (FinalState, StateKind.FINAL),
    (DeepHistoryState, StateKind.DEEP_HISTORY),
    (ShallowHistoryState, StateKind.SHALLOW_HISTORY),
    (OrthogonalState, StateKind.PARALLEL),
    (CompoundState, StateKind.COMPOUND),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, from 1; neither is known of a chart that was made in Python."""

    file: str | None
    line: int | None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line) if part is not None)


@dataclass(frozen=True, slots=True)
class OutlineCode:
    """A piece of code; `place` is that of its first line."""

    text: str
    place: Place
    snippet: Snippet

    def place_of(self, node: ast.AST) -> Place:
        """Give the line of a part of the code."""
        return Place(self.place.file, self.snippet.line_of(node))


@dataclass(frozen=True, slots=True)
class OutlineTransition:
    """A transition: eventless without an event, internal without a target; the highest priority is tried first.

    `conditions` are those of its contract.
    """

    source: str
    target: str | None
    event: str | None
    priority: int
    guard: OutlineCode | None
    action: OutlineCode | None
    place: Place
    conditions: tuple[OutlineCode, ...] = ()


@dataclass(frozen=True, slots=True)
class OutlineState:
    """A state. `children` and `transitions` stand in document order; `memory` is a history state's default.

    `conditions` are those of its own contract.
    """

    name: str
    kind: StateKind
    parent: str | None
    children: tuple[str, ...]
    initial: str | None
    memory: str | None
    entry: OutlineCode | None
    exit: OutlineCode | None
    transitions: tuple[OutlineTransition, ...]
    place: Place
    conditions: tuple[OutlineCode, ...] = ()

    @property
    def code(self) -> Iterator[OutlineCode]:
        """Go through all code of the state and its transitions."""
        yield from self.actions
        yield from self.conditions
        for transition in self.transitions:
            yield from (transition.guard,) if transition.guard else ()
            yield from transition.conditions

    @property
    def actions(self) -> Iterator[OutlineCode]:
        """Go through the code that may act: on entry, on exit, the actions of transitions."""
        pieces = (self.entry, self.exit, *(transition.action for transition in self.transitions))
        yield from (piece for piece in pieces if piece is not None)


@dataclass(frozen=True, slots=True)
class Outline:
    """A whole chart. `lines` is its text, empty if it was made in Python."""

    name: str
    file: Path | None
    root: str
    states: Mapping[str, OutlineState]
    preamble: OutlineCode | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmitCall:
    """One `emit(…)`: what it spells out, and whether more can only be known when it runs."""

    types: tuple[str, ...]
    domains: tuple[str, ...]
    dynamic_type: bool
    dynamic_domains: bool
    call: ast.Call
    place: Place


def outline_of(chart: Chart) -> Outline:
    """Describe a chart."""
    outliner = _Outliner(chart)
    return Outline(
        name=chart.statechart.name,
        file=chart.file,
        root=chart.statechart.root,
        states=MappingProxyType({name: outliner.state(name) for name in _document_order(chart)}),
        preamble=outliner.code(chart.preamble),
        lines=chart.positions.lines,
    )


def emissions_of(code: OutlineCode) -> tuple[EmitCall, ...]:
    """Find the calls of `emit` in a piece of code, in the order of their lines."""
    calls = sorted(code.snippet.calls("emit"), key=lambda call: (call.lineno, call.col_offset))
    return tuple(_emission(code, call) for call in calls)


def _emission(code: OutlineCode, call: ast.Call) -> EmitCall:
    named, domained = argument(call, 0, "type"), argument(call, 2, "domains")
    domains = literal_texts(domained)
    is_default = domained is None or (isinstance(domained, ast.Constant) and domained.value is None)
    return EmitCall(
        types=literal_texts(named),
        domains=domains or (DEFAULT_DOMAIN,),
        dynamic_type=not _spelt_out(named),
        dynamic_domains=not is_default and not _spelt_out(domained),
        call=call,
        place=code.place_of(call),
    )


def _spelt_out(node: ast.expr | None) -> bool:
    """Tell whether an expression consists of texts, lists of them, and choices between these."""
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.BoolOp(values=parts):
            return all(_spelt_out(part) for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            return _spelt_out(body) and _spelt_out(orelse)
        case _:
            return False


class _Outliner:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._positions = chart.positions
        self._file = None if chart.file is None else str(chart.file)

    def state(self, name: str) -> OutlineState:
        chart = self._chart
        state = chart.statechart.state_for(name)
        transitions = enumerate(chart.statechart.transitions_from(name))
        return OutlineState(
            name=name,
            kind=_kind(state),
            parent=chart.statechart.parent_for(name),
            children=tuple(_children(chart, name)),
            initial=getattr(state, "initial", None),
            memory=getattr(state, "memory", None),
            entry=self.code(chart.entries.get(name)),
            exit=self.code(chart.exits.get(name)),
            transitions=tuple(self._transition(name, index, one) for index, one in transitions),
            place=self._place(self._positions.states.get(name)),
            conditions=self._conditions(state),
        )

    def code(self, snippet: Snippet | None) -> OutlineCode | None:
        return None if snippet is None else OutlineCode(snippet.text, self._place(snippet.line), snippet)

    def _transition(self, state: str, index: int, one: Transition) -> OutlineTransition:
        return OutlineTransition(
            source=state,
            target=one.target,
            event=one.event,
            priority=one.priority,
            guard=self.code(self._chart.guards.get(id(one))),
            action=self.code(self._chart.actions.get(id(one))),
            place=self._place(self._positions.transitions.get((state, index))),
            conditions=self._conditions(one),
        )

    def _conditions(self, element: StateMixin | Transition) -> tuple[OutlineCode, ...]:
        found = self._chart.conditions.get(id(element))
        snippets = (*found.preconditions, *found.postconditions, *found.invariants) if found else ()
        return tuple(code for code in map(self.code, snippets) if code is not None)

    def _place(self, line: int | None) -> Place:
        return Place(self._file, line)


def _kind(state: StateMixin) -> StateKind:
    return next((kind for type_, kind in _KINDS if isinstance(state, type_)), StateKind.BASIC)


def _children(chart: Chart, name: str) -> list[str]:
    """Give a state's own states in document order."""
    children: list[str] = chart.statechart.children_for(name)
    order = {state: number for number, state in enumerate(chart.positions.states)}
    return sorted(children, key=lambda child: (order.get(child, len(order)), child))


def _document_order(chart: Chart) -> Iterator[str]:
    waiting = [chart.statechart.root]
    while waiting:
        name = waiting.pop()
        yield name
        waiting.extend(reversed(_children(chart, name)))
