"""The schema from the migrations is the schema that `tables.py` describes."""

from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.migrations.catalog import describe_schema
from tests.servers.postgres import Databases
from worker.adapters.postgres.migrate import migrate
from worker.adapters.postgres.tables import COMPRESSED, metadata


def engine_of(url: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)


@pytest.fixture
def created_url(each_databases: Databases) -> str:
    url = each_databases.make()
    metadata.create_all(engine_of(url))
    return url


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_migrations_and_metadata_build_the_same(created_url: str, each_migrated_database_url: str) -> None:
    created, migrated = describe_schema(created_url), describe_schema(each_migrated_database_url)
    for part, rows in created.items():
        assert rows == migrated[part], part
        assert rows, f"{part}: nothing to compare"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE definitions ADD COLUMN more text",
        "ALTER TABLE instances ALTER COLUMN subject DROP NOT NULL",
        "ALTER TABLE instances ALTER COLUMN output SET COMPRESSION pglz",
        "ALTER TABLE instances ALTER COLUMN output SET STORAGE external",
        "ALTER TABLE instances RESET (fillfactor)",
        "ALTER TABLE journal_default RESET (toast_tuple_target)",
        "ALTER TABLE instances DROP CONSTRAINT instances_status_check",
        "ALTER TABLE positions ALTER COLUMN updated_at DROP DEFAULT",
        "ALTER TABLE journal DETACH PARTITION journal_default",
        "DROP INDEX journal_event_key_idx",
        "COMMENT ON COLUMN journal.event IS 'another'",
        "ALTER VIEW workflow_counts RENAME COLUMN status TO state",
        "ALTER FUNCTION epoch_ms(bigint) PARALLEL UNSAFE",
    ],
)
def test_the_comparison_sees_a_difference(each_migrated_database_url: str, change: str) -> None:
    before = describe_schema(each_migrated_database_url)
    execute(each_migrated_database_url, change)
    assert describe_schema(each_migrated_database_url) != before


def test_alembic_finds_nothing_to_do(each_migrated_database_url: str) -> None:
    assert differences(each_migrated_database_url) == []


def test_alembic_finds_a_difference(each_migrated_database_url: str) -> None:
    execute(each_migrated_database_url, "ALTER TABLE definitions DROP COLUMN document")
    assert [difference[0] for difference in differences(each_migrated_database_url)] == ["add_column"]


def differences(url: str) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True, "include_name": is_described}
    with engine_of(url).connect() as connection:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found


def is_described(name: str | None, kind: str, _: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("journal_"))


def test_large_columns_are_compressed_by_lz4_where_the_server_has_it(each_migrated_database_url: str) -> None:
    ((choices,),) = execute(
        each_migrated_database_url, "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
    )
    compressed = execute(
        each_migrated_database_url,
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attcompression = 'l' ORDER BY 1, attnum",
    )
    tables = COMPRESSED | {"journal_default": COMPRESSED["journal"]}
    expected = [(table, column) for table, columns in tables.items() for column in columns]
    assert compressed == (expected if "lz4" in choices else [])


def test_metadata_drops_what_it_creates(created_url: str) -> None:
    metadata.drop_all(engine_of(created_url))
    assert not any(describe_schema(created_url).values())


def test_going_back_to_base_leaves_nothing(each_migrated_database_url: str) -> None:
    execute(
        each_migrated_database_url,
        "CREATE TABLE journal_20260101 PARTITION OF journal FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')",
    )
    report = migrate(each_migrated_database_url, to="base")
    assert report.after is None
    assert not any(describe_schema(each_migrated_database_url).values())
    assert migrate(each_migrated_database_url).applied == ("0001", "0002", "0003", "0004", "0005", "0006", "0007")


UPDATE_HOT = """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s
"""


def test_a_step_and_a_position_are_hot_updates(each_migrated_database_url: str) -> None:
    with psycopg.connect(each_migrated_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot,"
            " init_event_id, revision, now_ms) VALUES (sha256('s'), 's', 'arvo.orc.a', '1.0.0', 'active', '{a}',"
            " '{}', 'i', 1, 1)"
        )
        connection.execute(
            "INSERT INTO positions (partition, topic_id, next_offset, published_offset) VALUES (0, 't', 0, 0)"
        )
        for _ in range(20):
            connection.execute(
                "UPDATE instances SET revision = revision + 1, snapshot = '{\"a\": 1}', states = '{b}',"
                " status = 'active', now_ms = now_ms + 1, updated_at = clock_timestamp()"
            )
            connection.execute("UPDATE positions SET next_offset = next_offset + 1, updated_at = clock_timestamp()")
    with psycopg.connect(each_migrated_database_url, autocommit=True) as connection:
        for table in ("instances", "positions"):
            assert connection.execute(UPDATE_HOT, (table,)).fetchone() == (20, 20), table
