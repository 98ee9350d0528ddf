"""`CompiledInterpreter`: any sismic statechart on its tables, used as sismic's interpreter is.

    compiled = CompiledStatechart(import_from_yaml(text))
    interpreter = compiled.interpreter(clock=SimulatedClock())
    interpreter.queue("go", n=1)
    steps = interpreter.execute()           # MacroSteps, as sismic gives them
    kept = interpreter.state()              # to be stored
    later = compiled.restored(kept)         # goes on where `kept` was taken, without the preamble

Code runs as sismic's `PythonEvaluator` runs it: `send`, `notify`, `setdefault`, `active`, `time`, `after`, `idle` and
`event` are there where sismic has them, and errors come wrapped in CodeEvaluationError. What is not here is what
`missing_for` names, and listeners: `attach`, `bind`, property statecharts.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Final, final

from sismic.clock import Clock, SimulatedClock
from sismic.exceptions import CodeEvaluationError
from sismic.model import Event, InternalEvent, MacroStep, MetaEvent, MicroStep, Statechart, Transition

from worker.core.engine.compiled.kernel import Kernel
from worker.core.engine.compiled.tables import Edge, Move, Tables
from worker.core.errors import SetupError

_REFLECTIVE: Final = frozenset({"dir", "eval", "exec", "globals", "locals", "vars"})
_IN_ACTIONS: Final = frozenset({"active", "event", "notify", "send", "setdefault", "time"})
_IN_GUARDS: Final = frozenset({"active", "after", "event", "idle", "time"})


@final
class Code:
    """A piece of code, compiled, and the names of what it may ask for of `provided`."""

    __slots__ = ("asks", "code", "fault", "text")

    def __init__(self, text: str, mode: str, provided: frozenset[str]) -> None:
        self.text = text
        self.code: CodeType | None = None
        self.fault: Exception | None = None
        self.asks = provided
        try:
            self.code = compile(text, "<string>", mode, dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            # Sismic compiles what it runs when it runs it.
            self.fault = error
            return
        names = frozenset(_names(self.code))
        if not names & _REFLECTIVE:
            self.asks = provided & names


@dataclass(frozen=True, slots=True)
class InterpreterState:
    """Where an interpreter is between two steps, as values; JSON values if the context and the events' data are.

    `history` maps history states to the sorted states that they remember, `entered` and `moved` states to the times at
    which they were entered and last fired a transition. Queued events are (time, name, data), in order.
    """

    configuration: tuple[str, ...]
    context: Mapping[str, Any]
    started: bool
    time: float
    history: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    entered: Mapping[str, float] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)
    internal: tuple[tuple[float, str, Mapping[str, Any]], ...] = ()
    external: tuple[tuple[float, str, Mapping[str, Any]], ...] = ()


def missing_for(statechart: Statechart) -> tuple[str, ...]:
    """Name what a statechart has that only sismic's interpreter runs."""
    elements = (*map(statechart.state_for, statechart.states), *statechart.transitions)
    kinds = ("preconditions", "postconditions", "invariants")
    found = {kind for kind in kinds for element in elements if getattr(element, kind, None)}
    return tuple(sorted(found))


@final
class CompiledStatechart:
    """A statechart as tables and code, made once; its interpreters share them. The statechart must not change."""

    def __init__(self, statechart: Statechart, *, ignore_contract: bool = False) -> None:
        """Compile a statechart. Raises: SetupError, if it has what `missing_for` names, unless that is ignored."""
        missing = () if ignore_contract else missing_for(statechart)
        if missing:
            raise SetupError(
                f"the statechart {statechart.name!r} has {', '.join(missing)}, which the compiled interpreter does not "
                "check; run it on sismic's Interpreter, or pass ignore_contract=True."
            )
        self.statechart = statechart
        self.tables = Tables(statechart, self)
        self.preamble = _action(statechart.preamble)

    def entry_of(self, state: str) -> Code | None:
        """Give a state's entry code."""
        return _action(getattr(self.statechart.state_for(state), "on_entry", None))

    def exit_of(self, state: str) -> Code | None:
        """Give a state's exit code."""
        return _action(getattr(self.statechart.state_for(state), "on_exit", None))

    def action_of(self, transition: Transition) -> Code | None:
        """Give a transition's action."""
        return _action(transition.action)

    def guard_of(self, transition: Transition) -> Code | None:
        """Give a transition's guard."""
        return None if transition.guard is None else Code(transition.guard, "eval", _IN_GUARDS)

    def note_on(self, pieces: tuple[Code, ...]) -> None:
        """Note nothing."""

    def interpreter(
        self, *, initial_context: Mapping[str, Any] | None = None, clock: Clock | None = None
    ) -> "CompiledInterpreter":
        """Make an interpreter and run the preamble. Raises: CodeEvaluationError, and what the code's text raises."""
        made = CompiledInterpreter(self, initial_context or {}, SimulatedClock() if clock is None else clock)
        if self.preamble and made.run(self.preamble, None, False):  # noqa: FBT003
            raise CodeEvaluationError("Events cannot be raised by statechart preamble")
        return made

    def restored(self, state: InterpreterState, *, clock: Clock | None = None) -> "CompiledInterpreter":
        """Make an interpreter that goes on from a state; its context is the state's, not a copy."""
        made = CompiledInterpreter(self, state.context, SimulatedClock() if clock is None else clock)
        made.restore(state)
        return made


