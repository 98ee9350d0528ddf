"""The upkeep on real servers: who does it, which instances go, and what comes for them afterwards."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg import sql

from machines.order import machine as order_machine
from tests.bench.growth.harness import Harness, Shape
from tests.docs.pages import Page
from tests.workload import STATES, Order
from worker.adapters.postgres import retention as sweeping
from worker.adapters.postgres import upkeep as keeping
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.journal_days import DAYS_AHEAD, LONG_SECONDS
from worker.adapters.postgres.session import DatabaseConfig
from worker.adapters.postgres.turns import LOCK_TIMEOUT_SECONDS, MAINTENANCE_LOCK
from worker.adapters.postgres.upkeep import PostgresUpkeep, UpkeepConfig
from worker.adapters.postgres.upkeep_facts import look_at_upkeep
from worker.core.codec import EncodedRecord
from worker.core.digests import subject_digest
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.instances import Instance, Status
from worker.core.retention import retention_of
from worker.ports import DatabaseRefused, Position, Upkept, Wanted

Connection: TypeAlias = psycopg.Connection[Any]
Told: TypeAlias = tuple[str, str | None]

PAGE = Page("docs/operating.md")
ORDER, PAYMENT, AUDIT = "arvo.orc.order", "arvo.orc.payment", "arvo.orc.audit"

INSERT = """
INSERT INTO instances (subject_digest, subject, parent_subject, parent_digest, source, version, status, states,
    snapshot, output, init_event_id, revision, now_ms, ended_at)
VALUES (%(digest)s, %(subject)s, %(parent)s, %(parent_digest)s, %(source)s, '1.0.0', %(status)s, '{root}',
    '{"configuration": [], "context": {}, "init": {}}',
    '{"a": 1}', 'init', 3, 0,
    CASE WHEN %(status)s <> 'active' THEN now() - %(days)s * interval '1 day' END)
