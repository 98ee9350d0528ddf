"""What health says: whether the loop turns, and whether the worker does its work now. No I/O: it reads the board."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.adapters.telemetry.board import Board
from worker.runtime.partitions import READ, State
from worker.runtime.producing import ProducerState

DATABASE: Final = "database"
KAFKA: Final = "kafka"
PARTS: Final = ("running", "loop", "partitions", DATABASE, "producer", KAFKA)
"""What `/readyz` tells of."""

_PARTITIONS_READ: Final = frozenset((*READ, State.AHEAD))
_PRODUCER_FINE: Final = frozenset((ProducerState.READY, ProducerState.OPEN, ProducerState.COMMITTING))


@dataclass(frozen=True, slots=True)
class Report:
    """What one probe is told: each part's detail, and those that fail."""

    details: Mapping[str, str]
    failing: tuple[str, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nothing fails."""
        return not self.failing

    def document(self, fine: str) -> dict[str, Any]:
        """Give the body of an answer."""
        return {
            "status": fine if self.is_fine else f"not {fine}",
            "failing": list(self.failing),
            "parts": {name: {"ok": name not in self.failing, "detail": text} for name, text in self.details.items()},
        }


@dataclass(frozen=True, slots=True)
class Health:
    """Judge by the board. A loop that has not turned for `turn_seconds_max` counts as stuck.

    That is the time after which the group takes a member that does not poll for dead, so nothing is lost by a restart;
    servers that don't answer never keep the loop for so long.
    """

    board: Board
    turn_seconds_max: float

    def liveness(self) -> Report:
        """Say whether the loop turns: not whether servers answer, which no restart would mend."""
        return report_of({"loop": self._loop()})

    def readiness(self) -> Report:
        """Say whether the worker does its work now."""
        return report_of(
            {
                "running": (not self.board.is_stopping, "stopping" if self.board.is_stopping else "running"),
                "loop": self._loop(),
                "partitions": self._partitions(),
                DATABASE: self._server(DATABASE),
                "producer": self._producer(),
                KAFKA: self._server(KAFKA),
            }
        )

    def _loop(self) -> tuple[bool, str]:
        seconds = self.board.since_turn_seconds
        return seconds <= self.turn_seconds_max, f"turned {seconds:.1f} s ago"

    def _partitions(self) -> tuple[bool, str]:
        states = {} if self.board.view is None else self.board.view.partitions
        others = sorted((number, state) for number, state in states.items() if state not in _PARTITIONS_READ)
        if not states:
            return False, "none assigned"
        if others:
            told = ", ".join(f"{number} {state}" for number, state in others)
            return False, f"{len(others)} of {len(states)} assigned are not read: {told}"
        return True, f"{len(states)} assigned"

    def _producer(self) -> tuple[bool, str]:
        state = "absent" if self.board.view is None else self.board.view.producer
        return state in _PRODUCER_FINE, str(state)

    def _server(self, server: str) -> tuple[bool, str]:
        fault = self.board.fault(server)
        if fault is None:
            return True, "answers"
        seconds = self.board.clock.monotonic() - fault.since
        return False, f"{fault.error} for {seconds:.0f} s; the log says more"


def report_of(parts: Mapping[str, tuple[bool, str]]) -> Report:
    """Make a report of parts: whether each is fine, and its detail."""
    details = {name: text for name, (_, text) in parts.items()}
    return Report(details, tuple(name for name, (is_fine, _) in parts.items() if not is_fine))
