"""The library: `execute` one event after another, without Kafka and with a memory of one's own choice."""

from worker.orchestrator.memory import ConsumedEvent, DeduplicatingMemory, MachineMemory, SimpleMachineMemory
from worker.orchestrator.orchestrator import Orchestrator, create_orchestrator
from worker.orchestrator.results import ExecutionResult
from worker.orchestrator.telemetered_memory import TelemeteredMachineMemory

__all__ = [
    "ConsumedEvent",
    "DeduplicatingMemory",
    "ExecutionResult",
    "MachineMemory",
    "Orchestrator",
    "SimpleMachineMemory",
    "TelemeteredMachineMemory",
    "create_orchestrator",
]
