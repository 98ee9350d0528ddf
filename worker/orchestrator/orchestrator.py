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
from worker.core.engine.compiled.program import CompiledEngine
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
    CONSUMING,
    Advanced,
    Cancelled,
    DeadLettered,
    DeadLetterReason,
    DomainedEvent,
    Duplicate,
    Failed,
    Ignored,
    IgnoredReason,
    Outcome,
    Unexpected,
)
from worker.core.registry import MachineRegistry, Registry, RegistryOnEngine, check_engine, check_registry
from worker.core.step import Host, StepRequest
from worker.core.subjects import SubjectContent, decode_subject
from worker.core.times import step_time
from worker.orchestrator.memory import DeduplicatingMemory, MachineMemory, check_memory
from worker.orchestrator.results import ExecutionResult
from worker.tracing import ExecutionTrace, InheritFrom, trace_execution

_LOG: Final = logging.getLogger(__name__)

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
    *,
    machines: Sequence[Machine],
    memory: MachineMemory,
    executionunits: float | None = None,
    execution_engine: Engine | None = None,
) -> "Orchestrator":
    """Make an orchestrator of the versions of one machine, run by `execution_engine` or as the worker runs them.

    Raises: SetupError.
    """
    engine = CompiledEngine() if execution_engine is None else check_engine(execution_engine, "The execution_engine")
    return Orchestrator(registry=Registry(machines, engine), memory=memory, executionunits=executionunits)


