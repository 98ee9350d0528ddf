"""Times: milliseconds since the epoch, as an event's `time` and as chart code sees them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(256)
def to_datetime(milliseconds: int) -> datetime:
    """Give the aware UTC datetime of milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


@lru_cache(256)
def to_event_time(milliseconds: int) -> str:
    """Write milliseconds since the epoch as `YYYY-MM-DDTHH:mm:ss.SSS+00:00`."""
    return to_datetime(milliseconds).isoformat(timespec="milliseconds")


def step_time(record_timestamp: int, clock: int, instance_now: int | None) -> int:
    """Give a step's `now`: the record's timestamp, capped at the clock, never before the instance's last step."""
    capped = min(record_timestamp, clock)
    return capped if instance_now is None else max(capped, instance_now)
