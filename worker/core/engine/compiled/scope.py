"""The namespace of chart code, for an engine that copies and checks only what the code touches."""

from collections.abc import Callable, Collection, Mapping
from math import isfinite
from types import FunctionType, MethodType
from typing import Any, Final, cast

from worker.core.engine.api import Emission, StepInput
from worker.core.engine.compiled.pieces import Piece, Pieces
from worker.core.engine.compiled.tables import Move
from worker.core.engine.scope import Received, Scope, Sent, domain_names
from worker.core.engine.stored_context import StoredContext
from worker.core.engine.values import EXACT, exact_text, fresh, fresh_value, keeps_exactly, kept_as_is
from worker.core.errors import ExecutionFailure

_NOTHING: Final = object()
_CONTAINERS: Final = frozenset({dict, list, tuple})


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

    def __init__(  # The rest of the attributes begins as the class has it.
        self, pieces: Pieces, context: Mapping[str, Any], init: Mapping[str, Any]
    ) -> None:
        if isinstance(context, StoredContext):
            context = context.read()
        self.context_names = pieces.names_with(context)
        self.emissions = []
        self._sending = []
        self._pieces = pieces
        self._given = context
        self._own: set[str] = set()
        self._ran: list[Move] = []
        self._defaulted: list[str] = []
        namespace = {**context, **pieces.namespace, "init": fresh(init) if pieces.touches_init else init}
        for name in pieces.provided:
            namespace[name] = MethodType(_FUNCTIONS[name], self)
        self.namespace = namespace

    def begin(self, step: StepInput) -> None:
        """Take the step's input."""
        self._bounds = step.bounds
        for name in self._pieces.values:
            self.namespace[name] = getattr(step, name)

    def begin_move(self, move: Move) -> None:
        """Make a microstep's variables the step's own."""
        self._ran.append(move)
        self._make_own(move.note)

    def run(self, piece: Piece, _event: object, _is_action: bool) -> list[Any]:  # noqa: FBT001  # As the kernel calls it.
        """Run code that may change the context; give the events that it sent, in order."""
        FunctionType(piece.code, self.namespace)()
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
        if piece.touched:
            self._make_own(piece.touched)
        if not piece.pure:
            return self.evaluate(piece.snippet, considered)
        namespace = self.namespace
        condition = FunctionType(piece.code, namespace)
        if considered is None or not piece.reads_event:
            return bool(condition())
        consumed = namespace.get("event", _NOTHING)
        namespace["event"] = considered.view
        try:
            return bool(condition())
        finally:
            if consumed is _NOTHING:
                del namespace["event"]
            else:
                namespace["event"] = consumed

    def stored_context(self) -> Mapping[str, Any]:
        """Give the context in its stored form, as text. Raises: ExecutionFailure, as `context` does."""
        text = exact_text(self._live())
        if text is not None and len(text) <= self._bounds.context_bytes_max and self._keeps_exactly():
            return StoredContext(text)
        self._make_own(self.context_names)
        preamble = self._pieces.preamble
        ran = [piece.snippet for move in self._ran for piece in move.pieces]
        self.executed = [preamble.snippet, *ran] if preamble and not self._given else ran
        return self.context()

    def close(self) -> None:
        """Let go of what leads back here: what is in no cycle is gone at once, without the collector."""
        self.namespace = {}
        self.is_active, self.sent_names = _is_active_nowhere, tuple

    def _live(self) -> dict[str, Any]:
        namespace, names = self.namespace, self.context_names
        if names is self._pieces.chart.context_names:
            try:
                return dict(zip(names, self._pieces.get_variables(namespace), strict=False))
            except KeyError:
                pass
        return {name: namespace[name] for name in names if name in namespace}

    def _keeps_exactly(self) -> bool:
        namespace, given = self.namespace, self._given
        touched = [move.note for move in self._ran]
        for names in (*touched, self._defaulted, () if given else self.context_names):
            for name in names:
                value = namespace.get(name)
                kind = type(value)
                if kind in EXACT:
                    continue
                if kind is float:
                    if not isfinite(cast("float", value)):
                        return False
                elif value != given.get(name) and not keeps_exactly(value):
                    return False
        return True

    def _make_own(self, names: Collection[str]) -> None:
        """Copy what came with the snapshot. What code made may be another variable's value too: it stays the same."""
        own, namespace, given = self._own, self.namespace, self._given
        if not given:
            return
        for name in names:
            if name not in own:
                own.add(name)
                value = given.get(name)
                if type(value) in _CONTAINERS:
                    namespace[name] = fresh_value(value)

    def _setdefault(self, name: str, value: Any) -> Any:
        """Define a context variable unless it is there."""
        if name in self.context_names:
            self._defaulted.append(name)
            self._make_own((name,))
        return super()._setdefault(name, value)

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
        if to is redirectto is accesscontrol is executionunits is dataschema is extensions is None:
            kept = self._kept_plain(type, data)
        if kept is None:
            super()._emit(type, data, domains, to, redirectto, accesscontrol, executionunits, dataschema, extensions)
        elif domains is None:
            self.emissions.append(Emission(type, kept))
        else:
            self.emissions.append(Emission(type, kept, domain_names(domains)))

    def _kept_plain(self, type_: Any, data: Any) -> dict[str, Any] | None:
        """Give what is kept of an emission's data, unless there is more to look at."""
        if type_.__class__ is not str or not type_ or data.__class__ is not dict:
            return None
        bounds = self._bounds
        kept = kept_as_is(data) if len(self.emissions) < bounds.emissions_max else None
        if kept is None or self._emitted_bytes + kept[1] > bounds.emission_bytes_max:
            return None
        self._emitted_bytes += kept[1]
        values: dict[str, Any] = kept[0]
        return values


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "active": Scope._active,  # noqa: SLF001  # Its own class's.
    "complete": Scope._complete,  # noqa: SLF001
    "emit": LeanScope._emit,  # noqa: SLF001
    "notify": Scope._notify,  # noqa: SLF001
    "received": Scope._received,  # noqa: SLF001
    "send": Scope._send,  # noqa: SLF001
    "sent": Scope._was_sent,  # noqa: SLF001
    "setdefault": LeanScope._setdefault,  # noqa: SLF001
}
