"""The journal's days on real servers."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, TypeAlias

import psycopg
import pytest

from worker.adapters.postgres import journal_days, turns
from worker.adapters.postgres.journal_days import JournalMaintenance, maintain_journal, summarize_days
from worker.adapters.postgres.statements import UNPUBLISHED

Connection: TypeAlias = psycopg.Connection[Any]

DAYS = 7
W = 100


@pytest.fixture
def connection(each_migrated_database_url: str) -> Iterator[Connection]:
    with psycopg.connect(each_migrated_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO positions (partition, topic_id, next_offset, published_offset) VALUES (0, 't', 200, %s)", (W,)
        )
        yield connection


@pytest.fixture
def other(each_migrated_database_url: str) -> Iterator[Connection]:
    with psycopg.connect(each_migrated_database_url, autocommit=True) as other:
        yield other


@pytest.fixture
def today(connection: Connection) -> date:
    ((today,),) = connection.execute("SELECT current_date")
    assert isinstance(today, date)
    return today


def ago(today: date, days: int) -> date:
    return today - timedelta(days=days)


def write(
    connection: Connection, day: date, offset: int, *, partition: int = 0, rows: int = 1, incarnation: int = 0
) -> None:
    connection.execute(
        "INSERT INTO journal (day, partition, record_offset, record_timestamp, consumed, outcome, event, incarnation)"
        " SELECT %s, %s, record_offset, 0, true, 'advanced', 'bytes', %s"
        " FROM generate_series(%s::bigint, %s::bigint) AS record_offset",
        (day, partition, incarnation, offset, offset + rows - 1),
    )


def make_day(connection: Connection, day: date) -> None:
    assert turns.in_turn(connection, lambda locked: journal_days._create(day, locked))


def rows_by_table(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT tableoid::regclass::text, count(*) FROM journal GROUP BY 1").fetchall())


def name(day: date) -> str:
    return f"journal_{day:%Y%m%d}"


def test_today_and_two_days_more_are_created_once(connection: Connection, today: date) -> None:
    ahead = (today, ago(today, -1), ago(today, -2))
    assert maintain_journal(connection, DAYS) == JournalMaintenance(created=ahead)
    assert maintain_journal(connection, DAYS) == JournalMaintenance()
    for offset, day in enumerate(ahead):
        write(connection, day, offset)
    assert rows_by_table(connection) == {name(day): 1 for day in ahead}


def test_a_day_is_like_the_default_partition(connection: Connection, today: date) -> None:
    maintain_journal(connection, DAYS)
    described = """
        SELECT attname, atttypid, attnotnull, attcompression, attstorage, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum
    """
    stored = "SELECT reloptions FROM pg_class WHERE oid = %s::regclass"
    indexed = (
        "SELECT regexp_replace(indexdef, 'journal_(default|[0-9]+)', 'day', 'g') FROM pg_indexes WHERE tablename = %s"
    )
    for query in (described, stored, indexed):
        day, default = (
            sorted(connection.execute(query, (table,)), key=repr) for table in (name(today), "journal_default")
        )
        assert day == default
        assert day


def test_days_past_retention_are_dropped(connection: Connection, today: date) -> None:
    for days in (DAYS, DAYS + 1, DAYS + 2):
        make_day(connection, ago(today, days))
        write(connection, ago(today, days), days)
    report = maintain_journal(connection, DAYS)
    assert (report.dropped, report.kept) == ((ago(today, DAYS + 2), ago(today, DAYS + 1)), ())
    assert rows_by_table(connection) == {name(ago(today, DAYS)): 1}


@pytest.mark.parametrize(
    ("partition", "offset", "kept"),
    [(0, W - 1, False), (0, W, True), (0, W + 1, True), (5, 0, True)],
    ids=["published", "at W", "above W", "no position row"],
)
def test_no_day_with_an_unpublished_row_is_dropped(
    connection: Connection, today: date, partition: int, offset: int, *, kept: bool
) -> None:
    old = ago(today, DAYS + 1)
    make_day(connection, old)
    for published in range(3):
        write(connection, old, published)
    write(connection, old, offset, partition=partition)
    report = maintain_journal(connection, DAYS)
    assert (report.dropped, report.kept) == (((), (old,)) if kept else ((old,), ()))
    connection.execute("UPDATE positions SET published_offset = 200")
    connection.execute(
        "INSERT INTO positions (partition, topic_id, next_offset, published_offset) VALUES (5, 't', 1, 1)"
    )
    assert maintain_journal(connection, DAYS).dropped == ((old,) if kept else ())


def test_what_an_ended_incarnation_left_unpublished_is_dropped(connection: Connection, today: date) -> None:
    old, default = ago(today, DAYS + 1), ago(today, DAYS + 2)
    make_day(connection, old)
    connection.execute("UPDATE positions SET incarnation = 2")
    for day in (old, default):
        write(connection, day, W + 1, incarnation=1)
        write(connection, day, W - 1, incarnation=2)
    write(connection, default, W, incarnation=2)
    assert maintain_journal(connection, DAYS).dropped == (old,)
    left = connection.execute("SELECT incarnation, record_offset FROM journal").fetchall()
    assert left == [(2, W)]


def test_rows_of_a_day_in_the_default_partition_move_along(connection: Connection, today: date) -> None:
    write(connection, today, 0, rows=5)
    write(connection, ago(today, 3), 5)
    report = maintain_journal(connection, DAYS)
    assert today in report.created
    assert rows_by_table(connection) == {name(today): 5, "journal_default": 1}


def test_a_day_with_many_rows_in_the_default_partition_stays_there(
    connection: Connection, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_days, "ROWS_MOVED_MAX", 4)
    write(connection, today, 0, rows=5)
    report = maintain_journal(connection, DAYS)
    assert report == JournalMaintenance(created=(ago(today, -1), ago(today, -2)), in_default=(today,))
    write(connection, today, 5)
    assert rows_by_table(connection) == {"journal_default": 6}


def test_rows_past_retention_leave_the_default_partition(connection: Connection, today: date) -> None:
    write(connection, ago(today, DAYS + 1), W - 2, rows=4)
    write(connection, ago(today, DAYS + 1), 0, partition=5)
    write(connection, ago(today, DAYS), 0)
    maintain_journal(connection, DAYS)
    left = connection.execute("SELECT partition, record_offset FROM journal ORDER BY 1, 2").fetchall()
    assert left == [(0, 0), (0, W), (0, W + 1), (5, 0)]


def test_a_row_that_comes_in_before_the_partition_is_attached(
    connection: Connection, other: Connection, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_then_write(locked: Connection, query: Any) -> Any:
        value = read(locked, query)
        if query == counting:
            write(other, today, 0)
        return value

    read = turns.value_of
    names = {"day": psycopg.sql.Literal(today), "rows": journal_days.ROWS_MOVED_MAX + 1}
    counting = journal_days._COUNT_IN_DEFAULT.format(**names)
    monkeypatch.setattr(journal_days, "value_of", count_then_write)
    assert maintain_journal(connection, DAYS).in_default == (today,)
    monkeypatch.undo()
    assert maintain_journal(connection, DAYS).created == (today,)
    assert rows_by_table(connection) == {name(today): 1}


def test_a_batch_that_is_open_is_not_waited_for_long(
    connection: Connection, other: Connection, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LIMITS", "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '5s'")
    old = ago(today, DAYS + 1)
    make_day(connection, old)
    with other.transaction():
        other.execute("SELECT FROM journal WHERE event_key = 1 AND consumed")
        report = maintain_journal(connection, DAYS)
        assert report.kept == (old,)
        assert report.in_default == (today, ago(today, -1), ago(today, -2))
        write(other, today, 0)
    report = maintain_journal(connection, DAYS)
    assert report.dropped == (old,)
    assert len(report.created) == 3


def test_behind_a_transaction_that_has_been_open_for_a_while_nothing_is_waited_for(
    connection: Connection, other: Connection, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches would wait behind the change, and it for the transaction."""
    monkeypatch.setattr(turns, "_LIMITS", "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '60s'")
    old = ago(today, DAYS + 1)
    make_day(connection, old)
    with other.transaction():
        other.execute("SELECT FROM journal")
        other.execute("SELECT pg_sleep(%s)", (journal_days.LONG_SECONDS + 0.2,))
        begun = time.monotonic()
        report = maintain_journal(connection, DAYS)
        assert time.monotonic() - begun < 50, "it would have waited for 60 s"
        assert (report.created, report.dropped, report.kept) == ((), (), (old,))
    assert maintain_journal(connection, DAYS).dropped == (old,)


