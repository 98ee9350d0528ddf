"""Straight functions: made of what `source` writes when an event first finds a configuration, and run.

They do what the scope does, for plain code on plain values. Whatever is unusual, an error included, makes them give
nothing: the step is run again as a whole by the scope, which tells what is wrong.
"""

import ast
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, final

from worker.core.engine.api import Emission, Snapshot, StepInput, StepResult
from worker.core.engine.compiled.pieces import Pieces
from worker.core.engine.compiled.plans import Plan, Way
from worker.core.engine.compiled.source import NotPlain, Writer
from worker.core.engine.compiled.tables import keep
from worker.core.engine.scope import ReceivedView, domain_names
from worker.core.engine.stored_object import StoredObject
from worker.core.engine.values import (
    CONTAINERS,
    EXACT,
    fresh,
    fresh_value,
    is_plain_value,
    plain_context_text,
    plain_object_text,
)
from worker.core.frozen import maker_of

RESTING_MAX: Final = 1_000
"""For how many steps, at most, the scope is asked at once after one that was unusual, one behind the other."""

_FLAT: Final = EXACT | {float}
_NOTHING: Final[Mapping[str, Any]] = {}

_made_snapshot: Final = maker_of(Snapshot)
_new_tuple: Final = tuple.__new__

_Given = dict[str, Any]
_Made = tuple[list[Emission], StoredObject | None, int]
"""What the function of a way gives: what was emitted, the output, and its size in bytes."""
_Function = Callable[[_Given, Mapping[str, Any], ReceivedView | None, Any, datetime, str], Any]


class _Unusual(Exception):  # It is no error: the scope runs the step.
    """A value needs a closer look."""


class _Found(NamedTuple):
    """A way and its function, which needs the event as an object or does not."""

    way: Way
    function: _Function
    uses_view: bool


@final
class Straight:
    """The functions of one plan, made when they are first needed."""

    __slots__ = ("_choice", "_choice_uses_view", "_found", "_only", "_pause", "_pieces", "_plan", "_resting")

    def __init__(self, plan: Plan, pieces: Pieces) -> None:
        self._plan = plan
        self._pieces = pieces
        self._choice_uses_view = self._writer().uses_view(edge.guard for edge in plan.edges)
        self._choice = _made("choice", pieces, writer := self._writer(), lambda: writer.choice(plan))
        self._only = 1 if len(plan.edges) == 1 and not plan.edges[0].guarded else -1
        self._found: dict[int, _Found | None] = {}
        self._resting = self._pause = 0

    def run(self, snapshot: Snapshot, step: StepInput) -> StepResult | None:
        """Run a step. None: something is unusual, and nothing has happened. Raises: what is no Exception."""
        choice, context = self._choice, snapshot.context
        if choice is None or type(context) is not StoredObject or snapshot.remembered:
            return None
        if self._resting:
            self._resting -= 1
            return None
        try:
            result = self._run(choice, context.taken(), snapshot, step)
        except Exception:  # noqa: BLE001  # Chart code may raise anything; the scope will tell.
            result = None
        if result is None:
            # What is unusual each time would be run twice each time.
            self._resting = self._pause
            self._pause = min(2 * self._pause + 1, RESTING_MAX)
        elif self._pause:
            self._pause = 0
        return result

    def source(self) -> str:
        """Write the functions that there are, for people."""
        choice = [] if self._choice is None else [self._writer().choice(self._plan)]
        ways = [self._writer().way(found.way, self._plan.reads) for found in [*self._found.values()] if found]
        return "\n\n".join(map(ast.unparse, choice + ways))

    def _run(self, choice: _Function, given: _Given, snapshot: Snapshot, step: StepInput) -> StepResult | None:
        pieces = self._pieces
        if not pieces.hides.isdisjoint(given):
            return None
        data: Any = step.data
        if type(data) is not dict or not _FLAT.issuperset(map(type, data.values())):
            data = fresh(data)
        init = fresh(snapshot.init) if pieces.touches_init else None
        chosen = self._only
        if chosen < 0:
            view = ReceivedView(step.event, step.data) if self._choice_uses_view else None
            chosen = choice(given, data, view, init, step.now, step.subject)
        try:
            found = self._found[chosen]
        except KeyError:
            found = keep(self._found, chosen, self._find(chosen))
        if found is None:
            return None
        way, function, uses_view = found
        view = ReceivedView(step.event, step.data) if uses_view else None
        return _went(way, given, function(given, data, view, init, step.now, step.subject), snapshot, step)

    def _find(self, chosen: int) -> _Found | None:
        plan = self._plan
        way = plan.way([edge for number, edge in enumerate(plan.edges) if chosen >> number & 1])
        if way is None or way.goes_on:
            return None
        writer = self._writer()
        function = _made("way", self._pieces, writer, lambda: writer.way(way, plan.reads))
        return function and _Found(way, function, writer.uses_view(run.piece for run in way.runs))

    def _writer(self) -> Writer:
        return Writer(self._pieces.context_names, self._pieces.chart.functions, self._plan.event)


