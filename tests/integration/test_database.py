"""The runtime's database on real PostgreSQL servers: positions, locks, the batch, the journal."""

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from worker.adapters.postgres.blocks import HELD, ROW_BYTES, kept
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.digests import lock_key, subject_digest
from worker.core.engine.api import Snapshot
from worker.core.errors import SetupError
from worker.core.instances import Instance, Status
from worker.core.records import Output, Record
from worker.ports import (
    Claim,
    DatabaseUnavailable,
    JournalRow,
    Position,
    PositionMoved,
    RevisionMismatch,
    Wanted,
    Writes,
)

OURS = Claim("owner-1", "transactional-1")
THEIRS = Claim("owner-2", "transactional-2")
DIGEST = subject_digest("subject-1")
SNAPSHOT = Snapshot(configuration=("root", 'w"ait\\,'), context={"n": 2**62, "text": "ü"}, init={"a": 1.5})
INSTANCE = Instance("subject-1", "arvo.orc.test", "1.0.0", Status.ACTIVE, SNAPSHOT, "event-1", None, 1_000, 1)
OUTPUT = Output("out", b"key", b'{"a": "\\u0000"}', (("h", b"\x00\xff"), ("n", None)))


@dataclass(frozen=True)
class Brought:
    version: str
    source: str = "arvo.orc.test"
    document: str = "…"

    @property
    def definition_hash(self) -> bytes:
        return sha256(self.version.encode()).digest()


@pytest.fixture
def database(each_migrated_database_url: str) -> Iterator[PostgresDatabase]:
    config = DatabaseConfig(each_migrated_database_url, lock_timeout_seconds=0.5)
    opened = PostgresDatabase(config, OURS.owner)
    yield opened
    opened.close()


@pytest.fixture
def other(each_migrated_database_url: str) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(DatabaseConfig(each_migrated_database_url, lock_timeout_seconds=0.5), THEIRS.owner)
    yield opened
    opened.close()


def taken(database: PostgresDatabase, partition: int = 0, offset: int = 10) -> Position:
    position = Position(partition, "topic-id", offset, offset, OURS.owner, OURS.transactional_id)
    database.insert_positions([position])
    return position


def database_row(database: PostgresDatabase) -> Position:
    return database.positions([0, 1, 2])[0]


def wanted(offset: int = 10, keys: tuple[int, ...] = ()) -> Wanted:
    return Wanted({0: offset}, [DIGEST], keys)


def row(offset: int = 10, **known: object) -> JournalRow:
    record = Record(0, offset, 1_700_000_000_000, b"\xff\x00", b"not \xff utf-8", (("x", b"\x00"), ("y", None)))
    return JournalRow(record=record, outcome="advanced", now=1_000, **known)  # type: ignore[arg-type]


def writes(offset: int = 11, **written: object) -> Writes:
    nothing = Writes(created=(), changed=(), journal=(), next_offsets={0: offset}, published_offsets={0: 0})
    return replace(nothing, **written)  # type: ignore[arg-type]


def begin(database: PostgresDatabase, offset: int = 10) -> Mapping[bytes, Instance]:
    """Lock and read as a batch does."""
    database.lock(OURS.owner, wanted(offset))
    return database.read([DIGEST])


def commit(database: PostgresDatabase, written: Writes) -> None:
    database.write(written)
    database.commit()


def applied(database: PostgresDatabase) -> None:
    """Apply one batch of one record that starts an instance."""
    begin(database)
    rows = [row(consumed=True, event_key=7, event_source="s", event_id="i", content_digest=b"c", subject_digest=DIGEST)]
    commit(database, writes(created=[(DIGEST, INSTANCE)], journal=rows))


