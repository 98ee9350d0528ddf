"""What is wrong with the shape of a chart's YAML: told by line, before sismic reads it.

Sismic would refuse most of this without saying where, and take the rest silently for something else: `guard:` for the
text "None", states below a final state for none. What is no part of a chart's grammar here, sismic still looks at.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from ruamel.yaml import MappingNode, Node, ScalarNode, SequenceNode

from worker.core.engine.positions import entries_of, items_of, line_of, part_of

Found = tuple[int | None, str]
"""A line, and what is wrong there."""

_CHART_KEYS: Final = ("name", "description", "preamble", "root state")
_STATE_KEYS: Final = (
    *("name", "type", "initial", "memory", "on entry", "on exit"),
    *("transitions", "states", "parallel states", "contract"),
)
_TRANSITION_KEYS: Final = ("event", "target", "guard", "action", "priority", "contract")
_LISTS: Final = ("transitions", "states", "parallel states", "contract")
_CONDITION_KEYS: Final = ("before", "after", "always")
_PRIORITIES: Final = ("high", "low")
_WHOLE_NUMBER: Final = re.compile(r"[-+]?[0-9]+")
_TYPES: Final = ("final", "shallow history", "deep history")
_MAY_BE_EMPTY: Final = ("description",)
_NULL_TAG: Final = "tag:yaml.org,2002:null"


def shape_findings(document: Node | None) -> Iterator[Found]:
    """Find what is wrong with a composed document; the first finding may be the cause of others."""
    chart = part_of(document, "statechart")
    if not isinstance(chart, MappingNode):
        yield None, "the document has no `statechart:` with keys below it; that is where a chart begins."
        return
    yield from _key_findings(chart, "the chart", _CHART_KEYS, ("name", "root state"))
    root = part_of(chart, "root state")
    if root is None:
        return
    states: dict[str, int] = {}
    yield from _state_findings(root, states)
    yield from _name_findings(root, states)


def _state_findings(state: Node, seen: dict[str, int]) -> Iterator[Found]:
    if not isinstance(state, MappingNode):
        yield line_of(state), "a state is a mapping that begins with `name:`; write `- name: …`."
        return
    name = _text(state, "name")
    place = "a state" if name is None else f"state {name!r}"
    yield from _key_findings(state, place, _STATE_KEYS, ("name",))
    if name is not None and name in seen:
        yield (
            line_of(state),
            f"{place}: the name is taken by the state on line {seen[name]}; names are unique in a chart.",
        )
    seen.setdefault(name or "", line_of(state))
    yield from _kind_findings(state, place)
    yield from _contract_findings(state, place)
    for transition in entries_of(part_of(state, "transitions")):
        yield from _transition_findings(transition, place)
    for child in _children(state):
        yield from _state_findings(child, seen)


def _kind_findings(state: Node, place: str) -> Iterator[Found]:
    type_, children = _text(state, "type"), list(_children(state))
    if type_ is not None and type_ not in _TYPES:
        yield line_of(state), f"{place}: the type {type_!r} is none; expected {', '.join(_TYPES)}, or no type."
    if type_ is not None and children:
        yield line_of(state), f"{place}: a {type_} state has no states of its own; move them out of it."
    if part_of(state, "states") is not None and part_of(state, "parallel states") is not None:
        yield line_of(state), f"{place}: `states` and `parallel states` exclude each other; leave one of them out."
    if type_ is not None and part_of(state, "transitions") is not None:
        yield line_of(state), f"{place}: a {type_} state has no transitions; nothing is waited for in it."
    if part_of(state, "parallel states") is not None:
        for region in children:
            if (_text(region, "type") or "").endswith("history"):
                yield line_of(region), f"{place}: a history state is no region; move it into the state that it is for."


def _transition_findings(transition: Node, place: str) -> Iterator[Found]:
    if not isinstance(transition, MappingNode):
        yield line_of(transition), f"{place}: a transition is a mapping; write `- event: …` or `- target: …`."
        return
    on = f"{place}, transition on {_text(transition, 'event')!r}"
    yield from _key_findings(transition, on, _TRANSITION_KEYS, ())
    priority = _text(transition, "priority")
    if priority is not None and priority not in _PRIORITIES and not _WHOLE_NUMBER.fullmatch(priority):
        text = f"{on}: the priority {priority!r} is none; expected high, low or a whole number."
        yield line_of(transition), text
    yield from _contract_findings(transition, on)


def _contract_findings(element: Node, place: str) -> Iterator[Found]:
    for condition in entries_of(part_of(element, "contract")):
        if isinstance(condition, MappingNode):
            yield from _key_findings(condition, f"{place}, contract", _CONDITION_KEYS, ())
        else:
            yield line_of(condition), f"{place}: a condition is a mapping; write `- always: …`, `before` or `after`."


def _name_findings(state: Node, states: Mapping[str, int], siblings: Iterable[str] = ()) -> Iterator[Found]:
    """Find states that are named and not there."""
    if not isinstance(state, MappingNode):
        return
    place = f"state {_text(state, 'name')!r}"
    children = [_text(child, "name") or "" for child in _children(state)]
    initial, memory = _text(state, "initial"), _text(state, "memory")
    if initial is not None and initial not in children:
        told = f"{place}: the initial state {initial!r} is none of its own{_closest(initial, children)}"
        yield line_of(state), f"{told}; expected one of {', '.join(children) or 'none: it has no states'}."
    if memory is not None and memory not in states:
        yield line_of(state), f"{place}: the chart has no state {memory!r}{_closest(memory, states)}; correct `memory`."
    elif memory is not None and memory not in siblings:
        yield line_of(state), f"{place}: its default {memory!r} is no state beside it; expected {', '.join(siblings)}."
    for transition in entries_of(part_of(state, "transitions")):
        target = _text(transition, "target")
        if target is not None and target not in states:
            text = f"{place}: a transition leads to {target!r}, which the chart does not have"
            yield line_of(transition), f"{text}{_closest(target, states)}; correct the name, or add the state."
    for child in _children(state):
        yield from _name_findings(child, states, [name for name in children if name != _text(child, "name")])


def _key_findings(node: MappingNode, place: str, known: tuple[str, ...], required: tuple[str, ...]) -> Iterator[Found]:
    found = [(key.value, value, line_of(key)) for key, value in items_of(node)]
    for key, value, line in found:
        if key not in known:
            yield line, f"{place}: the key {key!r} is none{_closest(key, known)}; expected {', '.join(known)}."
        elif key in _LISTS and not isinstance(value, SequenceNode) and not _is_empty(value):
            yield line, f"{place}: {key!r} is no list; write each entry on a line of its own that begins with `- `."
        elif _is_empty(value) and key not in _MAY_BE_EMPTY:
            yield line, f"{place}: {key!r} has no value; give it one or remove the key."
        elif key not in _LISTS and key != "root state" and not isinstance(value, ScalarNode):
            yield line, f"{place}: {key!r} is no text; put what has braces or colons into quotes, or below `|`."
    keys = [key for key, _, _ in found]
    for key in required:
        if key not in keys:
            yield line_of(node), f"{place}: the key {key!r} is missing."


def _is_empty(value: Node) -> bool:
    return isinstance(value, ScalarNode) and (value.tag == _NULL_TAG or not value.value.strip())


def _text(node: Node, key: str) -> str | None:
    value = part_of(node, key)
    return value.value if isinstance(value, ScalarNode) and not _is_empty(value) else None


def _children(state: Node) -> Iterator[Node]:
    for key in ("states", "parallel states"):
        yield from entries_of(part_of(state, key))


def _closest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, tuple(names), 1, 0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""
