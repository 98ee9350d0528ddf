"""Machine definitions on real servers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from worker.adapters.postgres.definitions import register_definitions


@dataclass(frozen=True)
class Machine:
    source: str
    version: str
    document: str

    @property
    def definition_hash(self) -> bytes:
        return sha256(f"{self.source} {self.version} {self.document}".encode()).digest()


ORDER = Machine("arvo.orc.order", "1.0.0", "statechart: …")
NEWER = Machine("arvo.orc.order", "1.1.0", "statechart: …")


@pytest.fixture
def connection(each_migrated_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(each_migrated_database_url) as connection:
        yield connection


def stored(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT definition_hash, source, version, document, registered_by FROM definitions ORDER BY version"
    ).fetchall()


def row(machine: Machine, registered_by: str) -> tuple[Any, ...]:
    return (machine.definition_hash, machine.source, machine.version, machine.document, registered_by)


def test_a_definition_is_kept_once_with_who_brought_it_first(connection: psycopg.Connection[Any]) -> None:
    register_definitions(connection, [ORDER], "first")
    register_definitions(connection, [NEWER, ORDER], "second")
    connection.rollback()
    assert stored(connection) == [row(ORDER, "first"), row(NEWER, "second")]


def test_the_time_of_the_last_registration_is_kept_for_each(connection: psycopg.Connection[Any]) -> None:
    def times() -> list[tuple[Any, ...]]:
        found = connection.execute("SELECT registered_at, last_registered_at FROM definitions ORDER BY version")
        rows = found.fetchall()
        connection.rollback()
        return rows

    first = register_definitions(connection, [ORDER, NEWER], "first")
    connection.commit()
    assert times() == [(first, first), (first, first)]
    second = register_definitions(connection, [NEWER], "second")
    connection.commit()
    assert second > first
    assert times() == [(first, first), (first, second)]


def test_nothing_to_register(connection: psycopg.Connection[Any]) -> None:
    register_definitions(connection, [], "first")
    assert stored(connection) == []


def test_workers_that_start_together_register_once(
    connection: psycopg.Connection[Any], each_migrated_database_url: str
) -> None:
    machines = [Machine("arvo.orc.many", f"1.0.{patch}", "statechart: …") for patch in range(50)]
    start = threading.Barrier(4)

    def register(worker: int) -> None:
        with psycopg.connect(each_migrated_database_url) as own:
            start.wait()
            register_definitions(own, machines if worker % 2 else machines[::-1], f"worker {worker}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(register, range(4)))
    assert len(stored(connection)) == 50
