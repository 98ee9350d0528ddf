"""Fixtures for databases with the worker's schema: migrated once a server, then copied for each test."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import Databases, database_name
from worker.adapters.postgres.migrate import migrate


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """Name a migrated database on the PostgreSQL of the wheel, to be copied by `databases.make`."""
    yield from _template(postgres_url)


@pytest.fixture
def migrated_database_url(databases: Databases, migrated_template: str) -> str:
    """Make a migrated database."""
    return databases.make(migrated_template)


@pytest.fixture(scope="session")
def each_migrated_template(each_postgres_url: str) -> Iterator[str]:
    """Name a migrated database on every PostgreSQL server in turn."""
    yield from _template(each_postgres_url)


@pytest.fixture
def each_migrated_database_url(each_databases: Databases, each_migrated_template: str) -> str:
    """Make a migrated database on every PostgreSQL server in turn."""
    return each_databases.make(each_migrated_template)


def _template(server_url: str) -> Iterator[str]:
    databases = Databases(server_url)
    url = databases.make()
    migrate(url)
    yield database_name(url)
    databases.drop_all()
