"""The engine that runs charts on sismic's interpreter."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from sismic.exceptions import (
    ConflictingTransitionsError,
    ContractError,
    NonDeterminismError,
    StatechartError,
)

from worker.core.engine.api import Program, Snapshot, StepInput, StepResult
from worker.core.engine.chart import Chart
from worker.core.engine.session import Session, initial_data
from worker.core.errors import ExecutionFailure, SetupError

SISMIC_VERSION: Final = "1.6.14"
"""The version whose private state `session` restores; a test holds it against the installed one."""

_NAME_MAX: Final = 256

_NO_COMMON_ANCESTOR: Final = "State None does not exist"
"""What sismic says when two transitions of the root are enabled: it looks for the state that contains both."""


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
        return _run(lambda: Session(self.chart, {}, initial_data(step.data)).start(step))

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go on from `snapshot`, which stays as it is. Raises: ExecutionFailure."""
        return _run(lambda: Session.restored(self.chart, snapshot).take(step))

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name the event types that the active states have transitions for, sorted."""
        known = [name for name in snapshot.configuration if name in self.chart.statechart]
        return tuple(self.chart.statechart.events_for(known)) if known else ()


def _run(step: Callable[[], StepResult]) -> StepResult:
    try:
        return step()
    except ExecutionFailure:
        raise
    except KeyboardInterrupt:
        # Somebody wants the process to end; chart code can't name it.
        raise
    except BaseException as error:
        # Chart code may raise anything, `exit()` included; no record stops a partition.
        raise _failure(error) from error


def _failure(error: BaseException) -> ExecutionFailure:
    return ExecutionFailure(_name(error), _message(error), _stack(error))


def _name(error: BaseException) -> str:
    if isinstance(error, StatechartError) and str(error) == _NO_COMMON_ANCESTOR:
        return "NonDeterminismError"
    return type(error).__name__.encode("utf-8", "replace").decode().replace("\0", "")[:_NAME_MAX] or "Error"


def _message(error: BaseException) -> str:
    match error:
        case ContractError():
            # Sismic's own text has the whole context.
            return f"The condition does not hold: {error.condition}"
        case StatechartError() if str(error) == _NO_COMMON_ANCESTOR:
            return "Non-determinist choice between transitions of the root: give them guards or priorities"
        case NonDeterminismError() | ConflictingTransitionsError():
            return str(error).partition("\n")[0]
    return _text(lambda: str(error), f"an error of type {type(error).__name__} that has no text")


def _stack(error: BaseException) -> str:
    return _text(lambda: "".join(traceback.format_exception(error)), "")


def _text(tell: Callable[[], str], otherwise: str) -> str:
    """Ask an error for its text, which is code of the chart's functions and may raise anything."""
    try:
        return tell()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001
        return otherwise
