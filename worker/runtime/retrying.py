"""Trying again: waits that grow to a bound, and one line when trouble begins and one when it is over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from worker.ports import Clock

_EXPONENT_MAX = 16


def _untold(_: str, __: Exception) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Retry:
    """When to try again what failed, and what is said of it: the first failure, the first of another kind, the end.

    Waits are in seconds and at random between half and the whole, so that workers don't retry in step. Every failure
    is told to `tell`.
    """

    clock: Clock
    first_seconds: float
    most_seconds: float
    tell: Callable[[str, Exception], None] = _untold
    at: float = 0.0
    _failures: int = 0
    _since: float = 0.0
    _told: set[tuple[str, str]] = field(default_factory=set)
    _log: Any = field(default_factory=lambda: structlog.get_logger("worker.retrying"))

    @property
    def is_due(self) -> bool:
        """Whether the wait is over."""
        return self.clock.monotonic() >= self.at

    def failed(self, event: str, error: Exception, **known: object) -> None:
        """Wait longer than before; say so once for each kind of failure."""
        now = self.clock.monotonic()
        if not self._failures:
            self._since = now
        most = min(self.first_seconds * 2 ** min(self._failures, _EXPONENT_MAX), self.most_seconds)
        self._failures += 1
        self.at = now + most * self.clock.jitter()
        kind = (event, type(error).__name__)
        log = self._log.debug if kind in self._told else self._log.warning
        self._told.add(kind)
        log(event, error=str(error), kind=kind[1], **known)
        self.tell(event, error)

    def at_once(self) -> None:
        """Try without a wait: something else has changed."""
        self.at = 0.0

    def succeeded(self) -> None:
        """Begin anew; say how long it took if anything had failed."""
        if self._failures:
            seconds = round(self.clock.monotonic() - self._since, 3)
            self._log.info("recovered", seconds=seconds, failures=self._failures)
        self._failures = 0
        self._told.clear()
