"""The namespace that chart code runs in, and the functions that it finds there.

One dictionary holds the context, the provided names and the chart's functions: it is the globals of every piece
of code. So whatever the code defines sees the context, and what it stores can be told by name.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache
from math import isfinite
from typing import Any, Final

import orjson
from sismic.model import Event as SismicEvent
from sismic.model import InternalEvent, MetaEvent

from worker.core.bounds import DEFAULT_BOUNDS
from worker.core.domains import unique_domains
from worker.core.engine.api import Emission, StepInput
from worker.core.engine.chart import Chart
from worker.core.engine.snippets import BUILTINS, Snippet
from worker.core.engine.values import fresh, stored
from worker.core.errors import ExecutionFailure
from worker.core.events import Event

_NOTHING: Final = object()

# `exec` wants a real dictionary.
_BUILTINS: Final = dict(BUILTINS)


class ReceivedView:
    """An external event as chart code sees it: its attributes, and the data as the contract validated it."""

    __slots__ = ("_event", "_given", "data")

    data: dict[str, Any]
    """A copy of chart code's own, made when it is first asked for."""

    def __init__(self, event: Event, data: Mapping[str, Any]) -> None:
        self._event = event
        self._given = data

    @property
    def name(self) -> str:
        """Give the type, by sismic's word for it."""
        return self._event.type

    def copy_data(self) -> None:
        """Make the copy of the data before it is asked for."""
        try:
            self.data = orjson.loads(orjson.dumps(self._given, option=orjson.OPT_SORT_KEYS))
        except TypeError:
            # Whoever asks will be told.
            return

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            self.data = fresh(self._given)
            return self.data
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "extensions":
            # A copy, as `data` is: chart code can't change the event.
            return dict(self._event.extensions)
        try:
            return getattr(self._event, name)
        except AttributeError:
            raise AttributeError(f"an event has no attribute {name!r}; its data is `event.data`") from None


class SentView:
    """An internal event as chart code sees it: `type` (or `name`), `data`, and each parameter as an attribute."""

    __slots__ = ("data", "type")

    def __init__(self, type_: str, data: dict[str, Any]) -> None:
        self.type = type_
        self.data = data

    @property
    def name(self) -> str:
        """Give the type, by sismic's word for it."""
        return self.type

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(f"the internal event {self.type!r} has no parameter {name!r}") from None


class Received(SismicEvent):  # type: ignore[misc]  # sismic ships no types.
    """An external event as sismic sees it: a name and nothing that sismic would take for its own."""

    __slots__ = ("view",)

    def __init__(self, view: ReceivedView) -> None:
        super().__init__(view.name)
        self.view = view

    def __getattr__(self, attr: str) -> Any:
        raise AttributeError(attr)


class Sent(InternalEvent):  # type: ignore[misc]  # sismic ships no types.
    """An internal event as sismic sees it; data named `delay` stays in the view, where it is plain data."""

    __slots__ = ("view",)

    def __init__(self, view: SentView) -> None:
        super().__init__(view.type)
        self.view = view

    def __getattr__(self, attr: str) -> Any:
        raise AttributeError(attr)


