"""Findings in the shape of a chart: states that nothing leads to or out of, transitions that clash."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from worker.core.checks.findings import Finding
from worker.core.checks.reach import HISTORY, Reach
from worker.core.engine.outline import Outline, OutlineState, OutlineTransition, StateKind
from worker.core.engine.snippets import argument, literal_texts

_PASSED: Final = (StateKind.FINAL, *HISTORY)
"""Kinds of states in which nothing is waited for."""


def structure_findings(outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find what is wrong with states and transitions, whatever their code does."""
    yield from _unreachable(outline, reach)
    yield from _without_initial(outline, reach)
    yield from _dead_ends(outline, reach)
    yield from _without_end(outline, reach)
    yield from _loops(outline, reach)
    for state in outline.states.values():
        yield from _clashes(state)


def _unreachable(outline: Outline, reach: Reach) -> Iterator[Finding]:
    for name, state in outline.states.items():
        # Of a whole branch that is not reached, its top is told.
        if name not in reach.reached and state.parent in reach.reached:
            yield Finding("unreachable-state", state.place, f"No transition leads to the state {name!r}.")


def _without_initial(outline: Outline, reach: Reach) -> Iterator[Finding]:
    for name, state in outline.states.items():
        if state.kind is StateKind.COMPOUND and state.initial is None and name in reach.reached:
            children = ", ".join(map(repr, state.children))
            yield Finding("no-initial-state", state.place, f"The state {name!r} has no initial one among {children}.")


def _dead_ends(outline: Outline, reach: Reach) -> Iterator[Finding]:
    for state in _waiting(outline, reach):
        if not any(reach.exits(state.name)) and not _is_asked_for(outline, state.name):
            yield Finding("dead-end", state.place, f"The state {state.name!r} can't be left and is not final.")


def _is_asked_for(outline: Outline, name: str) -> bool:
    """Tell whether code waits for this state by `active("…")`: a region may end in it, without being final."""
    return any(
        name in literal_texts(argument(call, 0, "name"))
        for state in outline.states.values()
        for code in state.code
        for call in code.snippet.calls("active")
    )


def _without_end(outline: Outline, reach: Reach) -> Iterator[Finding]:
    if not reach.ends:
        root = outline.states[outline.root]
        if root.children:
            yield Finding(
                "no-way-to-end", root.place, f"The root {root.name!r} has no final state: no instance completes."
            )
        return
    for state in _waiting(outline, reach):
        if any(reach.exits(state.name)) and not reach.ends & reach.after(state.name):
            yield Finding(
                "no-way-to-end", state.place, f"From the state {state.name!r} no final state of the root is reached."
            )


def _waiting(outline: Outline, reach: Reach) -> Iterator[OutlineState]:
    """Go through the reachable states in which an instance waits."""
    for name, state in outline.states.items():
        if name in reach.reached and not state.children and state.kind not in _PASSED and name != outline.root:
            yield state


def _loops(outline: Outline, reach: Reach) -> Iterator[Finding]:
    free = [
        one
        for name, state in outline.states.items()
        if name in reach.reached
        for one in state.transitions
        if one.event is None and one.guard is None and one.target not in reach.ends
    ]
    following = {id(one): [other for other in free if _follows(reach, one, other)] for one in free}
    told: set[int] = set()
    for one in free:
        loop = _loop_from(one, following)
        if loop and not told & {id(each) for each in loop}:
            told |= {id(each) for each in loop}
            states = " → ".join(repr(each.source) for each in loop)
            yield Finding(
                "eventless-loop", one.place, f"Eventless transitions without guards lead in a circle: {states}."
            )


def _follows(reach: Reach, one: OutlineTransition, other: OutlineTransition) -> bool:
    """Tell whether the other transition can be taken at once after the first."""
    if one.target is None:
        return one is other
    return other.source in reach.entered(one.target)


def _loop_from(
    start: OutlineTransition, following: dict[int, list[OutlineTransition]]
) -> list[OutlineTransition] | None:
    """Find a shortest circle through a transition."""
    waiting = [[start]]
    seen: set[int] = set()
    while waiting:
        way = waiting.pop(0)
        for following_one in following[id(way[-1])]:
            if following_one is start:
                return way
            if id(following_one) not in seen:
                seen.add(id(following_one))
                waiting.append([*way, following_one])
    return None


def _clashes(state: OutlineState) -> Iterator[Finding]:
    for first, second in combinations(state.transitions, 2):
        if first.event != second.event or (first.guard is not None and second.guard is not None):
            continue
        on = "without an event" if first.event is None else f"on {first.event!r}"
        if first.priority == second.priority:
            unguarded = "both without a guard" if first.guard is second.guard is None else "one without a guard"
            yield Finding(
                "ambiguous-transitions",
                second.place,
                f"The state {state.name!r} has two transitions {on} of one priority, {unguarded}.",
            )
            continue
        higher, lower = sorted((first, second), key=lambda one: -one.priority)
        if higher.guard is None:
            yield Finding(
                "shadowed-transition",
                lower.place,
                f"The state {state.name!r} has another transition {on} of higher priority without a guard.",
            )
