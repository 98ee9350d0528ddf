"""A chart as Mermaid's `stateDiagram-v2`.

Mermaid puts a state into the block that names it last. So a block names its transitions first and its states after
them: a transition into a nested state then leaves that state where it is.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from worker.core.engine.outline import Outline, OutlineState, StateKind
from worker.core.graphs.wording import (
    Edge,
    Emitted,
    Heading,
    TransitionWords,
    common_ancestor,
    edges_of,
    words_of_state,
)

_INDENT: Final = "    "
_PLAIN_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNSAFE: Final = re.compile(r"""[^\w .,()\[\]=+*'!?/$|^@→…-]""")
_DIRECTION: Final = re.compile(r"(direction) +(TB|BT|RL|LR)", re.IGNORECASE)
_RESERVED: Final = frozenset(
    {
        *("accdescr", "acctitle", "as", "class", "classdef", "click", "default", "direction", "end", "hide", "href"),
        *("note", "root", "scale", "state", "statediagram", "style"),
        *("constructor", "hasownproperty", "isprototypeof", "propertyisenumerable", "prototype", "tolocalestring"),
        *("tostring", "valueof"),
    }
)
"""Names that Mermaid, or the JavaScript that it is written in, takes for something else."""

_HISTORY: Final = {StateKind.SHALLOW_HISTORY: "H", StateKind.DEEP_HISTORY: "H*"}
_ACTIVE_STYLE: Final = "fill:#fff3c9,stroke:#b07800,stroke-width:3px,color:#1c2733"
_COMPOSITE: Final = frozenset({StateKind.COMPOUND, StateKind.PARALLEL})


def mermaid_of(outline: Outline, heading: Heading | None = None, active: frozenset[str] = frozenset()) -> str:
    """Draw a chart as Mermaid; the same chart gives the same text, which ends with a newline.

    `heading` says what the chart does not know of its machine. `active` names states to set off: those that an
    instance is in.
    """
    drawing = _Drawing(outline, heading or Heading(outline.name))
    return "\n".join((*drawing.lines(), *drawing.active_lines(active))) + "\n"


class _Drawing:
    def __init__(self, outline: Outline, heading: Heading) -> None:
        self._outline = outline
        self._heading = heading
        self._ids = _ids(outline)
        self._edges: dict[str | None, list[Edge]] = {}
        for edge in edges_of(outline, heading):
            self._edges.setdefault(common_ancestor(outline, edge.source, edge.target), []).append(edge)

    def lines(self) -> Iterator[str]:
        yield "---"
        yield f'title: "{_yaml_text(self._heading.title)}"'
        yield "---"
        yield "stateDiagram-v2"
        root = self._outline.states[self._outline.root]
        for edge in self._edges.get(None, ()):
            yield from (_INDENT + line for line in self._edge(edge))
        lines = self._block(root) if self._is_frame(root) else self._state(root)
        yield from (_INDENT + line for line in lines)

    def active_lines(self, active: frozenset[str]) -> Iterator[str]:
        """Set the innermost of the active states off: Mermaid takes no class for a state that holds others."""
        plain = [name for name in self._outline.states if name in active]
        named = [self._ids[name] for name in plain if self._outline.states[name].kind not in _COMPOSITE]
        if named:
            yield f"{_INDENT}classDef active {_ACTIVE_STYLE}"
            yield f"{_INDENT}class {','.join(named)} active"

    def _is_frame(self, root: OutlineState) -> bool:
        """Tell whether the root only holds the others, so that the title stands for it."""
        details = words_of_state(root, self._heading).has_details
        ends = {name for edges in self._edges.values() for edge in edges for name in (edge.source, edge.target)}
        return root.kind is StateKind.COMPOUND and not details and root.name not in ends

    def _state(self, state: OutlineState) -> Iterator[str]:
        name = self._ids[state.name]
        details = list(self._details(state))
        if state.kind in _COMPOSITE:
            yield f'state "{_text(state.name)}" as {name} {{'
            yield from (_INDENT + line for line in self._block(state))
            yield "}"
            if details:
                yield f"note right of {name}"
                yield from (_INDENT + line for line in details)
                yield "end note"
        else:
            yield f'state "{_text(self._label(state))}" as {name}'
            yield from (f"{name} : {line}" for line in details)
            if state.kind is StateKind.FINAL:
                yield f"{name} --> [*]"

    def _block(self, state: OutlineState) -> Iterator[str]:
        """Give what stands in a composite state: the transitions among its states, then these."""
        if state.initial is not None:
            starts = self._heading.starts_with if state.name == self._outline.root else None
            yield f"[*] --> {self._ids[state.initial]}" + (f" : {_text(starts)}" if starts else "")
        for edge in self._edges.get(state.name, ()):
            yield from self._edge(edge)
        for number, child in enumerate(state.children):
            if number and state.kind is StateKind.PARALLEL:
                yield "--"
            yield from self._state(self._outline.states[child])

    def _edge(self, edge: Edge) -> Iterator[str]:
        arrow = f"{self._ids[edge.source]} --> {self._ids[edge.target]}"
        labels = [_joined(_transition_parts(one)) for one in edge.transitions] or ["default"]
        if any(self._outline.states[name].kind in _COMPOSITE for name in (edge.source, edge.target)):
            # Mermaid draws all lines between the same two boxes in one place if one of them is a composite.
            labels = [_joined(labels)]
        yield from (f"{arrow} : {label}" for label in labels)

    def _label(self, state: OutlineState) -> str:
        mark = _HISTORY.get(state.kind)
        return f"{mark} {state.name}" if mark else state.name

    def _details(self, state: OutlineState) -> Iterator[str]:
        words = words_of_state(state, self._heading)
        yield from (f"entry / {_emission(emitted)}" for emitted in words.entry)
        yield from (f"exit / {_emission(emitted)}" for emitted in words.exit)
        yield from (f"on {' '.join(_transition_parts(one))}" for one in words.internal)


def _transition_parts(one: TransitionWords) -> Sequence[str]:
    parts = [_text(one.trigger)] if one.trigger else []
    if one.guard:
        parts.append(_text(f"[{one.guard}]"))
    return parts + [f"/ {_emission(emitted)}" for emitted in one.emitted]


def _emission(emitted: Emitted) -> str:
    return _text(f"{emitted.type} → {emitted.where}" if emitted.where else emitted.type)


def _joined(parts: Sequence[str]) -> str:
    return "<br/>".join(parts)


def _text(text: str) -> str:
    """Write what means something to Mermaid as its number: single characters, and what its lexer finds anywhere."""
    safe = _UNSAFE.sub(lambda found: f"#{ord(found[0])};", text)
    return _DIRECTION.sub(r"\1#32;\2", safe.replace("[[", "[#91;"))


def _yaml_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _ids(outline: Outline) -> dict[str, str]:
    """Give every state a name that Mermaid takes: its own where that is possible."""
    taken = {name for name in outline.states if _is_plain(name)}
    ids = {name: name for name in taken}
    for number, name in enumerate(outline.states, 1):
        if name not in taken:
            candidate = f"state_{number}"
            while candidate in taken:
                candidate += "_"
            taken.add(candidate)
            ids[name] = candidate
    return ids


def _is_plain(name: str) -> bool:
    return _PLAIN_ID.fullmatch(name) is not None and name.lower() not in _RESERVED
