"""What probes are told."""

import pytest

from tests.telemetry.bench import TURN_SECONDS_MAX, bench
from worker.adapters.telemetry.health import PARTS


def test_before_the_first_turn_a_worker_lives_and_is_not_ready() -> None:
    with bench() as made:
        assert made.telemetry.health.liveness().is_fine
        assert made.failing() == ("partitions", "producer")


def test_a_worker_that_does_its_work_is_ready() -> None:
    with bench() as made:
        made.stand({0: "settled", 1: "publishing", 2: "ahead"}, {})
        report = made.telemetry.health.readiness()
    assert report.document("ready") == {
        "status": "ready",
        "failing": [],
        "parts": {
            "running": {"ok": True, "detail": "running"},
            "loop": {"ok": True, "detail": "turned 0.0 s ago"},
            "partitions": {"ok": True, "detail": "3 assigned"},
            "database": {"ok": True, "detail": "answers"},
            "producer": {"ok": True, "detail": "ready"},
            "kafka": {"ok": True, "detail": "answers"},
        },
    }
    assert tuple(report.details) == PARTS


@pytest.mark.parametrize("state", ["taking", "waiting", "refused"])
def test_a_partition_that_is_not_read_is_named(state: str) -> None:
    with bench() as made:
        made.stand({0: "settled", 7: state}, {})
        report = made.telemetry.health.readiness()
    assert report.failing == ("partitions",)
    assert report.details["partitions"] == f"1 of 2 assigned are not read: 7 {state}"


@pytest.mark.parametrize(
    ("producer", "is_fine"),
    [
        ("absent", False),
        ("ready", True),
        ("open", True),
        ("committing", True),
        ("unknown", False),
        ("closed", False),
    ],
)
def test_the_producer_is_fine_if_it_can_publish(producer: str, is_fine: bool) -> None:
    with bench() as made:
        made.stand({0: "settled"}, {}, producer)
        assert made.failing() == (() if is_fine else ("producer",))


def test_a_loop_that_does_not_turn_is_neither_live_nor_ready() -> None:
    with bench() as made:
        made.stand({0: "settled"}, {})
        made.clock.advance(TURN_SECONDS_MAX)
        assert made.telemetry.health.liveness().is_fine
        made.clock.advance(1)
        assert made.telemetry.health.liveness().document("live")["failing"] == ["loop"]
        assert made.failing() == ("loop",)
        made.stand({0: "settled"}, {})
        assert made.failing() == ()


def test_a_worker_that_is_told_to_stop_is_not_ready_and_lives() -> None:
    with bench() as made:
        made.stand({0: "settled"}, {})
        made.telemetry.stopping()
        assert made.failing() == ("running",)
        assert made.telemetry.health.liveness().is_fine
