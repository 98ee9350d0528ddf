"""The library's shell around the step: read the instance, run one event, write what came of it.

It knows neither Kafka nor a database: the memory is given, and the emitted events are the caller's to publish.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Final, assert_never

from worker.core.engine.api import Engine
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import (
    ArvoTransactionError,
    ConfigViolation,
    InvalidEventError,
    InvalidSubjectError,
    SetupError,
    TransactionCause,
)
from worker.core.events import Event
from worker.core.instances import Instance
from worker.core.machines import Machine
from worker.core.outcomes import (
    Advanced,
    DeadLettered,
    DeadLetterReason,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
    Unexpected,
)
from worker.core.registry import Registry
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import SubjectContent, decode_subject
from worker.core.times import step_time
from worker.orchestrator.memory import DeduplicatingMemory, MachineMemory
from worker.orchestrator.results import ExecutionResult

_LOG: Final = logging.getLogger(__name__)

_MEMORY_METHODS: Final = ("read", "write", "lock", "unlock")

_LOCK_UNACQUIRED: Final = (
    "Lock acquisition denied - Unable to obtain exclusive access to event processing. "
    "Another execution has the instance, or died without freeing it; execute the event again."
)

_MEMORY_FAILURES: Final = {
    TransactionCause.LOCK_MACHINE_MEMORY_FAILURE: "Error acquiring lock",
    TransactionCause.READ_MACHINE_MEMORY_FAILURE: "Error reading state",
    TransactionCause.WRITE_MACHINE_MEMORY_FAILURE: "Error writing state for event",
}


def create_orchestrator(
    *, machines: Sequence[Machine], memory: MachineMemory, executionunits: float | None = None
) -> "Orchestrator":
    """Make an orchestrator of the versions of one machine, run by sismic. Raises: SetupError."""
    for machine in machines or ():
        if not isinstance(machine, Machine):
            raise SetupError(f"An orchestrator runs machines, not a {type(machine).__name__}; use setup_machine.")
    return Orchestrator(registry=Registry(machines, SismicEngine()), memory=memory, executionunits=executionunits)


class Orchestrator:
    """Execute the events of one orchestrator, all versions of its machine side by side.

    Threads may share one if its memory allows it. Events of one instance that may come at the same time are kept
    apart by the memory's lock, which is taken only where a machine's shape makes that possible.
    """

    def __init__(  # noqa: PLR0913  # Named arguments are how an orchestrator reads.
        self,
        *,
        registry: Registry,
        memory: MachineMemory,
        executionunits: float | None = None,
        execution_engine: Engine | None = None,
        error_stacks: bool = False,
        clock: Callable[[], int] | None = None,
    ) -> None:
        """Put the parts together.

        `executionunits` stands on emitted events where neither the emission nor the machine gives any.
        `execution_engine` runs the machines in place of the registry's engine. `error_stacks` puts stacks into
        system error events; they tell paths. `clock` gives milliseconds since the epoch.
        Raises: SetupError.
        """
        self.source: Final = _common_source(registry)
        self.requires_resource_locking: Final = any(machine.requires_locking for machine in registry.machines)
        _check_memory(memory)
        _check_executionunits(executionunits)
        self._memory = memory
        self._deduplication = memory if isinstance(memory, DeduplicatingMemory) else None
        self._clock = clock or _system_clock
        hosted = registry if execution_engine is None else Registry(registry.machines, execution_engine)
        self._host = Host(hosted, executionunits, error_stacks)

    def execute(self, event: Event) -> ExecutionResult:
        """Run one event on its instance, and give the events to publish.

        The result is empty if nothing is to be done: no instance, one that exists already or has ended, an event
        consumed before, or one that nothing waits for. A failing workflow is a result too: its one system error event.

        Raises: ConfigViolation, for an event that no machine of this orchestrator, or no contract of its machine,
        is there for; ArvoTransactionError, for a subject that can't be decoded, and where the memory fails: execute
        the event again; InvalidEventError, for an id that the memory knows with other content.
        """
        if not isinstance(event, Event):
            raise TypeError(f"execute takes an Event, not a {type(event).__name__}; make one with create_event.")
        subject = _decoded_subject(event)
        with self._locked(event):
            return self._step(event, subject)

    def _step(self, event: Event, subject: SubjectContent) -> ExecutionResult:
        with _promise(TransactionCause.READ_MACHINE_MEMORY_FAILURE, event):
            instance = self._memory.read(event.subject)
            seen = self._deduplication.seen(event) if self._deduplication else None
        clock = self._clock()
        now = step_time(clock, clock, instance.now if instance else None)
        outcome = run_step(self._host, StepRequest(event, subject, instance, seen, now))
        return self._settle(event, instance, outcome)

    def _settle(self, event: Event, previous: Instance | None, outcome: Outcome) -> ExecutionResult:
        match outcome:
            case Advanced():
                self._keep(event, outcome.instance, previous)
                return ExecutionResult.of(outcome.emitted)
            case Failed():
                self._keep(event, None, previous)
                return ExecutionResult.of((outcome.emitted,))
            case Unexpected():
                self._keep(event, None, previous)
            case Ignored():
                self._check_concern(outcome.reason, event)
            case DeadLettered():
                _check_refusal(outcome)
            case Duplicate():
                pass
            case _:
                assert_never(outcome)
        return ExecutionResult.of()

    def _keep(self, event: Event, instance: Instance | None, previous: Instance | None) -> None:
        with _promise(TransactionCause.WRITE_MACHINE_MEMORY_FAILURE, event):
            if self._deduplication:
                self._deduplication.consumed(event, instance, previous)
            elif instance:
                self._memory.write(event.subject, instance, previous)

    def _check_concern(self, reason: IgnoredReason, event: Event) -> None:
        """Refuse what the worker leaves to others: who calls `execute` meant this orchestrator."""
        match reason:
            case IgnoredReason.NOT_HOSTED:
                raise ConfigViolation(_not_hosted(decode_subject(event.subject), self.source))
            case IgnoredReason.FOREIGN:
                raise ConfigViolation(_foreign(event, self.source))
            case IgnoredReason.ENDED:
                return
            case _:
                assert_never(reason)

    @contextmanager
    def _locked(self, event: Event) -> Iterator[None]:
        if not self.requires_resource_locking:
            yield
            return
        with _promise(TransactionCause.LOCK_MACHINE_MEMORY_FAILURE, event):
            acquired = self._memory.lock(event.subject)
        if not acquired:
            raise ArvoTransactionError(TransactionCause.LOCK_UNACQUIRED, _LOCK_UNACQUIRED, event)
        try:
            yield
        finally:
            self._unlock(event.subject)

    def _unlock(self, subject: str) -> None:
        """Free the lock, or leave it: what the step did stands, and the next one is told that it can't have it."""
        try:
            self._memory.unlock(subject)
        except Exception:  # noqa: BLE001 - a custom memory may raise anything.
            _LOG.warning("unlock_failed", exc_info=True)