class Scope:
    """Run pieces of chart code for one instance, and collect what they ask for.

    `begin` gives it the step; `is_active` and `sent_names` are asked of the interpreter.
    """

    def __init__(self, chart: Chart, context: Mapping[str, Any], init: Mapping[str, Any]) -> None:
        self._chart = chart
        self._given = context
        self.namespace: dict[str, Any] = {
            **context,
            **chart.functions,
            "__builtins__": _BUILTINS,
            "__name__": "chart",
            "active": self._active,
            "complete": self._complete,
            "emit": self._emit,
            "init": init,
            "notify": self._notify,
            "received": self._received,
            "send": self._send,
            "sent": self._was_sent,
            "setdefault": self._setdefault,
        }
        self.output: Mapping[str, Any] | None = None
        self.executed: list[Snippet] = []
        self.emissions: list[Emission] = []
        self.microsteps = 0
        self.is_active: Callable[[str], bool] = lambda _: False
        self.sent_names: Callable[[], Collection[str]] = tuple
        self._bounds = DEFAULT_BOUNDS
        self._sending: list[SismicEvent] = []
        self._considered: str | None = None
        self._emitted_bytes = 0
        self._sent_count = 0
        self._breach: ExecutionFailure | None = None

    @cached_property
    def context_names(self) -> tuple[str, ...]:
        """Name the variables; those of an earlier chart of the same version are kept."""
        names = self._chart.context_names
        unknown = self._given.keys() - names
        return tuple(sorted({*names, *unknown})) if unknown else names

    def begin(self, step: StepInput) -> None:
        """Take the step's input and forget what the last step asked for."""
        self._bounds = step.bounds
        self.executed.clear()
        self.emissions = []
        self.microsteps = 0
        self._emitted_bytes = 0
        self._sent_count = 0
        self.namespace.update(subject=step.subject, now=step.now, new_id=step.new_id)

    def consume(self, event: Received | Sent) -> None:
        """Make this the event that chart code sees from now on."""
        self.namespace["event"] = event.view

    def execute(self, snippet: Snippet) -> list[SismicEvent]:
        """Run code that may change the context; give the events that it sent, in order."""
        self.executed.append(snippet)
        exec(snippet.code, self.namespace)  # noqa: S102  # Running the chart's code is what an engine does.
        for name in snippet.temporaries:
            self.namespace.pop(name, None)
        self.check_bounds()
        sending, self._sending = self._sending, []
        return sending

    def evaluate(self, snippet: Snippet, considered: Received | Sent | None = None) -> bool:
        """Evaluate a condition, which must leave the context alone.

        `considered` is the event that a transition would take; without one, `event` stays the last consumed.
        """
        if considered is None:
            return self._condition(snippet)
        consumed = self.namespace.get("event", _NOTHING)
        self.namespace["event"] = considered.view
        try:
            return self._condition(snippet)
        finally:
            if consumed is _NOTHING:
                del self.namespace["event"]
            else:
                self.namespace["event"] = consumed

    def evaluate_contract(self, snippet: Snippet, considered: str | None, old: Any) -> bool:
        """Evaluate a condition of a contract; `considered` is the name of the event of this step."""
        self._considered = considered
        self.namespace["__old__"] = old
        try:
            return self._condition(snippet)
        finally:
            del self.namespace["__old__"]

    def count_microsteps(self, count: int) -> None:
        """Add to the microsteps of this step. Raises: ExecutionFailure, beyond the bound."""
        self.microsteps += count
        if self.microsteps > self._bounds.microsteps_max:
            raise _beyond("Microsteps", "microsteps", self._bounds.microsteps_max, "is there an eventless loop?")

    def check_bounds(self) -> None:
        """Raise what went beyond a bound, even if chart code caught it. Raises: ExecutionFailure."""
        if self._breach is not None:
            raise self._breach

    def context(self) -> dict[str, Any]:
        """Give the context in its stored form. Raises: ExecutionFailure, naming the variable and the state."""
        live = {name: self.namespace[name] for name in self.context_names if name in self.namespace}
        kept: dict[str, Any]
        try:
            kept, size = stored(live)
        except ValueError:
            for name, value in live.items():
                self._check_variable(name, value)
            raise
        if size > self._bounds.context_bytes_max:
            raise _beyond("ContextBytes", "bytes of context", self._bounds.context_bytes_max, "keep references.")
        return kept

    def _check_variable(self, name: str, value: object) -> None:
        try:
            stored({name: value})
        except ValueError as error:
            touching = [snippet for snippet in self.executed if name in snippet.loads | snippet.stores]
            place = touching[-1].place if touching else "the chart"
            raise ExecutionFailure(
                "ContextValueError",
                f"The context variable {name!r} can't be stored: {error}. It was last used in {place}. Keep null, "
                "booleans, 64-bit integers, finite numbers, texts, lists, and objects with texts as keys.",
            ) from error

    def _condition(self, snippet: Snippet) -> bool:
        # Code that calls something may change what it is given. The values' texts show it, whatever the values are.
        before = None if snippet.pure else self._context_text()
        value = bool(eval(snippet.code, self.namespace))  # noqa: S307  # Running the chart's code is our purpose.
        for name in snippet.temporaries:
            self.namespace.pop(name, None)
        if before is not None and self._context_text() != before:
            raise ExecutionFailure(
                "GuardChangedContext",
                f"The condition of {snippet.place} changed the context, `init` or `event`; "
                "a condition may only look. Make the change in an action.",
            )
        return value

    def _context_text(self) -> str:
        variables = [self.namespace.get(name, _NOTHING) for name in self.context_names]
        return repr([variables, self.namespace["init"], getattr(self.namespace.get("event"), "data", None)])

    def _active(self, name: str) -> bool:
        """Tell whether a state is active; during its own entry it is."""
        return self.is_active(name)

    def _was_sent(self, name: str) -> bool:
        """Tell whether an event was sent in this macrostep."""
        return name in self.sent_names()

    def _received(self, name: str) -> bool:
        """Tell whether this macrostep takes an event of that name."""
        return name == self._considered

    def _setdefault(self, name: str, value: Any) -> Any:
        """Define a context variable unless it is there."""
        if name not in self.context_names:
            raise NameError(f"{name!r} is no context variable; declare it with its name as a literal")
        return self.namespace.setdefault(name, value)

    def _send(self, name: str, /, **params: Any) -> None:
        """Raise an internal event; every parameter is plain data."""
        self._count_sent(name, "send")
        self._sending.append(Sent(SentView(name, params)))

    def _notify(self, name: str, /, **params: Any) -> None:
        """Raise a meta-event, as sismic's property statecharts read them."""
        self._count_sent(name, "notify")
        event = MetaEvent(name)
        event.data = params
        self._sending.append(event)

    def _count_sent(self, name: object, function: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{function}: the name must be a text that is not empty")
        self._sent_count += 1
        if self._sent_count > self._bounds.microsteps_max:
            # Each of them would take a microstep.
            self._exceed(_beyond("Microsteps", "events sent", self._bounds.microsteps_max, "is there a loop?"))

    def _complete(self, /, **data: Any) -> None:
        """Set the machine's output; the last call stands."""
        self.output = self._stored("complete: the output", data)

    # Chart code may give anything: what is annotated as Any is looked at before it is believed.
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
        if not isinstance(type, str) or not type:
            raise TypeError("emit: the type must be a text that is not empty")
        texts = {"to": to, "redirectto": redirectto, "accesscontrol": accesscontrol, "dataschema": dataschema}
        for name, value in texts.items():
            if value is not None and not isinstance(value, str):
                raise TypeError(f"emit: {name} must be a text or None, not a {_kind(value)}")
        if len(self.emissions) >= self._bounds.emissions_max:
            self._exceed(_beyond("Emissions", "emitted events", self._bounds.emissions_max, "is there a loop?"))
        self.emissions.append(
            Emission(
                type=type,
                data=self._stored("emit: the data", data),
                domains=domain_names(domains),
                executionunits=_units(executionunits),
                extensions={} if extensions is None else self._stored("emit: extensions", extensions),
                **texts,
            )
        )

    def _stored(self, what: str, data: object) -> dict[str, Any]:
        if not isinstance(data, dict):
            if not isinstance(data, Mapping):
                raise TypeError(f"{what} must be an object, not a {_kind(data)}")
            data = dict(data)
        try:
            kept, size = stored(data)
        except ValueError as error:
            raise ValueError(f"{what} can't be written as JSON: {error}") from None
        self._emitted_bytes += size
        if self._emitted_bytes > self._bounds.emission_bytes_max:
            limit = self._bounds.emission_bytes_max
            self._exceed(_beyond("EmissionBytes", "bytes emitted", limit, "send a reference to large data."))
        result: dict[str, Any] = kept
        return result

    def _exceed(self, breach: ExecutionFailure) -> None:
        self._breach = breach
        raise breach


def _beyond(name: str, what: str, limit: int, advice: str) -> ExecutionFailure:
    return ExecutionFailure(f"{name}BoundExceeded", f"The step went beyond its bound of {limit} {what}; {advice}")


def domain_names(domains: Any) -> tuple[str, ...] | None:
    """Read the domains of one emission; none of them is the same as not given."""
    if domains is None:
        return None
    names = (domains,) if isinstance(domains, str) else tuple(domains)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"emit: a domain must be a text, not a {_kind(name)}")
    return _unique(names)


@lru_cache(maxsize=1_000)
def _unique(names: tuple[str, ...]) -> tuple[str, ...] | None:
    return unique_domains(names) or None


def _units(units: Any) -> float | None:
    if units is None:
        return None
    if isinstance(units, bool) or not isinstance(units, (int, float)) or not isfinite(units):
        raise TypeError("emit: executionunits must be a finite number or None")
    return units


def _kind(value: object) -> str:
    return value.__class__.__name__
