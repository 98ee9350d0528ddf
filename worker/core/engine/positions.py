"""Where the parts of a chart stand in its YAML, for whoever tells of them. Lines count from 1."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ruamel.yaml import YAML, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.error import YAMLError

_BLOCK_STYLES: Final = ("|", ">")
_TRANSITION_CODE: Final = ("guard", "action")
_STATE_CODE: Final = ("on entry", "on exit")


@dataclass(slots=True)
class Positions:
    """Lines of states by name, of transitions by state and index, and of the first line of each piece of code.

    `code` is keyed by what it belongs to: ("preamble",), (state, "on entry"), (state, index, "guard").
    """

    states: dict[str, int] = field(default_factory=dict)
    transitions: dict[tuple[str, int], int] = field(default_factory=dict)
    code: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def positions_of(text: str) -> Positions:
    """Find the parts of a chart; what is not where a chart has it is left out."""
    found = Positions(lines=tuple(text.splitlines()))
    try:
        document = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError):
        return found
    chart = _value(document, "statechart")
    _note_code(found, ("preamble",), _value(chart, "preamble"))
    _note_state(found, _value(chart, "root state"))
    return found


def _note_state(found: Positions, state: Node | None) -> None:
    name = _value(state, "name")
    if state is None or not isinstance(name, ScalarNode):
        return
    found.states.setdefault(name.value, _line(state))
    for key in _STATE_CODE:
        _note_code(found, (name.value, key), _value(state, key))
    for index, transition in enumerate(_entries(_value(state, "transitions"))):
        found.transitions.setdefault((name.value, index), _line(transition))
        for key in _TRANSITION_CODE:
            _note_code(found, (name.value, index, key), _value(transition, key))
    for key in ("states", "parallel states"):
        for child in _entries(_value(state, key)):
            _note_state(found, child)


def _note_code(found: Positions, key: tuple[str | int, ...], value: Node | None) -> None:
    if isinstance(value, ScalarNode):
        # The text of a block begins on the line below its mark.
        found.code.setdefault(key, _line(value) + (value.style in _BLOCK_STYLES))


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for name, value in node.value if isinstance(name, ScalarNode) and name.value == key), None)


def _entries(node: Node | None) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1
