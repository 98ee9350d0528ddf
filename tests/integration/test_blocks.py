"""The journal's blocks: what goes in comes back, by the worker and by SQL."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, TypeAlias

import lz4.block
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from psycopg.rows import DictRow, dict_row

from worker.adapters.postgres.blocks import BLOCK_BYTES, HELD, IN_BLOCK, ROW_BYTES, Place, kept, packed
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.frames import unpack_outputs
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.records import Headers, Output, Record
from worker.ports import JournalRow, Position, Wanted, Writes

Connection: TypeAlias = psycopg.Connection[DictRow]

OWNER = "owner"
SPEECH = some.sampled_from([b"", b"text", b"\xff\xfe", b"\x00", b"a\x00b", b'{"a": "\\u0000"}', "ü\U0001f600".encode()])
BYTES = some.none() | SPEECH | some.binary(max_size=40)
HEADERS = some.lists(some.tuples(some.sampled_from(["ce_id", "ü", '"\\']), BYTES), max_size=3).map(tuple)
OUTPUT = some.builds(Output, some.sampled_from(["out", "other"]), BYTES, BYTES, HEADERS)


def rows_of(contents: Sequence[tuple[bytes | None, bytes | None, Headers, tuple[Output, ...]]]) -> list[JournalRow]:
    """Give rows of two partitions, the first of which has all but the last record."""
    partitions = [0] * (len(contents) - 1) + [1]
    return [
        JournalRow(Record(partition, offset, 0, key, value, headers), "advanced", 0, outputs=outputs)
        for offset, (partition, (key, value, headers, outputs)) in enumerate(zip(partitions, contents, strict=True))
    ]


ROWS = some.lists(
    some.tuples(BYTES, BYTES | some.just(b"large" * BLOCK_BYTES), HEADERS, some.lists(OUTPUT, max_size=2).map(tuple)),
    min_size=1,
    max_size=6,
).map(rows_of)


def read(rows: Sequence[JournalRow], places: Sequence[Place]) -> list[Any]:
    """Read rows as a join finds them: each with the block of the row that its place names."""
    blocks = {(row.record.partition, row.record.offset): place.block for row, place in zip(rows, places, strict=True)}
    return [
        kept((None, None, None, b"", place.frame_start, blocks[row.record.partition, place.block_offset]))
        for row, place in zip(rows, places, strict=True)
    ]


@given(ROWS)
def test_what_is_packed_comes_back(rows: list[JournalRow]) -> None:
    came = [(row.record.key, row.record.value, row.record.headers, row.outputs) for row in rows]
    assert read(rows, packed(rows)) == came


@given(ROWS)
def test_a_block_stands_in_its_last_row_and_holds_one_partition(rows: list[JournalRow]) -> None:
    for row, place in zip(rows, packed(rows), strict=True):
        assert place.block_offset >= row.record.offset, "what keeps an unpublished row keeps its block"
        assert (place.block is None) == (place.block_offset != row.record.offset)
        held = next(one for one in rows if one.record.offset == place.block_offset)
        assert held.record.partition == row.record.partition


def test_a_full_block_ends() -> None:
    rows = rows_of([(None, bytes(BLOCK_BYTES // 3), (), ())] * 7)
    assert [place.block_offset for place in packed(rows)] == [2, 2, 2, 5, 5, 5, 6]


def test_a_worker_that_knows_no_blocks_fails_on_a_row_with_outputs() -> None:
    with pytest.raises(ValueError, match="empty document"):
        unpack_outputs(IN_BLOCK)


# By SQL


@pytest.fixture
def connection(each_migrated_database_url: str) -> Iterator[Connection]:
    with psycopg.connect(each_migrated_database_url, row_factory=dict_row, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(each_migrated_database_url: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(DatabaseConfig(each_migrated_database_url), OWNER)
    database.insert_positions([Position(partition, "t", 0, 0, OWNER, OWNER) for partition in (0, 1)])
    yield database
    database.close()


def write(database: PostgresDatabase, rows: Sequence[JournalRow]) -> None:
    database.lock(OWNER, Wanted({0: 0, 1: 0}, [], []))
    database.write(Writes((), (), rows, {0: 0, 1: 0}, {0: 0, 1: 0}))
    database.commit()


def shown(content: bytes | None) -> Any:
    """Give what the views show of bytes."""
    if content is None:
        return None
    try:
        if b"\0" not in content:
            return content.decode()
    except UnicodeDecodeError:
        pass
    return {"base64": b64encode(content).decode()}


def shown_headers(headers: Headers) -> list[list[Any]]:
    return [[name, shown(value)] for name, value in headers]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=ROWS)
def test_the_views_show_what_the_worker_wrote(
    connection: Connection, database: PostgresDatabase, rows: list[JournalRow]
) -> None:
    connection.execute("TRUNCATE journal")
    write(database, rows)
    views = connection.execute("SELECT * FROM journal_events ORDER BY record_offset").fetchall()
    for row, view in zip(rows, views, strict=True):
        assert view["record_key"] == row.record.key
        assert view["event_headers"] == (shown_headers(row.record.headers) or None)
        assert view["outputs"] == (
            [
                {
                    "topic": one.topic,
                    "key": shown(one.key),
                    "value": shown(one.value),
                    "headers": shown_headers(one.headers),
                }
                for one in row.outputs
            ]
            or None
        )
    query = f"SELECT {ROW_BYTES} FROM journal AS row {HELD} ORDER BY row.record_offset"  # noqa: S608 - Constants.
    stored = [kept(tuple(row.values())) for row in connection.execute(query.encode())]
    assert stored == [(row.record.key, row.record.value, row.record.headers, row.outputs) for row in rows]


def test_events_are_shown_as_json_and_dead_letters_too(connection: Connection, database: PostgresDatabase) -> None:
    values = (b'{"id": "1", "total": 1.50}', b"no json", b'{"id": "3"}')
    rows = [row._replace(outcome="dead_lettered") for row in rows_of([(b"k", value, (), ()) for value in values])]
    write(database, rows)
    for view in ("journal_events", "dead_letters"):
        events = connection.execute(f"SELECT event::text FROM {view} ORDER BY record_offset".encode())  # noqa: S608
        assert [row["event"] for row in events] == [values[0].decode(), None, values[2].decode()]


def test_a_row_whose_block_is_gone_is_shown_without_bytes(connection: Connection, database: PostgresDatabase) -> None:
    write(database, rows_of([(b"k", b"{}", (), (Output("out", b"k", b"{}", ()),))] * 3))
    connection.execute("DELETE FROM journal WHERE block IS NOT NULL")
    (row,) = connection.execute("SELECT record_offset, record_key, event, outputs FROM journal_events")
    assert row == {"record_offset": 0, "record_key": None, "event": None, "outputs": None}


def test_who_asks_for_no_bytes_pays_for_none(connection: Connection) -> None:
    asked = "EXPLAIN (VERBOSE, FORMAT json) SELECT outcome, states_after FROM journal_events"
    assert "lz4_decoded" not in str(connection.execute(asked).fetchall())
    asked = "EXPLAIN (VERBOSE, FORMAT json) SELECT event, outputs, record_key FROM journal_events"
    assert str(connection.execute(asked).fetchall()).count("lz4_decoded") == 1


RANDOM = Random(5)
CONTENTS = {
    "empty": b"",
    "one byte": b"a",
    "a run": b"a" * 100_000,
    "a period of three": b"abc" * 50_000,
    "of no pattern": RANDOM.randbytes(70_000),
    "long literals and matches": (RANDOM.randbytes(300) + b"x" * 300) * 20,
    "matches from far": (block := RANDOM.randbytes(60_000)) * 5,
    "more than is kept at hand": b"".join(RANDOM.choice((block[:700], block[90:400])) for _ in range(600)),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_sql_decompresses_what_lz4_compressed(connection: Connection, content: bytes) -> None:
    packed = lz4.block.compress(content)
    row = connection.execute("SELECT lz4_decoded(%b) AS decoded", (packed,)).fetchone()
    assert row == {"decoded": content}
