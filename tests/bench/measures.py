"""What the bench measures, run by run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds: of the client that does the work, of PostgreSQL and of the broker."""

    client: float
    postgres: float
    broker: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.client - before.client, self.postgres - before.postgres, self.broker - before.broker)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes per event: what the worker's journal takes on the disk with its indexes, and what was written ahead."""

    journal: float
    wal: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """One run over all events of the workload. `told` is what the client said of itself at its end."""

    name: str
    events: int
    seconds: float
    cpu: Cpu
    seconds_late: float | None = None
    """What the second half of the events took: what warms up is warm by then."""

    rss_megabytes: float | None = None
    stored: Stored | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def rate_late(self) -> float:
        """Events a second in the second half."""
        return self.rate if self.seconds_late is None else self.events / 2 / self.seconds_late

    def micros(self, seconds: float) -> float:
        """Share seconds out among the events, in microseconds."""
        return seconds / self.events * 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the moment an event was due until its output was visible, of each event."""

    name: str
    load: str
    events_per_second: float
    millis: Sequence[float]


def percentile(millis: Sequence[float], percent: float) -> float:
    """Give the nearest rank."""
    ordered = sorted(millis)
    return ordered[max(ceil(percent / 100 * len(ordered)), 1) - 1]


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the bench. The runs are in their order; `round_trips` are those of a batch by its records."""

    runs: Sequence[Throughput]
    latencies: Sequence[Latency]
    round_trips: Mapping[int, int]
    machine: Mapping[str, str]
    left_out: Sequence[str]