@final
class CompiledInterpreter(Kernel[Any]):
    """Run one instance; made by `CompiledStatechart`. After an error it is not to be used again."""

    def __init__(self, compiled: CompiledStatechart, context: Mapping[str, Any], clock: Clock) -> None:
        super().__init__(compiled.tables)
        self.clock = clock
        self.context: dict[str, Any] = dict(context)
        self.run = self._run
        self._compiled = compiled
        self._time: float = clock.time
        self._entered: dict[int, float] = {}
        self._moved: dict[int, float] = {}

    @property
    def statechart(self) -> Statechart:
        """Give the statechart."""
        return self._compiled.statechart

    @property
    def time(self) -> float:
        """Give the time of the latest step."""
        return self._time

    @property
    def configuration(self) -> list[str]:
        """Name the active states, sorted by depth, then name."""
        return list(self.tables.configuration(self.active))

    @property
    def final(self) -> bool:
        """Tell whether the chart has ended."""
        return self.started and not self.active

    def queue(self, *events: str | Event, **parameters: Any) -> "CompiledInterpreter":
        """Queue events; named ones with these parameters. A parameter `delay` puts an event off, by seconds."""
        for event in events:
            self._queue(Event(event, **parameters) if isinstance(event, str) else event)
        return self

    def execute_once(self) -> MacroStep | None:
        """Take one event, or what needs none, and settle. Raises: what sismic's interpreter raises."""
        self._time = self.clock.time
        steps = self.macrostep()
        return None if steps is None else MacroStep(time=self._time, steps=steps)

    def execute(self, max_steps: int = -1) -> list[MacroStep]:
        """Make macrosteps until there is nothing to do, or `max_steps` of them; below 1: as many as it takes."""
        made: list[MacroStep] = []
        step = self.execute_once()
        while step is not None:
            made.append(step)
            if len(made) == max_steps:
                break
            step = self.execute_once()
        return made

    def state(self) -> InterpreterState:
        """Tell where the interpreter is; the context is the live one."""
        names = self.tables.names
        return InterpreterState(
            configuration=self.tables.configuration(self.active),
            context=self.context,
            started=self.started,
            time=self._time,
            history=dict(self.memory),
            entered={names[state]: time for state, time in self._entered.items()},
            moved={names[state]: time for state, time in self._moved.items()},
            internal=tuple((time, event.name, event.data) for time, event in self.internal),
            external=tuple((time, event.name, event.data) for time, event in self.external),
        )

    def restore(self, state: InterpreterState) -> None:
        """Put the interpreter where a state was taken. Raises: KeyError, if the chart lacks one of its states."""
        index = self.tables.index
        for name in state.configuration:
            self.active |= 1 << index[name]
        self.started, self._time, self.memory = state.started, state.time, dict(state.history)
        self._entered = {index[name]: time for name, time in state.entered.items()}
        self._moved = {index[name]: time for name, time in state.moved.items()}
        self.internal = [(time, _event(InternalEvent, name, data)) for time, name, data in state.internal]
        self.external = [(time, _event(Event, name, data)) for time, name, data in state.external]

    def begin(self, move: Move) -> None:
        """Make ready for a microstep."""

    def _run(self, code: Code, event: Any, is_action: bool) -> list[Any]:  # noqa: FBT001  # As the kernel calls it.
        """Run code that may change the context; give what it sent. Raises: CodeEvaluationError."""
        sent: list[Any] = []
        exposed: dict[str, Any] = {}
        for name in code.asks:
            if name != "event":
                exposed[name] = _PROVIDED[name](self, sent)
            elif is_action:
                exposed[name] = event
        if code.fault is not None:
            raise code.fault
        assert code.code is not None
        try:
            exec(code.code, exposed, self.context)  # noqa: S102  # Running the chart's code is what an engine does.
        except Exception as error:
            raise CodeEvaluationError(f"'{error}' occurred while executing '{code.text}'") from error
        return sent

    def holds(self, edge: Edge, event: Any) -> bool:
        """Evaluate a guard. Raises: CodeEvaluationError."""
        code: Code = edge.guard
        if code.fault is not None:
            raise code.fault
        assert code.code is not None
        exposed: dict[str, Any] = {}
        for name in code.asks:
            exposed[name] = event if name == "event" else _PROVIDED_TO_GUARDS[name](self, edge.source)
        try:
            return bool(eval(code.code, exposed, self.context))  # noqa: S307  # As above.
        except Exception as error:
            raise CodeEvaluationError(f"'{error}' occurred while evaluating '{code.text}'") from error

    def consume(self, event: Any) -> None:
        """Take an event: code is given it where it asks for it."""

    def queue_sent(self, event: Any) -> None:
        """Queue an internal event; meta-events have no listeners."""
        if isinstance(event, InternalEvent):
            self._queue(event)

    def taken(self, move: Move, event: Any, sent: list[Any]) -> Any:
        """Note the times and make sismic's microstep."""
        if move.edge is not None:
            self._moved[move.edge.source] = self._time
        for state in move.entered:
            self._entered[state] = self._moved[state] = self._time
        return MicroStep(
            event=event if move.edge is None or move.edge.event is not None else None,
            transition=None if move.edge is None else move.edge.transition,
            entered_states=list(move.trace.entered),
            exited_states=list(move.trace.exited),
            sent_events=sent,
        )

    def next_queue(self) -> list[Any] | None:
        """Give the queue whose first event is due, if there is one."""
        for queue in (self.internal, self.external):
            if queue and queue[0][0] <= self._time:
                return queue
        return None

    def first_of(self, queue: list[Any]) -> Any:
        """Give the event at the head of a queue."""
        return queue[0][1]

    def is_active(self, name: str) -> bool:
        """Tell whether a state is active."""
        number = self.tables.index.get(name)
        return number is not None and bool(self.active >> number & 1)

    def set_default(self, name: str, value: Any) -> Any:
        """Define a context variable unless it is there."""
        return self.context.setdefault(name, value)

    def after(self, state: int, seconds: float) -> bool:
        """Tell whether a state was entered that long ago."""
        return self._time - seconds >= self._entered[state]

    def idle(self, state: int, seconds: float) -> bool:
        """Tell whether a state has fired no transition for that long."""
        return self._time - seconds >= self._moved[state]

    def _queue(self, event: Event) -> None:
        queue = self.internal if isinstance(event, InternalEvent) else self.external
        time = self._time + getattr(event, "delay", 0)
        queue.insert(bisect_right(queue, time, key=_time_of), (time, event))


