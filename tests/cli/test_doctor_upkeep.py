"""What the doctor makes of the upkeep: fine, and each way in which it is not."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydantic import SecretStr

from worker.adapters.postgres.upkeep_facts import DEFAULT_ROWS_MAX, UpkeepFacts
from worker.cli.doctor_findings import Level
from worker.cli.doctor_upkeep import of_upkeep
from worker.settings import Settings

GIVEN = {"kafka_bootstrap_servers": "x", "database_url": SecretStr("postgresql://x")}
FACTS = UpkeepFacts(30.0, 60.0, (), 30, 0)
DAY = 86_400.0


def found(changed: dict[str, Any], retention: tuple[str, ...] = ("keep",)) -> tuple[Level, str]:
    settings = Settings(**GIVEN, instance_retention=retention)
    worst = max(of_upkeep(replace(FACTS, **changed), settings), key=lambda one: one.level)
    assert worst.level is Level.OK or worst.remedy
    return worst.level, worst.text


def test_it_is_done() -> None:
    assert found({}) == (Level.OK, "a worker did it 30s ago")
    assert found({"sweep_seconds": 2 * DAY})[0] is Level.OK


@pytest.mark.parametrize(
    ("changed", "level", "text"),
    [
        ({"idle_seconds": None, "days_missing": (date.today(),)}, Level.NOTE, "never done"),  # noqa: DTZ011
        ({"idle_seconds": 4_000.0}, Level.WARNING, "more than an hour"),
        ({"days_missing": (date.today(),)}, Level.WARNING, "no partition for today"),  # noqa: DTZ011
        ({"oldest_days": 33}, Level.WARNING, "past WORKER_JOURNAL_DAYS"),
        ({"default_rows": 1}, Level.NOTE, "has rows"),
        ({"default_rows": DEFAULT_ROWS_MAX}, Level.WARNING, "more rows than are moved"),
    ],
)
def test_what_is_wrong(changed: dict[str, Any], level: Level, text: str) -> None:
    assert found(changed)[0] is level
    assert text in found(changed)[1]


def test_a_pass_that_takes_too_long_counts_where_instances_go() -> None:
    level, text = found({"sweep_seconds": 2 * DAY}, ("remove:30",))
    assert level is Level.WARNING
    assert "not come through all instances" in text
    assert found({"sweep_seconds": None}, ("remove:30",))[0] is Level.OK
