"""A statechart's structure as tables: made once from sismic's model, looked up at every step.

States are numbered from the deepest on, by name where depths are equal: the order in which sismic looks at sources of
transitions and at leaves. A set of states is an integer, one bit a state. What depends on the whole configuration is
worked out when it first occurs and kept, for at most `KEPT_MAX` configurations.

Source: `sismic.interpreter.default`, whose decisions these are.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, Final, Protocol, TypeVar, final

from sismic.exceptions import ConflictingTransitionsError, NonDeterminismError
from sismic.model import (
    CompoundState,
    DeepHistoryState,
    FinalState,
    HistoryStateMixin,
    OrthogonalState,
    ShallowHistoryState,
    Statechart,
    Transition,
)

from worker.core.engine.api import Microstep

KEPT_MAX: Final = 10_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Codes(Protocol):
    """Find a chart's code. What a piece is, is the affair of who runs it; None: there is none."""

    def entry_of(self, state: str) -> Any:
        """Give a state's entry code."""
        ...

    def exit_of(self, state: str) -> Any:
        """Give a state's exit code."""
        ...

    def action_of(self, transition: Transition) -> Any:
        """Give a transition's action."""
        ...

    def guard_of(self, transition: Transition) -> Any:
        """Give a transition's guard."""
        ...

    def note_on(self, pieces: tuple[Any, ...]) -> Any:
        """Give what to know of pieces that run together."""
        ...


@final
class Edge:
    """A transition: its number in the chart, and what it leaves, of what is active, and enters, each in order."""

    __slots__ = ("action", "enters", "event", "exits", "guard", "guarded", "number", "source", "transition")

    def __init__(self, number: int, transition: Transition, tables: "Tables") -> None:
        self.number = number
        self.transition = transition
        self.source: int = tables.index[transition.source]
        self.event: str | None = transition.event
        self.guarded: bool = transition.guard is not None
        self.guard = tables.codes.guard_of(transition)
        self.action = tables.codes.action_of(transition)
        self.exits, self.enters = tables.ways(transition)


@final
class History:
    """A history state as its parent is left: what it remembers of the states in `mask`."""

    __slots__ = ("deep", "mask", "name")

    def __init__(self, name: str, mask: int, *, deep: bool) -> None:
        self.name = name
        self.mask = mask
        self.deep = deep


@final
class Move:
    """One microstep as it will be: the states left and entered, in order, and the transition, if there is one.

    `leaving` has for each state left its bit, its exit code and its histories, `entering` for each state entered its
    bit and its entry code; they are empty where nothing runs and nothing is remembered: the masks say all.
    `pieces` is all code in the order in which it runs, `note` what is known of it. `history` is the number of a history
    state that must say what is entered instead; -1: none.
    """

    __slots__ = (
        "action",
        "edge",
        "enter_mask",
        "entered",
        "entering",
        "exit_mask",
        "history",
        "leaving",
        "note",
        "pieces",
        "trace",
    )

    def __init__(
        self, tables: "Tables", exited: Iterable[int], entered: Iterable[int], edge: Edge | None = None
    ) -> None:
        exits, self.entered = tuple(exited), tuple(entered)
        names = tables.names
        self.edge = edge
        self.action = edge.action if edge else None
        self.history = -1
        self.exit_mask = mask_of(exits)
        self.enter_mask = mask_of(self.entered)
        leaving = tuple((1 << state, tables.exits[state], tables.histories[state]) for state in exits)
        entering = tuple((1 << state, tables.entries[state]) for state in self.entered)
        self.leaving = leaving if any(code or histories for _, code, histories in leaving) else ()
        self.entering = entering if any(code for _, code in entering) else ()
        codes = (*(code for _, code, _ in leaving), self.action, *(code for _, code in entering))
        self.pieces = tuple(code for code in codes if code is not None)
        self.note = tables.codes.note_on(self.pieces)
        self.trace = Microstep(
            edge.event if edge else None,
            tuple(names[state] for state in exits),
            tuple(names[state] for state in self.entered),
        )


Group = tuple[Edge, ...]
"""Transitions of one source, event and priority."""


@final
class Candidate:
    """A state with transitions that an event could trigger: `groups` from the highest priority on.

    `cover` has the state and its ancestors: an inner transition keeps those of outer states from being looked at.
    """

    __slots__ = ("bit", "cover", "groups")

    def __init__(self, bit: int, cover: int, groups: tuple[Group, ...]) -> None:
        self.bit = bit
        self.cover = cover
        self.groups = groups


