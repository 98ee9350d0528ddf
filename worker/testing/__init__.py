"""The test kit for users: an in-process broker, given / when / then on one machine, a memory's conformance suite.

Nothing here waits, sleeps or looks at a clock on the wall. Names are imported when they are first asked for, so that
pytest's plugin costs nothing where nobody uses it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # An alias makes a name public to type checkers.
    from worker.testing.clock import STARTS_AT as STARTS_AT, Clock as Clock  # noqa: I001 - a statement for each alias.
    from worker.testing.deliveries import DeadLetter as DeadLetter, Delivery as Delivery, Fault as Fault
    from worker.testing.handlers import Handler as Handler
    from worker.testing.local_broker import BrokerError as BrokerError, LocalBroker as LocalBroker
    from worker.testing.local_memory import LocalMemory as LocalMemory
    from worker.testing.memories import (
        DeduplicatingMemoryConformance as DeduplicatingMemoryConformance,
        MachineMemoryConformance as MachineMemoryConformance,
    )
    from worker.testing.scenario import Run as Run, Scenario as Scenario

_HOMES: Final = {
    "BrokerError": "worker.testing.local_broker",
    "Clock": "worker.testing.clock",
    "DeadLetter": "worker.testing.deliveries",
    "DeduplicatingMemoryConformance": "worker.testing.memories",
    "Delivery": "worker.testing.deliveries",
    "Fault": "worker.testing.deliveries",
    "Handler": "worker.testing.handlers",
    "LocalBroker": "worker.testing.local_broker",
    "LocalMemory": "worker.testing.local_memory",
    "MachineMemoryConformance": "worker.testing.memories",
    "Run": "worker.testing.scenario",
    "STARTS_AT": "worker.testing.clock",
    "Scenario": "worker.testing.scenario",
}

__all__ = list(_HOMES)

if not TYPE_CHECKING:  # A type checker would take any name for one that is here.

    def __getattr__(name: str) -> Any:
        """Import one of the kit's names. Raises: AttributeError."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
