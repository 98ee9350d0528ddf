"""A Kafka stream-processing worker that runs event-driven workflows written as statecharts.

The names here are the library's. Each is imported when it is first asked for, so that commands start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # An alias makes a name public to type checkers.
    from worker.adapters.postgres.memory import (  # noqa: I001 - it wants a statement for each alias.
        PostgresMachineMemory as PostgresMachineMemory,
    )
    from worker.core.contracts import (
        Contract as Contract,
        ContractVersion as ContractVersion,
        Number as Number,
        create_contract as create_contract,
        create_orchestrator_contract as create_orchestrator_contract,
        create_simple_contract as create_simple_contract,
    )
    from worker.core.engine.api import Engine as Engine, Program as Program
    from worker.core.engine.compiled.program import CompiledEngine as CompiledEngine
    from worker.core.engine.sismic_engine import SismicEngine as SismicEngine
    from worker.core.errors import (
        ArvoTransactionError as ArvoTransactionError,
        ConfigViolation as ConfigViolation,
        InvalidDataError as InvalidDataError,
        InvalidEventError as InvalidEventError,
        InvalidSubjectError as InvalidSubjectError,
        SetupError as SetupError,
        StaleWriteError as StaleWriteError,
        TransactionCause as TransactionCause,
        WorkerError as WorkerError,
    )
    from worker.core.events import (
        Event as Event,
        create_event as create_event,
        event_from_json as event_from_json,
        event_to_json as event_to_json,
    )
    from worker.core.factories import (
        accepts_event as accepts_event,
        complete_event as complete_event,
        emits_event as emits_event,
        init_event as init_event,
        system_error_event as system_error_event,
    )
    from worker.core.instances import Instance as Instance, Status as Status
    from worker.core.machines import Machine as Machine, setup_machine as setup_machine
    from worker.core.outcomes import DomainedEvent as DomainedEvent
    from worker.core.registry import (
        Hosted as Hosted,
        MachineRegistry as MachineRegistry,
        Registry as Registry,
    )
    from worker.core.subjects import (
        SubjectContent as SubjectContent,
        child_subject as child_subject,
        decode_subject as decode_subject,
        root_subject as root_subject,
    )
    from worker.orchestrator import (
        ConsumedEvent as ConsumedEvent,
        DeduplicatingMemory as DeduplicatingMemory,
        ExecutionResult as ExecutionResult,
        MachineMemory as MachineMemory,
        Orchestrator as Orchestrator,
        SimpleMachineMemory as SimpleMachineMemory,
        TelemeteredMachineMemory as TelemeteredMachineMemory,
        create_orchestrator as create_orchestrator,
    )
    from worker.ports import KafkaUnavailable as KafkaUnavailable
    from worker.services.client import Client as Client
    from worker.services.replies import Reply as Reply
    from worker.services.request import Request as Request
    from worker.services.service import Service as Service, service as service
    from worker.services.serving import ServiceWorker as ServiceWorker, serve as serve
    from worker.services.workflows import Workflow as Workflow, WorkflowFailed as WorkflowFailed

_NAMES: Final = {
    "worker.adapters.postgres.memory": ("PostgresMachineMemory",),
    "worker.core.contracts": (
        "Contract",
        "ContractVersion",
        "Number",
        "create_contract",
        "create_orchestrator_contract",
        "create_simple_contract",
    ),
    "worker.core.engine.api": ("Engine", "Program"),
    "worker.core.engine.compiled.program": ("CompiledEngine",),
    "worker.core.engine.sismic_engine": ("SismicEngine",),
    "worker.core.errors": (
        "ArvoTransactionError",
        "ConfigViolation",
        "InvalidDataError",
        "InvalidEventError",
        "InvalidSubjectError",
        "SetupError",
        "StaleWriteError",
        "TransactionCause",
        "WorkerError",
    ),
    "worker.core.events": ("Event", "create_event", "event_from_json", "event_to_json"),
    "worker.core.factories": ("accepts_event", "complete_event", "emits_event", "init_event", "system_error_event"),
    "worker.core.instances": ("Instance", "Status"),
    "worker.core.machines": ("Machine", "setup_machine"),
    "worker.core.outcomes": ("DomainedEvent",),
    "worker.core.registry": ("Hosted", "MachineRegistry", "Registry"),
    "worker.core.subjects": ("SubjectContent", "child_subject", "decode_subject", "root_subject"),
    "worker.orchestrator": (
        "ConsumedEvent",
        "DeduplicatingMemory",
        "ExecutionResult",
        "MachineMemory",
        "Orchestrator",
        "SimpleMachineMemory",
        "TelemeteredMachineMemory",
        "create_orchestrator",
    ),
    "worker.ports": ("KafkaUnavailable",),
    "worker.services.client": ("Client",),
    "worker.services.replies": ("Reply",),
    "worker.services.request": ("Request",),
    "worker.services.service": ("Service", "service"),
    "worker.services.serving": ("ServiceWorker", "serve"),
    "worker.services.workflows": ("Workflow", "WorkflowFailed"),
}
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_HOMES)

if not TYPE_CHECKING:  # A type checker would take any name for one that is here.

    def __getattr__(name: str) -> Any:
        """Import one of the library's names. Raises: AttributeError."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
