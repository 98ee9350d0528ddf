"""A worker's statements behind a pooler, which gives each transaction another server process."""

import psycopg
import pytest

from tests.contracts.samples import FIRST, OURS, consumed, digest, instance, position, wanted, writes
from tests.integration.executing import reply
from tests.orchestrator.desk import counting, start
from worker.adapters.postgres import session
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.memory import PostgresMachineMemory
from worker.adapters.postgres.session import DatabaseConfig
from worker.ports import DatabaseRefused

PREPARED = "SELECT name FROM pg_prepared_statements"
BATCHES = 3 * session.PREPARED_AFTER


def apply_batches(url: str) -> None:
    """Do what a worker does, often enough that statements would be prepared, and then on another server process."""
    other = psycopg.connect(url)
    database = PostgresDatabase(DatabaseConfig(url), OURS.owner)
    try:
        database.insert_positions([position()])
        for number in range(BATCHES):
            offset = FIRST + number
            if number == BATCHES - 1:
                # Another client has the server that was free last.
                other.execute("SELECT 1")
            database.lock(OURS.owner, wanted(offset, (number,), (number,)))
            database.read([])
            database.write(
                writes(offset + 1, journal=[consumed(offset, number)], created=[(digest(number), instance(number))])
            )
            database.commit()
        assert database._session.rows(PREPARED) == []
    finally:
        database.close()
        other.close()


def prepared(url: str) -> bool:
    with session.BoundedConnection.connect(url, autocommit=True) as connection:
        return session._prepare_threshold(connection) is not None


def test_batches_behind_a_pooler(pooled_database_url: str) -> None:
    apply_batches(pooled_database_url)
    with psycopg.connect(pooled_database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM instances").fetchone() == (BATCHES,)


def test_what_would_be_prepared_is_unknown_to_the_next_server(
    pooled_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_prepare_threshold", lambda _: session.PREPARED_AFTER)
    with pytest.raises(DatabaseRefused, match=r"prepared statement .* does not exist"):
        apply_batches(pooled_database_url)


def test_statements_are_prepared_where_nothing_is_between(migrated_database_url: str, pooled_database_url: str) -> None:
    assert prepared(migrated_database_url)
    assert not prepared(pooled_database_url)


def test_executions_behind_a_pooler(pooled_database_url: str) -> None:
    memory = PostgresMachineMemory(pooled_database_url)
    try:
        orchestrator = counting(memory, needs_lock=True)
        with psycopg.connect(pooled_database_url) as other:
            for number, event in enumerate((start(), *map(reply, range(1, 10)))):
                if number == 2 * session.PREPARED_AFTER:
                    other.execute("SELECT 1")
                orchestrator.execute(event)
        with memory._sessions.lent() as lent:
            assert lent.rows(PREPARED) == []
    finally:
        memory.close()
