"""When a batch is begun while the one before is being published: so that it is applied as that publication ends.

Begun at once it would wait for the publication, and what comes meanwhile would wait for the batch behind it. What is
let come until then shares its transactions; a backlog fills the batch, and a full batch does not wait.
"""

from dataclasses import dataclass
from typing import Final

from worker.ports import Clock

GATHER_SECONDS_MAX: Final = 0.1
"""Callbacks of rebalances wait this long at most."""

_WEIGHT: Final = 0.5
"""That of the newest publication among those before."""


@dataclass(slots=True)
class Pace:
    """Know how long publications and batches take."""

    clock: Clock
    _begun_at: float = 0.0
    _publication_seconds: float = 0.0
    _batch_seconds: float = 0.0

    def applied(self, seconds: float) -> None:
        """Know what a batch took in PostgreSQL."""
        self._batch_seconds = seconds

    def publishing(self) -> None:
        """Know that a publication begins."""
        self._begun_at = self.clock.monotonic()

    def published(self) -> None:
        """Know that the publication has ended."""
        seconds = self.clock.monotonic() - self._begun_at
        self._publication_seconds += _WEIGHT * (seconds - self._publication_seconds)

    def spare_seconds(self) -> float:
        """Give how long the publication under way leaves to let more records come."""
        due = self._begun_at + self._publication_seconds - self._batch_seconds
        return min(max(due - self.clock.monotonic(), 0.0), GATHER_SECONDS_MAX)
