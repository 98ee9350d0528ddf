"""What the log tells of single records: where they are and which trace they are part of, and nothing of their data."""

from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from tests.runtime.world import World, append
from tests.simulation.servers import SimKafka
from tests.workload import Order
from worker.core.codec import decode_record, encode_record
from worker.core.events import Event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PERSON = "a name of a person"


def order_event(step: int, **changed: object) -> Event:
    encoded = Order(1).record(step)
    given: dict[str, Any] = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00", **changed}
    return replace(decode_record(encoded.value, encoded.headers), **given)


def test_dead_letters_and_failures_have_a_line_each() -> None:
    kafka = SimKafka(1)
    for event in (order_event(0, data={"order_id": [PERSON]}), order_event(1), order_event(2, traceparent="none")):
        encoded = encode_record(event)
        append(kafka, 0, encoded.key, encoded.value, encoded.headers)
    append(kafka, 0, None, PERSON.encode(), ())
    world = World(kafka)
    with capture_logs() as lines:
        world.start_alone()
        world.drain()
    place = {"topic": "orc.input", "partition": 0}
    machine = {"machine": "arvo.orc.order", "version": "1.0.0"}
    dead = {"event": "dead_letter", "log_level": "warning"}
    assert [line for line in lines if line["event"] in {"dead_letter", "step_failed"}] == [
        {
            "event": "step_failed",
            "log_level": "info",
            **place,
            "offset": 0,
            **machine,
            "error": "ContractViolation",
            "trace_id": TRACE,
        },
        {**dead, **place, "offset": 1, **machine, "reason": "NO_INSTANCE", "error": "NoInstance", "trace_id": TRACE},
        {**dead, **place, "offset": 2, **machine, "reason": "NO_INSTANCE", "error": "NoInstance"},
        {**dead, **place, "offset": 3, "reason": "INVALID_EVENT", "error": "InvalidEventError"},
    ]
    assert PERSON not in str(lines)
