"""`migrate` and the checks around it."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from worker.adapters.postgres import migrate as module
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.frames import unpack_headers, unpack_outputs
from worker.adapters.postgres.journal_records import JournalRecords
from worker.adapters.postgres.migrate import (
    Line,
    MigrationReport,
    current_revision,
    head_revision,
    migrate,
    require_current,
)
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.errors import SetupError
from worker.core.records import Output, Record
from worker.ports import JournalRow, Position, Wanted, Writes

HEAD = head_revision()
ALL = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")


def set_revision(url: str, revision: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))


def test_a_new_database_is_brought_to_the_head(database_url: str) -> None:
    assert current_revision(database_url) is None
    assert migrate(database_url) == MigrationReport(None, HEAD, ALL)
    assert current_revision(database_url) == HEAD
    require_current(database_url)


def test_a_second_run_does_nothing(database_url: str) -> None:
    migrate(database_url)
    assert migrate(database_url) == MigrationReport(HEAD, HEAD, ())


def test_runs_at_the_same_time_take_turns(database_url: str) -> None:
    start = threading.Barrier(4)

    def run(_: int) -> MigrationReport:
        start.wait()
        return migrate(database_url)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(run, range(4)))
    assert sorted(report.applied for report in reports) == [(), (), (), ALL]


def test_a_run_gives_up_waiting_for_another(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_SECONDS", 1)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", module.MIGRATION_LOCK)
        with pytest.raises(SetupError, match=r"nothing was changed: .*lock timeout"):
            migrate(database_url)


def test_a_failed_migration_changes_nothing(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE journal ()")
    with pytest.raises(SetupError, match='nothing was changed: relation "journal" already exists'):
        migrate(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall() == [("journal",)]


def test_no_revision_of_that_name(database_url: str) -> None:
    with pytest.raises(SetupError, match=r"no revision 9999: there are base, 0001, .*, 0007, rollout and head"):
        migrate(database_url, to="9999")


def test_an_unmigrated_database_is_refused(database_url: str) -> None:
    with pytest.raises(SetupError, match=f"no schema yet, this worker needs {HEAD}: run `worker migrate`"):
        require_current(database_url)


def test_a_database_that_went_back_is_refused(database_url: str) -> None:
    migrate(database_url)
    migrate(database_url, to="base")
    with pytest.raises(SetupError, match="no schema yet"):
        require_current(database_url)


def test_a_database_behind_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(database_url)
    monkeypatch.setattr(module, "_line", lambda _: Line([*ALL, "9998"]))
    with pytest.raises(SetupError, match=f"database schema is at {HEAD}, this worker needs 9998: run `worker migrate`"):
        require_current(database_url)


def test_a_database_ahead_is_refused(database_url: str) -> None:
    migrate(database_url)
    set_revision(database_url, "9999")
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM schema_support")
    with pytest.raises(SetupError, match=f"at 9999, which this worker does not know; it needs {HEAD}"):
        require_current(database_url)
    with pytest.raises(SetupError, match="at 9999, which this worker does not know"):
        migrate(database_url)


def test_an_open_connection_is_checked_and_left_idle(database_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        require_current(connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_schema_of_the_search_path_is_used(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA apart")
    separator = "&" if "?" in database_url else "?"
    apart = f"{database_url}{separator}options=-csearch_path%3Dapart"
    migrate(apart)
    assert current_revision(apart) == HEAD
    assert current_revision(database_url) is None


def test_another_encoding_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(SetupError, match="has encoding LATIN1, this worker needs UTF8"):
                migrate(psycopg.conninfo.make_conninfo(database_url, dbname="latin"))
        finally:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secr@et@127.0.0.1:1/database",
        "postgresql://user:secr/et@127.0.0.1:1/database",
        "postgresql://user:1/secret@127.0.0.1/database",
        "postgresql://user:secr%et@127.0.0.1:1/database",
        "postgresql+psycopg://user:secret@127.0.0.1:1/database",
        "",
    ],
)
def test_a_malformed_url_is_told_without_its_text(url: str) -> None:
    with pytest.raises(SetupError, match="the database URL is malformed: expected postgresql://") as caught:
        current_revision(url)
    assert "secr" not in str(caught.value)


def test_an_unreachable_database_is_told_without_the_password() -> None:
    with pytest.raises(SetupError, match=r"can't be reached: .*refused") as caught:
        migrate("postgresql://user:secret@127.0.0.1:1/database")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_there_is_goes_on_under_the_third_revision(database_url: str) -> None:
    migrate(database_url, to="0002")
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE journal_20260102 (LIKE journal INCLUDING ALL)")
        connection.execute(
            "ALTER TABLE journal ATTACH PARTITION journal_20260102 FOR VALUES FROM ('2026-01-02') TO ('2026-01-03')"
        )
        for day in ("2026-01-01", "2026-01-02"):
            connection.execute(
                "INSERT INTO journal (day, partition, record_offset, record_timestamp, consumed, outcome)"
                " VALUES (%s, 0, 7, 0, true, 'advanced')",
                (day,),
            )
        connection.execute("INSERT INTO positions VALUES (0, 't', 8, 8, 'owner', 'transactional')")
        connection.execute(
            "INSERT INTO definitions VALUES ('hash', 'arvo.orc.a', '1.0.0', '{}', '2026-01-01 00:00Z', 'somebody')"
        )
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tableoid::regclass::text, incarnation FROM journal ORDER BY 1").fetchall()
        assert rows == [("journal_20260102", 0), ("journal_default", 0)]
        found = connection.execute("SELECT deaths, attempts, incarnation, owner FROM positions").fetchall()
        assert found == [(0, 0, 0, "owner")]
        (same,) = connection.execute("SELECT last_registered_at = registered_at FROM definitions").fetchall()
        assert same == (True,)
        connection.execute("UPDATE positions SET incarnation = 1")
        connection.execute("UPDATE journal SET incarnation = 1 WHERE day = '2026-01-02'")
    migrate(database_url, to="0002")
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT tableoid::regclass::text FROM journal").fetchall()
        assert left == [("journal_20260102",)], "rows of an incarnation that ended are gone"


OLD_OUTPUTS = (
    b'[{"topic":"out","key":"key","value":"{\\"a\\": 1}","headers":[["h",{"base64":"AP8="}],["n",null]]},'
    b'{"topic":"out","key":null,"value":{"base64":"/w=="},"headers":[]}]'
)
OUTPUTS = (
    Output("out", b"key", b'{"a": 1}', (("h", b"\x00\xff"), ("n", None))),
    Output("out", None, b"\xff", ()),
)


def test_journals_from_before_there_were_blocks_are_read_and_published(database_url: str) -> None:
    migrate(database_url, to="0003")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO positions VALUES (0, 't', 8, 7, 'owner', 'transactional')")
        connection.execute(
            "INSERT INTO journal (partition, record_offset, record_timestamp, consumed, outcome, record_key, event,"
            " event_headers, outputs) VALUES (0, 7, 0, true, 'advanced', %s, %s, %s, %s)",
            (b"key", b'{"id": "1"}', b'[["h","v"]]', OLD_OUTPUTS),
        )
    migrate(database_url)
    database, records = PostgresDatabase(DatabaseConfig(database_url), "owner"), journal_records(database_url)
    assert [one.outputs for one in database.unpublished(0, 7, 8)] == [OUTPUTS]
    assert records.kept(0, 7) == [Output("in", b"key", b'{"id": "1"}', (("h", b"v"),)), *OUTPUTS]
    database.close()
    records.close()
    with psycopg.connect(database_url) as connection:
        shown = connection.execute("SELECT event ->> 'id', outputs -> 0 ->> 'topic' FROM journal_events").fetchall()
    assert shown == [("1", "out")]


def test_blocks_are_rows_again_under_the_third_revision(database_url: str) -> None:
    migrate(database_url)
    database = PostgresDatabase(DatabaseConfig(database_url), "owner")
    database.insert_positions([Position(0, "t", 5, 5, "owner", "transactional")])
    database.lock("owner", Wanted({0: 5}, [], []))
    records = [
        Record(0, 5, 0, None, b"\xff\x00", ()),
        Record(0, 6, 0, b"key", None, (("h", b"v"), ("n", None), ("b", b"\xff"))),
    ]
    rows = [
        JournalRow(record, "advanced", 0, outputs=outputs)
        for record, outputs in zip(records, ((), OUTPUTS), strict=True)
    ]
    database.write(Writes((), (), rows, {0: 7}, {0: 5}))
    database.commit()
    database.close()
    migrate(database_url, to="0003")
    with psycopg.connect(database_url) as connection:
        query = "SELECT record_key, event, event_headers, outputs FROM journal ORDER BY record_offset"
        first, (key, event, headers, outputs) = connection.execute(query).fetchall()
    assert first == (None, b"\xff\x00", None, None)
    assert (key, event, unpack_headers(headers), unpack_outputs(outputs)) == (b"key", None, records[1].headers, OUTPUTS)


def journal_records(url: str) -> JournalRecords:
    return JournalRecords(DatabaseConfig(url), "in", "test")


def test_logging_stays_as_it_was(database_url: str) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("sqlalchemy").disabled)
    migrate(database_url)
    assert (list(root.handlers), root.level, logging.getLogger("sqlalchemy").disabled) == before
