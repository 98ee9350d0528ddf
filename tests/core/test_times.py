"""Times of steps and events."""

from datetime import UTC, datetime

import pytest

from worker.core.events import create_event
from worker.core.times import step_time, to_datetime, to_event_time


@pytest.mark.parametrize(
    ("timestamp", "clock", "instance_now", "expected"),
    [
        pytest.param(100, 200, None, 100, id="the record's timestamp"),
        pytest.param(300, 200, None, 200, id="capped at the clock"),
        pytest.param(100, 200, 150, 150, id="never before the last step"),
        pytest.param(180, 200, 150, 180, id="later than the last step"),
        pytest.param(300, 200, 250, 250, id="a clock that went back does not take the instance with it"),
        pytest.param(0, 200, None, 0, id="a record without timestamp"),
    ],
)
def test_step_time(timestamp: int, clock: int, instance_now: int | None, expected: int) -> None:
    assert step_time(timestamp, clock, instance_now) == expected


def test_milliseconds_are_exact() -> None:
    assert to_datetime(1_767_323_045_678) == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000+00:00"),
        (1, "1970-01-01T00:00:00.001+00:00"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678+00:00"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999+00:00"),
    ],
)
def test_an_event_s_time(milliseconds: int, text: str) -> None:
    assert to_event_time(milliseconds) == text
    attributes = {"id": "1", "source": "a", "type": "a.b.c", "subject": "s", "data": {}, "time": text}
    assert create_event(attributes).time == text
