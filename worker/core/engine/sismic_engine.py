"""The engine that runs charts on sismic's interpreter."""

from dataclasses import dataclass
from typing import Final, final

from worker.core.engine.api import Program, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.failures import guarded
from worker.core.engine.session import Session, initial_data
from worker.core.errors import SetupError

SISMIC_VERSION: Final = "1.6.14"
"""The version whose private state `session` restores; a test holds it against the installed one."""


@final
class SismicEngine:
    """Turn charts into programs that sismic interprets."""

    name = "sismic"

    def compile(self, chart: object) -> Program:
        """Make a program of a chart, whose code is compiled already. Raises: SetupError."""
        if not isinstance(chart, Chart):
            raise SetupError(f"the engine {self.name!r} runs a Chart, not a {type(chart).__name__}; use Chart.parse.")
        return SismicProgram(chart)


@final
@dataclass(frozen=True, slots=True)
class SismicProgram:
    """Run one chart; every step works on its own interpreter, so a step that fails leaves nothing behind."""

    chart: Chart

    def start(self, step: StepInput) -> StepResult:
        """Enter the chart with `step.data` as its init data. Raises: ExecutionFailure."""
        return guarded(lambda: Session(self.chart, {}, initial_data(step.data)).start(step))

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go on from `snapshot`, which stays as it is. Raises: ExecutionFailure."""
        return guarded(lambda: Session.restored(self.chart, snapshot).take(step))

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name the event types that the active states have transitions for, sorted."""
        return expected_events(self.chart, snapshot)


def expected_events(chart: Chart, snapshot: Snapshot) -> tuple[str, ...]:
    """Name the event types that the active states have transitions for, sorted."""
    known = [name for name in snapshot.configuration if name in chart.statechart]
    return tuple(chart.statechart.events_for(known)) if known else ()
