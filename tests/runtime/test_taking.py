"""The decision how to go on with a partition, case by case."""

import pytest

from worker.ports import Position, Standing
from worker.runtime.taking import Decision, GoOn, RefusalReason, Refused, Republish, RunAgain, decide

TOPIC = "topic-id"


def decided(next_offset: int, published_offset: int, committed: int | None, first_offset: int = 0) -> Decision:
    row = Position(0, TOPIC, next_offset, published_offset, "owner", "transactional-id")
    return decide(0, row, Standing(committed, first_offset, TOPIC))


@pytest.mark.parametrize(
    ("next_offset", "published_offset", "committed", "expected"),
    [
        pytest.param(50, 50, 50, GoOn(50), id="released cleanly"),
        pytest.param(50, 40, 50, GoOn(50), id="killed after the Kafka commit: W lags, C tells"),
        pytest.param(50, 50, 40, GoOn(50), id="published by W, though C lags"),
        pytest.param(50, 50, None, GoOn(50), id="offsets expired after a clean release"),
        pytest.param(50, 30, 40, Republish(40, 50, loud=False), id="killed between the two commits"),
        pytest.param(50, 40, 40, Republish(40, 50, loud=False), id="the same, W up to date"),
        pytest.param(50, 40, 30, Republish(40, 50, loud=True), id="offsets were reset below W"),
        pytest.param(50, 40, None, Republish(40, 50, loud=True), id="offsets expired after an unclean end"),
        pytest.param(50, 50, 51, RunAgain(50, 51), id="the database was restored"),
        pytest.param(50, 40, 90, RunAgain(50, 90), id="a failover lost commits"),
        pytest.param(10, 0, None, Republish(0, 10, loud=True), id="killed before the first Kafka commit"),
    ],
)
def test_goes_on(next_offset: int, published_offset: int, committed: int | None, expected: Decision) -> None:
    assert decided(next_offset, published_offset, committed) == expected


@pytest.mark.parametrize(
    ("next_offset", "committed", "first_offset", "reason"),
    [
        pytest.param(50, 50, 51, RefusalReason.RECORDS_EXPIRED, id="records were deleted before they were read"),
    ],
)
def test_refuses(next_offset: int, committed: int, first_offset: int, reason: RefusalReason) -> None:
    refused = decided(next_offset, 0, committed, first_offset)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert "50" in refused.text


def test_refuses_a_topic_made_anew() -> None:
    row = Position(0, "another", 50, 50, None, None)
    refused = decide(0, row, Standing(50, 0, TOPIC))
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.TOPIC_REPLACED


def test_begins_a_new_partition_at_its_first_offset() -> None:
    assert decide(0, None, Standing(None, 7, TOPIC)) == GoOn(7)


def test_refuses_to_begin_where_the_group_has_been() -> None:
    refused = decide(0, None, Standing(7, 0, TOPIC))
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.DATABASE_EMPTY