def test_an_instance_comes_back_as_it_went(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    seen = database.lock(OURS.owner, wanted(11, keys=(7,)))
    assert [(one.source, one.id, one.content_digest) for one in seen] == [("s", "i", b"c")]
    assert database.read([DIGEST]) == {DIGEST: INSTANCE}


def test_values_come_back_from_jsonb_as_they_went(database: PostgresDatabase) -> None:
    numbers = [2**63 - 1, 2**64 - 1, -(2**63), 1, 1.0, 0.1 + 0.2, 1e-7, 1e15, 1e16, 1e22, -1.5e300, 5e-324, 2.0**63]
    texts = ["\U0001f600", "\u2028", "\x01", "\\u0000", "1e+22", ""]
    given = {"deep": [[[{"\U0001f600": 1e22}]]], "values": [*numbers, *texts, True, None]}
    snapshot = Snapshot(("root",), given, given, remembered={"root": given}, output=given)
    taken(database)
    begin(database)
    commit(database, writes(created=[(DIGEST, replace(INSTANCE, snapshot=snapshot))]))
    found = begin(database, 11)[DIGEST].snapshot
    assert found == snapshot
    # Equal is not the same: 1 and 1.0 are two things on the wire.
    assert repr(found) == repr(snapshot)


def test_a_changed_instance_replaces_the_stored_one(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    begin(database, 11)
    ended = replace(INSTANCE, status=Status.DONE, revision=3, snapshot=replace(SNAPSHOT, output={"x": 1}))
    commit(database, writes(12, changed=[(DIGEST, ended, 1)]))
    assert begin(database, 12) == {DIGEST: ended}


def test_a_revision_that_moved_is_an_alarm_and_writes_nothing(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    begin(database, 11)
    with pytest.raises(RevisionMismatch, match=r"expected \[0, 1, 0, 1\], got \[0, 0, 0, 1\]"):
        commit(database, writes(12, changed=[(DIGEST, replace(INSTANCE, revision=9), 8)]))
    assert begin(database, 11) == {DIGEST: INSTANCE}


def test_a_created_instance_that_is_there_is_an_alarm(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    begin(database, 11)
    with pytest.raises(RevisionMismatch):
        commit(database, writes(12, created=[(DIGEST, INSTANCE)]))


def test_the_batch_moves_the_positions(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    position = database_row(database)
    assert (position.next_offset, position.published_offset) == (11, 10)


def test_a_batch_at_another_offset_is_refused(database: PostgresDatabase) -> None:
    taken(database)
    with pytest.raises(PositionMoved, match="partition 0"):
        begin(database, 9)
    assert begin(database, 10) == {}


def test_a_zombie_is_refused(database: PostgresDatabase, other: PostgresDatabase) -> None:
    other.claim([taken(database)], THEIRS)
    with pytest.raises(PositionMoved, match="another worker"):
        begin(database)


def test_claiming_a_row_that_changed_is_refused(database: PostgresDatabase, other: PostgresDatabase) -> None:
    found = taken(database)
    applied(database)
    with pytest.raises(PositionMoved):
        other.claim([found], THEIRS)


def test_claiming_ends_a_stopped_owner_s_session(database: PostgresDatabase, other: PostgresDatabase) -> None:
    found = taken(database)
    begin(database)
    other.claim([found], THEIRS)
    assert database_row(other).owner == THEIRS.owner
    with pytest.raises(DatabaseUnavailable):
        commit(database, writes(journal=[row()]))
    assert other.lock(THEIRS.owner, wanted()) == []


def test_partitions_are_begun_all_or_none(database: PostgresDatabase) -> None:
    begun = taken(database)
    with pytest.raises(PositionMoved):
        database.insert_positions([replace(begun, partition=1), begun])
    assert list(database.positions([0, 1])) == [0]


def test_a_release_gives_the_row_back(database: PostgresDatabase) -> None:
    taken(database)
    applied(database)
    database.release(OURS.owner, {0: 11})
    assert database_row(database) == Position(0, "topic-id", 11, 11, None, None)


def test_a_death_is_counted_for_each_owner_that_did_not_release(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    taken(database)
    for claim, deaths in ((OURS, 0), (THEIRS, 1), (OURS, 2)):
        other.claim([database_row(other)], claim)
        assert database_row(other).deaths == deaths
    database.release(OURS.owner, {0: 10})
    assert database_row(other).deaths == 0
    other.claim([database_row(other)], THEIRS)
    assert database_row(other).deaths == 0


def test_an_attempt_is_noted_and_told_the_next_time(database: PostgresDatabase, other: PostgresDatabase) -> None:
    taken(database)
    assert [database.note_attempt(OURS.owner, 0, 10) for _ in range(3)] == [0, 1, 2]
    other.claim([database_row(other)], THEIRS)
    assert (database_row(other).deaths, database_row(other).attempts) == (1, 3)
    assert other.note_attempt(THEIRS.owner, 0, 10) == 3


@pytest.mark.parametrize(
    ("owner", "partition", "offset"), [("another", 0, 10), (OURS.owner, 1, 10), (OURS.owner, 0, 9)]
)
def test_an_attempt_at_a_row_that_is_not_as_left_is_refused(
    database: PostgresDatabase, owner: str, partition: int, offset: int
) -> None:
    taken(database)
    with pytest.raises(PositionMoved, match=f"partition {partition} is not as this worker left it at {offset}"):
        database.note_attempt(owner, partition, offset)
    assert database_row(database).attempts == 0


@pytest.mark.parametrize(("offset", "left"), [(10, (1, 1)), (11, (0, 0))])
def test_what_killed_owners_is_forgotten_when_the_position_moves(
    database: PostgresDatabase, other: PostgresDatabase, offset: int, left: tuple[int, int]
) -> None:
    other.insert_positions([Position(0, "topic-id", 10, 10, THEIRS.owner, THEIRS.transactional_id)])
    database.claim([database_row(database)], OURS)
    database.note_attempt(OURS.owner, 0, 10)
    begin(database)
    commit(database, writes(offset))
    assert (database_row(database).deaths, database_row(database).attempts) == left


def test_a_version_is_coming_if_another_worker_brought_it_since_this_one_started(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    old, new = Brought("1.0.0"), Brought("1.1.0")
    other.register([new], "long before")
    with database._session.connection() as connection:
        connection.execute("UPDATE definitions SET last_registered_at = now() - interval '6 minutes'")
    database.register([old], "this one")
    assert not database.is_coming("arvo.orc.test", "1.1.0")
    other.register([new], "since")
    assert database.is_coming("arvo.orc.test", "1.1.0")
    assert not database.is_coming("arvo.orc.other", "1.1.0")


def test_a_version_that_was_brought_shortly_before_is_coming_too(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    other.register([Brought("1.1.0")], "shortly before")
    database.register([Brought("1.0.0")], "this one")
    assert database.is_coming("arvo.orc.test", "1.1.0")


def test_what_is_coming_can_be_asked_within_a_batch(database: PostgresDatabase, other: PostgresDatabase) -> None:
    taken(database)
    database.register([Brought("1.0.0")], "this one")
    begin(database)
    assert not database.is_coming("arvo.orc.test", "1.1.0")
    other.register([Brought("1.1.0")], "since")
    assert database.is_coming("arvo.orc.test", "1.1.0")
    commit(database, writes())
    assert database_row(database).next_offset == 11


def test_an_incarnation_has_a_journal_of_its_own(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    taken(database)
    begin(database)
    commit(
        database,
        writes(
            journal=[
                row(
                    outputs=(OUTPUT,),
                    consumed=True,
                    event_key=7,
                    event_source="s",
                    event_id="i",
                    content_digest=b"c",
                    subject_digest=DIGEST,
                )
            ]
        ),
    )
    with psycopg.connect(each_migrated_database_url) as connection:
        connection.execute("UPDATE positions SET incarnation = 1, next_offset = 10, published_offset = 0")
    assert database.unpublished(0, 0, 20) == []
    assert [one.id for one in database.lock(OURS.owner, wanted(keys=(7,)))] == ["i"], "an event stays consumed"
    commit(database, writes(journal=[row(outputs=(OUTPUT, OUTPUT))]))
    assert [one.outputs for one in database.unpublished(0, 0, 20)] == [(OUTPUT, OUTPUT)]


def test_a_release_leaves_another_owner_s_row(database: PostgresDatabase, other: PostgresDatabase) -> None:
    other.claim([taken(database)], THEIRS)
    database.release(OURS.owner, {0: 10})
    position = database_row(database)
    assert position.owner == THEIRS.owner


def test_outputs_come_back_byte_for_byte_in_offset_order(database: PostgresDatabase) -> None:
    taken(database)
    begin(database)
    rows = [row(11, outputs=(OUTPUT,)), row(10, outputs=(OUTPUT, replace(OUTPUT, key=None, value=None))), row(12)]
    commit(database, writes(13, journal=rows))
    unpublished = database.unpublished(0, 10, 13)
    assert [one.offset for one in unpublished] == [10, 11]
    assert unpublished[0].outputs == (OUTPUT, replace(OUTPUT, key=None, value=None))
    assert [one.offset for one in database.unpublished(0, 11, 12)] == [11]


def test_the_journal_keeps_the_record_byte_for_byte(
    database: PostgresDatabase, each_migrated_database_url: str
) -> None:
    taken(database)
    begin(database)
    commit(database, writes(journal=[row(states_before=("a", 'b"'), error_message="x")]))
    with psycopg.connect(each_migrated_database_url) as connection:
        query = f"SELECT row.states_before, {ROW_BYTES} FROM journal AS row {HELD}"  # noqa: S608 - Constants.
        ((states, *stored),) = connection.execute(query).fetchall()
    headers = (("x", b"\x00"), ("y", None))
    assert (states, kept(stored)) == (["a", 'b"'], (b"\xff\x00", b"not \xff utf-8", headers, ()))


def test_a_subject_s_lock_makes_the_second_batch_wait(database: PostgresDatabase, other: PostgresDatabase) -> None:
    taken(database)
    other.insert_positions([Position(1, "topic-id", 0, 0, THEIRS.owner, THEIRS.transactional_id)])
    begin(database)
    reads: list[object] = []

    def wait_and_read() -> None:
        other.lock(THEIRS.owner, Wanted({1: 0}, [DIGEST], ()))
        reads.append(other.read([DIGEST]))

    waiting = threading.Thread(target=wait_and_read)
    waiting.start()
    commit(database, writes(created=[(DIGEST, INSTANCE)]))
    waiting.join(5)
    assert reads == [{DIGEST: INSTANCE}], "read after the wait, so it sees what the lock's holder wrote"


def test_a_lock_that_can_t_be_had_is_told(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    taken(database)
    with psycopg.connect(each_migrated_database_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(DIGEST),))
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            begin(database)
    assert begin(database) == {}


def test_a_batch_that_stalls_is_ended_and_its_locks_are_free(each_migrated_database_url: str) -> None:
    stalled = PostgresDatabase(DatabaseConfig(each_migrated_database_url, idle_timeout_seconds=0.1), OURS.owner)
    taken(stalled)
    begin(stalled)
    with psycopg.connect(each_migrated_database_url) as waiting:
        waiting.execute("SET lock_timeout = '20s'")
        waiting.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(DIGEST),))
    with pytest.raises(DatabaseUnavailable):
        commit(stalled, writes())
    stalled.close()


def test_a_cut_connection_is_told_and_opened_again(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    taken(database)
    begin(database)
    with psycopg.connect(each_migrated_database_url, autocommit=True) as killer:
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (OURS.owner,)
        )
    with pytest.raises(DatabaseUnavailable):
        commit(database, writes(journal=[row()]))
    assert begin(database) == {}


def test_a_database_serves_one_group(database: PostgresDatabase) -> None:
    database.bind("cluster", "group", "topic")
    database.bind("cluster", "group", "topic")
    with pytest.raises(SetupError, match="another-group"):
        database.bind("cluster", "another-group", "topic")


def test_locks_that_do_not_fit_are_refused_at_the_start(database: PostgresDatabase) -> None:
    database.check_lock_table(500)
    with pytest.raises(SetupError, match="WORKER_BATCH_RECORDS_MAX"):
        database.check_lock_table(1_000_000)


def test_no_secret_is_in_the_error_of_an_unreachable_server() -> None:
    config = DatabaseConfig("postgresql://someone:geheim@127.0.0.1:1/nothing", connect_timeout_seconds=1)
    with pytest.raises(DatabaseUnavailable) as raised:
        PostgresDatabase(config, "owner").positions([0])
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("subjects", [1, 200])
def test_a_batch_costs_a_fixed_number_of_round_trips(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, subjects: int
) -> None:
    taken(database)
    pipelines: list[psycopg.Pipeline] = []
    enter = psycopg.Pipeline.__enter__

    def counted(pipeline: psycopg.Pipeline) -> psycopg.Pipeline:
        pipelines.append(pipeline)
        return enter(pipeline)

    monkeypatch.setattr(psycopg.Pipeline, "__enter__", counted)
    digests = [subject_digest(f"subject-{number}") for number in range(subjects)]
    database.lock(OURS.owner, Wanted({0: 10}, digests, list(range(subjects))))
    database.read(digests)
    created = [(digest, replace(INSTANCE, subject=f"subject-{n}")) for n, digest in enumerate(digests)]
    rows = [row(10 + number) for number in range(subjects)]
    commit(database, writes(10 + subjects, created=created, journal=rows))
    assert len(pipelines) == 2, "one pipeline reads, one writes; the instances, the journal and COMMIT go beside them"


def test_a_release_does_not_wait_for_ever(database: PostgresDatabase, each_migrated_database_url: str) -> None:
    taken(database)
    with psycopg.connect(each_migrated_database_url) as holder:
        holder.execute("SELECT FROM positions FOR UPDATE")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            database.release(OURS.owner, {0: 10})


def test_claiming_ends_a_session_of_our_own_that_was_left_behind(
    database: PostgresDatabase, each_migrated_database_url: str
) -> None:
    found = taken(database)
    left_behind = PostgresDatabase(DatabaseConfig(each_migrated_database_url), OURS.owner)
    begin(left_behind)
    database.claim([found], OURS)
    with pytest.raises(DatabaseUnavailable):
        commit(left_behind, writes(journal=[row()]))
    left_behind.close()


def test_a_server_without_a_word_is_missed_soon(each_migrated_database_url: str) -> None:
    asked_for = make_conninfo(each_migrated_database_url, keepalives_idle=7)
    session = Session(DatabaseConfig(asked_for), OURS.owner)
    with session.connection() as connection:
        told = socket.socket(fileno=os.dup(connection.fileno()))
        assert told.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000
        assert told.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7, "what the address says stands above ours"
        told.close()
    session.close()
