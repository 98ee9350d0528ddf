"""The page on refused partitions: its refusals are the worker's, and its columns."""

import re
from dataclasses import replace

import pytest

from tests.docs.pages import Page
from worker.cli.partitions import _HEADS
from worker.ports import Position, Standing
from worker.runtime.taking import RefusalReason, Refused, decide

PAGE = Page("docs/partitions.md")
ROW = Position(3, "xR2…", 790, 790, None, None)
STANDING = Standing(790, 0, "xR2…")


@pytest.mark.parametrize(
    ("reason", "row", "standing"),
    [
        (RefusalReason.DATABASE_EMPTY, None, STANDING),
        (RefusalReason.TOPIC_REPLACED, replace(ROW, topic_id="9fK…"), STANDING),
        (RefusalReason.RECORDS_EXPIRED, ROW, replace(STANDING, first_offset=960)),
    ],
)
def test_each_refusal_stands_as_the_worker_tells_it(
    reason: RefusalReason, row: Position | None, standing: Standing
) -> None:
    decision = decide(3, row, standing)
    assert isinstance(decision, Refused)
    assert decision.reason is reason
    section = PAGE.text.partition(f"### {reason.value}\n")[2]
    assert decision.text in " ".join(section.split("```")[1].split())


def test_every_refusal_has_a_section() -> None:
    assert re.findall(r"^### (\w+)$", PAGE.text, re.MULTILINE) == [
        reason.value
        for reason in (RefusalReason.DATABASE_EMPTY, RefusalReason.TOPIC_REPLACED, RefusalReason.RECORDS_EXPIRED)
    ]
    assert len(RefusalReason) == 3


def test_the_columns_are_those_of_the_list() -> None:
    assert " ".join(_HEADS) in " ".join(PAGE.text.split())
