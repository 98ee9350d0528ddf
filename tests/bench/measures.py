"""What the bench measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
class Throughput:
    """One run over all events of the workload. `told` is what the child said of itself at its end."""

    name: str
    events: int
    seconds: float
    cpu: Cpu
    told: Mapping[str, Any]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def micros(self, seconds: float) -> float:
        """Share seconds out among the events, in microseconds."""
        return seconds / self.events * 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the produce call until the output was visible, of each event."""

    name: str
    millis: Sequence[float]

    def percentile(self, percent: float) -> float:
        """Give the nearest rank."""
        ordered = sorted(self.millis)
        return ordered[max(ceil(percent / 100 * len(ordered)), 1) - 1]


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes per event: what the journal takes on the disk with its indexes, and what was written ahead."""

    journal: float
    wal: float


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the bench. The runs are in their order; `round_trips` are those of a batch by its records."""

    runs: Sequence[Throughput]
    latencies: Sequence[Latency]
    stored: Stored
    round_trips: Mapping[int, int]
    batch_records_max: int

    def named(self, name: str) -> list[Throughput]:
        return [run for run in self.runs if run.name == name]
