"""Latency at a steady rate: from the produce call until a `read_committed` reader has the output."""

import time
from collections.abc import Sequence
from itertools import islice
from math import ceil

import orjson

from tests.bench.traffic import Feeder, Reader
from tests.workload import STATES, records
from worker.core.codec import EncodedRecord

EVENTS_PER_SECOND = 20
WARM_UP_EVENTS = 20
TIMEOUT_SECONDS = 60.0


def workload(seconds: float) -> list[EncodedRecord]:
    """Give the warm-up's events and as many as the time takes at the rate."""
    events = WARM_UP_EVENTS + round(seconds * EVENTS_PER_SECOND)
    return list(islice(records(ceil(events / len(STATES))), events))


class Clocked:
    """Send events at the rate and note when the output of each came; `cause` is where an output names its event."""

    def __init__(self, feeder: Feeder, reader: Reader, cause: str) -> None:
        self._feeder = feeder
        self._reader = reader
        self._cause = cause
        self._sent: dict[str, float] = {}
        self._came: dict[str, float] = {}

    def measure(self, events: Sequence[EncodedRecord]) -> list[float]:
        """Give the milliseconds of all events but the warm-up's. Raises: TimeoutError."""
        for event in events[:WARM_UP_EVENTS]:
            self._send(event)
        self._wait_for_all()
        self._sent.clear()
        begun = time.monotonic()
        for number, event in enumerate(events[WARM_UP_EVENTS:]):
            due = begun + number / EVENTS_PER_SECOND
            while (left := due - time.monotonic()) > 0:
                self._note(left)
            self._send(event)
        self._wait_for_all()
        return [(self._came[id_] - sent) * 1e3 for id_, sent in self._sent.items()]

    def _send(self, event: EncodedRecord) -> None:
        id_ = orjson.loads(event.value)["id"]
        self._sent[id_] = time.monotonic()
        self._feeder.send(event)

    def _note(self, wait_seconds: float) -> None:
        for message in self._reader.read(1, wait_seconds):
            self._came[orjson.loads(message.value() or b"{}")[self._cause]] = time.monotonic()

    def _wait_for_all(self) -> None:
        self._feeder.flush()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while missing := self._sent.keys() - self._came.keys():
            if time.monotonic() > deadline:
                message = f"the outputs of {len(missing)} events did not come within {TIMEOUT_SECONDS:g} s"
                raise TimeoutError(message)
            self._note(0.1)
