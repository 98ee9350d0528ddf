"""What an event does to a chart, transition by transition: which were weighed, what their guards said, what was taken.

The step runs on sismic's interpreter as ever and is watched; so what is told is what happens, not a second opinion of
it. Whatever ends a step early, what was watched until then is told.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, final

from sismic.model import Event as SismicEvent
from sismic.model import MicroStep, Transition

from worker.core.engine.api import Emission, Program, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.failures import guarded
from worker.core.engine.session import FrugalInterpreter, ScopeEvaluator, Session, initial_data
from worker.core.engine.sismic_engine import expected_events
from worker.core.errors import SetupError


class Verdict(StrEnum):
    """Say what became of a transition that an event could have taken."""

    TAKEN = "taken"
    FALSE = "its guard is false"
    RAISED = "its guard raised"
    PASSED = "not tried"
    """A transition of an inner state, or of a higher priority, or one without event, came first."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A transition of an active state for the event, and what became of it; `line` is its guard's in the chart."""

    source: str
    target: str | None
    event: str | None
    guard: str | None
    line: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class WatchedStep:
    """One microstep: what was left and entered, in order, and what its code emitted and sent to the chart itself."""

    exited: tuple[str, ...]
    entered: tuple[str, ...]
    emissions: tuple[Emission, ...]
    sent: tuple[str, ...]


@dataclass(slots=True)
class Round:
    """One macrostep. `event` is what was next in the queue, if anything was; the first of a start weighs nothing."""

    event: str | None
    weighed: tuple[Weighed, ...] = ()
    steps: list[WatchedStep] = field(default_factory=list)


@final
class ExplainingEngine:
    """Turn charts into programs that tell what they do; one step at a time, of whichever program."""

    name = "sismic"

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        """What the last step did; a round without transitions and steps found nothing to do."""

    def compile(self, chart: object) -> Program:
        """Make a program of a chart. Raises: SetupError."""
        if not isinstance(chart, Chart):
            raise SetupError(f"only a Chart can be explained, not a {type(chart).__name__}; use Chart.parse.")
        return _ExplainingProgram(chart, self)


@final
@dataclass(frozen=True, slots=True)
class _ExplainingProgram:
    chart: Chart
    engine: ExplainingEngine

    def start(self, step: StepInput) -> StepResult:
        """Enter the chart. Raises: ExecutionFailure."""
        return guarded(lambda: self._watched(_WatchedSession(self.chart, {}, initial_data(step.data))).start(step))

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go on from a snapshot. Raises: ExecutionFailure."""
        return guarded(lambda: self._watched(_WatchedSession.restored(self.chart, snapshot)).take(step))

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name the event types that the active states have transitions for, sorted."""
        return expected_events(self.chart, snapshot)

    def _watched(self, session: "_WatchedSession") -> "_WatchedSession":
        self.engine.rounds = session.watch.rounds
        return session


class _Watch:
    """What was seen so far."""

    def __init__(self, chart: Chart) -> None:
        self.rounds: list[Round] = []
        self.guards: dict[int, Verdict] = {}
        self._chart = chart
        self._emitted = 0

    def weigh(self, event: str | None, considered: list[Transition], selected: list[Transition]) -> None:
        """Begin a round."""
        taken = {id(one) for one in selected}
        self.rounds.append(Round(event, tuple(self._weighed(one, taken) for one in considered)))

    def step(self, step: MicroStep, emissions: list[Emission]) -> None:
        """Note a microstep, and what was emitted since the one before."""
        if not self.rounds:
            self.rounds.append(Round(None))
        emitted = tuple(emissions[self._emitted :])
        self._emitted = len(emissions)
        sent = tuple(one.name for one in step.sent_events)
        self.rounds[-1].steps.append(WatchedStep(tuple(step.exited_states), tuple(step.entered_states), emitted, sent))

    def _weighed(self, one: Transition, taken: set[int]) -> Weighed:
        guard = self._chart.guards.get(id(one))
        verdict = Verdict.TAKEN if id(one) in taken else self.guards.get(id(one), Verdict.PASSED)
        text, line = (None, None) if guard is None else (guard.text, guard.line)
        return Weighed(one.source, one.target, one.event, text, line, verdict)


class _WatchedEvaluator(ScopeEvaluator):
    watch: _Watch

    def evaluate_guard(self, transition: Transition, event: Any = None) -> bool:
        if transition.event is None and self.awaits_event:
            return super().evaluate_guard(transition, event)
        self.watch.guards[id(transition)] = Verdict.RAISED
        holds = super().evaluate_guard(transition, event)
        if holds:
            del self.watch.guards[id(transition)]
        else:
            self.watch.guards[id(transition)] = Verdict.FALSE
        return holds


class _WatchedInterpreter(FrugalInterpreter):
    def __init__(self, session: "_WatchedSession", chart: Chart) -> None:
        super().__init__(chart, lambda made: _WatchedEvaluator(chart, session.scope, made))
        self._evaluator.watch = session.watch
        self._session = session

    def _select_transitions(self, event: SismicEvent | None, states: set[str], **order: bool) -> list[Transition]:
        watch, name = self._session.watch, getattr(event, "name", None)
        watch.guards.clear()
        selected: list[Transition] = []
        try:
            selected = super()._select_transitions(event, states, **order)
        finally:
            considered = [
                one for one in self.statechart.transitions if one.source in states and one.event in (None, name)
            ]
            considered.sort(key=lambda one: (-self.statechart.depth_for(one.source), one.source, -one.priority))
            watch.weigh(name, considered, selected)
        return selected

    def _apply_step(self, step: MicroStep) -> MicroStep:
        applied = super()._apply_step(step)
        self._session.watch.step(applied, self._session.scope.emissions)
        return applied


class _WatchedSession(Session):
    def __init__(self, chart: Chart, context: Any, init: Any) -> None:
        super().__init__(chart, context, init)
        self.watch = _Watch(chart)
        self.interpreter = _WatchedInterpreter(self, chart)
