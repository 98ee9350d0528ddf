"""The demo, as `make demo` runs it."""

import re
import signal
import time

import pytest

from tests.acceptance.commands import CONTROL, left_behind, running, temporary_folders

SUMMARY = re.compile(
    r"demo: 60 orders ended: 51 completed, (.*); 1 dead letter, 1 system error; "
    r"\d+ events in [\d.]+ s, \d+ events/s; every order has its right end state"
)

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_the_demo_ends_with_one_line_and_leaves_nothing_behind() -> None:
    begun = time.monotonic()
    with temporary_folders() as folder, running("worker.demo", "--orders", "60", given=None, folder=folder) as demo:
        assert demo.program.wait(60) == 0, demo.output
        lines = demo.output.splitlines()
        assert time.monotonic() - begun < 60
        assert left_behind(folder) == []
    summary = SUMMARY.fullmatch(lines[-1])
    assert summary, lines[-1]
    assert sorted(summary[1].split(", ")) == [
        "3 failed (an item is out of stock)",
        "3 failed (the card's limit is 500)",
        "3 rejected",
    ]
    text = "\n".join(lines)
    assert not CONTROL.search(text)
    assert re.search(r"60 of 60 orders ended; events: orchestrator.input \d+", text)
    assert re.search(r"done +completed +51\n", text)
    assert "FROM instance_overview" in text
    assert re.search(r"dead letter INVALID_EVENT, orchestrator\.input\[\d\]@\d+", text)
    assert "sys.arvo.orc.order.error to com.example.shop" in text


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["is up at", "orders go into"])
def test_a_stopped_demo_leaves_nothing_behind(signal_number: signal.Signals, moment: str) -> None:
    with temporary_folders() as folder, running("worker.demo", "--orders", "3000", given=None, folder=folder) as demo:
        demo.wait_for(moment)
        assert demo.end(signal_number) == 130
        assert "Traceback" not in demo.output
        assert demo.output.endswith("nothing is left behind\n")
        assert left_behind(folder) == []
