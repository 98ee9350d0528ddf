"""The pages on operating and on alerts: their tables are the program's."""

import json
import re

import pytest

from tests.acceptance.commands import ROOT
from tests.docs.pages import Page
from tests.monitoring.rules import alerts
from tests.telemetry.bench import bench
from worker.adapters.postgres.instance_counts import PAGES_MAX
from worker.adapters.telemetry.health import PARTS
from worker.adapters.telemetry.probing import COST_SHARE
from worker.adapters.telemetry.telemetry import COUNT_SECONDS
from worker.bootstrap import STOP_SECONDS
from worker.logs import LINES_MAX, WINDOW_SECONDS
from worker.ports import DatabaseUnavailable

PAGE, ALERTS = Page("docs/operating.md"), Page("docs/alerts.md")
SOURCES = "".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))


def first_cells(heading: str) -> list[str]:
    """Give the first column of the table below a heading."""
    section = PAGE.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [
        name for cell in re.findall(r"^\| (\[?`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", cell)
    ]


def test_the_parts_are_those_that_are_told() -> None:
    assert first_cells("Ready") == list(PARTS)


def test_the_body_is_what_is_told() -> None:
    (told,) = map(json.loads, PAGE.blocks("json"))
    with bench() as made:
        made.recorder.called_database("lock", 0.0, DatabaseUnavailable("away"))
        made.clock.advance(12)
        made.stand(dict.fromkeys(range(4), "settled"), {})
        made.clock.advance(0.1)
        assert made.telemetry.health.readiness().document("ready") == told


@pytest.mark.parametrize("event", first_cells("Logs"))
def test_each_line_is_written_somewhere(event: str) -> None:
    assert re.search(rf'\(\s*"{event}",?', SOURCES), event


def test_the_alerts_are_those_of_the_file() -> None:
    assert first_cells("Alerts and dashboard") == [alert.name for alert in alerts()]
    assert re.findall(r"^\| \[`\w+`\]\(.+?\) \| (critical|warning) \|$", PAGE.text, re.MULTILINE) == [
        alert.severity for alert in alerts()
    ]


def test_every_alert_has_its_section() -> None:
    sections = ALERTS.text.split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == [alert.name for alert in alerts()]
    for section in sections:
        assert re.fullmatch(r"\w+\n\n\*\*.+\n\n- \*\*Look:\*\* .+\n- \*\*Do:\*\*.+", section, re.DOTALL), section


def test_the_numbers_are_those_that_hold() -> None:
    for text in (
        f"more than {STOP_SECONDS:g} s",
        f"{LINES_MAX} a minute",
        f"{PAGES_MAX * 8 // 1024} MiB",
        "a fiftieth",
        f"every {COUNT_SECONDS:g} s at most",
    ):
        assert text in PAGE.text.replace("\n", " "), text
    assert (WINDOW_SECONDS, COST_SHARE) == (60.0, 1 / 50)
