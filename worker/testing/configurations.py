"""Which states of a chart are active together; an instance put into some of them, without the way there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from worker.core.engine.api import Snapshot
from worker.core.engine.chart import Chart
from worker.core.engine.outline import Outline, StateKind, outline_of
from worker.core.engine.values import stored
from worker.core.errors import SetupError
from worker.testing.texts import closest

_HISTORY: Final = (StateKind.SHALLOW_HISTORY, StateKind.DEEP_HISTORY)


def placed(chart: Chart, snapshot: Snapshot, names: Sequence[str], context: Mapping[str, Any]) -> Snapshot:
    """Give a snapshot of the same instance in these states, with some context variables set.

    Ancestors are active too, and what is not named below them is in its initial state. No code runs.
    Raises: SetupError, for states that the chart can't be in, or a context that it can't have.
    """
    configuration = configuration_of(outline_of(chart), names)
    variables = {**snapshot.context, **_checked(chart, context)}
    remembering = [one.key for one in chart.conditions.values() if one.remembers and one.key in configuration]
    return replace(
        snapshot,
        configuration=configuration,
        context=variables,
        remembered=dict.fromkeys(sorted(remembering), variables),
        output=None,
    )


def innermost(chart: Chart, active: Sequence[str]) -> tuple[str, ...]:
    """Name those of the active states that no active state is inside of: where the chart really is."""
    states = outline_of(chart).states
    outer = {states[name].parent for name in active if name in states}
    return tuple(name for name in active if name not in outer)


def check_state(chart: Chart, name: str) -> str:
    """Give back the name of a state. Raises: SetupError, with what may have been meant."""
    return _known(outline_of(chart), name)


def configuration_of(outline: Outline, names: Sequence[str]) -> tuple[str, ...]:
    """Name all states that are active in these, the root first. Raises: SetupError."""
    active = {ancestor for name in names for ancestor in _with_ancestors(outline, _state(outline, name))}
    active.add(outline.root)
    _complete(outline, active)
    ended = [name for name in outline.states[outline.root].children if name in active]
    if ended and outline.states[ended[0]].kind is StateKind.FINAL:
        raise SetupError(f"{ended[0]!r} ends the chart, so no event finds it there; begin before, and let one come.")
    depths = {name: len(list(_with_ancestors(outline, name))) for name in active}
    return tuple(sorted(active, key=lambda name: (depths[name], name)))


def _known(outline: Outline, name: str) -> str:
    if name not in outline.states:
        near = closest(name, outline.states)
        raise SetupError(f"The chart has no state {name!r}{near}; it has {', '.join(outline.states)}.")
    return name


def _state(outline: Outline, name: str) -> str:
    if outline.states[_known(outline, name)].kind in _HISTORY:
        raise SetupError(f"{name!r} is a history state, in which nothing is ever; name the state that it leads to.")
    return name


def _with_ancestors(outline: Outline, name: str) -> Iterator[str]:
    current: str | None = name
    while current is not None:
        yield current
        current = outline.states[current].parent


def _complete(outline: Outline, active: set[str]) -> None:
    """Add what is active with these: one child of a compound state, all regions of a parallel one."""
    for name in sorted(active):
        _check_alone(name, [child for child in _children(outline, name) if child in active], outline)
    waiting = sorted(active)
    while waiting:
        name = waiting.pop()
        missing = _missing(outline, name, active)
        active.update(missing)
        waiting.extend(missing)


def _check_alone(name: str, active: Sequence[str], outline: Outline) -> None:
    if len(active) > 1 and outline.states[name].kind is StateKind.COMPOUND:
        raise SetupError(f"The chart can't be in {' and '.join(map(repr, active))} at once: {name!r} has one.")


def _missing(outline: Outline, name: str, active: set[str]) -> list[str]:
    state, children = outline.states[name], _children(outline, name)
    match state.kind:
        case StateKind.PARALLEL:
            return [child for child in children if child not in active]
        case StateKind.COMPOUND if active.isdisjoint(children):
            if state.initial not in children:
                raise SetupError(
                    f"{name!r} has no initial state to begin in; name one of its states: {', '.join(children)}."
                )
            return [state.initial]
        case _:
            return []


def _children(outline: Outline, name: str) -> list[str]:
    return [child for child in outline.states[name].children if outline.states[child].kind not in _HISTORY]


def _checked(chart: Chart, context: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: _stored(chart, name, value) for name, value in context.items()}


def _stored(chart: Chart, name: str, value: object) -> Any:
    if name not in chart.context_names:
        raise SetupError(
            f"The chart has no context variable {name!r}{closest(name, chart.context_names)}; "
            f"it has {', '.join(chart.context_names) or 'none'}."
        )
    try:
        return stored(value)[0]
    except ValueError as error:
        raise SetupError(f"The context variable {name!r} can't be stored: {error}; give it a JSON value.") from error
