"""Instances are counted in PostgreSQL as they are, or by a sample where there are many."""

import hashlib

import psycopg
import pytest

from worker.adapters.postgres.instance_counts import count_instances
from worker.adapters.postgres.session import DatabaseConfig
from worker.ports import DatabaseRefused, DatabaseUnavailable

INSERT = """
INSERT INTO instances (subject_digest, subject, source, version, status, states, snapshot, init_event_id, revision,
                       now_ms, updated_at)
VALUES (%s, %s, 'arvo.orc.order', '1.0.0', %s, %s, jsonb_build_object('filling', repeat('x', 500)), 'init', 1, 0,
        now() - %s * interval '1 second')
"""


def fill(url: str, instances: list[tuple[str, list[str], int]]) -> None:
    rows = [
        (hashlib.sha256(str(number).encode()).digest(), f"subject-{number}", status, states, seconds)
        for number, (status, states, seconds) in enumerate(instances)
    ]
    with psycopg.connect(url) as connection:
        connection.cursor().executemany(INSERT, rows)


def order(name: str) -> tuple[str, str, str]:
    return "arvo.orc.order", "1.0.0", name


def test_few_are_counted_exactly(migrated_database_url: str) -> None:
    fill(
        migrated_database_url,
        [
            ("active", ["root", "charging"], 50),
            ("active", ["root", "charging"], 900),
            ("active", ["root", "approving"], 20),
            ("done", ["root", "completed"], 5_000),
        ],
    )
    counted = count_instances(DatabaseConfig(migrated_database_url), "counts")
    assert counted.statuses == {order("active"): 3, order("done"): 1}
    assert counted.states == {order("root"): 3, order("charging"): 2, order("approving"): 1}
    assert {name: round(seconds, -1) for name, seconds in counted.waits.items()} == {
        order("root"): 900,
        order("charging"): 900,
        order("approving"): 20,
    }
    assert counted.share == 1.0


def test_none_are_none(migrated_database_url: str) -> None:
    counted = count_instances(DatabaseConfig(migrated_database_url), "counts")
    assert (counted.statuses, counted.states, counted.share) == ({}, {}, 1.0)


def test_of_many_a_bounded_part_is_read_and_the_counts_are_near(migrated_database_url: str) -> None:
    fill(migrated_database_url, [("done" if number % 4 else "active", ["root"], 0) for number in range(3_000)])
    counted = count_instances(DatabaseConfig(migrated_database_url), "counts", pages_max=100)
    assert 0.1 < counted.share < 0.8
    assert 1_500 < counted.statuses[order("done")] < 3_000
    assert 300 < counted.states[order("root")] < 1_300


def test_the_connection_is_not_kept(migrated_database_url: str) -> None:
    count_instances(DatabaseConfig(migrated_database_url), "counts of a worker")
    with psycopg.connect(migrated_database_url) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counts of a worker'"
        for _ in range(100):
            if connection.execute(asked).fetchone() == (0,):
                return
            connection.execute("SELECT pg_sleep(0.02), pg_stat_clear_snapshot()")
    pytest.fail("the session is still there")


def test_what_can_not_be_counted_is_told(database_url: str) -> None:
    with pytest.raises((DatabaseRefused, DatabaseUnavailable)):
        count_instances(DatabaseConfig(database_url), "counts")