def test_where_one_day_can_not_be_dropped_the_others_wait(
    connection: Connection, other: Connection, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintain_journal(connection, DAYS)
    monkeypatch.setattr(turns, "_LIMITS", "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '60s'")
    monkeypatch.setattr(journal_days, "LONG_SECONDS", 3_600)
    tried: list[date] = []
    drop = journal_days._drop

    def drop_and_tell(day: date, locked: Connection) -> bool:
        tried.append(day)
        return drop(day, locked)

    monkeypatch.setattr(journal_days, "_drop", drop_and_tell)
    days = [ago(today, DAYS + more) for more in (3, 2, 1)]
    for day in days:
        make_day(connection, day)
    with other.transaction():
        other.execute("SELECT FROM journal WHERE event_key = 1 AND consumed")
        assert maintain_journal(connection, DAYS).kept == tuple(days)
    assert tried == days[:1]
    assert maintain_journal(connection, DAYS).dropped == tuple(days)


def test_a_subject_is_found_by_the_index_of_its_days(connection: Connection, today: date) -> None:
    make_day(connection, today)
    # Rows as wide as real ones: the index says which pages may have a subject.
    connection.execute(
        "INSERT INTO journal (partition, record_offset, record_timestamp, consumed, outcome, event, subject_digest)"
        " SELECT 0, number, 0, false, 'advanced', convert_to(repeat(md5(number::text), 30), 'UTF8'),"
        " sha256(convert_to((number / 4)::text, 'UTF8')) FROM generate_series(0, 7999) AS number"
    )
    summarize_days(connection)
    connection.execute("SET enable_seqscan = off")
    plan = "\n".join(
        line
        for (line,) in connection.execute(
            "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT record_offset FROM journal"
            " WHERE subject_digest = sha256('1000')"
        )
    )
    read = sum(int(pages) for pages in re.findall(r"lossy=(\d+)", plan))
    ((all_pages,),) = connection.execute(f"SELECT pg_relation_size('{name(today)}') / 8192".encode())
    assert "Bitmap Index Scan" in plan
    assert 0 < read <= 3 * 32, plan
    assert read < all_pages / 5
    found = connection.execute("SELECT count(*) FROM journal WHERE subject_digest = sha256('1000')").fetchall()
    assert found == [(4,)]


def test_what_another_worker_is_at_is_left_alone(connection: Connection, other: Connection) -> None:
    with other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", turns.MAINTENANCE_LOCK)
        assert maintain_journal(connection, DAYS).created == ()
    assert len(maintain_journal(connection, DAYS).created) == 3


def test_workers_at_once_with_writers_lose_nothing(
    connection: Connection, each_migrated_database_url: str, today: date
) -> None:
    """Every row written meanwhile is there, every day is made or dropped once, and nobody fails."""
    old = [ago(today, DAYS + more) for more in (1, 2, 3)]
    for day in old:
        make_day(connection, day)
    start = threading.Barrier(5)

    def maintain(_: int) -> JournalMaintenance:
        with psycopg.connect(each_migrated_database_url, autocommit=True) as own:
            start.wait()
            return maintain_journal(own, DAYS)

    def produce(partition: int) -> int:
        with psycopg.connect(each_migrated_database_url, autocommit=True) as own:
            start.wait()
            for offset in range(200):
                with own.transaction():
                    own.execute("SELECT FROM journal WHERE event_key = 1 AND consumed")
                    write(own, today, offset, partition=partition)
        return 200

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(produce, partition) for partition in (1, 2)]
        reports = [report.result() for report in [pool.submit(maintain, one) for one in range(3)]]
        written = sum(writer.result() for writer in writers)
    created = [day for report in reports for day in report.created]
    dropped = [day for report in reports for day in report.dropped]
    assert len(created) == len(set(created))
    assert len(dropped) == len(set(dropped))
    last = maintain_journal(connection, DAYS)
    assert sorted(created + list(last.created)) == [today, ago(today, -1), ago(today, -2)]
    assert sorted(dropped + list(last.dropped)) == sorted(old)
    assert sum(rows_by_table(connection).values()) == written
    assert rows_by_table(connection) == {name(today): written}


