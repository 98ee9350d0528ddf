"""One instance on sismic's interpreter: what sismic decides, told what SPEC machines adds.

The interpreter has no persistence. Between two steps it is its configuration, its history memory and the context
(both queues are empty then, and `after` and `idle` are refused at set-up, so entry times are not needed);
`restore` puts these back without running the preamble again.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from sismic.clock import Clock
from sismic.code import Evaluator
from sismic.interpreter import Interpreter
from sismic.model import Event as SismicEvent
from sismic.model import InternalEvent, MacroStep, MetaEvent, MicroStep, StateMixin, Transition

from worker.core.engine.api import Microstep, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart, Conditions
from worker.core.engine.scope import Received, ReceivedView, Scope, Sent
from worker.core.engine.snippets import Snippet
from worker.core.engine.values import fresh, stored
from worker.core.errors import ExecutionFailure


class StoppedClock(Clock):  # type: ignore[misc]  # sismic ships no types.
    """Stand still: nothing in a chart depends on sismic's time."""

    @property
    def time(self) -> float:
        """Give the same time always."""
        return 0.0


class Remembered:
    """The context as it was, for `__old__`."""

    __slots__ = ("_context",)

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        try:
            return self._context[name]
        except KeyError:
            raise AttributeError(f"there was no context variable {name!r}") from None


class ScopeEvaluator(Evaluator):  # type: ignore[misc]  # sismic ships no types.
    """Run a chart's code in its scope when sismic says so."""

    def __init__(self, chart: Chart, scope: Scope, interpreter: Interpreter) -> None:
        self._chart = chart
        self._scope = scope
        self._interpreter = interpreter
        self._entering: str | None = None
        self.remembered: dict[str, Mapping[str, Any]] = {}
        # Until its event is consumed, a resumed instance is as it was left: stable.
        self.awaits_event = False
        scope.is_active = self._is_active
        scope.sent_names = self._sent_names

    @property
    def context(self) -> Mapping[str, Any]:
        """Give the live context."""
        names = self._scope.context_names
        return {name: self._scope.namespace[name] for name in names if name in self._scope.namespace}

    def execute_statechart(self, statechart: object) -> None:
        """Leave the preamble alone: it is run when an instance starts, not whenever an interpreter is made."""

    def run_preamble(self) -> None:
        """Set the context up."""
        if self._chart.preamble:
            self._scope.execute(self._chart.preamble)

    def observe(self, event: MetaEvent) -> None:
        """Note which event is consumed."""
        if event.name == "event consumed":
            consumed: Received | Sent = event.data["event"]
            self.awaits_event = False
            self._scope.consume(consumed)

    def evaluate_guard(self, transition: Transition, event: Received | Sent | None = None) -> bool:
        """Evaluate a guard; sismic gives the event that would be consumed, if the transition waits for one."""
        if transition.event is None and self.awaits_event:
            return False
        snippet = self._chart.guards.get(id(transition))
        return snippet is None or self._scope.evaluate(snippet, event)

    def execute_action(self, transition: Transition, event: object = None) -> list[SismicEvent]:  # noqa: ARG002  # Sismic gives it.
        """Run a transition's action."""
        return self._execute(self._chart.actions.get(id(transition)))

    def execute_on_entry(self, state: StateMixin) -> list[SismicEvent]:
        """Run a state's entry code; the state is active meanwhile."""
        self._entering = state.name
        try:
            return self._execute(self._chart.entries.get(state.name))
        finally:
            self._entering = None

    def execute_on_exit(self, state: StateMixin) -> list[SismicEvent]:
        """Run a state's exit code; the state is active meanwhile."""
        return self._execute(self._chart.exits.get(state.name))

    def evaluate_preconditions(self, obj: StateMixin | Transition, event: object = None) -> Iterator[str]:
        """Give the preconditions that do not hold, and remember the context for `__old__`."""
        conditions = self._chart.conditions.get(id(obj))
        if conditions and conditions.remembers:
            self.remembered[conditions.key] = self._scope.context()
        return self._unsatisfied(obj, event, lambda found: found.preconditions)

    def evaluate_invariants(self, obj: StateMixin | Transition, event: object = None) -> Iterator[str]:
        """Give the invariants that do not hold."""
        return self._unsatisfied(obj, event, lambda found: found.invariants)

    def evaluate_postconditions(self, obj: StateMixin | Transition, event: object = None) -> Iterator[str]:
        """Give the postconditions that do not hold."""
        return self._unsatisfied(obj, event, lambda found: found.postconditions)

    def _unsatisfied(
        self,
        obj: StateMixin | Transition,
        event: object,
        conditions_of: Callable[[Conditions], tuple[Snippet, ...]],
    ) -> Iterator[str]:
        conditions = self._chart.conditions.get(id(obj))
        if conditions is None:
            return
        name = getattr(event, "name", None)
        old = self.remembered.get(conditions.key)
        for snippet in conditions_of(conditions):
            # Conditions get a copy of what is remembered: they may only look.
            remembered = Remembered(fresh(old)) if old is not None and "__old__" in snippet.loads else None
            if not self._scope.evaluate_contract(snippet, name, remembered):
                yield f"{snippet.place}: {snippet.text}"

    def _execute(self, snippet: Snippet | None) -> list[SismicEvent]:
        return self._scope.execute(snippet) if snippet else []

    def _is_active(self, name: str) -> bool:
        return name == self._entering or name in self._interpreter._configuration  # noqa: SLF001

    def _sent_names(self) -> tuple[str, ...]:
        return tuple(event.name for event in self._interpreter._sent_events)  # noqa: SLF001

    def _evaluate_code(self, code: str, *, additional_context: object = None) -> bool:
        raise NotImplementedError

    def _execute_code(self, code: str, *, additional_context: object = None) -> list[SismicEvent]:
        raise NotImplementedError


