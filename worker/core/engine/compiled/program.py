"""`CompiledEngine`: programs for the step, from snapshot to snapshot, on a chart's tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from worker.core.engine.api import Microstep, Program, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.compiled.kernel import Kernel
from worker.core.engine.compiled.pieces import Pieces
from worker.core.engine.compiled.plans import Plan, Plans, Way
from worker.core.engine.compiled.scope import LeanScope
from worker.core.engine.compiled.straight import Straight, StraightOpening
from worker.core.engine.compiled.tables import Edge, Move
from worker.core.engine.failures import failure_of, guarded
from worker.core.engine.scope import ReceivedView, Sent
from worker.core.engine.session import initial_data
from worker.core.engine.sismic_engine import SismicProgram, expected_events
from worker.core.errors import ExecutionFailure, SetupError

CONTRACTS: Final = "it has contracts (before, after, always)"


@final
class CompiledEngine:
    """Turn charts into programs that run on tables; a chart that has what `fallback_reason` names runs on sismic."""

    name = "compiled"

    def compile(self, chart: object) -> Program:
        """Compile a chart. Raises: SetupError."""
        if not isinstance(chart, Chart):
            raise SetupError(f"the engine {self.name!r} runs a Chart, not a {type(chart).__name__}; use Chart.parse.")
        return CompiledProgram(chart) if fallback_reason(chart) is None else SismicProgram(chart)


def fallback_reason(chart: Chart) -> str | None:
    """Say why sismic's interpreter runs a chart, if it does."""
    return CONTRACTS if chart.conditions else None


