"""The kit's clock: it stands at a fixed date until a test moves it."""

from datetime import UTC, datetime, timedelta
from typing import Final

STARTS_AT: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
"""When the clocks of scenarios and brokers begin."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Clock:
    """Tell a time that only the test changes."""

    def __init__(self, now: datetime = STARTS_AT) -> None:
        """Begin at an aware time. Raises: ValueError, for one without an offset."""
        if now.tzinfo is None:
            raise ValueError(f"The clock begins at {now.isoformat()}, which has no offset; give it one, as UTC.")
        self._now = now.astimezone(UTC)

    @property
    def now(self) -> datetime:
        """Give the time, aware, in UTC."""
        return self._now

    @property
    def milliseconds(self) -> int:
        """Give the time in milliseconds since the epoch."""
        return (self._now - _EPOCH) // _MILLISECOND

    def advance(self, by: timedelta) -> None:
        """Let time pass. Raises: ValueError, if it would go back."""
        if by < timedelta(0):
            raise ValueError(f"The clock can't go back by {-by}; time only passes. Begin earlier instead.")
        self._now += by
