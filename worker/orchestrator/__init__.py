"""The library: `execute` one event after another, without Kafka and with a memory of one's own choice."""

from worker.orchestrator.memory import DeduplicatingMemory, MachineMemory, SimpleMachineMemory
from worker.orchestrator.orchestrator import Orchestrator, create_orchestrator
from worker.orchestrator.results import ExecutionResult

__all__ = [
    "DeduplicatingMemory",
    "ExecutionResult",
    "MachineMemory",
    "Orchestrator",
    "SimpleMachineMemory",
    "create_orchestrator",
]
