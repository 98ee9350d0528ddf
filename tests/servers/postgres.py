"""Databases for the tests: each test has its own, on whichever server it is given."""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

DEBIAN_BINARIES = Path("/usr/lib/postgresql/15/bin")


@dataclass(slots=True)
class Databases:
    """Make databases on a server and drop them all in the end; the URL's user may create databases."""

    server_url: str
    _names: list[str] = field(default_factory=list, init=False)

    def make(self, template: str | None = None) -> str:
        """Create a database, as a copy of the template database if one is named; return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template1")
        )
        self._execute(statement)
        self._names.append(name)
        return urlsplit(self.server_url)._replace(path=f"/{name}").geturl()

    def drop_all(self) -> None:
        while self._names:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self._names.pop())))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(statement)


def database_name(url: str) -> str:
    """Give the database that a URL names, as a template for others."""
    return urlsplit(url).path.removeprefix("/")
