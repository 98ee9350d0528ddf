"""Log lines: their form, and how often one is told."""

import json
import subprocess
import sys
from typing import Any

import pytest
import structlog

from worker.logs import Repeats

PROGRAM = """
import logging, structlog
from worker.logs import configure_logs, identify
configure_logs("info", FORM)
identify(worker="worker-1")
log = structlog.get_logger("worker.test")
log.info("taken", offsets={0: 4})
log.debug("not told")
logging.getLogger("some.library").error("went %s", "wrong")
try:
    1 // 0
except ZeroDivisionError:
    log.exception("step_fault")
"""


def lines(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("FORM", repr(form))], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    return done.stderr


def test_every_line_is_json_that_names_its_process() -> None:
    first, library, fault = map(json.loads, lines("json").splitlines())
    assert first["event"] == "taken"
    assert first["level"] == "info"
    assert first["offsets"] == {"0": 4}
    assert first["timestamp"].endswith("Z")
    assert (library["event"], library["logger"], library["level"]) == ("went wrong", "some.library", "error")
    assert "ZeroDivisionError" in fault["exception"]
    assert {one["worker"] for one in (first, library, fault)} == {"worker-1"}


def test_a_console_has_the_same_lines_for_people() -> None:
    text = lines("console")
    assert "worker-1" not in text
    assert "taken" in text
    assert "went wrong" in text
    assert "not told" not in text


def told(repeats: Repeats, event: str, level: str = "warning") -> dict[str, Any] | None:
    try:
        return dict(repeats(None, "", {"event": event, "level": level}))
    except structlog.DropEvent:
        return None


def test_a_line_that_comes_again_and_again_is_told_so_many_times() -> None:
    now = 100.0
    repeats = Repeats(lines_max=2, window_seconds=10, monotonic=lambda: now)
    assert [told(repeats, "a") is not None for _ in range(5)] == [True, True, False, False, False]
    assert told(repeats, "b") is not None
    assert told(repeats, "a", "error") is not None
    now = 110.0
    assert told(repeats, "a") == {"event": "a", "level": "warning", "untold": 3}
    assert told(repeats, "a") == {"event": "a", "level": "warning"}
    assert told(repeats, "a") is None


@pytest.mark.parametrize("quiet", [10.0, 1_000.0])
def test_lines_that_are_rare_are_all_told(quiet: float) -> None:
    now = 0.0
    repeats = Repeats(lines_max=1, window_seconds=10, monotonic=lambda: now)
    for _ in range(3):
        assert told(repeats, "a") == {"event": "a", "level": "warning"}
        now += quiet