"""


@pytest.fixture
def url(each_migrated_database_url: str) -> str:
    return each_migrated_database_url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def insert(
    connection: Connection, subject: str, days: float = 0, *, status: str = "done", source: str = ORDER, of: str = ""
) -> None:
    """Insert an instance that ended so many days ago."""
    digests = {"digest": subject_digest(subject), "parent_digest": subject_digest(of) if of else None}
    names = {"subject": subject, "parent": of or None, "source": source, "status": status, "days": days}
    connection.execute(INSERT, digests | names)


def subjects(connection: Connection, table: str = "instances") -> set[str]:
    table_named = sql.Identifier(table)
    return {subject for (subject,) in connection.execute(sql.SQL("SELECT subject FROM {}").format(table_named))}


def upkeep_of(url: str, *rules: str, owner: str = "owner-1") -> PostgresUpkeep:
    return PostgresUpkeep(DatabaseConfig(url), owner, UpkeepConfig(30, retention_of(rules)))


def kept(connection: Connection, url: str, *rules: str) -> Upkept:
    """Do the upkeep, as if nobody had for long."""
    connection.execute("UPDATE upkeep SET begun_at = NULL, swept_at = NULL")
    done = upkeep_of(url, *rules).run()
    assert done.seconds is not None
    return done


class TestWhoDoesIt:
    def test_the_first_one_does_it_and_the_others_leave_it(self, url: str, connection: Connection) -> None:
        first = upkeep_of(url).run()
        assert first.changes["journal_days_made"] == 3
        second = upkeep_of(url, owner="owner-2").run()
        assert (second.changes, second.seconds) == ({}, None)
        assert second.idle_seconds is not None
        ((worker, changes, ended),) = connection.execute("SELECT worker, changes, ended_at IS NOT NULL FROM upkeep")
        assert (worker, changes, ended) == ("owner-1", first.changes, True)

    def test_it_is_due_again_after_a_while_and_any_worker_does_it(self, url: str, connection: Connection) -> None:
        upkeep_of(url).run()
        connection.execute("UPDATE upkeep SET begun_at = begun_at - interval '51 seconds'")
        assert upkeep_of(url, owner="owner-2").run().seconds is not None
        assert connection.execute("SELECT worker FROM upkeep").fetchall() == [("owner-2",)]

    def test_of_many_at_once_one_does_it(self, url: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda number: upkeep_of(url, owner=f"owner-{number}").run(), range(4)))
        assert [one.seconds is not None for one in done].count(True) == 1

    def test_nobody_does_it_while_another_makes_a_change(self, url: str, connection: Connection) -> None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", MAINTENANCE_LOCK)
            assert upkeep_of(url).run() == Upkept(idle_seconds=None)
        assert upkeep_of(url).run().seconds is not None

    def test_one_that_died_is_followed(self, url: str, connection: Connection) -> None:
        connection.execute("INSERT INTO upkeep (begun_at, worker) VALUES (now() - interval '2 minutes', 'dead')")
        assert upkeep_of(url).run().changes["journal_days_made"] == 3

    def test_days_that_could_not_be_made_are_tried_again_soon(self, url: str, connection: Connection) -> None:
        with psycopg.connect(url) as other:
            other.execute("SELECT FROM journal")
            other.execute("SELECT pg_sleep(%s)", (LONG_SECONDS + 0.2,))
            assert upkeep_of(url).run().changes["journal_days_made"] == 0
        # A minute later it is not due yet, some minutes later it is.
        for seconds, made in ((60, None), (300, 3), (300, None)):
            connection.execute(
                "UPDATE upkeep SET begun_at = begun_at - %(ago)s, days_at = days_at - %(ago)s",
                {"ago": timedelta(seconds=seconds)},
            )
            assert upkeep_of(url).run().changes.get("journal_days_made") == made

    def test_what_is_refused_is_told(self, url: str, connection: Connection) -> None:
        connection.execute("ALTER TABLE upkeep RENAME TO elsewhere")
        with pytest.raises(DatabaseRefused, match='relation "upkeep" does not exist'):
            upkeep_of(url).run()

    def test_the_doctor_sees_it(self, url: str, connection: Connection) -> None:
        before = look_at_upkeep(DatabaseConfig(url), "doctor")
        assert (before.idle_seconds, before.sweep_seconds, len(before.days_missing)) == (None, None, 2)
        insert(connection, "old", 31)
        connection.execute(
            "INSERT INTO journal (day, partition, record_offset, record_timestamp, consumed, outcome)"
            " VALUES (current_date - 3, 0, 0, 0, false, 'ignored')"
        )
        kept(connection, url, "remove:30")
        after = look_at_upkeep(DatabaseConfig(url), "doctor")
        assert after.idle_seconds is not None
        assert after.sweep_seconds is not None
        assert (list(after.days_missing), after.oldest_days, after.default_rows) == ([], 0, 1)


@pytest.mark.parametrize("statement", PAGE.blocks("sql"))
def test_what_the_page_says_can_be_run(url: str, connection: Connection, statement: str) -> None:
    upkeep_of(url).run()
    assert connection.execute(statement.encode()).statusmessage


def test_the_page_s_numbers_are_those_that_hold() -> None:
    text = PAGE.text.replace("\n", " ")
    assert f"{sweeping.PAGES_MAX * 8 // 1024} MiB of `instances`" in text
    assert f"lets {sweeping.ROWS_MAX:,} go, for {sweeping.SECONDS_MAX:g} s" in text
    assert (LOCK_TIMEOUT_SECONDS, LONG_SECONDS, DAYS_AHEAD) == (1, 1, 2)
    (rules,) = (line for block in PAGE.blocks("sh") for line in block.splitlines() if "INSTANCE_RETENTION" in line)
    assert retention_of(rules.partition('"')[2].rstrip('"').split(",")).default.days == 90


class TestWhichGo:
    def test_by_age_as_the_machine_s_rule_says(self, url: str, connection: Connection) -> None:
        for source in (ORDER, PAYMENT, AUDIT):
            for days in (29, 31, 91):
                insert(connection, f"{source} {days}", days, source=source)
            insert(connection, f"{source} active", status="active", source=source)
        insert(connection, "cancelled", 31, status="cancelled")
        before = subjects(connection)
        done = kept(connection, url, "remove:30", f"{PAYMENT}=archive:90", f"{AUDIT}=keep")
        assert (done.changes["instances_removed"], done.changes["instances_archived"]) == (3, 1)
        gone = {f"{ORDER} 31", f"{ORDER} 91", "cancelled", f"{PAYMENT} 91"}
        assert subjects(connection) == before - gone
        assert subjects(connection, "instances_archive") == {f"{PAYMENT} 91"}

    def test_all_stay_unless_a_rule_says_otherwise(self, url: str, connection: Connection) -> None:
        insert(connection, "old", 30_000)
        assert "instances_removed" not in kept(connection, url).changes
        assert "instances_removed" not in kept(connection, url, "keep").changes
        assert kept(connection, url, f"{PAYMENT}=remove:1").changes["instances_removed"] == 0
        assert subjects(connection) == {"old"}

    def test_what_is_archived_is_whole(self, url: str, connection: Connection) -> None:
        insert(connection, "parent", 40)
        insert(connection, "old", 31, of="parent")
        (before,) = connection.execute("SELECT * FROM instances WHERE subject = 'old'").fetchall()
        kept(connection, url, "archive:30")
        (after,) = connection.execute("SELECT * FROM instances_archive WHERE subject = 'old'").fetchall()
        assert after[:-1] == before
        # Whoever starts the subject anew has it archived beside the first.
        insert(connection, "old", 31)
        kept(connection, url, "archive:30")
        assert connection.execute("SELECT count(*) FROM instances_archive").fetchall() == [(3,)]

    def test_parents_and_children_of_active_ones_stay(self, url: str, connection: Connection) -> None:
        insert(connection, "running parent", status="active")
        insert(connection, "its child", 90, of="running parent")
        insert(connection, "parent of one that runs", 90)
        insert(connection, "running child", status="active", of="parent of one that runs")
        insert(connection, "ended parent", 90)
        insert(connection, "ended child", 90, of="ended parent")
        assert kept(connection, url, "remove:30").changes["instances_removed"] == 2
        assert subjects(connection, "instances") == {
            "running parent",
            "its child",
            "parent of one that runs",
            "running child",
        }
        connection.execute("UPDATE instances SET status = 'done', ended_at = now() - interval '31 days'")
        assert kept(connection, url, "remove:30").changes["instances_removed"] == 4

    def test_one_that_somebody_holds_is_left_to_the_next_run(self, url: str, connection: Connection) -> None:
        for subject in ("held", "free"):
            insert(connection, subject, 31)
        with psycopg.connect(url) as other:
            other.execute("SELECT FROM instances WHERE subject = 'held' FOR UPDATE")
            assert kept(connection, url, "remove:30").changes["instances_removed"] == 1
        assert subjects(connection) == {"held"}
        assert kept(connection, url, "remove:30").changes["instances_removed"] == 1

    def test_a_run_is_bounded_and_the_next_one_goes_on(
        self, url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "PAGES_MAX", 2)
        monkeypatch.setattr(sweeping, "PAGES_AT_ONCE", 1)
        for number in range(120):
            insert(connection, f"old {number}", 31)
        ((pages,),) = connection.execute("SELECT pg_relation_size('instances') / 8192")
        assert pages > 4
        removed, runs = [], []
        for _ in range(40):
            connection.execute("UPDATE upkeep SET begun_at = NULL")
            removed.append(upkeep_of(url, "remove:30").run().changes["instances_removed"])
            ((next_page, is_swept),) = connection.execute("SELECT next_page, swept_at IS NOT NULL FROM upkeep")
            runs.append(next_page)
            if is_swept:
                break
        assert subjects(connection) == set()
        assert sum(removed) == 120
        assert runs == [*range(2, pages, 2), 0]
        # All has been looked at: the next pass begins in an hour.
        connection.execute("UPDATE upkeep SET begun_at = NULL")
        insert(connection, "late", 31)
        assert "instances_removed" not in upkeep_of(url, "remove:30").run().changes

    def test_so_many_go_in_one_run_at_most(
        self, url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "ROWS_MAX", 1)
        monkeypatch.setattr(sweeping, "PAGES_AT_ONCE", 1)
        for number in range(120):
            insert(connection, f"old {number}", 31)
        done = kept(connection, url, "remove:30")
        assert 1 <= done.changes["instances_removed"] < 60
        assert connection.execute("SELECT next_page FROM upkeep").fetchall() == [(1,)]

    def test_a_process_s_first_run_is_short(
        self, url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keeping, "FIRST_SECONDS_MAX", 0.0)
        insert(connection, "old", 31)
        upkeep = upkeep_of(url, "remove:30")
        assert upkeep.run().changes["instances_removed"] == 0
        assert connection.execute("SELECT next_page, swept_at FROM upkeep").fetchall() == [(0, None)]
        connection.execute("UPDATE upkeep SET begun_at = NULL")
        assert upkeep.run().changes["instances_removed"] == 1

    def test_pages_are_read_by_their_place_and_no_others(self, url: str, connection: Connection) -> None:
        connection.execute("SET enable_seqscan = off")
        parameters = sweeping._parameters(retention_of(["remove:30"])) | {"first": "(64,0)", "last": "(128,0)"}
        plan = "\n".join(line for (line,) in connection.execute(b"EXPLAIN " + sweeping._SWEEP.encode(), parameters))
        assert "Tid Range Scan on instances one" in plan, plan


class TestWhatComesAfterwards:
    @pytest.mark.parametrize(("reads", "looks"), [(True, False), (False, True), (False, False)])
    def test_an_archived_instance_is_found_as_if_it_were_there(
        self, url: str, connection: Connection, *, reads: bool, looks: bool
    ) -> None:
        insert(connection, "old", 31)
        insert(connection, "there", status="active")
        kept(connection, url, "archive:30")
        config = DatabaseConfig(url, reads_archive=reads)
        found = found_by(config, ["old", "there", "nobody"], looks=looks)
        assert set(found) == ({"old", "there"} if reads or looks else {"there"})
        if "old" in found:
            assert (found["old"].status, found["old"].revision) == (Status.DONE, 3)

    def test_without_an_archive_nobody_looks_there(self, url: str, connection: Connection) -> None:
        connection.execute("ALTER TABLE instances_archive ALTER subject TYPE bytea USING NULL")
        assert found_by(DatabaseConfig(url), ["nobody"], looks=True) == {}

    @pytest.mark.parametrize(
        ("rule", "late", "start"),
        [
            ("keep", ("ignored", "ENDED"), ("dead_lettered", "ALREADY_STARTED")),
            ("archive:30", ("ignored", "ENDED"), ("dead_lettered", "ALREADY_STARTED")),
            ("remove:30", ("dead_lettered", "NO_INSTANCE"), ("advanced", None)),
        ],
    )
    def test_late_and_second_events_do_no_harm(
        self, migrated_database_url: str, rule: str, late: Told, start: Told
    ) -> None:
        """What is told by the journal is a duplicate still; what is new is told by the instance, if it is there."""
        url, order = migrated_database_url, Order(1)
        steps = [order.record(step) for step in range(len(STATES))]
        harness = Harness(
            url, Shape(order_machine, SismicEngine(), "orc", 10), reads_archive=rule.startswith("archive")
        )
        with psycopg.connect(url, autocommit=True) as connection:
            for step in steps:
                apply(harness, step)
            connection.execute("UPDATE instances SET ended_at = ended_at - interval '31 days'")
            kept(connection, url, rule)
            assert subjects(connection) == ({order.subject} if rule == "keep" else set())
            apply(harness, steps[0])
            apply(harness, steps[3])
            apply(harness, with_id(steps[3], "another"))
            apply(harness, with_id(steps[0], "another"))
            told = connection.execute("SELECT outcome, reason FROM journal ORDER BY record_offset").fetchall()
        harness.close()
        assert told == [("advanced", None)] * 4 + [("duplicate", None)] * 2 + [late, start]


def found_by(config: DatabaseConfig, names: list[str], *, looks: bool) -> dict[str, Instance]:
    """Give the instances that a batch reads."""
    database = PostgresDatabase(config, "owner-1")
    try:
        if looks:
            database.look_for_archive()
        database.insert_positions([Position(0, "t", 0, 0, "owner-1", "t")])
        digests = [subject_digest(name) for name in names]
        database.lock("owner-1", Wanted({0: 0}, digests, ()))
        return {one.subject: one for one in database.read(digests).values()}
    finally:
        database.close()


def apply(harness: Harness, event: EncodedRecord) -> None:
    """Apply one event as a batch."""
    for batch in harness.batches([(0, event)]):
        harness.apply(batch)


def with_id(record: EncodedRecord, name: str) -> EncodedRecord:
    event = json.loads(record.value)
    return record._replace(value=json.dumps(event | {"id": f"{event['id']}-{name}"}).encode())
