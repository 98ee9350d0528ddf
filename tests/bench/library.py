"""The library's call, without Kafka and PostgreSQL: `execute` on a memory in this process, one event after another."""

import time
from collections.abc import Sequence

from machines.order import machine
from tests.bench.measures import Cpu, Throughput
from tests.workload import STATES, records
from worker import Event, SimpleMachineMemory, create_orchestrator
from worker.core.codec import decode_record

LIBRARY = "library, in memory"


def run_library(orders: int) -> Throughput:
    """Execute the workload's events, decoded beforehand, and hold the emitted ones against what must come."""
    events = [decode_record(record.value, record.headers) for record in records(orders)]
    emitted, seconds, cpu = _executed(events)
    assert emitted == orders * len(STATES), f"{orders} orders emitted {emitted} events, not {orders * len(STATES)}"
    return Throughput(LIBRARY, len(events), seconds, Cpu(client=cpu, postgres=0.0, broker=0.0), {})


def _executed(events: Sequence[Event]) -> tuple[int, float, float]:
    orchestrator = create_orchestrator(machines=[machine], memory=SimpleMachineMemory())
    begun, cpu_begun = time.perf_counter(), time.process_time()
    emitted = sum(len(orchestrator.execute(event).domained_events["all"]) for event in events)
    return emitted, time.perf_counter() - begun, time.process_time() - cpu_begun
