"""What is asked for rarely is, and whatever it raises."""

from collections.abc import Callable

import pytest

from tests.simulation.servers import FakeClock
from worker.adapters.telemetry import probing
from worker.adapters.telemetry.probing import COST_SHARE, Probe, Probes
from worker.ports import KafkaUnavailable


def test_a_question_is_asked_at_its_interval_and_at_what_its_cost_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(probing, "monotonic", clock.monotonic)
    asked: list[str] = []

    def ask(name: str, seconds: float) -> Callable[[], bool]:
        def asking() -> bool:
            asked.append(name)
            clock.advance(seconds)
            return True

        return asking

    probes = Probes([Probe("cheap", 5, ask("cheap", 0)), Probe("dear", 5, ask("dear", 1))], lambda *_: None)
    now = clock.monotonic()
    assert probes.ask_due(now) == now + 5
    assert probes.ask_due(now + 5) == now + 10
    assert asked == ["cheap", "dear", "cheap"]
    assert probes.ask_due(now + 1 / COST_SHARE) == now + 1 / COST_SHARE + 5
    assert asked == ["cheap", "dear", "cheap", "cheap", "dear"]


@pytest.mark.parametrize("error", [KafkaUnavailable("away"), ZeroDivisionError("a fault of ours")])
def test_what_a_question_raises_is_counted_and_the_others_are_asked(error: Exception) -> None:
    failed: list[tuple[str, Exception]] = []
    asked: list[int] = []

    def ask() -> bool:
        raise error

    probes = Probes(
        [Probe("a", 1, ask), Probe("b", 1, lambda: not asked.append(1))],  # type: ignore[func-returns-value]
        lambda *told: failed.append(told),
    )
    probes.ask_due(1_000_000.0)
    assert failed == [("a", error)]
    assert asked == [1]


def test_what_there_is_nothing_to_ask_about_is_looked_at_soon() -> None:
    answers = [False, True]
    probes = Probes([Probe("a", 60, lambda: answers.pop(0))], lambda *_: None)
    assert probes.ask_due(1_000_000.0) == 1_000_001.0
    assert probes.ask_due(1_000_001.0) == 1_000_061.0
