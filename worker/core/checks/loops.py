"""Findings of eventless transitions that follow each other for ever, so that the step exceeds its bound.

Only what is certain is told: on the way round, no other eventless transition could be taken instead.
"""

from collections.abc import Iterator

from worker.core.checks.findings import Finding
from worker.core.checks.reach import HISTORY, Reach
from worker.core.engine.outline import Outline, OutlineCode, OutlineTransition
from worker.core.engine.snippets import BUILTINS

_Following = dict[int, list[OutlineTransition]]


def loop_findings(outline: Outline, reach: Reach) -> Iterator[Finding]:
    """Find eventless transitions that lead back to themselves, and such as stay where they are."""
    if reach.entered(outline.root) & reach.ends:
        # Every instance ends before any transition is looked at.
        return
    eventless = [
        one
        for name, state in outline.states.items()
        if name in reach.reached
        for one in state.transitions
        if one.event is None
    ]
    lasting = [one for one in eventless if one.target not in reach.ends]
    certain = [one for one in lasting if not any(_is_rival(reach, one, other) for other in eventless)]
    for one in certain:
        if one.target is None and (one.guard is None or _stays_true(one.guard, one.action)):
            yield Finding(
                "eventless-loop",
                one.place,
                f"The state {one.source!r} has an eventless transition that leads nowhere, and nothing ends it.",
            )
    yield from _circles(outline, reach, [one for one in certain if one.target is not None and one.guard is None])


def _is_rival(reach: Reach, one: OutlineTransition, other: OutlineTransition) -> bool:
    """Tell whether another eventless transition may be taken instead, or beside."""
    if other.source == one.source:
        return other is not one and other.priority >= one.priority
    return other.source in reach.below(one.source) | reach.beside(one.source)


def _stays_true(guard: OutlineCode, action: OutlineCode | None) -> bool:
    """Tell whether a guard that holds once holds again after the action: nothing that it looks at is touched there."""
    if not guard.snippet.pure:
        return False
    looked_at = guard.snippet.loads - {"active", *BUILTINS}
    return action is None or not looked_at & (action.snippet.loads | action.snippet.stores)


def _circles(outline: Outline, reach: Reach, free: list[OutlineTransition]) -> Iterator[Finding]:
    following = {id(one): [other for other in free if _follows(outline, reach, one, other)] for one in free}
    told: set[int] = set()
    for one in free:
        circle = _circle_from(one, following)
        if circle and not told & {id(each) for each in circle}:
            told |= {id(each) for each in circle}
            states = " → ".join(repr(each.source) for each in circle)
            text = f"Eventless transitions without guards lead in a circle: {states}."
            yield Finding("eventless-loop", one.place, text)


def _follows(outline: Outline, reach: Reach, one: OutlineTransition, other: OutlineTransition) -> bool:
    """Tell whether the other transition is taken at once after the first."""
    assert one.target is not None, "what leads nowhere is told by itself"
    entered = reach.entered(one.target)
    if any(outline.states[name].kind in HISTORY for name in entered):
        # What is remembered may be another state.
        return False
    return other.source in entered


def _circle_from(start: OutlineTransition, following: _Following) -> list[OutlineTransition] | None:
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
