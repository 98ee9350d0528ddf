"""Latency under a steady load: from the moment an event was due until a `read_committed` reader has the output.

The load is open: an event is due when it is due, whatever has become of those before it, so that waiting counts.
"""

import time
from collections.abc import Iterable, Sequence
from math import ceil

import orjson

from tests.bench.traffic import Feeder, Reader
from tests.workload import STATES, Order
from worker.core.codec import EncodedRecord

WARM_UP_ORDERS = 50
EVENTS_MAX = 30_000
RECORDS_PER_READ = 500
SENDS_PER_LOOK = 50
"""How many events are sent at most, when sending is late, before the outputs are looked at."""

TIMEOUT_SECONDS = 60.0


class Numbers:
    """Give orders that nobody has had before."""

    def __init__(self) -> None:
        self._next = 0

    def warm_up(self) -> list[EncodedRecord]:
        return self._records(WARM_UP_ORDERS)

    def workload(self, events_per_second: float, seconds: float) -> list[EncodedRecord]:
        """Give as many events as the time takes at the rate, and not too many."""
        events = min(round(seconds * events_per_second), EVENTS_MAX)
        return self._records(max(ceil(events / len(STATES)), 1))

    def _records(self, orders: int) -> list[EncodedRecord]:
        numbers = range(self._next, self._next + orders)
        self._next += orders
        return [Order(number).record(step) for step in range(len(STATES)) for number in numbers]


class Clocked:
    """Send events and note when the output of each came; `cause` is where an output names its event."""

    def __init__(self, feeder: Feeder, reader: Reader, cause: str) -> None:
        self._feeder = feeder
        self._reader = reader
        self._cause = cause
        self._due: dict[str, float] = {}
        self._came: dict[str, float] = {}

    def warm_up(self, events: Iterable[EncodedRecord]) -> None:
        """Send these at once, and wait until they are done. Raises: TimeoutError."""
        now = time.monotonic()
        for event in events:
            self._due[_id(event)] = now
            self._feeder.send(event)
        self._wait_for_all()

    def measure(self, events: Sequence[EncodedRecord], events_per_second: float) -> list[float]:
        """Give the milliseconds of all. Raises: TimeoutError."""
        self._due.clear()
        self._came.clear()
        named = [(_id(event), event) for event in events]
        begun = time.monotonic()
        for number, (id_, event) in enumerate(named):
            due = self._due[id_] = begun + number / events_per_second
            if not number % SENDS_PER_LOOK:
                self._note(0)
            while (left := due - time.monotonic()) > 0:
                self._note(left)
            self._feeder.send(event)
        self._wait_for_all()
        return [(self._came[id_] - due) * 1e3 for id_, due in self._due.items()]

    def _note(self, wait_seconds: float) -> None:
        messages = self._reader.read(1, wait_seconds)
        now = time.monotonic()
        if messages:
            messages += self._reader.read(RECORDS_PER_READ, 0)
        for message in messages:
            self._came[orjson.loads(message.value() or b"{}")[self._cause]] = now

    def _wait_for_all(self) -> None:
        self._feeder.flush()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while missing := len(self._due) - len(self._came):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the outputs of {missing} events did not come within {TIMEOUT_SECONDS:g} s")
            self._note(0.1)


def _id(event: EncodedRecord) -> str:
    return str(orjson.loads(event.value)["id"])
