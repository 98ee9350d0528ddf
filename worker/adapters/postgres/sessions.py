"""A bounded set of connections that threads share: each is lent to one of them at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Final

import psycopg

from worker.adapters.postgres.session import DatabaseConfig, Session
from worker.core.errors import SetupError
from worker.ports import DatabaseUnavailable

_SERVER_ENDS: Final = "57P"
"""How the codes of a server that shuts down, crashed or ends a session begin."""


class Sessions:
    """Lend sessions, the one that came back last first, so that those beyond what is needed never connect."""

    def __init__(self, config: DatabaseConfig, application_name: str, connections_max: int) -> None:
        self._wait_seconds: Final = config.lock_timeout_seconds
        self._connections_max: Final = connections_max
        self._process: Final = os.getpid()
        self._closed = False
        self._idle: Final[LifoQueue[Session]] = LifoQueue()
        for _ in range(connections_max):
            self._idle.put(Session(config, application_name))

    @contextmanager
    def lent(self) -> Iterator[Session]:
        """Lend one for a block. Raises: as `take`."""
        session = self.take()
        with self.returned(session):
            yield session

    def take(self) -> Session:
        """Lend one until it is `returned` or given back; wait for as long as for a lock.

        Raises: DatabaseUnavailable, if all are lent; SetupError, once closed, and in a process forked off.
        """
        self._check_usable()
        try:
            return self._idle.get(timeout=self._wait_seconds)
        except Empty:
            raise DatabaseUnavailable(
                f"all {self._connections_max} connections were in use for {self._wait_seconds:g} s; "
                "raise connections_max, or execute fewer events at the same time"
            ) from None

    @contextmanager
    def returned(self, session: Session) -> Iterator[None]:
        """Take one back at the end of a block; if the block finds the server gone, idle ones connect anew too."""
        try:
            yield
        except DatabaseUnavailable as error:
            if _is_lost(error.__cause__):
                self._close_idle()
            raise
        finally:
            self.give_back(session)

    def give_back(self, session: Session) -> None:
        """Take one back, and roll back what is open on it."""
        session.come_to_rest()
        self._idle.put(session)
        if self._closed:
            self._close_idle()

    def close(self) -> None:
        """Close all: at once those that nobody uses, the others when they come back. Nothing is lent any more."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        idle = []
        while True:
            try:
                idle.append(self._idle.get_nowait())
            except Empty:
                break
        for session in idle:
            session.close()
            self._idle.put(session)

    def _check_usable(self) -> None:
        if self._closed:
            raise SetupError("the memory was closed; make another")
        if os.getpid() != self._process:
            # Two processes on one connection would read each other's answers.
            raise SetupError("the memory was made before this process was forked off; make one in each process")


def _is_lost(error: BaseException | None) -> bool:
    if not isinstance(error, psycopg.Error):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SERVER_ENDS)
