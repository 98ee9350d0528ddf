"""What to make of PostgreSQL's errors: by their code, and by what was asked of it.

One error is told in up to three ways: an expired statement time-out halves a batch, but has a release tried again.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

import psycopg

from worker.ports import BatchRefused, BatchTooLarge, DatabaseRefused, DatabaseUnavailable


class Fault(Enum):
    """Say what is at fault."""

    SERVER = auto()
    """The server or the way to it: the same may succeed later."""
    SIZE = auto()
    """Too much at once: less may succeed."""
    DATA = auto()
    """A value that was given."""
    STATEMENT = auto()
    """What the statement says, for the schema and the rights that there are."""


FAULTS: Final[Mapping[str, Fault]] = {
    # The way to the server, and its life.
    "08": Fault.SERVER,  # Connections that break.
    "28": Fault.SERVER,  # A password that is being changed; the address is checked at the start.
    "57": Fault.SERVER,  # Shutdown, crash, a session that somebody ended.
    "58": Fault.SERVER,  # The server's disk or system.
    "XX": Fault.SERVER,  # A fault inside of PostgreSQL, a damaged page among them: no record is to blame.
    "53": Fault.SERVER,  # Full: disk, connections.
    "55": Fault.SERVER,  # Locks that were not to be had in time (55P03), objects in use.
    "40": Fault.SERVER,  # Deadlocks, failed serialisation, conflicts with a standby's recovery: asks to try again.
    "25": Fault.SERVER,  # The state of the session: a standby after a failover (25006), a time-out that ended it.
    # Less may do.
    "53200": Fault.SIZE,  # Out of memory, above all of the lock table's.
    "53400": Fault.SIZE,  # A limit of the configuration, as that of temporary files.
    "57014": Fault.SIZE,  # The statement's time-out.
    "25P04": Fault.SIZE,  # The transaction's time-out, which an operator may have set.
    # Values.
    "22": Fault.DATA,  # What a type doesn't take.
    "23": Fault.DATA,  # What a constraint doesn't take.
    "54": Fault.DATA,  # What exceeds a limit of PostgreSQL's own, as that of an index's keys.
    "P0": Fault.DATA,  # What a trigger of the user's doesn't take.
    "23505": Fault.STATEMENT,  # A row that is there: the journal's, since instances are guarded by their revision.
}
"""By SQLSTATE or the beginning of one; the longest that fits counts, and whatever is not here is the statement's."""

_WITHOUT_CODE: Final[tuple[tuple[type[psycopg.Error], Fault], ...]] = (
    (psycopg.DataError, Fault.DATA),  # psycopg itself refuses a value, as a text with U+0000.
    (psycopg.OperationalError, Fault.SERVER),
    (psycopg.InternalError, Fault.SERVER),
)

Told = Mapping[Fault, type[Exception]]
"""How each fault is raised."""

CALL: Final[Told] = {
    Fault.SERVER: DatabaseUnavailable,
    Fault.SIZE: DatabaseUnavailable,
    Fault.DATA: DatabaseRefused,
    Fault.STATEMENT: DatabaseRefused,
}
"""A call that has no smaller half and no record to blame."""

READING: Final[Told] = {**CALL, Fault.SIZE: BatchTooLarge}
WRITING: Final[Told] = {**READING, Fault.DATA: BatchRefused}
COMMITTING: Final[Told] = dict.fromkeys(Fault, DatabaseUnavailable)
"""Whatever COMMIT fails with, its fate is told by the position rows alone."""


def fault_of(error: psycopg.Error) -> Fault:
    """Tell what is at fault."""
    code = error.sqlstate
    if code is None:
        return next((fault for kind, fault in _WITHOUT_CODE if isinstance(error, kind)), Fault.STATEMENT)
    return next((FAULTS[part] for part in (code, code[:2]) if part in FAULTS), Fault.STATEMENT)


def raised(error: psycopg.Error, told: Told) -> Exception:
    """Give the port's exception for an error."""
    kind = told[fault_of(error)]
    if kind is DatabaseRefused:
        return DatabaseRefused(f"PostgreSQL refused a statement: {describe(error)}")
    return kind(describe(error))


def describe(error: psycopg.Error) -> str:
    """Say what PostgreSQL said, in one line and without anything of the address."""
    text = error.diag.message_primary or str(error) or type(error).__name__
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return " ".join(text.split()).rstrip(".") + state