class Orchestrator:
    """Execute the events of one orchestrator, all versions of its machine side by side.

    Threads may share one if its memory allows it. Events of one instance that may come at the same time are kept
    apart by the memory's lock, which is taken only where a machine's shape makes that possible.
    """

    def __init__(  # noqa: PLR0913  # Named arguments are how an orchestrator reads.
        self,
        *,
        registry: MachineRegistry,
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
        check_registry(registry, "The registry")
        self.source: Final = _common_source(registry)
        self._uri: Final = registry.machines[0].contract.uri
        self.requires_resource_locking: Final = any(machine.requires_locking for machine in registry.machines)
        check_memory(memory)
        _check_executionunits(executionunits)
        self._memory = memory
        self._deduplication = memory if isinstance(memory, DeduplicatingMemory) else None
        self._clock = clock or _system_clock
        if execution_engine is not None:
            registry = RegistryOnEngine(registry, check_engine(execution_engine, "The execution_engine"))
        self._host = Host(registry, executionunits, error_stacks)

    @property
    def registry(self) -> MachineRegistry:
        """Give the machines, with the programs that run them."""
        return self._host.registry

    @property
    def memory(self) -> MachineMemory:
        """Give the memory that instances are kept in."""
        return self._memory

    def execute(self, event: Event, inherit_from: InheritFrom = "event") -> ExecutionResult:
        """Run one event on its instance, and give the events to publish.

        Where OpenTelemetry records, the execution is a span, and the events carry its trace headers; elsewhere they
        carry the event's own. `inherit_from` says what the span continues: "event" the trace of the event's headers,
        or the current span's if it has none; "context" the current span's, whatever the event has.

        The result is empty if nothing is to be done: no instance, one that exists already or has ended, or an event
        that nothing waits for. A failing workflow is a result too: its one system error event. With a memory that
        deduplicates, an event consumed before runs no step and gives its first result again, so a caller that died
        before it published executes the event again.

        Raises: ConfigViolation, for an event that no machine of this orchestrator, or no contract of its machine,
        is there for; ArvoTransactionError, for a subject that can't be decoded, and where the memory fails: execute
        the event again; InvalidEventError, for an id that the memory knows with other content.
        """
        if not isinstance(event, Event):
            raise TypeError(f"execute takes an Event, not a {type(event).__name__}; make one with create_event.")
        with trace_execution(self._uri, event, inherit_from) as trace:
            return self._result(event, self._outcome(event, trace, None))

    def outcome(self, event: Event, clock: int | None = None) -> Outcome:
        """Run one event on its instance as `execute` does, and tell what came of it: empty results are told apart.

        `clock`, in milliseconds since the epoch, stands for the orchestrator's own.
        Raises: ArvoTransactionError.
        """
        with trace_execution(self._uri, event, "event") as trace:
            return self._outcome(event, trace, clock)

    def _outcome(self, event: Event, trace: ExecutionTrace, clock: int | None) -> Outcome:
        subject = _decoded_subject(event)
        with self._locked(event, trace):
            return self._step(event, subject, trace, clock)

    def _step(self, event: Event, subject: SubjectContent, trace: ExecutionTrace, clock: int | None) -> Outcome:
        with trace.part("Read Instance"), _promise(TransactionCause.READ_MACHINE_MEMORY_FAILURE, event):
            instance = self._memory.read(event.subject)
            seen = self._deduplication.seen(event) if self._deduplication else None
        clock = self._clock() if clock is None else clock
        now = step_time(clock, clock, instance.now if instance else None)
        digest = seen.content_digest if seen else None
        outcome = trace.run(self._host, StepRequest(event, subject, instance, digest, now, trace.headers))
        if seen and isinstance(outcome, Duplicate):
            return Duplicate(seen.emitted)
        self._keep(event, instance, outcome, trace)
        return outcome

    def _result(self, event: Event, outcome: Outcome) -> ExecutionResult:
        match outcome:
            case Ignored():
                self._check_concern(outcome.reason, event)
            case DeadLettered():
                _check_refusal(outcome)
            case Advanced() | Failed() | Cancelled() | Unexpected() | Duplicate():
                pass
            case _:
                assert_never(outcome)
        return ExecutionResult.of(_emitted(outcome))

    def _keep(self, event: Event, previous: Instance | None, outcome: Outcome, trace: ExecutionTrace) -> None:
        """Write what the step changed: the instance, and that the event is consumed where that is remembered."""
        instance = outcome.instance if isinstance(outcome, Advanced | Cancelled) else None
        consumed = self._deduplication is not None and isinstance(outcome, CONSUMING)
        if instance is None and not consumed:
            return
        with trace.part("Persist Instance"), _promise(TransactionCause.WRITE_MACHINE_MEMORY_FAILURE, event):
            if self._deduplication:
                self._deduplication.consumed(event, _emitted(outcome), instance, previous)
            elif instance:
                self._memory.write(event.subject, instance, previous)

    def _check_concern(self, reason: IgnoredReason, event: Event) -> None:
        """Refuse what the worker leaves to others: who calls `execute` meant this orchestrator."""
        match reason:
            case IgnoredReason.NOT_HOSTED:
                raise ConfigViolation(_not_hosted(decode_subject(event.subject), self.source))
            case IgnoredReason.FOREIGN:
                raise ConfigViolation(_foreign(event, self.source))
            case IgnoredReason.ENDED | IgnoredReason.ABSENT | IgnoredReason.CHANGED:
                return
            case _:
                assert_never(reason)

    @contextmanager
    def _locked(self, event: Event, trace: ExecutionTrace) -> Iterator[None]:
        if not self.requires_resource_locking:
            yield
            return
        with trace.part("Lock Instance"):
            self._lock(event)
        try:
            yield
        finally:
            self._unlock(event.subject)

    def _lock(self, event: Event) -> None:
        with _promise(TransactionCause.LOCK_MACHINE_MEMORY_FAILURE, event):
            acquired = self._memory.lock(event.subject)
        if not acquired:
            raise ArvoTransactionError(TransactionCause.LOCK_UNACQUIRED, _LOCK_UNACQUIRED, event)

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


def _emitted(outcome: Outcome) -> tuple[DomainedEvent, ...]:
    match outcome:
        case Advanced() | Duplicate():
            return outcome.emitted
        case Failed() | Cancelled():
            return (outcome.emitted,)
        case Unexpected() | Ignored() | DeadLettered():
            return ()


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


def _common_source(registry: MachineRegistry) -> str:
    first, *others = registry.sources
    if others:
        source = registry.machines[0].source
        raise SetupError(
            f"All the machines in the orchestrator must have type '{source}'; got {', '.join(registry.sources)}. "
            "Make one orchestrator for each."
        )
    return first


def _check_executionunits(executionunits: object) -> None:
    if executionunits is None:
        return
    if isinstance(executionunits, bool) or not isinstance(executionunits, (int, float)) or not isfinite(executionunits):
        raise SetupError(f"executionunits must be a finite number, received {executionunits!r}.")
