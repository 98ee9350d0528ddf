"""One worker's connection to PostgreSQL: the ports `Positions` and `Database`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.simulation.servers.faults import Hook
from tests.simulation.servers.postgres import Session, SimPostgres
from worker.core.instances import Instance
from worker.ports import Claim, Position, Seen, Unpublished, Wanted, Writes

Result = TypeVar("Result")


class SimDatabase:
    """One connection, made anew after each failure; `owner` is its application name."""

    def __init__(self, server: SimPostgres, owner: str, hook: Hook) -> None:
        self._server = server
        self._owner = owner
        self._hook = hook
        self._session = Session(owner)
        self.closed = False

    @property
    def in_transaction(self) -> bool:
        return self._session.in_transaction

    # Positions

    def positions(self, partitions: Sequence[int]) -> Mapping[int, Position]:
        return self._alone("positions", lambda _: self._server.read_positions(partitions), partitions)

    def insert_positions(self, positions: Sequence[Position]) -> None:
        self._alone("insert_positions", lambda _: self._server.insert_positions(positions), positions)

    def claim(self, found: Sequence[Position], claim: Claim) -> None:
        self._alone("claim", lambda session: self._server.claim(session, found, claim), found)

    def release(self, owner: str, published_offsets: Mapping[int, int]) -> None:
        self._alone(
            "release", lambda session: self._server.release(session, owner, published_offsets), published_offsets
        )

    def unpublished(self, partition: int, start: int, end: int) -> Sequence[Unpublished]:
        return self._alone(
            "unpublished", lambda _: self._server.unpublished(partition, start, end), partition, start, end
        )

    def note_attempt(self, owner: str, partition: int, offset: int) -> int:
        return self._alone(
            "note_attempt", lambda one: self._server.note_attempt(one, owner, (partition, offset)), partition, offset
        )

    # A batch

    def lock(self, owner: str, wanted: Wanted) -> Sequence[Seen]:
        assert not self.in_transaction, "a transaction is open already"
        return self._call("lock", lambda session: self._server.lock(session, owner, wanted), wanted.next_offsets)

    def read(self, digests: Sequence[bytes]) -> Mapping[bytes, Instance]:
        return self._within("read", lambda _: self._server.read(digests))

    def is_coming(self, source: str, version: str) -> bool:
        return self._call("is_coming", lambda _: self._server.is_coming(self._owner, source, version))

    def write(self, writes: Writes) -> None:
        self._within(
            "write", lambda session: self._server.write(session, writes), writes.next_offsets, writes.published_offsets
        )

    def commit(self) -> None:
        self._within("commit", self._server.commit)

    def roll_back(self) -> None:
        if self.in_transaction:
            self._drop()

    def close(self) -> None:
        self.closed = True
        self._drop()

    # The connection

    def _alone(self, name: str, statement: Callable[[Session], Result], *about: object) -> Result:
        assert not self.in_transaction, f"{name} is no part of a batch's transaction"
        return self._call(name, statement, *about)

    def _within(self, name: str, statement: Callable[[Session], Result], *about: object) -> Result:
        # A session that the server ended has no transaction either; the call finds that out.
        assert self.in_transaction or self._session.ended, f"{name} without a transaction"
        return self._call(name, statement, *about)

    def _call(self, name: str, statement: Callable[[Session], Result], *about: object) -> Result:
        session = self._session

        def served() -> Result:
            self._server.attend(session)
            return statement(session)

        try:
            return self._hook.call(name, served, *about)
        except BaseException:
            # A call that failed leaves nothing open, whatever it was.
            self._drop()
            raise

    def _drop(self) -> None:
        """Leave the session to the server, which may hear of that late."""
        session, self._session = self._session, Session(self._owner)

        def ended() -> bool:
            self._server.end(session)
            return False

        self._hook.later("disconnect", ended)
