"""What is produced into the input topic: orders and their answers, and parents that have children.

Producers err too: they send records twice, answers that nobody waits for, ids used twice, and no events at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

from machines.order import machine as order_machine
from tests.acceptance.family import machines as family
from tests.acceptance.family import parent
from tests.workload import CLIENT, Order
from worker.core.codec import EncodedRecord, encode_record
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.factories import init_event
from worker.core.records import Headers
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.runtime.batch import Limits

TOPICS: Final = Topics("orc")
HOST: Final = Host(Registry([order_machine, *family], SismicEngine()))
ROUTER: Final = Router(TOPICS, HOST.registry, "group", "0.0.0")
LIMITS: Final = Limits(dict.fromkeys(("orc.input", "orc.dlq", "orc.default", "orc.external"), 1_000_000))

ORDERS: Final = 10
PARENTS: Final = 4
STEPS: Final = 4
ASTRAY: Final = 0.4
SECONDS: Final = 30.0
"""How long producers are at work."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record that a producer sends at a time; `astray` by a partitioner that is not the others'."""

    time: float
    key: bytes | None
    value: bytes | None
    headers: Headers
    astray: bool = False


def arrivals(random: Random) -> list[Arrival]:
    """Draw when everything comes; what belongs to one order comes in its order."""
    sent: list[Arrival] = []
    for number in range(ORDERS):
        times = sorted(random.uniform(0.0, SECONDS) for _ in range(STEPS))
        sent += [_arrival(time, order_record(number, step)) for step, time in enumerate(times)]
    sent += [_arrival(random.uniform(0.0, SECONDS), parent_record(number)) for number in range(PARENTS)]
    sent += _bad(random, sent)
    return sorted(sent, key=lambda one: one.time)


def poison_id(random: Random) -> str:
    """Name an event that kills whoever runs it."""
    return f"{Order(random.randrange(ORDERS)).id}-{random.randrange(STEPS)}"


def _bad(random: Random, sent: Sequence[Arrival]) -> list[Arrival]:
    """Draw duplicates, an id used twice, an answer for nobody, and no event."""
    again = [random.choice(sent) for _ in range(6)]
    bad = [
        Arrival(one.time + random.expovariate(0.3), one.key, one.value, one.headers, astray=random.random() < ASTRAY)
        for one in again
    ]
    reply = order_record(random.randrange(ORDERS), 1)
    conflicting = (reply.value or b"").replace(b"north", b"south")
    bad.append(Arrival(random.uniform(0.0, SECONDS), reply.key, conflicting, reply.headers))
    bad.append(_arrival(random.uniform(0.0, SECONDS), order_record(ORDERS, 2)))
    bad.append(Arrival(random.uniform(0.0, SECONDS), None, b"garbage %d" % random.randrange(100), ()))
    return bad


def _arrival(time: float, encoded: EncodedRecord) -> Arrival:
    return Arrival(time, encoded.key, encoded.value, encoded.headers)


@cache
def order_record(number: int, step: int) -> EncodedRecord:
    return Order(number).record(step)


@cache
def parent_record(number: int) -> EncodedRecord:
    """Give the event that starts a parent."""
    attributes = {
        "id": f"parent-{number}",
        "source": CLIENT,
        "data": {"number": number, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.parent",
    }
    return encode_record(init_event(parent, attributes, execution_id=f"parent-{number}"))
