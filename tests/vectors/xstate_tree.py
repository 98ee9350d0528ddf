"""The states of an XState config: their names in a sismic chart, and what targets and values mean."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

KNOWN_KEYS = frozenset(
    {
        *("id", "type", "initial", "states", "history", "target", "entry", "exit", "on", "always", "after", "onDone"),
        *("output", "context", "version", "tags", "meta", "description"),
    }
)


class NoCounterpartError(Exception):
    """Sismic has nothing that the config's construct could be translated to."""


@dataclass(eq=False)
class State:
    """One state of a config.

    `path` is its id if it has none of its own; `name` its name in the chart, which sorts in document order, since
    sismic enters regions by name.
    """

    key: str
    path: str
    name: str
    config: dict[str, Any]
    parent: "State | None"
    children: list["State"] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Give the id by which XState names the state."""
        return str(self.config.get("id", self.path))

    @property
    def type(self) -> str:
        """Give the kind: atomic, compound, parallel, final or history."""
        given = self.config.get("type")
        return str(given or ("compound" if self.real_children else "atomic"))

    @property
    def real_children(self) -> list["State"]:
        """Give the children that can be active."""
        return [child for child in self.children if child.config.get("type") != "history"]

    def walk(self) -> Iterator["State"]:
        """Go through the state and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def within(self, other: "State") -> bool:
        """Tell whether this is the other state or stands below it."""
        return self is other or (self.parent is not None and self.parent.within(other))


def tree_of(config: dict[str, Any]) -> State:
    """Read the states of a config. Raises: NoCounterpartError."""
    count = 0

    def read(key: str, path: str, declared: dict[str, Any], parent: State | None) -> State:
        nonlocal count
        unknown = declared.keys() - KNOWN_KEYS
        if unknown:
            raise NoCounterpartError(f"a chart has no {', '.join(sorted(unknown))} (state {path})")
        state = State(key, path, f"{count:03} {path}", declared, parent)
        count += 1
        for child_key, child in (declared.get("states") or {}).items():
            state.children.append(read(child_key, f"{path}.{child_key}", child, state))
        return state

    root_id = config.get("id", "(machine)")
    return read(root_id, root_id, config, None)


def find(source: State, target: Any) -> State:
    """Find the state that a transition of `source` names. Raises: NoCounterpartError, if it isn't one state."""
    if isinstance(target, list):
        if len(target) != 1:
            raise NoCounterpartError("a transition has one target, not several")
        return find(source, target[0])
    if target.startswith("#"):
        return _by_id(_root(source), target[1:])
    if target.startswith("."):
        return _below(source, target[1:])
    return _below(source.parent or source, target)


def value_of(state: State, active: Collection[str]) -> Any:
    """Give the active states as XState writes them: a name, or an object by region or state."""
    below = {child.key: value_of(child, active) for child in state.real_children if child.name in active}
    if state.type != "compound":
        return below
    (child,) = (child for child in state.children if child.key in below)
    return child.key if child.type in ("atomic", "final") else below


def states_of_value(state: State, value: Any) -> list[State]:
    """Find the states that a value names: the innermost ones."""
    if isinstance(value, str):
        return [find(state, value if value.startswith("#") else f".{value}")]
    named = [(find(state, f".{key}"), inner) for key, inner in value.items()]
    return [found for child, inner in named for found in (states_of_value(child, inner) or [child])]


def _root(state: State) -> State:
    return state if state.parent is None else _root(state.parent)


def _by_id(root: State, target: str) -> State:
    ids = {state.id: state for state in root.walk()} | {state.path: state for state in root.walk()}
    if target in ids:
        return ids[target]
    prefix, dot, key = target.rpartition(".")
    if not dot:
        raise LookupError(f"no state has the id {target!r}")
    return _below(_by_id(root, prefix), key)


def _below(state: State, path: str) -> State:
    for key in path.split("."):
        found = [child for child in state.children if child.key == key]
        if not found:
            raise LookupError(f"the state {state.path} has no child {key!r}")
        state = found[0]
    return state
