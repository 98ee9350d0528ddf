"""The library's call, without Kafka and PostgreSQL: `execute` on a memory in this process, one event after another."""

import time
from collections.abc import Sequence

from tests.bench.measures import Cpu, Throughput
from tests.bench.site import Place
from worker import Orchestrator, SimpleMachineMemory
from worker.core.codec import EncodedRecord, decode_record


def run_library(name: str, place: Place, records: Sequence[EncodedRecord]) -> Throughput:
    """Execute the workload's events, decoded beforehand, and hold the emitted ones against what must come."""
    events = [decode_record(record.value, record.headers) for record in records]
    orchestrator = Orchestrator(registry=place.plan.registry, memory=SimpleMachineMemory())
    begun, cpu_begun = time.perf_counter(), time.process_time()
    emitted = sum(len(orchestrator.execute(event).domained_events["all"]) for event in events)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu_begun
    assert emitted == len(events), f"{len(events)} events emitted {emitted}, not one each"
    return Throughput(name, len(events), seconds, Cpu(client=cpu, postgres=0.0, broker=0.0))