class FrugalInterpreter(Interpreter):  # type: ignore[misc]  # sismic ships no types.
    """Sismic's interpreter without what nobody here asks for: listeners, delays, contracts that are not there."""

    def __init__(self, chart: Chart, make_evaluator: Callable[[Interpreter], ScopeEvaluator]) -> None:
        super().__init__(
            chart.statechart,
            evaluator_klass=lambda interpreter, **_: make_evaluator(interpreter),
            clock=StoppedClock(),
            ignore_contract=not chart.conditions,
        )
        # Without these, nothing is looked at unless an event is queued.
        self._looks_always = chart.has_eventless or bool(chart.conditions)

    @property
    def may_go_on(self) -> bool:
        """Tell whether another macrostep could find something to do or to check."""
        return self._looks_always or bool(self._internal_queue or self._external_queue)

    def queue_received(self, event: Received) -> None:
        """Queue an external event."""
        self._external_queue.append((0.0, event))

    def restore(self, snapshot: Snapshot) -> None:
        """Put the interpreter where the snapshot was taken."""
        self._initialized = True
        self._configuration = set(snapshot.configuration)
        self._memory = {name: list(states) for name, states in snapshot.history.items()}

    def _raise_event(self, event: InternalEvent | MetaEvent) -> None:
        if isinstance(event, InternalEvent):
            self._internal_queue.append((0.0, event))
        elif event.name == "event consumed":
            self._evaluator.observe(event)


class Session:
    """One instance between two snapshots."""

    def __init__(self, chart: Chart, context: Mapping[str, Any], init: Mapping[str, Any]) -> None:
        self._chart = chart
        self._init = init
        self.scope = Scope(chart, context, fresh(init))
        self.interpreter = FrugalInterpreter(chart, lambda made: ScopeEvaluator(chart, self.scope, made))

    @classmethod
    def restored(cls, chart: Chart, snapshot: Snapshot) -> Self:
        """Go on from a snapshot. Raises: ExecutionFailure, if it names a state that the chart does not have."""
        unknown = [name for name in snapshot.configuration if name not in chart.statechart]
        if unknown:
            raise ExecutionFailure(
                "UnknownState",
                f"The snapshot is in the state {unknown[0]!r}, which the chart does not have; "
                "a chart that instances run on is changed by a new version.",
            )
        session = cls(chart, fresh(snapshot.context), snapshot.init)
        session.scope.output = snapshot.output
        session.evaluator.remembered = dict(snapshot.remembered)
        session.interpreter.restore(snapshot)
        return session

    @property
    def evaluator(self) -> ScopeEvaluator:
        """Give the interpreter's evaluator."""
        evaluator: ScopeEvaluator = self.interpreter._evaluator  # noqa: SLF001
        return evaluator

    def start(self, step: StepInput) -> StepResult:
        """Enter the chart."""
        self.scope.begin(step)
        self.scope.consume(Received(ReceivedView(step.event, step.data)))
        self.evaluator.run_preamble()
        return self._result(self._settle(), started=True)

    def take(self, step: StepInput) -> StepResult:
        """Consume one external event and all that follows from it."""
        self.scope.begin(step)
        self.evaluator.awaits_event = True
        self.interpreter.queue_received(Received(ReceivedView(step.event, step.data)))
        return self._result(self._settle(), started=False)

    def _settle(self) -> list[MicroStep]:
        steps: list[MicroStep] = []
        macrostep: MacroStep | None = self.interpreter.execute_once()
        while macrostep:
            self.scope.count_microsteps(len(macrostep.steps))
            steps.extend(macrostep.steps)
            macrostep = self.interpreter.execute_once() if self.interpreter.may_go_on else None
        self.scope.check_bounds()
        return steps

    def _result(self, steps: list[MicroStep], *, started: bool) -> StepResult:
        return StepResult(
            snapshot=self._snapshot(),
            emissions=tuple(self.scope.emissions),
            done=self.interpreter.final,
            expected=started or any(step.transition is not None for step in steps),
            trace=tuple(_traced(step) for step in steps),
        )

    def _snapshot(self) -> Snapshot:
        configuration: list[str] = self.interpreter.configuration
        memory: Mapping[str, list[str]] = self.interpreter._memory  # noqa: SLF001
        active = set(configuration)
        return Snapshot(
            configuration=tuple(configuration),
            context=self.scope.context(),
            init=self._init,
            # Sismic makes these lists from sets: only sorted are they the same in every process.
            history={name: tuple(sorted(memory[name])) for name in sorted(memory)},
            # A state's is of use until the state is left; a transition's only within its microstep.
            remembered={key: kept for key, kept in sorted(self.evaluator.remembered.items()) if key in active},
            output=self.scope.output,
        )


def initial_data(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the init data as they will be stored. Raises: ExecutionFailure."""
    try:
        kept: dict[str, Any] = stored(dict(data))[0]
    except ValueError as error:
        raise ExecutionFailure(
            "InitValueError", f"The init data can't be stored: {error}; send it otherwise."
        ) from error
    return kept


def _traced(step: MicroStep) -> Microstep:
    event = None if step.event is None else step.event.name
    return Microstep(event, tuple(step.exited_states), tuple(step.entered_states))
