"""What probes are told of a process of services: whether each turns, and whether it has its partitions and brokers."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from worker.adapters.http.server import Answer, Route
from worker.adapters.telemetry.health import Report, report_of
from worker.services.answering import Answering


class Probes:
    """Judge services. One that has not turned for `turn_seconds_max` counts as stuck: its group thinks so too."""

    def __init__(self, lines: Sequence[Answering], is_stopping: Callable[[], bool], turn_seconds_max: float) -> None:
        self._lines: Final = lines
        self._is_stopping: Final = is_stopping
        self._turn_seconds_max: Final = turn_seconds_max

    def routes(self) -> Mapping[str, Route]:
        """Give the paths, as a worker has them."""
        return {
            "/livez": lambda _: _answer(self.liveness(), "live"),
            "/readyz": lambda _: _answer(self.readiness(), "ready"),
        }

    def liveness(self) -> Report:
        """Say whether the services turn: not whether brokers answer, which no restart would mend."""
        return report_of({_name(line): self._turning(line) for line in self._lines})

    def readiness(self) -> Report:
        """Say whether the services answer requests now."""
        stopping = self._is_stopping()
        running = {"running": (not stopping, "stopping" if stopping else "running")}
        return report_of({**running, **{_name(line): self._serving(line) for line in self._lines}})

    def _turning(self, line: Answering) -> tuple[bool, str]:
        seconds = time.monotonic() - line.turned_at
        return seconds <= self._turn_seconds_max, f"turned {seconds:.1f} s ago"

    def _serving(self, line: Answering) -> tuple[bool, str]:
        if line.trouble is not None:
            return False, f"{line.trouble}; the log says more"
        if not line.serving.is_set():
            return False, "waits for partitions"
        return self._turning(line)


def _name(line: Answering) -> str:
    return f"{line.service.source} {line.service.version}"


def _answer(report: Report, fine: str) -> Answer:
    return Answer.of_json(200 if report.is_fine else 503, report.document(fine))
