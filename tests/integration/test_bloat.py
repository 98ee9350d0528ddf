"""A hundred thousand instances: their steps are HOT updates, and the table grows neither by them nor by ends."""

import random
from collections.abc import Sequence
from typing import Any

import psycopg

from tests.acceptance.deployment import wait_until
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import DatabaseConfig
from worker.adapters.postgres.upkeep import PostgresUpkeep, UpkeepConfig
from worker.core.engine.api import Snapshot
from worker.core.instances import Instance, Status
from worker.core.retention import retention_of
from worker.ports import Position, Wanted, Writes

OWNER = "owner-1"
INSTANCES = 100_000
ENDED = 20_000
"""How many of them ended a month ago."""

BATCH = 1_000
ROUNDS = 3
STEPPING = 10_000
"""How many of the others step in a round."""

# Rows as the worker writes them: a subject of some 300 bytes, a snapshot of some 300 more.
FILL = """
INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot, init_event_id, revision,
    now_ms, ended_at)
SELECT sha256(subject::bytea), subject, 'arvo.orc.order', '1.0.0', CASE WHEN ends THEN 'done' ELSE 'active' END,
    '{order,reserving}',
    jsonb_build_object(
        'configuration', '["order", "reserving"]'::jsonb,
        'context', jsonb_build_object('order_id', 'order-' || number, 'total', 99.5, 'currency', 'EUR', 'steps', 0),
        'init', jsonb_build_object('order_id', 'order-' || number, 'customer', 'Ada Lovelace', 'amount', 99.5,
                                   'items', '[{"sku": "book-1", "qty": 2}, {"sku": "pen-7", "qty": 1}]'::jsonb)
    ),
    'order-' || number || '-0', 1, 0, CASE WHEN ends THEN now() - interval '31 days' END
FROM (
    SELECT number, repeat('s', 280) || number AS subject, number %% 10 < 2 AND number < 1000000 AS ends
    FROM generate_series(%s::int, %s::int) AS number
) AS made
"""

UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'instances'"
SIZE = "SELECT pg_table_size('instances'), pg_indexes_size('instances')"


def test_steps_are_hot_and_nothing_bloats(migrated_database_url: str) -> None:
    url = migrated_database_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        fill(connection, 1, INSTANCES)
        connection.execute("VACUUM ANALYZE instances")
        table, indexes = size(connection)

        active = "SELECT subject_digest FROM instances WHERE status = 'active'"
        digests = [digest for (digest,) in connection.execute(active.encode())]
        numbers = random.Random(7)
        for _ in range(ROUNDS):
            step(url, numbers.sample(digests, STEPPING))
        updates = ROUNDS * STEPPING
        wait_until(lambda: counted(connection)[0] == updates, 60, "the statistics have arrived")
        assert counted(connection)[1] / updates >= 0.9
        assert size(connection)[0] <= 1.1 * table
        assert size(connection)[1] <= 1.1 * indexes

        # Those that ended go, as many come: their room is used again.
        assert removed(url, connection) == ENDED
        connection.execute("VACUUM instances")
        fill(connection, 1_000_001, 1_000_000 + ENDED)
        assert size(connection)[0] <= 1.1 * table
        assert size(connection)[1] <= 1.2 * indexes


def removed(url: str, connection: psycopg.Connection[Any]) -> int:
    """Do the upkeep, as if minutes went by, until it has looked at all instances; give how many went."""
    upkeep, gone = PostgresUpkeep(DatabaseConfig(url), OWNER, UpkeepConfig(30, retention_of(["remove:30"]))), 0
    while connection.execute("SELECT FROM upkeep WHERE swept_at IS NOT NULL").fetchone() is None:
        connection.execute("UPDATE upkeep SET begun_at = NULL")
        gone += upkeep.run().changes["instances_removed"]
    return gone


def fill(connection: psycopg.Connection[Any], first: int, last: int) -> None:
    connection.execute(FILL, (first, last))


def size(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    ((table, indexes),) = connection.execute(SIZE)
    return table, indexes


def counted(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    ((updates, hot),) = connection.execute(UPDATES)
    return updates, hot


def step(url: str, digests: Sequence[bytes]) -> None:
    """Have each instance step once, in batches, as the worker writes them."""
    database = PostgresDatabase(DatabaseConfig(url), OWNER)
    try:
        if 0 not in database.positions([0]):
            database.insert_positions([Position(0, "t", 0, 0, OWNER, "t")])
        for first in range(0, len(digests), BATCH):
            batch = digests[first : first + BATCH]
            database.lock(OWNER, Wanted({0: 0}, batch, ()))
            found = database.read(batch)
            changed = [(digest, stepped(one), one.revision) for digest, one in found.items()]
            database.write(Writes([], changed, [], {0: 0}, {0: 0}))
            database.commit()
    finally:
        database.close()


def stepped(instance: Instance) -> Instance:
    before = instance.snapshot
    context = {**before.context, "steps": before.context["steps"] + 1, "reservation": "r" * 20}
    snapshot = Snapshot(("order", "approving"), context, before.init)
    return Instance(
        instance.subject,
        instance.source,
        instance.version,
        Status.ACTIVE,
        snapshot,
        instance.init_event_id,
        instance.parent_subject,
        instance.now + 1,
        instance.revision + 1,
    )
