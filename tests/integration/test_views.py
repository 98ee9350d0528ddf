"""What people see who query the state by SQL."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from worker.adapters.postgres.frames import pack_headers

Connection: TypeAlias = psycopg.Connection[DictRow]

NOON = datetime(2026, 1, 2, 12, 0, 0, 345_000, UTC)
NOON_MS = 1_767_355_200_345
EVENT = b'{"id": "1", "data": {"total": 1.50, "note": "\\u0000"}}'


@pytest.fixture
def connection(each_migrated_database_url: str) -> Iterator[Connection]:
    with psycopg.connect(each_migrated_database_url, row_factory=dict_row, autocommit=True) as connection:
        yield connection


def journal(connection: Connection, **given: object) -> None:
    row: dict[str, object] = {
        "partition": 0,
        "record_offset": 0,
        "record_timestamp": NOON_MS,
        "consumed": True,
        "outcome": "advanced",
        "now_ms": NOON_MS,
    } | given
    columns, places = ", ".join(row), ", ".join(f"%({column})s" for column in row)
    connection.execute(f"INSERT INTO journal ({columns}) VALUES ({places})".encode(), row)  # noqa: S608


def instance(connection: Connection, subject: str, status: str = "active", version: str = "1.0.0") -> None:
    connection.execute(
        "INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot, output,"
        " init_event_id, revision, now_ms) VALUES (sha256(convert_to(%(subject)s, 'UTF8')), %(subject)s,"
        " 'arvo.orc.order', %(version)s, %(status)s, '{paying}', '{\"context\": {\"total\": 5}}', '{\"paid\": true}',"
        " 'init', 3, %(now)s)",
        {"subject": subject, "version": version, "status": status, "now": NOON_MS},
    )


def only(connection: Connection, view: str) -> dict[str, Any]:
    (row,) = connection.execute(f"SELECT * FROM {view}".encode())  # noqa: S608
    return row


def test_a_journal_row_is_shown_as_json_and_times(connection: Connection) -> None:
    headers = (("ce_id", b"1"), ("trace", None), ("raw", b"\xff"))
    outputs = b'[{"topic": "orchestrator.default", "key": "subject", "value": "{}", "headers": []}]'
    journal(connection, event=EVENT, event_headers=pack_headers(headers), outputs=outputs)
    row = only(connection, "journal_events")
    assert row["event"]["id"] == "1"
    assert [header for header, _ in row["event_headers"]] == ["ce_id", "trace", "raw"]
    assert row["outputs"][0]["topic"] == "orchestrator.default"
    assert (row["record_time"], row["step_time"]) == (NOON, NOON)


def test_json_is_shown_as_it_came(connection: Connection) -> None:
    journal(connection, event=EVENT)
    assert connection.execute("SELECT event::text AS event FROM journal_events").fetchone() == {"event": EVENT.decode()}


@pytest.mark.parametrize(
    "event",
    [None, b"", b"\xff\xfe", b"\x00", b"{", b"not json", b"[" * 1_000_000, "\ufeff{}".encode(), b'"\xed\xa0\x80"'],
    ids=["none", "empty", "no UTF-8", "NUL", "cut", "text", "deep", "BOM", "surrogate"],
)
def test_bytes_that_are_no_json_are_shown_as_null(connection: Connection, event: bytes | None) -> None:
    journal(connection, event=event, event_headers=event, outputs=event, outcome="dead_lettered")
    for view in ("journal_events", "dead_letters"):
        row = only(connection, view)
        assert (row["event"], row["event_headers"]) == (None, None)


@pytest.mark.parametrize("milliseconds", [-1, -(2**63), 2**63 - 1, 253_402_300_800_000])
def test_any_timestamp_of_a_producer_can_be_shown(connection: Connection, milliseconds: int) -> None:
    journal(connection, record_timestamp=milliseconds)
    shown = only(connection, "journal_events")["record_time"]
    assert shown == (datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC) if milliseconds == -1 else None)


def test_the_view_can_be_read_by_a_parallel_query(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO journal (partition, record_offset, record_timestamp, consumed, outcome, event)"
        " SELECT 0, record_offset, 0, true, 'advanced', '{}' FROM generate_series(1, 20000) AS record_offset"
    )
    connection.execute("ANALYZE journal")
    connection.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0")
    counted = connection.execute("SELECT count(event) AS events FROM journal_events").fetchone()
    assert counted == {"events": 20_000}


def test_dead_letters_are_the_journal_rows_of_that_outcome(connection: Connection) -> None:
    journal(connection, record_offset=1)
    journal(connection, record_offset=2, outcome="dead_lettered", reason="NO_INSTANCE", error_name="E", event=EVENT)
    row = only(connection, "dead_letters")
    assert (row["record_offset"], row["reason"], row["error_name"]) == (2, "NO_INSTANCE", "E")
    assert row["event"]["id"] == "1"


def test_an_instance_is_shown_with_its_context(connection: Connection) -> None:
    instance(connection, "subject")
    row = only(connection, "instance_overview")
    assert (row["subject"], row["source"], row["version"]) == ("subject", "arvo.orc.order", "1.0.0")
    assert (row["status"], row["states"], row["revision"]) == ("active", ["paying"], 3)
    assert (row["context"], row["output"], row["step_time"]) == ({"total": 5}, {"paid": True}, NOON)


def test_workflows_are_counted(connection: Connection) -> None:
    for number in range(3):
        instance(connection, f"active {number}")
    instance(connection, "done", "done")
    instance(connection, "newer", version="1.1.0")
    counts = connection.execute("SELECT version, status, instances FROM workflow_counts ORDER BY version, status")
    assert [tuple(row.values()) for row in counts] == [
        ("1.0.0", "active", 3),
        ("1.0.0", "done", 1),
        ("1.1.0", "active", 1),
    ]
