"""Machine definitions: each stored once per hash, with the worker that brought it first, and the time of the last."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Protocol

import psycopg


class Definition(Protocol):
    """What is kept of a machine; `document` is its whole text, which `definition_hash` names."""

    @property
    def definition_hash(self) -> bytes:
        """SHA-256 of everything that decides what the machine does."""
        ...

    @property
    def source(self) -> str:
        """The event type that starts it."""
        ...

    @property
    def version(self) -> str:
        """Its version, never the wildcard."""
        ...

    @property
    def document(self) -> str:
        """The text that the hash was taken of."""
        ...


_REGISTER: Final = """
INSERT INTO definitions (definition_hash, source, version, document, registered_by)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (definition_hash) DO UPDATE SET last_registered_at = now()
"""


def register_definitions(
    connection: psycopg.Connection[Any], machines: Iterable[Definition], registered_by: str
) -> datetime:
    """Store the definitions that are not known yet, and the time for all, in one transaction; give that time.

    `registered_by` names the worker, its version and host. Raises: psycopg.Error.
    """
    rows = [
        (machine.definition_hash, machine.source, machine.version, machine.document, registered_by)
        # Workers that start together insert in the same order, so that none waits in a circle.
        for machine in sorted(machines, key=lambda machine: machine.definition_hash)
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_REGISTER, rows)
        ((now,),) = cursor.execute("SELECT now()").fetchall()
    assert isinstance(now, datetime)
    return now
