"""What the database tells of PostgreSQL's faults, and that no call outlasts its bound, on real servers."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.servers.proxy import TcpProxy
from worker.adapters.embedded import EmbeddedPostgres
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.faults import CALL, COMMITTING, FAULTS, READING, WRITING, Told, raised
from worker.adapters.postgres.migrate import migrate
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.digests import lock_key, subject_digest
from worker.core.engine.api import Snapshot
from worker.core.instances import Instance, Status
from worker.core.records import Record
from worker.ports import (
    BatchRefused,
    BatchTooLarge,
    Claim,
    DatabaseRefused,
    DatabaseUnavailable,
    JournalRow,
    Position,
    PositionMoved,
    Wanted,
    Writes,
)

OURS = Claim("owner-1", "transactional-1")
DIGEST = subject_digest("subject-1")
INSTANCE = Instance("subject-1", "arvo.orc.test", "1.0.0", Status.ACTIVE, Snapshot(("a",), {}, {}), "i", None, 1, 1)
CALL_SECONDS = 1.0
NOT_FOR_EVER_SECONDS = 10.0
PASSWORD = "of-a-test"  # noqa: S105

Act: TypeAlias = Callable[[PostgresDatabase], object]


def wanted(offset: int = 10) -> Wanted:
    return Wanted({0: offset}, [DIGEST], [7])


def row(offset: int = 10, **known: object) -> JournalRow:
    record = Record(0, offset, 1_700_000_000_000, None, None, ())
    return JournalRow(record=record, outcome="advanced", now=1_000, **known)  # type: ignore[arg-type]


def writes(*rows: JournalRow, offset: int = 11, created: tuple[Instance, ...] = ()) -> Writes:
    return Writes([(subject_digest(one.subject), one) for one in created], (), rows, {0: offset}, {0: 0})


def begin(database: PostgresDatabase, offset: int = 10) -> None:
    database.lock(OURS.owner, wanted(offset))
    database.read([DIGEST])


def begun(url: str, **config: float) -> PostgresDatabase:
    """Give a database that owns partition 0 at offset 10."""
    database = PostgresDatabase(DatabaseConfig(url, **config), OURS.owner)  # type: ignore[arg-type]
    database.insert_positions([Position(0, "topic-id", 10, 10, OURS.owner, OURS.transactional_id)])
    return database


@pytest.fixture
def database(each_migrated_database_url: str) -> Iterator[PostgresDatabase]:
    opened = begun(each_migrated_database_url, call_timeout_seconds=5.0, lock_timeout_seconds=0.5)
    yield opened
    opened.close()


def execute(url: str, *texts: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for text in texts:
            connection.execute(text.encode())


def backend_of(database: PostgresDatabase) -> int:
    connection = database._session._connection
    assert connection is not None
    return connection.info.backend_pid


# What each code comes to


def error_of(code: str) -> psycopg.Error:
    error = psycopg.errors.lookup(code)("said")
    assert error.sqlstate == code
    return error


@pytest.mark.parametrize(
    ("code", "call", "reading", "writing"),
    [
        ("08006", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("22P02", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("22021", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("23514", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("23502", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("23505", DatabaseRefused, DatabaseRefused, DatabaseRefused),
        ("25006", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("25P03", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("40001", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("40P01", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("42P01", DatabaseRefused, DatabaseRefused, DatabaseRefused),
        ("42501", DatabaseRefused, DatabaseRefused, DatabaseRefused),
        ("53100", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("53200", DatabaseUnavailable, BatchTooLarge, BatchTooLarge),
        ("53300", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("53400", DatabaseUnavailable, BatchTooLarge, BatchTooLarge),
        ("54000", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("55P03", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("57014", DatabaseUnavailable, BatchTooLarge, BatchTooLarge),
        ("57P01", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("58030", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("P0001", DatabaseRefused, DatabaseRefused, BatchRefused),
        ("XX000", DatabaseUnavailable, DatabaseUnavailable, DatabaseUnavailable),
        ("0A000", DatabaseRefused, DatabaseRefused, DatabaseRefused),
    ],
)
def test_codes(code: str, call: type[Exception], reading: type[Exception], writing: type[Exception]) -> None:
    for told, expected in ((CALL, call), (READING, reading), (WRITING, writing), (COMMITTING, DatabaseUnavailable)):
        assert type(raised(error_of(code), told)) is expected


@pytest.mark.parametrize(
    ("error", "told", "expected"),
    [
        (psycopg.DataError("a text with U+0000"), WRITING, BatchRefused),
        (psycopg.OperationalError("the connection is lost"), WRITING, DatabaseUnavailable),
        (psycopg.ProgrammingError("no such placeholder"), WRITING, DatabaseRefused),
    ],
)
def test_errors_without_a_code(error: psycopg.Error, told: Told, expected: type[Exception]) -> None:
    assert type(raised(error, told)) is expected


def test_every_code_of_the_table_is_one_of_postgresql_s() -> None:
    known = [code for name in dir(psycopg.errors) if (code := getattr(getattr(psycopg.errors, name), "sqlstate", None))]
    codes = [code for code in known if isinstance(code, str)]
    for part in FAULTS:
        assert any(code.startswith(part) for code in codes), part


# What a batch meets


def test_a_value_that_a_type_does_not_take_is_the_batch_s(database: PostgresDatabase) -> None:
    begin(database)
    backend = backend_of(database)
    with pytest.raises(BatchRefused, match=r"0x00 \(22021\)"):
        database.write(writes(row(error_message="a\0b")))
    # Its other half goes on, on the same connection, and nothing of the first try is there.
    begin(database)
    database.write(writes(row(error_message="ab")))
    database.commit()
    assert backend_of(database) == backend
    assert database.positions([0])[0].next_offset == 11


def test_a_text_that_is_not_unicode_is_the_batch_s(database: PostgresDatabase) -> None:
    begin(database)
    with pytest.raises(BatchRefused, match="not Unicode"):
        database.write(writes(row(error_message="\ud800")))
    begin(database)


def test_a_key_that_no_index_takes_is_the_batch_s(database: PostgresDatabase) -> None:
    long = Instance("s", "".join(map(chr, range(256, 12_000))), "1", Status.ACTIVE, INSTANCE.snapshot, "i", None, 1, 1)
    begin(database)
    with pytest.raises(BatchRefused, match=r"index row.*\(54000\)"):
        database.write(writes(row(), created=(long,)))
    begin(database)


def test_a_trigger_s_refusal_is_the_batch_s(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    execute(
        each_migrated_database_url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON instances FOR EACH ROW EXECUTE FUNCTION no()",
    )
    begin(database)
    with pytest.raises(BatchRefused, match="not this one"):
        database.write(writes(row(), created=(INSTANCE,)))


def test_a_record_that_is_journalled_already_is_no_record_s_fault(database: PostgresDatabase) -> None:
    begin(database)
    with pytest.raises(DatabaseRefused, match=r"\(23505\)"):
        database.write(writes(row(), row()))


def test_a_missing_column_is_no_record_s_fault(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    begin(database)
    database.roll_back()
    execute(each_migrated_database_url, "ALTER TABLE journal DROP COLUMN outputs CASCADE")
    begin(database)
    with pytest.raises(DatabaseRefused, match="outputs"):
        database.write(writes(row()))


def test_a_missing_right_is_no_record_s_fault(each_migrated_database_url: str) -> None:
    with begun_as_stranger(each_migrated_database_url) as stranger, pytest.raises(DatabaseRefused, match="denied"):
        stranger.lock(OURS.owner, wanted())


class begun_as_stranger:  # noqa: N801  # It reads as a function.
    """A database of a role that may do nothing; the role goes in the end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._role = f"stranger_{conninfo_to_dict(url)['dbname']}"

    def __enter__(self) -> PostgresDatabase:
        execute(self._url, f"CREATE ROLE {self._role} LOGIN PASSWORD '{PASSWORD}'")
        stranger = make_conninfo(self._url, user=self._role, password=PASSWORD)
        self._database = PostgresDatabase(DatabaseConfig(stranger), OURS.owner)
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()
        execute(self._url, f"DROP ROLE {self._role}")


