"""How the worker stands now: written by the loop and the probes, read by health and at a scrape, on any thread.

Every field is replaced as a whole, or is a dictionary that is looked at through a copy.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.ports import Clock, LoopView

_UNPUBLISHED_MAX: Final = 16
"""More batches than are ever applied and not published of one partition."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a server, and since when, in seconds of the clock."""

    error: str
    since: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances as PostgreSQL counts them, by machine, version and status or state; `waits` in seconds.

    `share` is the part of the table that was looked at.
    """

    statuses: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    states: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    waits: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    share: float | None = None


@dataclass(slots=True)
class Board:
    """What is so now. `turned_at` is when the loop last turned, in seconds of the clock."""

    clock: Clock
    turned_at: float = field(init=False)
    view: LoopView | None = None
    is_stopping: bool = False
    counts: Counts = field(default_factory=Counts)
    ages: dict[int, float] = field(default_factory=dict)
    _upkept_at: float | None = None
    _faults: dict[str, Fault] = field(default_factory=dict)
    _ends: Mapping[int, int] = field(default_factory=dict)
    _behind_since_ms: dict[int, int] = field(default_factory=dict)
    _newest_ms: dict[int, int] = field(default_factory=dict)
    _unpublished: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.turned_at = self.clock.monotonic()

    def turned(self, view: LoopView) -> None:
        """Note a turn of the loop."""
        self.view = view
        self.turned_at = self.clock.monotonic()

    @property
    def since_turn_seconds(self) -> float:
        """Say how long the loop has not turned."""
        return max(0.0, self.clock.monotonic() - self.turned_at)

    def upkept(self, idle_seconds: float | None) -> None:
        """Note how long ago the upkeep ended last."""
        self._upkept_at = None if idle_seconds is None else self.clock.monotonic() - idle_seconds

    @property
    def upkeep_age_seconds(self) -> float | None:
        """Say how long ago that was, if it is known."""
        return None if self._upkept_at is None else max(0.0, self.clock.monotonic() - self._upkept_at)

    # Servers

    def failed(self, server: str, error: Exception) -> None:
        """Note that a server did not do what it was asked; an error of before stays the one that is told."""
        if server not in self._faults:
            self._faults[server] = Fault(type(error).__name__, self.clock.monotonic())

    def answered(self, server: str) -> None:
        """Note that a server does what it is asked."""
        if server in self._faults:
            self._faults.pop(server, None)

    def fault(self, server: str) -> Fault | None:
        """Give what is wrong with a server, if it is known that something is."""
        return self._faults.get(server)

    # Ages

    def went_on(self, partition: int) -> None:
        """Forget what was known of a partition that is read from an offset now."""
        self._unpublished.pop(partition, None)
        self._newest_ms.pop(partition, None)

    def applied(self, partition: int, next_offset: int, oldest_ms: int, newest_ms: int) -> None:
        """Note the records of a partition that were applied; times are the records'."""
        waiting = self._unpublished.setdefault(partition, deque(maxlen=_UNPUBLISHED_MAX))
        waiting.append((next_offset, oldest_ms))
        self._newest_ms[partition] = newest_ms

    def published(self, partition: int, next_offset: int) -> float | None:
        """Give the age, in seconds, of the oldest record that is visible only now; None if none is known of."""
        waiting = self._unpublished.get(partition)
        oldest_ms: int | None = None
        while waiting and waiting[0][0] <= next_offset:
            _, one_ms = waiting.popleft()
            oldest_ms = one_ms if oldest_ms is None else min(oldest_ms, one_ms)
        if oldest_ms is None:
            return None
        self.ages[partition] = age = max(0.0, (self.clock.now_ms() - oldest_ms) / 1000)
        return age

    # Lag

    def assigned(self) -> list[int]:
        """Name the partitions that this worker has."""
        return [] if self.view is None else list(self.view.partitions)

    def ends_are(self, ends: Mapping[int, int]) -> None:
        """Note where the input topic's partitions end."""
        self._ends = ends
        lags = self.lags()
        for gone in self._behind_since_ms.keys() - {number for number, lag in lags.items() if lag}:
            del self._behind_since_ms[gone]
        for number, lag in lags.items():
            if lag:
                self._behind_since_ms.setdefault(number, self.clock.now_ms())

    def lags(self) -> dict[int, int]:
        """Give the lag of each partition, in records, as far as it is known."""
        applied = {} if self.view is None else self.view.next_offsets
        return {number: max(0, end - applied[number]) for number, end in self._ends.items() if number in applied}

    def lag_ages(self) -> dict[int, float]:
        """Give how long each partition has had records that are not applied, in seconds."""
        now_ms = self.clock.now_ms()
        return {number: self._lag_age(number, now_ms) if lag else 0.0 for number, lag in self.lags().items()}

    def _lag_age(self, number: int, now_ms: int) -> float:
        since_ms = max(self._newest_ms.get(number, 0), self._behind_since_ms.get(number, now_ms))
        return max(0.0, (now_ms - since_ms) / 1000)

    def own_ages(self) -> dict[int, float]:
        """Give the end-to-end age of each partition that this worker has."""
        assigned = set(self.assigned())
        return {number: age for number, age in dict(self.ages).items() if number in assigned}
