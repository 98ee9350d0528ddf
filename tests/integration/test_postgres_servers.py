"""Tests get databases of their own, on every PostgreSQL server that there is."""

import psycopg

from tests.servers.postgres import Databases, database_name


def test_a_database_can_be_the_template_of_others(each_databases: Databases) -> None:
    template = each_databases.make()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE copied (id int)")
    copy = each_databases.make(database_name(template))
    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (0,)


def test_databases_are_dropped_though_connections_are_open(each_postgres_url: str) -> None:
    databases = Databases(each_postgres_url)
    url = databases.make()
    with psycopg.connect(url):
        databases.drop_all()
    with psycopg.connect(each_postgres_url) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database_name(url)]).fetchone()
    assert found is None