class Tables:
    """All that can be known of a statechart before it runs. The statechart must not change any more."""

    def __init__(self, statechart: Statechart, codes: Codes) -> None:
        self.codes = codes
        self._chart = statechart
        depths: dict[str, int] = {name: statechart.depth_for(name) for name in statechart.states}
        self.names: tuple[str, ...] = tuple(sorted(depths, key=lambda name: (-depths[name], name)))
        self.index = {name: number for number, name in enumerate(self.names)}
        self._rank = {self.index[name]: (depths[name], name) for name in self.names}
        self._ancestors = [self._mask(statechart.ancestors_for(name)) for name in self.names]
        self._descendants = [self._mask(statechart.descendants_for(name)) for name in self.names]
        self.histories = [tuple(self._histories(name)) for name in self.names]
        self.entries = [codes.entry_of(name) for name in self.names]
        self.exits = [codes.exit_of(name) for name in self.names]
        self.opening = Move(self, (), (self.index[statechart.root],))
        self.empty = Move(self, (), ())
        self.edges = [Edge(number, transition, self) for number, transition in enumerate(statechart.transitions)]
        self._groups = self._grouped()
        self._rests = [self._rest(name) for name in self.names]
        self.has_eventless = any(edge.event is None for edge in self.edges)
        self._candidates: dict[tuple[int, str | None], tuple[Candidate, ...]] = {}
        self._moves: dict[tuple[int, int], Move] = {}
        self._settlings: dict[int, Move | None] = {}
        self._recalls: dict[tuple[int, tuple[str, ...] | None], Move] = {}
        self._configurations: dict[int, tuple[str, ...]] = {}
        self._clashes: dict[tuple[int, int], type[Exception] | None] = {}

    def ways(self, transition: Transition) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the states that a transition may leave, and those that it enters, in order."""
        if transition.target is None:
            return (), ()
        common = self._chart.least_common_ancestor(transition.source, transition.target)
        last = self._last_below(common, transition.source)
        exits = [*reversed(self._chart.descendants_for(last)), last]
        enters = [transition.target]
        for name in self._chart.ancestors_for(transition.target):
            if name == common:
                break
            enters.insert(0, name)
        return tuple(self.index[name] for name in exits), tuple(self.index[name] for name in enters)

    def candidates(self, active: int, event: str | None) -> tuple[Candidate, ...]:
        """Give the active states that an event could move, inner ones first; no event: by eventless transitions."""
        key = (active, event)
        found = self._candidates.get(key)
        if found is None:
            found = tuple(
                Candidate(1 << state, self._ancestors[state] | 1 << state, self._groups[state, event])
                for state in bits(active)
                if (state, event) in self._groups
            )
            if found:
                # Events that nothing waits for may have any name.
                keep(self._candidates, key, found)
        return found

    def move(self, active: int, edge: Edge) -> Move:
        """Give the microstep that a transition is in a configuration."""
        key = (active, edge.number)
        found = self._moves.get(key)
        if found is None:
            exited = (state for state in edge.exits if active >> state & 1)
            found = keep(self._moves, key, Move(self, exited, edge.enters, edge))
        return found

    def moves(self, active: int, edges: list[Edge]) -> list[Move]:
        """Give the microsteps of transitions that are enabled together, in order; none: the one that does nothing.

        Raises: as `check` does.
        """
        if not edges:
            return [self.empty]
        if len(edges) > 1:
            self.check(edges, active)
            edges.sort(key=_by_source)
        return [self.move(active, edge) for edge in edges]

    def settling(self, active: int) -> Move | None:
        """Give the microstep that makes a configuration more stable, if there is one."""
        try:
            return self._settlings[active]
        except KeyError:
            return keep(self._settlings, active, self._settling(active))

    def remembered(self, history: History, before: int) -> tuple[str, ...]:
        """Name the states that a history state remembers of those that were active, sorted."""
        active = before & history.mask
        if not active or (not history.deep and active & active - 1):
            # Sismic asserts that a state which is left has something in it, and remembers one child of it.
            raise AssertionError
        return tuple(sorted(self.configuration(active)))

    def recall(self, state: int, remembered: tuple[str, ...] | None) -> Move:
        """Give the microstep from a history state to what it remembers, or to its default."""
        key = (state, remembered)
        found = self._recalls.get(key)
        if found is None:
            names = (self._chart.state_for(self.names[state]).memory,) if remembered is None else remembered
            entered = sorted((self._position(name) for name in names), key=self._rank.__getitem__)
            found = keep(self._recalls, key, Move(self, (state,), entered))
        return found

    def configuration(self, active: int) -> tuple[str, ...]:
        """Name states, sorted by depth, then name."""
        found = self._configurations.get(active)
        if found is None:
            ranked = sorted(bits(active), key=self._rank.__getitem__)
            found = keep(self._configurations, active, tuple(self.names[state] for state in ranked))
        return found

    def check(self, edges: list[Edge], active: int) -> None:
        """Let transitions that are enabled together pass only if each stays in a region of its own.

        Raises: NonDeterminismError, ConflictingTransitionsError; StatechartError, if two are of the root.
        """
        for first, second in combinations(edges, 2):
            clash = self._clash(first, second)
            if clash is not None:
                told = (
                    "Non-determinist choice between transitions"
                    if clash is NonDeterminismError
                    else "Conflicting transitions:"
                )
                transitions = [edge.transition for edge in edges]
                raise clash(
                    f"{told} {first.transition} and {second.transition}"
                    f"\nConfiguration is {list(self.configuration(active))}\nEvent is {first.event}"
                    f"\nTransitions are:{transitions}\n"
                )

    def _clash(self, first: Edge, second: Edge) -> type[Exception] | None:
        key = (first.number, second.number)
        if key not in self._clashes:
            self._clashes[key] = self._found_clash(first.transition, second.transition)
        return self._clashes[key]

    def _found_clash(self, first: Transition, second: Transition) -> type[Exception] | None:
        common = self._chart.least_common_ancestor(first.source, second.source)
        if not isinstance(self._chart.state_for(common), OrthogonalState):
            return NonDeterminismError  # type: ignore[no-any-return]  # sismic ships no types.
        for transition in (first, second):
            region = self._last_below(common, transition.source)
            if transition.target and transition.target not in (region, *self._chart.descendants_for(region)):
                return ConflictingTransitionsError  # type: ignore[no-any-return]
        return None

    def _settling(self, active: int) -> Move | None:
        for state in bits(active):
            rest = self._rests[state]
            if rest is not None and not self._descendants[state] & active:
                return rest
        return None

    def _rest(self, name: str) -> Move | None:
        """Say what follows if this state is active and nothing in it is."""
        state = self._chart.state_for(name)
        number = self.index[name]
        children = sorted(self._chart.children_for(name))
        if isinstance(state, FinalState) and self._chart.parent_for(name) == self._chart.root:
            return Move(self, (number, self.index[self._chart.root]), ())
        if isinstance(state, HistoryStateMixin):
            move = Move(self, (number,), ())
            move.history = number
            return move
        if isinstance(state, OrthogonalState):
            return Move(self, (), (self.index[child] for child in children)) if children else None
        if isinstance(state, CompoundState) and state.initial:
            return Move(self, (), (self.index[state.initial],))
        return None

    def _histories(self, name: str) -> Iterator[History]:
        if not isinstance(self._chart.state_for(name), CompoundState):
            return
        children = self._chart.children_for(name)
        for child in map(self._chart.state_for, children):
            if isinstance(child, DeepHistoryState):
                yield History(child.name, self._mask(self._chart.descendants_for(name)), deep=True)
            elif isinstance(child, ShallowHistoryState):
                yield History(child.name, self._mask(children), deep=False)

    def _grouped(self) -> dict[tuple[int, str | None], tuple[Group, ...]]:
        found: dict[tuple[int, str | None], dict[int, list[Edge]]] = {}
        for edge in self.edges:
            groups = found.setdefault((edge.source, edge.event), {})
            groups.setdefault(edge.transition.priority, []).append(edge)
        return {
            key: tuple(tuple(groups[priority]) for priority in sorted(groups, reverse=True))
            for key, groups in found.items()
        }

    def _last_below(self, common: str | None, name: str) -> str:
        """Give the outermost of a state and its ancestors that is below their common ancestor with another."""
        last = name
        for ancestor in self._chart.ancestors_for(name):
            if ancestor == common:
                break
            last = ancestor
        return last

    def _position(self, name: str) -> int:
        if name not in self.index:
            # A snapshot of another chart: this raises what the statechart says to it.
            self._chart.depth_for(name)
        return self.index[name]

    def _mask(self, names: Iterable[str]) -> int:
        return mask_of(self.index[name] for name in names)


def mask_of(states: Iterable[int]) -> int:
    """Make a set of states of their numbers."""
    mask = 0
    for state in states:
        mask |= 1 << state
    return mask


def bits(mask: int) -> Iterator[int]:
    """Give the numbers of the states in a set, in order."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _by_source(edge: Edge) -> int:
    return edge.source


def keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    """Keep a value, of at most `KEPT_MAX`."""
    if len(kept) >= KEPT_MAX:
        kept.clear()
    kept[key] = value
    return value
