"""The views for people, and the queries that the page on instances has for them."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from machines.order import machine as order_machine
from tests.docs.pages import Page
from tests.integration.played import Played, answer, event_of, order_subject, started
from tests.integration.test_instances_command import APPROVED, RESERVED, reserve
from worker.core.digests import subject_digest

PAGE = Page("docs/instances.md")
QUERIES = [text for text in PAGE.blocks("sql") if text.startswith("SELECT")]


@pytest.fixture
def connection(each_migrated_database_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Play three orders: one waits for an approval since yesterday, one was rejected, one was asked too early."""
    play = Played(each_migrated_database_url, [order_machine])
    reserve(play, 1)
    play.take(answer(reserve(play, 2), APPROVED, {"approved": False, "by": "boss"}, "no"))
    play.take(started(3))
    play.take(event_of(order_subject(3), APPROVED, {"approved": True, "by": "x"}, "com.approval.request", "early"))
    play.take(event_of(order_subject(3), RESERVED, {"total": "?"}, "com.inventory.reserve", "wrong"))
    play.database.close()
    with psycopg.connect(each_migrated_database_url, row_factory=dict_row, autocommit=True) as made:
        made.execute(
            "UPDATE instances SET updated_at = now() - interval '1 day', created_at = now() - interval '2 days'"
            " WHERE subject = %s",
            (order_subject(1),),
        )
        yield made


def rows(connection: psycopg.Connection[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    return connection.execute(query.encode()).fetchall()


def test_instances_as_people_ask_for_them(connection: psycopg.Connection[dict[str, Any]]) -> None:
    first, second, third = rows(connection, "SELECT * FROM v_instances ORDER BY context ->> 'order_id'")
    assert first["id"] == subject_digest(order_subject(1)).hex()[:12]
    assert (first["machine"], first["state"], first["steps"]) == ("arvo.orc.order", "approving", 2)
    assert (first["idle"].days, first["age"].days) == (1, 2)
    assert (second["status"], second["state"], second["idle"]) == ("done", None, None)
    assert second["output"]["status"] == "rejected"
    assert (third["state"], third["idle"].days) == ("reserving", 0)


def test_history_names_the_machine_and_has_the_event(connection: psycopg.Connection[dict[str, Any]]) -> None:
    of_third = rows(connection, "SELECT * FROM v_history ORDER BY partition, record_offset")[-3:]
    assert [row["outcome"] for row in of_third] == ["advanced", "unexpected", "failed"]
    assert {row["machine"] for row in of_third} == {"arvo.orc.order"}
    assert of_third[2]["event"]["data"] == {"total": "?"}
    assert of_third[0]["outputs"][0]["topic"] == "orchestrator.default"


def test_states_are_counted_and_the_stuck_are_found(connection: psycopg.Connection[dict[str, Any]]) -> None:
    counts = rows(connection, "SELECT * FROM v_state_counts ORDER BY state")
    assert [(row["state"], row["instances"]) for row in counts] == [("approving", 1), ("order", 2), ("reserving", 1)]
    assert counts[1]["longest_idle"].days == 1
    assert [row["state"] for row in rows(connection, "SELECT * FROM v_stuck")] == ["approving"]


def test_the_pages_queries_answer(connection: psycopg.Connection[dict[str, Any]]) -> None:
    assert len(QUERIES) == 5
    counts, payments, endings, failures, _ = (rows(connection, query) for query in QUERIES)
    assert counts[0]["state"] == "order"
    assert payments == []
    assert [(row["ended_as"], row["count"]) for row in endings] == [("rejected", 1)]
    assert {(row["outcome"], row["why"]) for row in failures} == {("unexpected", None), ("failed", "ContractViolation")}
    one = QUERIES[4].replace("the subject", order_subject(2))
    assert [row["event_type"] for row in rows(connection, one)] == ["arvo.orc.order", RESERVED, APPROVED]