@final
class CompiledProgram:
    """Run one chart; every step works on its own state, so a step that fails leaves nothing behind."""

    __slots__ = ("_opening", "_pieces", "_plans", "chart")

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self._pieces = Pieces(chart)
        self._plans = Plans(self._pieces)
        opening = self._plans.opening
        self._opening = None if opening is None else StraightOpening(opening, self._pieces)

    def start(self, step: StepInput) -> StepResult:
        """Enter the chart with `step.data` as its init data. Raises: ExecutionFailure."""
        return guarded(lambda: self._start(step))

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go on from `snapshot`, which stays as it is. Raises: ExecutionFailure."""
        try:
            plan = self._plans.find(snapshot, step.event.type)
            if plan is not None:
                straight = plan.straight or self._straight(plan)
                result = straight.run(snapshot, step)
                if result is not None:
                    return result
            return self._resume(plan, snapshot, step)
        except (ExecutionFailure, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise failure_of(error) from error

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name the event types that the active states have transitions for, sorted."""
        return expected_events(self.chart, snapshot)

    def _start(self, step: StepInput) -> StepResult:
        result = self._opening.run(step) if self._opening else None
        return self._carefully_started(step) if result is None else result

    def _carefully_started(self, step: StepInput) -> StepResult:
        init = initial_data(step.data)
        scope = LeanScope(self._pieces, {}, init, step)
        view = ReceivedView(step.event, step.data)
        way = self._plans.opening
        if way is not None:
            scope.namespace["event"] = view
            return self._went(way, scope, Snapshot((), {}, init), step)
        instance = _Instance(self._pieces, scope)
        instance.consume(Arrived(view))
        if self._pieces.preamble:
            scope.run(self._pieces.preamble, None, False)  # noqa: FBT003
        instance.moved = True
        return instance.result(instance.settle(instance.macrostep()), init, {})

    def source(self, snapshot: Snapshot, event: str) -> str:
        """Give the text of the functions that were made for an event where a snapshot is; empty, if there are none."""
        plan = self._plans.find(snapshot, event)
        return plan.straight.source() if plan and plan.straight else ""

    def _straight(self, plan: Plan) -> Straight:
        plan.straight = Straight(plan, self._pieces)
        return plan.straight

    def _resume(self, plan: Plan | None, snapshot: Snapshot, step: StepInput) -> StepResult:
        scope = LeanScope(self._pieces, snapshot.context, snapshot.init, step)
        scope.output = snapshot.output
        view = ReceivedView(step.event, step.data)
        if plan is None:
            instance = _Instance(self._pieces, scope)
            instance.restore(snapshot)
            instance.external.append(Arrived(view))
            return instance.result(instance.settle(instance.macrostep()), snapshot.init, snapshot.remembered)
        edges = scope.choose(plan, view)
        way = plan.way(edges)
        if way is None:
            instance = _Instance(self._pieces, scope)
            instance.restore(snapshot)
            made = instance.take(edges, Arrived(view))
            return instance.result(instance.settle(made), snapshot.init, snapshot.remembered)
        return self._went(way, scope, snapshot, step)

    def _went(self, way: Way, scope: LeanScope, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go a way, and tell what the step came to."""
        sending = scope.go(way)
        if sending or way.goes_on or len(way.trace) > step.bounds.microsteps_max:
            instance = _Instance(self._pieces, scope)
            instance.arrive(way, sending)
            return instance.result(instance.settle(way.trace), snapshot.init, snapshot.remembered)
        remembered = snapshot.remembered
        after = Snapshot(
            way.configuration,
            scope.stored_context(),
            snapshot.init,
            way.history.copy(),
            still_remembered(remembered, way.configuration) if remembered else {},
            scope.output,
        )
        scope.namespace = {}
        return StepResult(after, tuple(scope.emissions), way.done, way.moved, way.trace)


@final
class Arrived:
    """The step's event."""

    __slots__ = ("name", "view")

    def __init__(self, view: ReceivedView) -> None:
        self.name = view.name
        self.view = view


@final
class _Instance(Kernel[Microstep]):
    """One instance between two snapshots.

    `moved` tells whether a transition was taken. `awaits_event` is true until a resumed instance consumes its event:
    it was stable when it was left.
    """

    moved = False
    awaits_event = False

    def __init__(self, pieces: Pieces, scope: LeanScope) -> None:
        super().__init__(pieces.tables)
        self.run = scope.run
        self._scope = scope
        if pieces.provided:
            scope.is_active = self._is_active
            scope.sent_names = self._sent_names

    def restore(self, snapshot: Snapshot) -> None:
        """Put the instance where the snapshot was taken. Raises: ExecutionFailure."""
        index = self.tables.index
        for name in snapshot.configuration:
            if name not in index:
                raise ExecutionFailure(
                    "UnknownState",
                    f"The snapshot is in the state {name!r}, which the chart does not have; "
                    "a chart that instances run on is changed by a new version.",
                )
            self.active |= 1 << index[name]
        self.started = self.awaits_event = True
        if snapshot.history:
            self.memory = {name: tuple(sorted(states)) for name, states in snapshot.history.items()}

    def arrive(self, way: Way, sent: list[Any]) -> None:
        """Put the instance where a way ends on which this was sent."""
        self.active, self.memory, self.moved, self.started = way.active, way.history.copy(), way.moved, True
        self._scope.let_go_of_sent()
        for event in sent:
            self.queue_sent(event)

    def settle(self, made: Sequence[Microstep] | None) -> list[Microstep]:
        """Make macrosteps until nothing is left to do; `made` is the first."""
        steps: list[Microstep] = []
        while made:
            self._scope.count_microsteps(len(made))
            steps += made
            goes_on = self.tables.has_eventless or self.internal or self.external
            made = self.macrostep() if goes_on else None
        self._scope.check_bounds()
        return steps

    def result(
        self, steps: list[Microstep], init: Mapping[str, Any], remembered: Mapping[str, Mapping[str, Any]]
    ) -> StepResult:
        """Tell what the step came to."""
        configuration = self.tables.configuration(self.active)
        memory = self.memory
        snapshot = Snapshot(
            configuration,
            self._scope.stored_context(),
            init,
            {name: memory[name] for name in sorted(memory)} if memory else {},
            still_remembered(remembered, configuration) if remembered else {},
            self._scope.output,
        )
        self._scope.close()
        return StepResult(snapshot, tuple(self._scope.emissions), not self.active, self.moved, tuple(steps))

    def begin(self, move: Move) -> None:
        """Make ready for a microstep."""
        if move.edge is not None:
            self.moved = True
        if move.note:
            self._scope.begin_move(move)

    def holds(self, edge: Edge, event: Any) -> bool:
        """Evaluate a guard."""
        if self.awaits_event and edge.event is None:
            return False
        return edge.guard is None or self._scope.holds(edge.guard, event)

    def consume(self, event: Any) -> None:
        """Make this the event that chart code sees from now on."""
        self.awaits_event = False
        self._scope.namespace["event"] = event.view

    def queue_sent(self, event: Any) -> None:
        """Queue an internal event; meta-events have no listeners."""
        if isinstance(event, Sent):
            self.internal.append(event)

    def taken(self, move: Move, event: Any, sent: list[Any]) -> Microstep:  # noqa: ARG002  # Traces tell states alone.
        """Keep the trace."""
        return move.trace if move.edge is not None or event is None else Microstep(event.name, (), ())

    def _is_active(self, name: str) -> bool:
        number = self.tables.index.get(name)
        return number is not None and bool((self.active | self.entering) >> number & 1)

    def _sent_names(self) -> tuple[str, ...]:
        return tuple(event.name for event in self.sent)


def still_remembered(
    remembered: Mapping[str, Mapping[str, Any]], configuration: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Give what is remembered of states that are still active."""
    return {key: kept for key, kept in sorted(remembered.items()) if key in configuration}
