"""Where the parts of a chart stand in its YAML, for whoever tells of them. Lines count from 1."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ruamel.yaml import MappingNode, Node, ScalarNode, SequenceNode

_BLOCK_STYLES: Final = ("|", ">")
_TRANSITION_CODE: Final = ("guard", "action")
_STATE_CODE: Final = ("on entry", "on exit")
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Positions:
    """Lines of states by name, of transitions by state and index, and of the first line of each piece of code.

    `code` is keyed by what it belongs to: ("preamble",), (state, "on entry"), (state, index, "guard"), and for the
    conditions of contracts (state, "before", number among these), (state, index, "before", number).
    """

    states: dict[str, int] = field(default_factory=dict)
    transitions: dict[tuple[str, int], int] = field(default_factory=dict)
    code: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def positions_of(document: Node | None, text: str) -> Positions:
    """Find the parts of a chart in the composed text; what is not where a chart has it is left out."""
    found = Positions(lines=tuple(text.splitlines()))
    chart = part_of(document, "statechart")
    _note_code(found, ("preamble",), part_of(chart, "preamble"))
    _note_state(found, part_of(chart, "root state"))
    return found


def part_of(node: Node | None, key: str) -> Node | None:
    """Give a value of a mapping; nothing if there is none."""
    return next((value for name, value in items_of(node) if name.value == key), None)


def items_of(node: Node | None) -> Iterator[tuple[ScalarNode, Node]]:
    """Go through the keys and values of a mapping, its own before those that `<<` merges in, each key once."""
    if not isinstance(node, MappingNode):
        return
    seen: set[str] = set()
    for name, value in (*node.value, *_merged(node)):
        if isinstance(name, ScalarNode) and name.tag != _MERGE_TAG and name.value not in seen:
            seen.add(name.value)
            yield name, value


def _merged(node: MappingNode) -> Iterator[tuple[ScalarNode, Node]]:
    for name, value in node.value:
        if name.tag == _MERGE_TAG:
            for one in entries_of(value) if isinstance(value, SequenceNode) else (value,):
                yield from items_of(one)


def entries_of(node: Node | None) -> Iterator[Node]:
    """Go through the entries of a list; of anything else, through nothing."""
    if isinstance(node, SequenceNode):
        yield from node.value


def line_of(node: Node) -> int:
    """Give the line on which a node begins."""
    line: int = node.start_mark.line
    return line + 1


def _note_state(found: Positions, state: Node | None) -> None:
    name = part_of(state, "name")
    if state is None or not isinstance(name, ScalarNode):
        return
    found.states.setdefault(name.value, line_of(state))
    for key in _STATE_CODE:
        _note_code(found, (name.value, key), part_of(state, key))
    _note_conditions(found, (name.value,), state)
    for index, transition in enumerate(entries_of(part_of(state, "transitions"))):
        found.transitions.setdefault((name.value, index), line_of(transition))
        for key in _TRANSITION_CODE:
            _note_code(found, (name.value, index, key), part_of(transition, key))
        _note_conditions(found, (name.value, index), transition)
    for key in ("states", "parallel states"):
        for child in entries_of(part_of(state, key)):
            _note_state(found, child)


def _note_conditions(found: Positions, key: tuple[str | int, ...], element: Node) -> None:
    counts: dict[str, int] = {}
    for entry in entries_of(part_of(element, "contract")):
        for name, value in items_of(entry):
            number = counts.get(name.value, 0)
            counts[name.value] = number + 1
            _note_code(found, (*key, name.value, number), value)


def _note_code(found: Positions, key: tuple[str | int, ...], value: Node | None) -> None:
    if isinstance(value, ScalarNode):
        # The text of a block begins on the line below its mark; sismic strips what is empty before the first line.
        empty = value.value[: -len(value.value.lstrip()) or None].count("\n")
        found.code.setdefault(key, line_of(value) + (value.style in _BLOCK_STYLES) + empty)
