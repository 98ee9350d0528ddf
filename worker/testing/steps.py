"""The steps of one machine, run as the worker runs them, with the way that the chart took at each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.core.digests import content_digest
from worker.core.engine.api import Engine, Microstep, Program, Snapshot, StepInput, StepResult
from worker.core.engine.compiled.program import CompiledEngine
from worker.core.events import Event
from worker.core.instances import Instance, Status
from worker.core.machines import Machine
from worker.core.outcomes import CONSUMING, Advanced, Cancelled, DomainedEvent, Outcome
from worker.core.registry import Registry, check_engine
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject
from worker.core.times import step_time
from worker.testing.configurations import placed


@dataclass(frozen=True, slots=True)
class Step:
    """One event and what it did.

    `before` and `after` are the active states; `after` of a chart that ended holds those that it ended in.
    `emitted` leaves out the completion and the system error event; `trace` is empty where the chart did not run.
    `note` says what the test did to the instance afterwards.
    """

    event: Event
    outcome: Outcome
    before: tuple[str, ...]
    after: tuple[str, ...]
    emitted: tuple[DomainedEvent, ...]
    trace: tuple[Microstep, ...]
    note: str | None = None


class Stepper:
    """Run one machine's steps, one instance at a time, remembering what was consumed as the worker does."""

    def __init__(self, machine: Machine, engine: Engine | None = None) -> None:
        runs = CompiledEngine() if engine is None else check_engine(engine, "The engine")
        self._engine: Final = _RecordingEngine(runs)
        self._host: Final = Host(Registry([machine], self._engine))
        self._chart: Final = machine.chart
        self._complete_type: Final = machine.contract.complete_type
        self._seen: dict[tuple[str, str], bytes] = {}
        self._ended_in: tuple[str, ...] = ()
        self.instance: Instance | None = None

    @property
    def active(self) -> tuple[str, ...]:
        """Name the active states; once the chart has ended, those that it ended in."""
        if self.instance is None:
            return ()
        return self.instance.snapshot.configuration or self._ended_in

    @property
    def expected(self) -> tuple[str, ...]:
        """Name the types that the active states wait for."""
        return self._engine.program.expected(self.instance.snapshot) if self.instance else ()

    def run(self, event: Event, clock: int) -> Step:
        """Run one event; the clock is in milliseconds."""
        before = self.active
        identity = (event.source, event.id)
        now = step_time(clock, clock, self.instance.now if self.instance else None)
        request = StepRequest(event, decode_subject(event.subject), self.instance, self._seen.get(identity), now)
        outcome = run_step(self._host, request)
        if isinstance(outcome, CONSUMING):
            self._seen[identity] = content_digest(event)
        trace = self._engine.program.taken_trace()
        if isinstance(outcome, Advanced | Cancelled):
            self.instance = outcome.instance
            self._ended_in = _ended_in(before, trace)
        return Step(event, outcome, before, self.active, self._emitted(outcome), trace)

    def place(self, names: Sequence[str], context: Mapping[str, Any]) -> None:
        """Put the instance, which has to be there, into these states. Raises: SetupError."""
        assert self.instance is not None, "a start that did not advance has to be asked about first"
        snapshot = placed(self._chart, self.instance.snapshot, names, context)
        self.instance = replace(self.instance, snapshot=snapshot, status=Status.ACTIVE)

    def _emitted(self, outcome: Outcome) -> tuple[DomainedEvent, ...]:
        if not isinstance(outcome, Advanced):
            return ()
        return tuple(one for one in outcome.emitted if one.event.type != self._complete_type)


class _RecordingProgram:
    """Run a program, and keep the last trace, which an outcome does not have."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._trace: tuple[Microstep, ...] = ()

    def taken_trace(self) -> tuple[Microstep, ...]:
        """Give the way of the last step, once; none if the program did not run."""
        trace, self._trace = self._trace, ()
        return trace

    def start(self, step: StepInput) -> StepResult:
        return self._traced(self._program.start(step))

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        return self._traced(self._program.resume(snapshot, step))

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        return self._program.expected(snapshot)

    def _traced(self, result: StepResult) -> StepResult:
        self._trace = result.trace
        return result


class _RecordingEngine:
    """Compile the one chart to a program that keeps its traces."""

    program: _RecordingProgram

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name

    def compile(self, chart: Any) -> Program:
        self.program = _RecordingProgram(self._engine.compile(chart))
        return self.program


def _ended_in(before: tuple[str, ...], trace: tuple[Microstep, ...]) -> tuple[str, ...]:
    """Follow a trace to the states that were active last: in the end a chart leaves them all."""
    active: Mapping[str, None] = dict.fromkeys(before)
    last = active
    for step in trace:
        if active:
            last = active
        kept = [name for name in active if name not in step.exited]
        active = dict.fromkeys((*kept, *step.entered))
    return tuple(active or last)