_Provider = Callable[[CompiledInterpreter, list[Any]], Any]

_PROVIDED: Final[Mapping[str, _Provider]] = {
    "active": lambda interpreter, _: interpreter.is_active,
    "notify": lambda _, sent: lambda name, **data: sent.append(MetaEvent(name, **data)),
    "send": lambda _, sent: lambda name, **data: sent.append(InternalEvent(name, **data)),
    "setdefault": lambda interpreter, _: interpreter.set_default,
    "time": lambda interpreter, _: interpreter.time,
}

_PROVIDED_TO_GUARDS: Final[Mapping[str, Callable[[CompiledInterpreter, int], Any]]] = {
    "active": lambda interpreter, _: interpreter.is_active,
    "after": lambda interpreter, state: lambda seconds: interpreter.after(state, seconds),
    "idle": lambda interpreter, state: lambda seconds: interpreter.idle(state, seconds),
    "time": lambda interpreter, _: interpreter.time,
}


def _action(text: str | None) -> Code | None:
    return Code(text, "exec", _IN_ACTIONS) if text else None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _event(kind: type[Event], name: str, data: Mapping[str, Any]) -> Event:
    event = kind(name)
    event.data = dict(data)
    return event


def _time_of(queued: tuple[float, Event]) -> float:
    return queued[0]
