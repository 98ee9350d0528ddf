"""What the step asks of an execution engine, in the core's own words.

An engine turns a validated chart into a `Program` once; a program runs one event at a time
from a snapshot to a snapshot. It is pure: the same input gives the same result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from worker.core.bounds import DEFAULT_BOUNDS, Bounds
from worker.core.events import Event

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, init=False)
class Snapshot:
    """Everything needed to go on with an instance, as JSON values.

    `configuration` holds the active states sorted by depth, then name; empty once the chart is final.
    `history` maps each history state that remembers something to the sorted states it remembers.
    `remembered` holds the context as it was when a state or transition was last begun, for `__old__` of contracts,
    keyed by a stable name of that state or transition.
    Event queues are empty between steps, so they are not part of it.
    """

    configuration: tuple[str, ...]
    context: Mapping[str, Any]
    init: Mapping[str, Any]
    history: Mapping[str, tuple[str, ...]]
    remembered: Mapping[str, Mapping[str, Any]]
    output: Mapping[str, Any] | None

    def __init__(  # noqa: PLR0913  # What a dataclass would make, in half the time: every step makes two.
        self,
        configuration: tuple[str, ...],
        context: Mapping[str, Any],
        init: Mapping[str, Any],
        history: Mapping[str, tuple[str, ...]] | None = None,
        remembered: Mapping[str, Mapping[str, Any]] | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> None:
        _set_configuration(self, configuration)
        _set_context(self, context)
        _set_init(self, init)
        _set_history(self, {} if history is None else history)
        _set_remembered(self, {} if remembered is None else remembered)
        _set_output(self, output)


_set_configuration, _set_context, _set_init, _set_history, _set_remembered, _set_output = (
    vars(Snapshot)[field.name].__set__ for field in fields(Snapshot)
)


class Emission(NamedTuple):
    """What chart code asked for with `emit(...)`, not yet an event."""

    type: str
    data: Mapping[str, Any]
    domains: tuple[str, ...] | None = None
    to: str | None = None
    redirectto: str | None = None
    accesscontrol: str | None = None
    executionunits: float | None = None
    dataschema: str | None = None
    extensions: Mapping[str, Any] = _NOTHING


@dataclass(frozen=True, slots=True)
class StepInput:
    """What one run may see beside its snapshot."""

    event: Event
    data: Mapping[str, Any]
    """The event's data as its contract validated it; chart code sees it as `event.data`."""
    subject: str
    now: datetime
    new_id: Callable[[], str]
    bounds: Bounds = DEFAULT_BOUNDS


class Microstep(NamedTuple):
    """One microstep of the trace: states left, states entered, in order."""

    event: str | None
    exited: tuple[str, ...]
    entered: tuple[str, ...]


class StepResult(NamedTuple):
    """What one event did to a chart.

    `expected` is false if no transition of the active states took the event.
    `done` is true once the chart is in its final configuration.
    `emissions` stand in order of execution.
    """

    snapshot: Snapshot
    emissions: tuple[Emission, ...]
    done: bool
    expected: bool
    trace: tuple[Microstep, ...]


class Program(Protocol):
    """Run one chart, from any thread. A step that raises leaves nothing behind.

    Whatever chart code does, only ExecutionFailure comes out: the step makes a system error event of it.
    """

    def start(self, step: StepInput) -> StepResult:
        """Enter the chart with `step.data` as its init data. Raises: ExecutionFailure."""
        ...

    def resume(self, snapshot: Snapshot, step: StepInput) -> StepResult:
        """Go on from `snapshot`, which stays as it is. Raises: ExecutionFailure."""
        ...

    def expected(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name the event types that the active states have transitions for, sorted."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Turn charts into programs.

    Two engines are interchangeable if their programs give equal results for equal input: snapshots are kept, and may
    be gone on with by another process.
    """

    @property
    def name(self) -> str:
        """Name the engine, for people."""
        ...

    def compile(self, chart: Any) -> Program:
        """Compile a chart (`worker.core.engine.chart.Chart`), once, at set-up. Raises: SetupError."""
        ...