def test_locks_beyond_the_lock_table_are_too_many(database: PostgresDatabase) -> None:
    many = [subject_digest(str(number)) for number in range(60_000)]
    with pytest.raises(BatchTooLarge, match="out of shared memory"):
        database.lock(OURS.owner, Wanted({0: 10}, many, []))
    backend = backend_of(database)
    database.lock(OURS.owner, Wanted({0: 10}, many[:100], []))
    assert backend_of(database) == backend


def test_what_takes_too_long_is_too_large(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    execute(
        each_migrated_database_url,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    begin(database)
    with pytest.raises(BatchTooLarge, match="statement timeout"):
        database.write(writes(*(row(offset) for offset in range(10, 16)), offset=16))
    begin(database)
    database.write(writes(row()))
    database.commit()


def test_a_batch_is_ended_by_a_standby_s_refusal_to_write(
    database: PostgresDatabase, each_migrated_database_url: str
) -> None:
    name = conninfo_to_dict(each_migrated_database_url)["dbname"]
    begin(database)
    database.roll_back()
    execute(each_migrated_database_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    database.close()
    with pytest.raises(DatabaseUnavailable, match=r"\(25006\)"):
        begin(database)
    with pytest.raises(DatabaseUnavailable, match=r"\(25006\)"):
        database.release(OURS.owner, {0: 10})


def test_connections_that_are_not_to_be_had_are_waited_for(each_migrated_database_url: str) -> None:
    name = conninfo_to_dict(each_migrated_database_url)["dbname"]
    role = f"single_{name}"
    execute(each_migrated_database_url, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0")
    try:
        one = PostgresDatabase(
            DatabaseConfig(make_conninfo(each_migrated_database_url, user=role, password=PASSWORD)), "o"
        )
        with pytest.raises(DatabaseUnavailable, match="too many connections"):
            one.positions([0])
    finally:
        execute(each_migrated_database_url, f"DROP ROLE {role}")


def test_a_lock_in_use_is_waited_for(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    with psycopg.connect(each_migrated_database_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(DIGEST),))
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            begin(database)


def test_a_failed_commit_is_of_unknown_fate(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    execute(
        each_migrated_database_url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$",
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON instances DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no()",
    )
    begin(database)
    database.write(writes(row(), created=(INSTANCE,)))
    with pytest.raises(DatabaseUnavailable, match="too late"):
        database.commit()
    assert database.positions([0])[0].next_offset == 10


@pytest.mark.parametrize(
    "act",
    [lambda it: it.read([DIGEST]), lambda it: it.write(writes(row())), lambda it: it.commit()],
    ids=["read", "write", "commit"],
)
@pytest.mark.parametrize("end", [lambda it: it.close(), lambda it: it.roll_back(), lambda it: it.positions([0])])
def test_nothing_of_a_batch_is_done_on_its_own(database: PostgresDatabase, end: Act, act: Act) -> None:
    begin(database)
    end(database)
    with pytest.raises(DatabaseUnavailable, match="the batch's transaction has ended"):
        act(database)
    assert database.positions([0])[0].next_offset == 10


def test_a_batch_that_was_left_open_is_dropped_by_the_next(database: PostgresDatabase) -> None:
    begin(database)
    database.write(writes(row()))
    begin(database)
    database.write(writes(row()))
    database.commit()
    assert database.positions([0])[0].next_offset == 11


def test_a_batch_that_was_left_open_does_not_swallow_a_release(database: PostgresDatabase) -> None:
    begin(database)
    database.release(OURS.owner, {0: 10})
    database.close()
    assert database.positions([0])[0].owner is None


def test_a_roll_back_never_fails(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    database.roll_back()
    begin(database)
    execute(each_migrated_database_url, f"SELECT pg_terminate_backend({backend_of(database)}, 5000)")
    database.roll_back()
    begin(database)


# Bounds


@pytest.fixture
def proxy(each_migrated_database_url: str) -> Iterator[TcpProxy]:
    with TcpProxy(int(str(conninfo_to_dict(each_migrated_database_url)["port"]))) as between:
        yield between


@pytest.fixture
def far(each_migrated_database_url: str, proxy: TcpProxy) -> Iterator[PostgresDatabase]:
    """Put a network that may swallow packets before a database."""
    url = make_conninfo(each_migrated_database_url, host="127.0.0.1", port=proxy.port)
    opened = begun(url, call_timeout_seconds=CALL_SECONDS, connect_timeout_seconds=2)
    yield opened
    opened.close()


def seconds_of(act: Callable[[], object]) -> float:
    started = time.monotonic()
    with suppress(DatabaseUnavailable):
        act()
        pytest.fail("it came to an end without an answer")
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("before", "act"),
    [
        ([], lambda database: database.positions([0])),
        ([], lambda database: database.claim(list(database.positions([0]).values()), OURS)),
        ([], lambda database: database.release(OURS.owner, {0: 10})),
        ([], lambda database: database.unpublished(0, 0, 10)),
        ([], lambda database: database.note_attempt(OURS.owner, 0, 10)),
        ([], lambda database: database.is_coming("arvo.orc.test", "1.0.0")),
        ([], lambda database: database.lock(OURS.owner, wanted())),
        ([begin], lambda database: database.read([DIGEST])),
        ([begin], lambda database: database.write(writes(row()))),
        ([begin, lambda database: database.write(writes(row()))], lambda database: database.commit()),
    ],
    ids=["positions", "claim", "release", "unpublished", "note", "is_coming", "lock", "read", "write", "commit"],
)
def test_no_call_waits_for_ever_on_a_network_that_swallows_packets(
    far: PostgresDatabase, proxy: TcpProxy, before: list[Act], act: Act
) -> None:
    for earlier in before:
        earlier(far)
    proxy.stall()
    assert CALL_SECONDS / 2 < seconds_of(lambda: act(far)) < NOT_FOR_EVER_SECONDS
    proxy.restore()
    # It connects anew; what was open is rolled back when the server hears of the end.
    assert far.positions([0])[0].owner in {OURS.owner, None}


def test_a_roll_back_does_not_wait_for_ever(far: PostgresDatabase, proxy: TcpProxy) -> None:
    begin(far)
    proxy.stall()
    started = time.monotonic()
    far.roll_back()
    assert time.monotonic() - started < NOT_FOR_EVER_SECONDS


def test_connecting_does_not_wait_for_ever(far: PostgresDatabase, proxy: TcpProxy) -> None:
    far.close()
    proxy.stall()
    assert seconds_of(lambda: far.positions([0])) < NOT_FOR_EVER_SECONDS


def test_no_answer_in_time_is_told(far: PostgresDatabase, proxy: TcpProxy) -> None:
    far.positions([0])
    proxy.stall()
    with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
        far.positions([0])


def test_what_was_sent_into_a_stall_takes_no_effect_behind_a_new_claim(
    far: PostgresDatabase, proxy: TcpProxy, each_migrated_database_url: str
) -> None:
    """The COMMIT that got stuck comes after the row was taken again, or before: never both count."""
    begin(far)
    far.write(writes(row()))
    proxy.stall()
    with pytest.raises(DatabaseUnavailable):
        far.commit()
    near = PostgresDatabase(DatabaseConfig(each_migrated_database_url, lock_timeout_seconds=0.2), OURS.owner)
    # The stalled session holds the row: the claim ends it first.
    near.claim(list(near.positions([0]).values()), OURS)
    proxy.restore()
    near.lock(OURS.owner, wanted())
    near.read([DIGEST])
    near.write(writes(row()))
    near.commit()
    assert near.positions([0])[0].next_offset == 11
    near.close()


def test_timeouts_of_statements_end_before_the_call_s() -> None:
    config = DatabaseConfig("", call_timeout_seconds=10, lock_timeout_seconds=60, idle_timeout_seconds=7)
    assert config.timeouts() == ("3000ms", "3000ms", "7000ms")
    assert DatabaseConfig("").timeouts() == ("5000ms", "9000ms", "60000ms")


@pytest.mark.slow
def test_a_commit_that_a_standby_did_not_confirm_is_not_told_as_done() -> None:
    with EmbeddedPostgres(durable=False) as server:
        migrate(server.url)
        database = begun(server.url, call_timeout_seconds=2.0, statement_timeout_seconds=0.3)
        execute(server.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        for _ in range(100):
            with psycopg.connect(server.url) as connection:
                if connection.execute("SHOW synchronous_standby_names").fetchone() == ("nobody",):
                    break
        begin(database)
        database.write(writes(row()))
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            database.commit()
        database.close()


def test_a_moved_position_leaves_no_transaction_open(database: PostgresDatabase) -> None:
    with pytest.raises(PositionMoved, match=re.escape("partition 0")):
        database.lock(OURS.owner, wanted(9))
    assert not database._session.is_open