@contextmanager
def _promise(cause: TransactionCause, event: Event) -> Iterator[None]:
    """Turn whatever a memory raises into a transaction error."""
    try:
        yield
    except Exception as error:
        text = f"{_MEMORY_FAILURES[cause]}: {type(error).__name__}: {error}. Mend the memory; execute the event again."
        raise ArvoTransactionError(cause, text, event) from error


def _decoded_subject(event: Event) -> SubjectContent:
    try:
        return decode_subject(event.subject)
    except InvalidSubjectError as error:
        text = f"Invalid event subject format. Expected an ArvoOrchestrationSubject: {error}"
        raise ArvoTransactionError(TransactionCause.INVALID_SUBJECT, text, event) from error


def _check_refusal(outcome: DeadLettered) -> None:
    """Refuse what has no machine, contract or name of its own; an event without its instance comes to nothing."""
    match outcome.reason:
        case DeadLetterReason.NO_INSTANCE | DeadLetterReason.ALREADY_STARTED:
            return
        case DeadLetterReason.ID_CONFLICT:
            raise InvalidEventError(outcome.error_message, ("id",))
        case _:
            raise ConfigViolation(outcome.error_message)


def _not_hosted(subject: SubjectContent, source: str) -> str:
    return (
        "Machine resolution failed: No machine found matching orchestrator "
        f"name='{subject.name}' and version='{subject.version}'. This is the orchestrator of {source}."
    )


def _foreign(event: Event, source: str) -> str:
    return (
        "Contract validation failed - Event does not match any registered contract schemas in the machine "
        f"(type {event.type!r}, to {event.to!r}; this is the orchestrator of {source})"
    )


def _system_clock() -> int:
    return time.time_ns() // 1_000_000


def _common_source(registry: Registry) -> str:
    first, *others = registry.sources
    if others:
        source = registry.machines[0].source
        raise SetupError(
            f"All the machines in the orchestrator must have type '{source}'; got {', '.join(registry.sources)}. "
            "Make one orchestrator for each."
        )
    return first


def _check_memory(memory: object) -> None:
    if isinstance(memory, type):
        raise SetupError(f"The memory is the class {memory.__name__}; give an instance of it.")
    missing = [name for name in _MEMORY_METHODS if not callable(getattr(memory, name, None))]
    if missing:
        lacking = f"The memory, a {type(memory).__name__}, lacks {', '.join(missing)}"
        raise SetupError(f"{lacking}; see MachineMemory for what each promises.")


def _check_executionunits(executionunits: object) -> None:
    if executionunits is None:
        return
    if isinstance(executionunits, bool) or not isinstance(executionunits, (int, float)) or not isfinite(executionunits):
        raise SetupError(f"executionunits must be a finite number, received {executionunits!r}.")
