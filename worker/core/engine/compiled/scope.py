"""The namespace of chart code, for an engine that copies and checks only what the code touches."""

from collections.abc import Callable, Collection, Iterable, Mapping
from math import isfinite
from types import MethodType
from typing import Any, Final, cast

from worker.core.engine.api import Emission, StepInput
from worker.core.engine.compiled.pieces import Piece, Pieces, Touched
from worker.core.engine.compiled.plans import Plan, Way
from worker.core.engine.compiled.tables import Edge, Move
from worker.core.engine.scope import Received, ReceivedView, Scope, Sent, domain_names
from worker.core.engine.stored_object import StoredObject
from worker.core.engine.values import CONTAINERS, EXACT, exact_text, fresh, fresh_value, keeps_exactly, kept_as_is
from worker.core.errors import ExecutionFailure

_NOTHING: Final = object()


def _is_active_nowhere(_: str) -> bool:
    return False


class LeanScope(Scope):
    """Run pieces of chart code as `Scope` does.

    A value of the snapshot is copied when the first microstep that touches its variable begins: the snapshot stays as
    it is. What no code touched is written as it came.
    """

    output: Mapping[str, Any] | None = None
    microsteps = 0
    is_active: Callable[[str], bool] = staticmethod(_is_active_nowhere)
    sent_names: Callable[[], Collection[str]] = tuple
    _considered: str | None = None
    _emitted_bytes = 0
    _sent_count = 0
    _breach: ExecutionFailure | None = None
    _ran: tuple[Move, ...] = ()

    def __init__(  # The rest of the attributes begins as the class has it.
        self, pieces: Pieces, context: Mapping[str, Any], init: Mapping[str, Any], step: StepInput
    ) -> None:
        given: dict[str, Any] = context.read() if type(context) is StoredObject else cast("dict[str, Any]", context)
        namespace = {**given, **pieces.namespace}
        # What an earlier chart's variables are called may be something else's name by now.
        self._is_hidden = len(namespace) != len(given) + len(pieces.namespace)
        touches_init = pieces.touches_init if given else pieces.touches_init_at_start
        namespace["init"] = fresh(init) if touches_init else init
        for name in pieces.provided:
            namespace[name] = MethodType(_FUNCTIONS[name], self)
        for name in pieces.values:
            namespace[name] = getattr(step, name)
        self.namespace = namespace
        self.emissions = []
        self._sending = []
        self._pieces = pieces
        self._chart = pieces.chart
        self._given = given
        self._looked: set[str] = set()
        self._bounds = step.bounds

    def begin_move(self, move: Move) -> None:
        """Make a microstep's variables the step's own."""
        self._ran = (*self._ran, move)
        touched: Touched = move.note
        self._make_own(touched.reads)
        self._looked.update(touched.sets)

    def choose(self, plan: Plan, view: ReceivedView) -> list[Edge]:
        """Evaluate the guards of what an event could trigger; give the transitions that are enabled."""
        namespace = self.namespace
        namespace["event"] = view
        self.is_active = plan.is_active
        if plan.reads:
            self._make_own(plan.reads)
        if plan.reads_data:
            view.copy_data()
        chosen: list[Edge] = []
        covered = 0
        for candidate in plan.candidates:
            if covered & candidate.bit:
                continue
            for group in candidate.groups:
                before = len(chosen)
                for edge in group:
                    guard = edge.guard
                    if guard is None or (
                        eval(guard.code, namespace)  # noqa: S307  # Running the chart's code is what an engine does.
                        if guard.pure
                        else self.evaluate(guard.snippet)
                    ):
                        chosen.append(edge)
                if len(chosen) > before:
                    covered |= candidate.cover
                    break
        return chosen

    def go(self, way: Way) -> list[Any]:
        """Run all code of a macrostep; give the events that it sent, in order."""
        namespace, given, looked = self.namespace, self._given, self._looked
        self._ran = way.moves
        for name in way.reads:
            value = given.get(name)
            if type(value) in CONTAINERS and name not in looked:
                looked.add(name)
                namespace[name] = fresh_value(value)
        looked.update(way.sets)
        for _, code, temporaries, is_active in way.runs:
            if is_active is not None:
                self.is_active = is_active
            exec(code, namespace)  # noqa: S102  # As above.
            if temporaries:
                for name in temporaries:
                    namespace.pop(name, None)
            if self._breach is not None:
                raise self._breach
        return self._sending

    def run(self, piece: Piece, _event: object, _is_action: bool) -> list[Any]:  # noqa: FBT001  # As the kernel calls it.
        """Run code that may change the context; give the events that it sent, in order."""
        exec(piece.code, self.namespace)  # noqa: S102  # As above.
        if piece.temporaries:
            for name in piece.temporaries:
                self.namespace.pop(name, None)
        if self._breach is not None:
            raise self._breach
        sending = self._sending
        if sending:
            self._sending = []
        return sending

    def holds(self, piece: Piece, considered: Received | Sent | None) -> bool:
        """Evaluate a condition, as `evaluate` does."""
        if piece.reads:
            self._make_own(piece.reads)
        if not piece.pure:
            return self.evaluate(piece.snippet, considered)
        namespace = self.namespace
        if considered is None or not piece.reads_event:
            return bool(eval(piece.code, namespace))  # noqa: S307  # As above.
        consumed = namespace.get("event", _NOTHING)
        namespace["event"] = considered.view
        try:
            return bool(eval(piece.code, namespace))  # noqa: S307  # As above.
        finally:
            if consumed is _NOTHING:
                del namespace["event"]
            else:
                namespace["event"] = consumed

    def stored_context(self) -> Mapping[str, Any]:
        """Give the context in its stored form, as text. Raises: ExecutionFailure, as `context` does."""
        namespace, given = self.namespace, self._given
        live = {**given}
        for name in self.context_names if self._is_hidden or not given else self._looked:
            try:
                value = live[name] = namespace[name]
            except KeyError:
                live.pop(name, None)
                continue
            kind = type(value)
            if kind in EXACT:
                continue
            if kind is float:
                if not isfinite(value):
                    return self._looked_at()
            elif (
                value != given.get(name)
                and not (kind is list and EXACT.issuperset(map(type, value)))
                and not keeps_exactly(value)
            ):
                return self._looked_at()
        text = exact_text(live)
        if text is None or len(text) > self._bounds.context_bytes_max:
            return self._looked_at()
        return StoredObject(text)

    def let_go_of_sent(self) -> None:
        """Forget the events that `go` gave."""
        self._sending = []

    def close(self) -> None:
        """Let go of what leads back here: what is in no cycle is gone at once, without the collector."""
        self.namespace = {}
        self.is_active, self.sent_names = _is_active_nowhere, tuple

    def _looked_at(self) -> dict[str, Any]:
        """Give the context as `Scope` does, which tells what is wrong with it."""
        self._make_own(self.context_names)
        preamble = self._pieces.preamble
        ran = [piece.snippet for move in self._ran for piece in move.pieces]
        self.executed = [preamble.snippet, *ran] if preamble and not self._given else ran
        return self.context()

    def _make_own(self, names: Iterable[str]) -> None:
        """Copy what came with the snapshot. What code made may be another variable's value too: it stays the same."""
        namespace, given = self.namespace, self._given
        for name in names:
            value = given.get(name)
            if type(value) in CONTAINERS and name not in self._looked:
                self._looked.add(name)
                namespace[name] = fresh_value(value)

    def _setdefault(self, name: str, value: Any) -> Any:
        """Define a context variable unless it is there."""
        if name in self.context_names:
            self._make_own((name,))
            self._looked.add(name)
        return super()._setdefault(name, value)

    def _complete(self, /, **data: Any) -> None:
        """Set the machine's output; the last call stands."""
        kept = kept_as_is(data)
        if kept is None or not self._has_room_for(kept[1]):
            super()._complete(**data)
        else:
            self.output = kept[0]

    # The plain case of `Scope._emit`; what else there is, and every error, is told there.
    def _emit(  # noqa: PLR0913  # The signature is the charts' language.
        self,
        type: Any,  # noqa: A002
        data: Any,
        domains: Any = None,
        to: Any = None,
        redirectto: Any = None,
        accesscontrol: Any = None,
        executionunits: Any = None,
        dataschema: Any = None,
        extensions: Any = None,
    ) -> None:
        """Emit an event."""
        kept = None
        if (
            (to is redirectto is accesscontrol is executionunits is dataschema is extensions is None)
            and type.__class__ is str
            and type
            and data.__class__ is dict
            and len(self.emissions) < self._bounds.emissions_max
        ):
            kept = kept_as_is(data)
        if kept is None or not self._has_room_for(kept[1]):
            super()._emit(type, data, domains, to, redirectto, accesscontrol, executionunits, dataschema, extensions)
        else:
            self.emissions.append(Emission(type, kept[0], None if domains is None else domain_names(domains)))

    def _has_room_for(self, size: int) -> bool:
        size += self._emitted_bytes
        if size > self._bounds.emission_bytes_max:
            return False
        self._emitted_bytes = size
        return True


# Python names them in its errors, which are the same on every engine.
for _name in ("_complete", "_emit", "_setdefault"):
    vars(LeanScope)[_name].__qualname__ = f"{Scope.__name__}.{_name}"

_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "active": Scope._active,  # noqa: SLF001  # Its own class's.
    "complete": LeanScope._complete,  # noqa: SLF001
    "emit": LeanScope._emit,  # noqa: SLF001
    "notify": Scope._notify,  # noqa: SLF001
    "received": Scope._received,  # noqa: SLF001
    "send": Scope._send,  # noqa: SLF001
    "sent": Scope._was_sent,  # noqa: SLF001
    "setdefault": LeanScope._setdefault,  # noqa: SLF001
}
