"""Findings in the shape of a chart: states that nothing leads to or out of, transitions that clash or are in vain."""

from collections.abc import Container, Iterator
from itertools import combinations, pairwise
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
    dead_ends = {state.name: state for state in _waiting(outline, reach) if _is_dead_end(outline, reach, state)}
    for name, state in dead_ends.items():
        yield Finding("dead-end", state.place, f"The state {name!r} can't be left and is not final.")
    yield from _without_end(outline, reach, but=dead_ends.keys())
    for state in outline.states.values():
        yield from _clashes(state)
        yield from _passed_by(state)
    yield from _conflicts(outline, reach)
    yield from _half_entered(outline, reach)


def _unreachable(outline: Outline, reach: Reach) -> Iterator[Finding]:
    for name, state in outline.states.items():
        # Of a whole branch that is not reached, its top is told.
        if name not in reach.reached and state.parent in reach.reached:
            yield Finding("unreachable-state", state.place, f"No transition leads to the state {name!r}.")


def _without_initial(outline: Outline, reach: Reach) -> Iterator[Finding]:
    for name, state in outline.states.items():
        if state.kind is not StateKind.COMPOUND or state.initial is not None:
            continue
        if any(name in entered and not entered & reach.below(name) for entered in reach.entries()):
            children = ", ".join(map(repr, state.children))
            yield Finding("no-initial-state", state.place, f"The state {name!r} has no initial one among {children}.")


def _waiting(outline: Outline, reach: Reach) -> Iterator[OutlineState]:
    """Go through the reachable states in which an instance waits."""
    for name, state in outline.states.items():
        if name in reach.reached and not state.children and state.kind not in _PASSED and name != outline.root:
            yield state


def _is_dead_end(outline: Outline, reach: Reach, state: OutlineState) -> bool:
    return not any(reach.exits(state.name)) and not _is_asked_for(outline, state.name)


def _is_asked_for(outline: Outline, name: str) -> bool:
    """Tell whether code waits for this state by `active("…")`: a region may end in it, without being final."""
    return any(
        name in literal_texts(argument(call, 0, "name"))
        for state in outline.states.values()
        for code in state.code
        for call in code.snippet.calls("active")
    )


def _without_end(outline: Outline, reach: Reach, but: Container[str]) -> Iterator[Finding]:
    root = outline.states[outline.root]
    if not root.children:
        return
    if not reach.ends:
        yield Finding("no-way-to-end", root.place, f"The root {root.name!r} has no final state: no instance completes.")
        return
    inner_ends = [
        state
        for name, state in outline.states.items()
        if state.kind is StateKind.FINAL and name in reach.reached and name not in reach.ends
    ]
    for state in (*_waiting(outline, reach), *inner_ends):
        if state.name not in but and not reach.ends & reach.after(state.name):
            yield Finding(
                "no-way-to-end", state.place, f"From the state {state.name!r} no final state of the root is reached."
            )


def _clashes(state: OutlineState) -> Iterator[Finding]:
    for first, second in combinations(state.transitions, 2):
        if first.event != second.event or not _may_both_hold(first, second):
            continue
        if first.priority == second.priority:
            yield Finding(
                "ambiguous-transitions",
                second.place,
                f"The state {state.name!r} has two transitions {_on(first)} of one priority, {_guards(first, second)}.",
            )
            continue
        higher, lower = sorted((first, second), key=lambda one: -one.priority)
        if higher.guard is None or lower.guard is not None:
            guarded = "without a guard" if higher.guard is None else "with the same guard"
            yield Finding(
                "shadowed-transition",
                lower.place,
                f"The state {state.name!r} has another transition {_on(first)} of higher priority {guarded}.",
            )


def _may_both_hold(first: OutlineTransition, second: OutlineTransition) -> bool:
    """Tell whether one situation lets both through, as far as can be said without running their guards."""
    return first.guard is None or second.guard is None or first.guard.text == second.guard.text


def _guards(first: OutlineTransition, second: OutlineTransition) -> str:
    if first.guard is second.guard is None:
        return "both without a guard"
    return "one without a guard" if first.guard is None or second.guard is None else "both with the same guard"


def _on(transition: OutlineTransition) -> str:
    return "without an event" if transition.event is None else f"on {transition.event!r}"


def _passed_by(state: OutlineState) -> Iterator[Finding]:
    """Find transitions on events in a state in which no event is waited for."""
    if any(one.event is None and one.guard is None and one.target is not None for one in state.transitions):
        for one in state.transitions:
            if one.event is not None:
                text = f"The state {state.name!r} is left at once by a transition without event or guard."
                yield Finding("shadowed-transition", one.place, text)


def _conflicts(outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find regions that take one event together, one of them to leave: sismic can't do both."""
    told: set[int] = set()
    for entered in reach.entries():
        if any(one.event is None for name in entered for one in outline.states[name].transitions):
            # Whether the states are ever at rest together can't be told.
            continue
        taken = [one for name in sorted(entered) for one in _surely_taken(outline, reach, entered, name)]
        for first, second in combinations(taken, 2):
            if first.event != second.event or second.source not in reach.beside(first.source):
                continue
            for one, other in ((first, second), (second, first)):
                if id(one) not in told and reach.is_left_by(other.source, one):
                    told.add(id(one))
                    yield Finding(
                        "conflicting-regions",
                        one.place,
                        f"The state {other.source!r} in a region beside takes {one.event!r} too, and this transition "
                        "leaves both.",
                    )


def _surely_taken(outline: Outline, reach: Reach, entered: set[str], name: str) -> Iterator[OutlineTransition]:
    """Go through the transitions that are taken for certain if their event comes while these states are active."""
    inner = {one.event for state in entered & reach.below(name) for one in outline.states[state].transitions}
    own = outline.states[name].transitions
    for one in own:
        alone = sum(other.event == one.event for other in own) == 1
        if one.guard is None and alone and one.event not in inner:
            yield one


def _half_entered(outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find transitions that enter one region alone: sismic leaves the regions beside it empty."""
    for name in sorted(reach.reached):
        for one in outline.states[name].transitions:
            if one.target is None:
                continue
            around = (name, *reach.ancestors(name))
            for region, parent in pairwise((one.target, *reach.ancestors(one.target))):
                if outline.states[parent].kind is StateKind.PARALLEL and region not in around:
                    text = f"The transition leads into the region {region!r} of {parent!r}, and no region beside it."
                    yield Finding("half-entered-parallel", one.place, text)
                    break