@final
class StraightOpening:
    """The function of a chart's first step."""

    __slots__ = ("_function", "_pieces", "_uses_view", "_way")

    def __init__(self, way: Way, pieces: Pieces) -> None:
        writer = Writer(pieces.context_names, pieces.chart.functions, None)
        self._way = way
        self._pieces = pieces
        self._uses_view = writer.uses_view(run.piece for run in way.runs)
        self._function = None
        if not way.goes_on:
            self._function = _made("way", pieces, writer, lambda: writer.way(way, starts=True))

    def run(self, step: StepInput) -> StepResult | None:
        """Run a step. None: something is unusual, and nothing has happened. Raises: what is no Exception."""
        function, data = self._function, step.data
        if function is None or type(data) is not dict:
            return None
        try:
            stored = _stored(data)
            init = stored.decoded() if self._pieces.touches_init_at_start else stored
            view = ReceivedView(step.event, data) if self._uses_view else None
            given: _Given = {}
            made = function(given, data, view, init, step.now, step.subject)
            return _went(self._way, given, made, Snapshot((), _NOTHING, stored), step)
        except Exception:  # noqa: BLE001  # As above.
            return None


def _made(name: str, pieces: Pieces, writer: Writer, write: Callable[[], ast.Module]) -> _Function | None:
    """Make a function; none, if its code is not plain, or Python does not take it: it may be nested too deeply."""
    try:
        code = compile(write(), f"<straight {name}>", "exec", dont_inherit=True)
        namespace = {**pieces.namespace, **_TOOLS, **writer.constants}
        exec(code, namespace)  # noqa: S102  # Running the chart's code is what an engine does.
    except (MemoryError, NotPlain, RecursionError, SyntaxError):
        return None
    made: _Function = namespace[name]
    return made


def _went(way: Way, given: _Given, made: _Made, before: Snapshot, step: StepInput) -> StepResult | None:
    """Tell what a way came to; none, if it is beyond a bound. Raises: TypeError, for what has no JSON."""
    emissions, output, size = made
    bounds = step.bounds
    for one in emissions:
        size += len(one.data.text)  # type: ignore[attr-defined]  # As `_emission` makes them.
    text = plain_context_text(given)
    if (
        text is None
        or len(text) > bounds.context_bytes_max
        or size > bounds.emission_bytes_max
        or len(emissions) > bounds.emissions_max
        or len(way.trace) > bounds.microsteps_max
    ):
        return None
    after = _made_snapshot(
        way.configuration,
        StoredObject(text),
        before.init,
        way.history.copy(),
        {},
        before.output if output is None else output,
    )
    return _new_tuple(StepResult, (after, tuple(emissions), way.done, way.moved, way.trace))


def _emission(type_: object, data: object, domains: tuple[str, ...] | None, to: object) -> Emission:
    if type(type_) is not str or not type_ or type(data) is not dict or not (to is None or type(to) is str):
        raise _Unusual
    return Emission(type_, _stored(data), domains, to)


def _stored(data: dict[str, Any]) -> StoredObject:
    text = plain_object_text(data)
    if text is None:
        raise _Unusual
    return StoredObject(text)


def _check(value: object) -> None:
    if not is_plain_value(value):
        raise _Unusual


_TOOLS: Final[Mapping[str, Any]] = {
    "_CONTAINERS": CONTAINERS,
    "_Emission": Emission,
    "_NOTHING": _NOTHING,
    "_new": tuple.__new__,
    "_EXACT": EXACT,
    "_check": _check,
    "_domain_names": domain_names,
    "_emission": _emission,
    "_own": fresh_value,
    "_stored": _stored,
}
"""What functions call, by the names that `source` gives them."""
