"""What producers send: orders, parents with children, second copies of both, and records that can't be processed.

A script is a function of its seed. Its events are workload W and the family of the acceptance tests.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.acceptance import family
from tests.chaos.records import Digest, text_digest
from tests.workload import STATES, Order
from worker.core.codec import EncodedRecord, encode_record
from worker.core.factories import init_event
from worker.core.outcomes import DeadLetterReason
from worker.core.subjects import root_subject

ORDERS_OF_A_BLOCK = 50
FAMILIES_OF_A_BLOCK = 10
COPIES_SHARE = 0.05
LATE_COPIES_SHARE = 0.3
GARBAGE_SHARE = 0.004
REMEMBERED_EVENTS = 2_000
STRAY_ORDERS_FROM = 500_000_000
"""Numbers of orders that are never started."""

SCHOOL = "com.example.school"
CONTENT_TYPE = (("content-type", b"application/cloudevents+json"),)


class Kind(StrEnum):
    """What a record is, as its producer knows."""

    EVENT = "event"
    COPY = "copy"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to be sent. `reason` is what garbage must become a dead letter for."""

    id: str
    kind: Kind
    record: EncodedRecord
    reason: DeadLetterReason | None = None

    @property
    def outcome(self) -> tuple[str, str | None]:
        """Give outcome and reason that the journal must tell."""
        match self.kind:
            case Kind.EVENT:
                return "advanced", None
            case Kind.COPY:
                return "duplicate", None
            case Kind.GARBAGE:
                return "dead_lettered", self.reason


@dataclass(slots=True)
class Script:
    """Give blocks of records without end; what they must come to is kept beside them.

    `roots` has the subjects that are started, by digest, with the source of their machine and a number.
    """

    chance: random.Random
    roots: dict[Digest, tuple[str, int]] = field(default_factory=dict)
    _number: int = 0
    _sent: deque[Planned] = field(default_factory=lambda: deque(maxlen=REMEMBERED_EVENTS))

    def block(self) -> list[Planned]:
        """Give orders from their start to their end, families, copies and garbage."""
        orders = [Order(self._number + number) for number in range(ORDERS_OF_A_BLOCK)]
        self._number += ORDERS_OF_A_BLOCK
        events = [*self._starts_of_families(), *self._steps_of(orders)]
        planned = self._with_copies(events)
        self._sent.extend(events)
        garbage = [self._garbage(order) for order in orders if self.chance.random() < GARBAGE_SHARE * len(STATES)]
        return [*planned, *garbage]

    def _steps_of(self, orders: list[Order]) -> Iterator[Planned]:
        for order in orders:
            self.roots[text_digest(order.subject.encode())] = ("arvo.orc.order", order.number)
        for step in range(len(STATES)):
            for order in orders:
                yield Planned(f"{order.id}-{step}", Kind.EVENT, order.record(step))

    def _starts_of_families(self) -> Iterator[Planned]:
        for number in range(self._number, self._number + FAMILIES_OF_A_BLOCK):
            planned = start_of_family(number)
            self.roots[text_digest(planned.record.key)] = ("arvo.orc.parent", number)
            yield planned

    def _with_copies(self, events: list[Planned]) -> list[Planned]:
        """Put copies of some events anywhere behind them, and of some old ones anywhere."""
        size = len(events)
        placed: list[tuple[float, Planned]] = [*enumerate(events)]
        for place, event in enumerate(events):
            if self.chance.random() < COPIES_SHARE:
                placed.append((self.chance.uniform(place, size), self._copy(event)))
            if self._sent and self.chance.random() < COPIES_SHARE * LATE_COPIES_SHARE:
                placed.append((self.chance.uniform(0, size), self._copy(self.chance.choice(self._sent))))
        return [event for _, event in sorted(placed, key=lambda one: one[0])]

    def _copy(self, event: Planned) -> Planned:
        """Send an event again as it was, or as a producer does that makes it anew: with another time."""
        record = event.record
        if self.chance.random() < 0.5:
            record = changed(record, {"time": "2026-01-01T00:00:01.000+00:00"})
        return Planned(event.id, Kind.COPY, record)

    def _garbage(self, order: Order) -> Planned:
        reason, make = self.chance.choice(GARBAGE)
        return Planned(f"{order.id}-garbage", Kind.GARBAGE, make(order), reason)


def start_of_family(number: int) -> Planned:
    """Give the record that starts a parent, which starts a child."""
    attributes = {
        "id": f"family-{number}",
        "source": SCHOOL,
        "data": {"number": number, "parentSubject$$": None},
        "time": "2026-01-01T00:00:00Z",
        "to": "arvo.orc.parent",
    }
    event = init_event(family.parent, attributes, execution_id=f"family-{number}")
    return Planned(event.id, Kind.EVENT, encode_record(event))


def changed(record: EncodedRecord, changes: Mapping[str, Any]) -> EncodedRecord:
    """Give the record of an event with other attributes."""
    document = json.loads(record.value) | changes
    return EncodedRecord(str(document["subject"]).encode(), json.dumps(document).encode(), CONTENT_TYPE)


def _unknown_machine_version(order: Order) -> EncodedRecord:
    subject = root_subject(name="arvo.orc.order", version="9.9.9", initiator=SCHOOL, execution_id=f"stray-{order.id}")
    return changed(order.record(0), {"subject": subject})


GARBAGE: tuple[tuple[DeadLetterReason, Callable[[Order], EncodedRecord]], ...] = (
    (DeadLetterReason.INVALID_EVENT, lambda order: EncodedRecord(order.id.encode(), b"{no JSON \xff", ())),
    (DeadLetterReason.INVALID_EVENT, lambda order: EncodedRecord(b"\xff\x00", order.id.encode(), (("none", None),))),
    (DeadLetterReason.INVALID_SUBJECT, lambda order: changed(order.record(0), {"subject": f"none-{order.id}"})),
    (DeadLetterReason.NO_INSTANCE, lambda order: Order(STRAY_ORDERS_FROM + order.number).record(1)),
    (DeadLetterReason.NO_MACHINE, _unknown_machine_version),
    (DeadLetterReason.ALREADY_STARTED, lambda order: changed(order.record(0), {"id": f"{order.id}-other"})),
    (DeadLetterReason.ID_CONFLICT, lambda order: changed(order.record(1), {"data": {"total": 1, "warehouse": "east"}})),
)
