"""Emitted events, sorted into domains."""

import pytest

from tests.orchestrator.desk import event_of
from worker.core.outcomes import DomainedEvent
from worker.orchestrator import ExecutionResult

A, B, C = (event_of("com.a.b", {}, id=name) for name in "abc")


@pytest.mark.parametrize(
    ("emitted", "events", "domains", "domained"),
    [
        ([], (), (), {"all": ()}),
        ([(A, "default"), (B, "default")], (A, B), ("default",), {"all": (A, B), "default": (A, B)}),
        ([(A, "z"), (B, "b")], (), ("z", "b"), {"all": (A, B), "z": (A,), "b": (B,)}),
        (
            [(A, "z", "default"), (B, "default", "1"), (C, "z")],
            (A, B),
            ("z", "default", "1"),
            {"all": (A, B, C), "z": (A, C), "default": (A, B), "1": (B,)},
        ),
    ],
)
def test_sorts_events_in_order_of_emission(
    emitted: list[tuple[object, ...]], events: object, domains: object, domained: dict[str, object]
) -> None:
    result = ExecutionResult.of(DomainedEvent(one[0], one[1:]) for one in emitted)  # type: ignore[arg-type]
    assert result.events == events
    assert result.all_event_domains == domains
    assert result.domained_events == domained
    assert list(result.domained_events) == ["all", *result.all_event_domains]


def test_one_event_of_several_domains_is_the_same_event() -> None:
    result = ExecutionResult.of([DomainedEvent(A, ("x", "y"))])
    assert result.domained_events["x"][0] is result.domained_events["y"][0] is result.domained_events["all"][0]
