"""A flood of dead letters: when nearly everything fails, the fault is not the records'.

The worker pauses then, instead of draining a topic into the dead letters, and tries a few records once in a while.
"""

from collections import deque
from dataclasses import dataclass, field

from worker.ports import Clock

FLOOD_RECORDS_MIN = 200
"""How many records in a row are looked at."""

FLOOD_SHARE = 0.9
"""Which share of them must have become dead letters."""

PROBE_RECORDS = 10
"""How many records are tried after a pause."""

PAUSE_FIRST_SECONDS = 5.0
PAUSE_MOST_SECONDS = 300.0


@dataclass(slots=True)
class Flood:
    """Watch what records come to. `pause_until` is when a paused worker tries again, in seconds of the clock."""

    clock: Clock
    is_on: bool = False
    pause_until: float = 0.0
    _pauses: int = 0
    _batches: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def records_max(self) -> int | None:
        """How many records the next batch may have; None: as many as ever."""
        return PROBE_RECORDS if self.is_on else None

    def saw(self, records: int, dead_letters: int) -> bool:
        """Note a batch; tell whether the worker is to pause now."""
        self._batches.append((records, dead_letters))
        while sum(records for records, _ in self._batches) - self._batches[0][0] >= FLOOD_RECORDS_MIN:
            self._batches.popleft()
        if self.is_on:
            return self._probed(records, dead_letters)
        total = sum(records for records, _ in self._batches)
        dead = sum(dead_letters for _, dead_letters in self._batches)
        if total < FLOOD_RECORDS_MIN or dead < FLOOD_SHARE * total:
            return False
        self.is_on = True
        return self._pause()

    def _probed(self, records: int, dead_letters: int) -> bool:
        if dead_letters >= FLOOD_SHARE * records:
            return self._pause()
        self.is_on, self._pauses = False, 0
        self._batches.clear()
        return False

    def _pause(self) -> bool:
        seconds = min(PAUSE_FIRST_SECONDS * 2**self._pauses, PAUSE_MOST_SECONDS)
        self._pauses += 1
        self.pause_until = self.clock.monotonic() + seconds
        return True
