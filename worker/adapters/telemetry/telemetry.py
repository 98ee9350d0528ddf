"""A worker's telemetry put together: it stands around the ports, hears of the loop, and answers probes and scrapers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.adapters.telemetry import metrics, process
from worker.adapters.telemetry.board import Counts
from worker.adapters.telemetry.health import KAFKA, Health
from worker.adapters.telemetry.instruments import Instruments, Meters, Values
from worker.adapters.telemetry.metrics import Metric
from worker.adapters.telemetry.probing import Probe, Probes
from worker.adapters.telemetry.recorder import Recorder
from worker.adapters.telemetry.tracers import Tracers
from worker.ports import KafkaUnavailable
from worker.runtime.partitions import State
from worker.runtime.stages import Stages

LAG_SECONDS: Final = 5.0
COUNT_SECONDS: Final = 15.0
COUNTING_PARTITION: Final = 0
"""Who has this partition counts the instances, so that one worker of a group does."""

_EXPORT_SECONDS: Final = 2.0
_ASSIGNED_STATES: Final = (State.TAKING, State.SETTLED, State.PUBLISHING, State.AHEAD, State.WAITING, State.REFUSED)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked beside the ports: a topic's ends, counts of instances, connections by state. They may raise."""

    ends: Callable[[Sequence[int]], Mapping[int, int]]
    count: Callable[[], Counts]
    connections: Callable[[], Mapping[str, int]]
    stages: Stages


class Telemetry:
    """Record, and answer, from `start` to `close`."""

    def __init__(
        self,
        meters: Meters,
        recorder: Recorder,
        health: Health,
        sources: Sources,
        tracers: Tracers | None = None,
    ) -> None:
        self.recorder: Final = recorder
        self.health: Final = health
        self._meters: Final = meters
        self._tracers: Final = tracers
        self._board: Final = recorder.board
        self._sources: Final = sources
        self._begun: Final = time.monotonic()
        self._probes: Final = Probes(
            [Probe("lag", LAG_SECONDS, self.look_at_lag), Probe("instances", COUNT_SECONDS, self.count_instances)],
            recorder.probe_failed,
        )
        _observe(meters.instruments, self._observed())

    def start(self) -> None:
        """Begin to look at what has to be asked for."""
        self._probes.start()

    def stopping(self) -> None:
        """Be not ready from now on."""
        self._board.is_stopping = True

    def close(self) -> None:
        """Ask nothing more, and hand over what exporters have still."""
        self._probes.close()
        self._meters.close(_EXPORT_SECONDS)
        if self._tracers is not None:
            self._tracers.close(_EXPORT_SECONDS)

    def scrape(self, accepted: str = "") -> tuple[str, bytes]:
        """Give content type and text of /metrics."""
        return self._meters.text(accepted)

    def look_at_lag(self) -> bool:
        """Look where the partitions end, if there are any; it tells whether brokers answer, too."""
        assigned = self._board.assigned()
        try:
            self._board.ends_are(self._sources.ends(assigned) if assigned else {})
        except KafkaUnavailable as error:
            self._board.failed(KAFKA, error)
            raise
        if assigned:
            self._board.answered(KAFKA)
        return bool(assigned)

    def count_instances(self) -> bool:
        """Count instances, if that is this worker's to do."""
        is_ours = COUNTING_PARTITION in self._board.assigned()
        self._board.counts = self._sources.count() if is_ours else Counts()
        return is_ours

    def _observed(self) -> Mapping[Metric, Callable[[], Values]]:
        board = self._board
        return {
            metrics.PARTITIONS: self._partitions,
            metrics.LAG: lambda: _by_partition(board.lags()),
            metrics.LAG_AGE: lambda: _by_partition(board.lag_ages()),
            metrics.PARTITION_AGE: lambda: _by_partition(board.own_ages()),
            metrics.INSTANCES: lambda: _labelled(board.counts.statuses),
            metrics.STATE_INSTANCES: lambda: _labelled(board.counts.states),
            metrics.STATE_WAIT: lambda: _labelled(board.counts.waits),
            metrics.SAMPLED: lambda: _known(board.counts.share),
            metrics.STAGE_TIME: lambda: [(seconds, (name,)) for name, seconds in self._sources.stages.seconds.items()],
            metrics.CONNECTIONS: lambda: [(n, ("worker", state)) for state, n in self._sources.connections().items()],
            metrics.UPKEEP_AGE: lambda: _known(board.upkeep_age_seconds),
            metrics.READY: self._parts,
            metrics.SINCE_TURN: lambda: [(board.since_turn_seconds, ())],
            metrics.CPU_TIME: lambda: [(seconds, (mode,)) for mode, seconds in process.cpu_seconds().items()],
            metrics.MEMORY: lambda: [(process.memory_bytes(), ())],
            metrics.FILES: lambda: _known(process.open_files()),
            metrics.THREADS: lambda: _known(process.threads()),
            metrics.UPTIME: lambda: [(time.monotonic() - self._begun, ())],
        }

    def _partitions(self) -> Values:
        view = self._board.view
        states = [] if view is None else list(view.partitions.values())
        return [(states.count(state), (state.value,)) for state in _ASSIGNED_STATES]

    def _parts(self) -> Values:
        report = self.health.readiness()
        return [(float(name not in report.failing), (name,)) for name in report.details]


def _observe(instruments: Instruments, observed: Mapping[Metric, Callable[[], Values]]) -> None:
    for metric, read in observed.items():
        instruments.observe(metric, read)


def _by_partition(values: Mapping[int, float]) -> Values:
    return [(value, (str(partition),)) for partition, value in sorted(values.items())]


def _labelled(values: Mapping[tuple[str, str, str], float]) -> Values:
    return [(value, labels) for labels, value in values.items()]


def _known(value: float | None) -> Values:
    return [] if value is None else [(value, ())]
