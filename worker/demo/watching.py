"""What the demo sees on the topics: counts, endings, dead letters, system errors. Pure."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.adapters.kafka.tailing import Received
from worker.core.contracts import complete_type, system_error_type
from worker.core.dead_letters import DeadLetter
from worker.core.events import Event
from worker.core.routing import Topics
from worker.demo.orders import Ending, Orders
from worker.demo.rules import ORDER_MACHINE
from worker.terminal.lines import Told

RECENT_LINES: Final = 8
COMPLETION: Final = complete_type(ORDER_MACHINE.removeprefix("arvo.orc."))
SYSTEM_ERROR: Final = system_error_type(ORDER_MACHINE)


@dataclass(slots=True)
class Watch:
    """Take records of all topics as they pass; those of other runs are counted and left alone."""

    orders: Orders
    topics: Topics
    names: Sequence[str]
    counts: Counter[str] = field(default_factory=Counter)
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    system_errors: list[Event] = field(default_factory=list)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_LINES))
    _wanted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wanted = {order.event.subject: order.order_id for order in self.orders.orders}

    def take(self, received: Received) -> None:
        """Take one record."""
        told = Told(received)
        self.counts[received.topic] += 1
        self.recent.append(told.line(max(map(len, self.names))))
        if received.topic == self.topics.dead_letters:
            self._take_dead_letter(told)
        elif told.event is not None and received.topic != self.topics.input:
            self._take_output(told.event)

    @property
    def ended(self) -> int:
        """Count the orders that have ended."""
        return len(self.endings)

    @property
    def is_complete(self) -> bool:
        """Tell whether everything that has to come has come."""
        return self.ended == len(self._wanted) and bool(self.dead_letters) and bool(self.system_errors)

    @property
    def total(self) -> int:
        """Count all records that passed."""
        return self.counts.total()

    def faults(self) -> list[str]:
        """Say what is wrong with what came, an order's every ending included: one line for each fault."""
        faults = [fault for order in self.orders.orders if (fault := self._fault(order.order_id, order.ending))]
        reasons = [letter.reason for letter in self.dead_letters]
        if reasons != ["INVALID_EVENT"]:
            faults.append(f"dead letters: expected one, INVALID_EVENT, got {', '.join(reasons) or 'none'}")
        if len(self.system_errors) != 1:
            faults.append(f"system errors: expected one, got {len(self.system_errors)}")
        return faults

    def _take_dead_letter(self, told: Told) -> None:
        letter, value = told.dead_letter, told.received.record.value
        if isinstance(letter, DeadLetter) and (value == self.orders.broken or told.subject in self._wanted):
            self.dead_letters.append(letter)

    def _take_output(self, event: Event) -> None:
        if event.type == SYSTEM_ERROR and (
            event.subject in self._wanted or event.subject == self.orders.faulty.subject
        ):
            self.system_errors.append(event)
        if event.type == COMPLETION and event.subject in self._wanted:
            self.endings.setdefault(self._wanted[event.subject], []).append(_ending(event.data))

    def _fault(self, order_id: str, expected: Ending) -> str | None:
        found = self.endings.get(order_id, [])
        if found == [expected]:
            return None
        return f"order {order_id}: expected one end, {expected}, got {', '.join(map(str, found)) or 'none'}"


def _ending(data: Mapping[str, object]) -> Ending:
    reason = data["reason"]
    return Ending(str(data["status"]), None if reason is None else str(reason))
