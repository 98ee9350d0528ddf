"""What is produced into the input topic: orders and their answers, and parents that have children.

Producers err too: they send records twice, answers that nobody waits for, ids used twice, and no events at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

from machines.order import machine as order_machine
from tests.acceptance.family import Doubled, Given, parent
from tests.acceptance.family import machines as family
from tests.workload import CLIENT, Order
from worker.core.codec import EncodedRecord, encode_control, encode_record
from worker.core.contracts import create_orchestrator_contract
from worker.core.control import Command, Control
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.factories import init_event
from worker.core.machines import setup_machine
from worker.core.records import Headers
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host
from worker.runtime.batch import Limits

TOPICS: Final = Topics("orc")
SIBLING: Final = """
statechart:
  name: sibling
  root state:
    name: sibling
    initial: done
    states:
      - name: done
        type: final
        on entry: complete(double=init["number"])
"""
sibling: Final = create_orchestrator_contract(
    uri="#/machines/sibling",
    name="sibling",
    versions={version: {"init": Given, "complete": Doubled} for version in ("1.0.0", "1.1.0")},
)
_OLD: Final = [order_machine, *family, setup_machine(contract=sibling.version("1.0.0"), statechart=SIBLING)]
_NEW: Final = [*_OLD, setup_machine(contract=sibling.version("1.1.0"), statechart=SIBLING)]
OLD_HOST: Final = Host(Registry(_OLD, SismicEngine()))
"""Before a roll-out: it lacks the version that comes with it."""

HOST: Final = Host(Registry(_NEW, SismicEngine()))
ROUTER: Final = Router(TOPICS, HOST.registry, "group", "0.0.0")
LIMITS: Final = Limits(dict.fromkeys(("orc.input", "orc.dlq", "orc.default", "orc.external"), 1_000_000))

ORDERS: Final = 10
PARENTS: Final = 4
SIBLINGS: Final = 3
STEPS: Final = 4
ASTRAY: Final = 0.4
SHARE_OF_ORDERS: Final = 0.7
FLOOD_RECORDS: Final = 212
CANCELS: Final = 12
SECONDS: Final = 30.0
"""How long producers are at work."""

ROLLED_OUT_SECONDS: Final = 15.0
"""When the new version is out at the latest: its events come after that."""


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
    for number in range(SIBLINGS):
        sent.append(_arrival(random.uniform(0.0, SECONDS), sibling_record(number, "1.0.0")))
        sent.append(_arrival(random.uniform(ROLLED_OUT_SECONDS + 1.0, SECONDS), sibling_record(number, "1.1.0")))
    sent += _bad(random, sent)
    return sorted(sent, key=lambda one: one.time)


def flood(random: Random) -> list[Arrival]:
    """Draw so much garbage within a short time that nearly everything is."""
    begun = random.uniform(0.0, SECONDS / 2)
    values = [b"flood %d" % number for number in range(FLOOD_RECORDS)]
    return [Arrival(begun + number * 0.005, value, value, ()) for number, value in enumerate(values)]


def cancels(random: Random) -> list[Arrival]:
    """Draw operators that cancel orders and parents at any time: too early, too late, again, and twice the same."""
    sent: list[Arrival] = []
    for number in range(CANCELS):
        of_order = random.random() < SHARE_OF_ORDERS
        started = order_record(random.randrange(ORDERS), 0) if of_order else parent_record(random.randrange(PARENTS))
        encoded = _cancel_record(f"cancel-{number}", started.key.decode(), random.choice([None, 1, 2]))
        sent.append(_arrival(random.uniform(0.0, SECONDS), encoded))
    again = random.choice(sent)
    return [*sent, Arrival(again.time + random.expovariate(0.3), again.key, again.value, again.headers)]


def event_id(random: Random) -> str:
    """Choose one order's event."""
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


def _cancel_record(control_id: str, subject: str, revision: int | None) -> EncodedRecord:
    asked = Control(control_id, subject, Command.CANCEL, "an operator", "2026-01-01T00:00:00Z", "drawn", revision)
    return encode_control(asked)


@cache
def order_record(number: int, step: int) -> EncodedRecord:
    return Order(number).record(step)


@cache
def sibling_record(number: int, version: str) -> EncodedRecord:
    """Give the event that starts, and ends, an instance of a version."""
    attributes = {
        "id": f"sibling-{number}-{version}",
        "source": CLIENT,
        "data": {"number": number, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.sibling",
    }
    return encode_record(init_event(sibling.version(version), attributes, execution_id=f"sibling-{number}-{version}"))


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
