"""The checks of the acceptance tests find what they are there to find."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.acceptance.checks import (
    Ended,
    Published,
    expected_outputs,
    instance_faults,
    journal_faults,
    order_faults,
    output_faults,
    position_faults,
)
from tests.acceptance.deployment import Position
from tests.workload import OUTPUT_TYPES, Order

NUMBERS = range(2)
ENDS = {0: 3, 1: 1}


def right() -> list[Published]:
    """Give the outputs of two orders, as they must be."""
    return [
        Published(
            topic="external" if type_ == "com.approval.request" else "default",
            partition=number,
            id=f"{number}-{step}",
            parentid=f"{Order(number).id}-{step}",
            type=type_,
            subject=f"subject-{number}",
        )
        for step, type_ in enumerate(OUTPUT_TYPES)
        for number in NUMBERS
    ]


def ended() -> list[Ended]:
    return [Ended(Order(number).id, "done", (), len(OUTPUT_TYPES), "completed") for number in NUMBERS]


def faults_of(published: Sequence[Published]) -> str:
    return "\n".join([*output_faults(expected_outputs(NUMBERS), published), *order_faults(published)])


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert faults_of(right()) == ""
    assert list(instance_faults(NUMBERS, ended())) == []
    assert list(journal_faults(ENDS, [(0, 0), (0, 1), (0, 2), (1, 0)])) == []
    assert list(position_faults(ENDS, [Position(0, 3, 3, None), Position(1, 1, 1, None)])) == []


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda events: [*events, events[-1]], "is there 2 times"),
        (lambda events: [*events, replace(events[0], id="another id")], "is there 2 times"),
        (lambda events: events[1:], "is missing"),
        (lambda events: [replace(events[0], parentid=None), *events[1:]], "nobody expects"),
        (lambda events: [replace(events[0], type="com.payment.charge"), *events[1:]], "nobody expects"),
        (lambda events: events[::-1], "after that of a later step"),
        (lambda events: [replace(events[0], partition=7), *events[1:]], "others of its subject are not"),
    ],
)
def test_wrong_outputs_are_found(spoil: Callable[[list[Published]], list[Published]], fault: str) -> None:
    assert fault in faults_of(spoil(right()))


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 0), (0, 1), (0, 2)],
        [(0, 0), (0, 1), (0, 2), (1, 0), (0, 1)],
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)],
    ],
    ids=["a gap", "a row twice", "a row too many"],
)
def test_a_wrong_journal_is_found(rows: list[tuple[int, int]]) -> None:
    assert len(list(journal_faults(ENDS, rows))) == 1


@pytest.mark.parametrize(
    "change", [{"revision": 5}, {"status": "active"}, {"states": ("order",)}, {"result": "failed"}]
)
def test_a_wrong_instance_is_found(change: dict[str, object]) -> None:
    first, second = ended()
    assert len(list(instance_faults(NUMBERS, [replace(first, **change), second]))) == 2  # type: ignore[arg-type]
    assert len(list(instance_faults(NUMBERS, [first]))) == 1


@pytest.mark.parametrize(
    "wrong", [Position(1, 1, 0, None), Position(1, 0, 0, None), Position(1, 1, 1, "somebody"), Position(2, 1, 1, None)]
)
def test_a_wrong_position_is_found(wrong: Position) -> None:
    assert len(list(position_faults(ENDS, [Position(0, 3, 3, None), wrong]))) == 1