def test_tables_that_are_no_days_are_left_alone(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE journal_of_2019 PARTITION OF journal FOR VALUES FROM ('2019-01-01') TO ('2020-01-01')"
    )
    assert maintain_journal(connection, DAYS).dropped == ()


def test_a_lookup_by_event_reads_indexes_and_only_the_days_of_its_window(connection: Connection, today: date) -> None:
    maintain_journal(connection, DAYS)
    for days in (1, 5):
        make_day(connection, ago(today, days))
    connection.execute("SET enable_seqscan = off")
    plan = "\n".join(
        line
        for (line,) in connection.execute(
            "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT FROM journal"
            " WHERE event_key = ANY('{1,2}'::bigint[]) AND consumed AND day >= current_date - 2"
        )
    )
    assert name(ago(today, 1)) in plan
    assert name(ago(today, 5)) not in plan
    assert "Seq Scan" not in plan
    assert "event_key" in plan


def test_what_is_unpublished_is_read_by_its_place(connection: Connection, today: date) -> None:
    maintain_journal(connection, DAYS)
    connection.execute("SET enable_seqscan = off")
    explained = "EXPLAIN (COSTS off) " + UNPUBLISHED % (0, 100, 200)
    plan = "\n".join(line for (line,) in connection.execute(explained.encode()))
    assert plan.count("record_offset >= 100) AND (record_offset < 200)") >= 4, plan
    assert "Seq Scan" not in plan, plan
