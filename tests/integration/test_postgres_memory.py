"""The library's memory on a real PostgreSQL: its locks, its races, what is left after a failure."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest

import worker
from tests.integration.executing import execute_all, reply, retried
from tests.orchestrator.desk import COUNTER, added, count_contract, counter, counting, start, subject_of
from tests.orchestrator.desk import add_contract as add
from worker.adapters.postgres import memory as module
from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.memory import APPLICATION_NAME, PostgresMachineMemory
from worker.adapters.postgres.migrate import migrate
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.digests import lock_key, subject_digest
from worker.core.engine.api import Snapshot
from worker.core.errors import ArvoTransactionError, SetupError, StaleWriteError, TransactionCause
from worker.core.instances import Instance, Status
from worker.core.machines import setup_machine
from worker.core.outcomes import DomainedEvent
from worker.orchestrator import DeduplicatingMemory, Orchestrator, create_orchestrator
from worker.ports import DatabaseUnavailable, Position, Wanted, Writes

ROOT = Path(__file__).parents[2]
SUBJECT = subject_of()
DIGEST = subject_digest(SUBJECT)
INSTANCE = Instance(
    SUBJECT, "arvo.orc.count", "1.0.0", Status.ACTIVE, Snapshot(("root", "counting"), {"n": 1}, {}), "e-1", None, 1, 1
)
ATTEMPTS_MAX = 1_000


@pytest.fixture
def url(migrated_database_url: str) -> str:
    return migrated_database_url


@pytest.fixture
def memory(url: str) -> Iterator[PostgresMachineMemory]:
    with PostgresMachineMemory(url, lock_timeout_seconds=0.2) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[PostgresMachineMemory]:
    with PostgresMachineMemory(url, lock_timeout_seconds=0.2) as opened:
        yield opened


def rows(url: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def sessions_of(url: str) -> list[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    return [pid for (pid,) in rows(url, query, APPLICATION_NAME)]


def end_sessions(url: str) -> int:
    """End the memory's sessions, wait until they are gone, and tell how many these were."""
    query = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()"
    )
    ended = rows(url, query, APPLICATION_NAME)
    assert all(done for (done,) in ended)
    return len(ended)


def count_of(memory: PostgresMachineMemory) -> object:
    instance = memory.read(SUBJECT)
    return instance and instance.snapshot.context["n"]


def orchestrator_with(memory: PostgresMachineMemory, during: Callable[[], object], *, needs_lock: bool) -> Orchestrator:
    """Make an orchestrator whose every step calls `during` once it has read."""

    def lucky(number: int) -> int:
        during()
        return number

    emits = ("evt.add.call.success", "evt.add.call.skipped") if needs_lock else ("evt.add.call.success",)
    machine = setup_machine(
        contract=count_contract.version("1.0.0"),
        services=[add(*emits)],
        statechart=COUNTER,
        functions={"lucky": lucky},
    )
    return create_orchestrator(machines=[machine], memory=memory, executionunits=0.5)


class TestSetUp:
    def test_is_a_deduplicating_memory_of_the_library(self, memory: PostgresMachineMemory) -> None:
        assert worker.PostgresMachineMemory is PostgresMachineMemory
        typed: DeduplicatingMemory = memory
        assert isinstance(typed, DeduplicatingMemory)

    @pytest.mark.parametrize("bad", ["", "postgresql://u:secr@et@h/d", "mysql://u:secret@h/d"])
    def test_a_malformed_url_is_told_without_its_text(self, bad: str) -> None:
        with pytest.raises(SetupError, match="the database URL is malformed: expected postgresql://") as raised:
            PostgresMachineMemory(bad)
        assert "secr" not in str(raised.value)

    def test_an_unreachable_database_is_told_without_the_password(self) -> None:
        with pytest.raises(SetupError, match=r"the database can't be reached: .*refused") as raised:
            PostgresMachineMemory("postgresql://user:secret@127.0.0.1:1/database")
        assert "secret" not in str(raised.value)

    def test_a_database_without_the_schema_is_told(self, database_url: str) -> None:
        with pytest.raises(SetupError, match=r"database has no schema yet.*run `worker migrate`"):
            PostgresMachineMemory(database_url)

    def test_a_database_of_an_earlier_version_is_told(self, database_url: str) -> None:
        migrate(database_url, to="0001")
        with pytest.raises(
            SetupError, match="database schema is at 0001, this worker needs 0007: run `worker migrate`"
        ):
            PostgresMachineMemory(database_url)

    @pytest.mark.parametrize(
        ("bounds", "message"),
        [
            ({"lock_timeout_seconds": 0}, "lock_timeout_seconds must be a number of seconds from 0.001 to 86400"),
            ({"lock_timeout_seconds": float("nan")}, "received nan"),
            ({"lock_timeout_seconds": "5"}, "received '5'"),
            ({"idle_timeout_seconds": True}, "idle_timeout_seconds must be a number of seconds"),
            ({"idle_timeout_seconds": 1e6}, "received 1000000.0"),
            ({"connections_max": 0}, "connections_max must be an integer above 0, received 0"),
            ({"connections_max": 1.5}, "received 1.5"),
        ],
    )
    def test_bounds_that_are_none_are_told(self, bounds: dict[str, Any], message: str) -> None:
        with pytest.raises(SetupError, match=message):
            PostgresMachineMemory("postgresql://127.0.0.1:1/database", **bounds)

    def test_connects_when_it_is_used(self, memory: PostgresMachineMemory, url: str) -> None:
        assert sessions_of(url) == []
        memory.read(SUBJECT)
        assert len(sessions_of(url)) == 1

    def test_closes_its_connections_and_is_no_longer_used(self, url: str) -> None:
        with PostgresMachineMemory(url) as memory:
            memory.lock(SUBJECT)
            memory.read("another")
            assert len(sessions_of(url)) == 2
        memory.close()
        for _ in range(ATTEMPTS_MAX):
            if not sessions_of(url):
                break
        assert sessions_of(url) == []
        with pytest.raises(ArvoTransactionError, match="SetupError: the memory was closed; make another"):
            counting(memory).execute(start())

    def test_a_process_that_was_forked_off_makes_its_own(
        self, memory: PostgresMachineMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("worker.adapters.postgres.sessions.os.getpid", lambda: -1)
        with pytest.raises(SetupError, match="made before this process was forked off; make one in each process"):
            memory.read(SUBJECT)

    def test_an_application_name_of_one_s_own_is_kept(self, url: str) -> None:
        with PostgresMachineMemory(psycopg.conninfo.make_conninfo(url, application_name="shop")) as memory:
            memory.read(SUBJECT)
            assert rows(url, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop'") == [(1,)]


class TestRows:
    def test_are_those_of_the_worker(self, memory: PostgresMachineMemory, url: str) -> None:
        database = PostgresDatabase(DatabaseConfig(url), "owner")
        database.insert_positions([Position(0, "topic", 0, 0, "owner", "transactional")])
        memory.write(SUBJECT, INSTANCE)
        database.lock("owner", Wanted({0: 0}, [DIGEST], ()))
        assert database.read([DIGEST]) == {DIGEST: INSTANCE}
        after = replace(INSTANCE, status=Status.DONE, revision=2)
        database.write(Writes([], [(DIGEST, after, 1)], [], {0: 1}, {0: 0}))
        database.commit()
        database.close()
        assert memory.read(SUBJECT) == after

    def test_show_where_an_instance_stands(self, memory: PostgresMachineMemory, url: str) -> None:
        orchestrator = counting(memory)
        orchestrator.execute(start())
        query = "SELECT status, states, ended_at IS NULL FROM instances"
        assert rows(url, query) == [("active", ["root", "counting"], True)]
        orchestrator.execute(added(0))
        assert rows(url, query) == [("done", [], False)]
        assert rows(url, "SELECT output FROM instances") == [({"n": 0},)]

    def test_show_what_events_came_to(self, memory: PostgresMachineMemory, url: str) -> None:
        orchestrator = counting(memory)
        orchestrator.execute(start())
        emitted = orchestrator.execute(added(3)).domained_events["all"]
        query = (
            "SELECT subject_digest, event_source, event_id, event_type, emitted FROM consumed_events ORDER BY event_id"
        )
        _, (digest, *name, shown) = rows(url, query)
        assert (digest, name) == (DIGEST, ["com.add.call", "e-2", "evt.add.call.success"])
        assert [(one["domains"], one["event"]["id"]) for one in shown] == [
            (["analytics", "default"], emitted[0].id),
            (["analytics"], emitted[1].id),
        ]

    def test_an_instance_of_another_subject_is_refused(self, memory: PostgresMachineMemory) -> None:
        with pytest.raises(ValueError, match="the instance is another subject's"):
            memory.write("another", INSTANCE)


class TestRaces:
    def test_tell_what_to_do(self, memory: PostgresMachineMemory) -> None:
        memory.write(SUBJECT, INSTANCE)
        with pytest.raises(StaleWriteError, match=r"another execution came between. Execute the event again"):
            memory.write(SUBJECT, INSTANCE)
        memory.consumed(added(), (), None, INSTANCE)
        with pytest.raises(StaleWriteError, match="another execution consumed the event in the meantime"):
            memory.consumed(added(), (), None, INSTANCE)

    def test_an_execution_that_lost_gives_the_winner_s_result_when_it_is_run_again(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory
    ) -> None:
        counting(memory).execute(start())
        winners = []
        loser = orchestrator_with(memory, lambda: winners.append(counting(other).execute(added(3))), needs_lock=False)
        with pytest.raises(ArvoTransactionError) as raised:
            loser.execute(added(3))
        assert raised.value.cause is TransactionCause.WRITE_MACHINE_MEMORY_FAILURE
        assert isinstance(raised.value.__cause__, StaleWriteError)
        assert [loser.execute(added(3))] == winners
        assert count_of(memory) == 3

    @pytest.mark.parametrize("needs_lock", [True, False])
    def test_threads_that_execute_one_event_have_one_result(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory, needs_lock: bool
    ) -> None:
        orchestrators = [counting(one, needs_lock=needs_lock) for one in (memory, other)]
        orchestrators[0].execute(start())
        barrier = Barrier(6)

        def execute(number: int) -> object:
            barrier.wait(10)
            return retried(orchestrators[number % 2], added(3))

        with ThreadPoolExecutor(6) as threads:
            first, *others = threads.map(execute, range(6))
        assert others == [first] * 5
        assert count_of(memory) == 3

    def test_processes_that_execute_the_same_events_lose_and_double_none(
        self, memory: PostgresMachineMemory, url: str
    ) -> None:
        numbers = [1, 2, 4, 8, 16, 32, 64, 128]
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
            ours, theirs = processes.map(execute_all, [url] * 2, [numbers, numbers[::-1]])
        assert sorted(ours) == sorted(theirs)
        assert len(set(ours)) == 1 + 2 * len(numbers)
        assert count_of(memory) == sum(numbers)
        (revision,) = {instance.revision for instance in [memory.read(SUBJECT)] if instance}
        assert revision == 1 + len(numbers)


class TestLocks:
    def test_have_the_worker_s_key(self, memory: PostgresMachineMemory, url: str) -> None:
        query = "SELECT pg_try_advisory_xact_lock(%s)"
        assert memory.lock(SUBJECT)
        assert rows(url, query, lock_key(DIGEST)) == [(False,)]
        memory.unlock(SUBJECT)
        assert rows(url, query, lock_key(DIGEST)) == [(True,)]

    @pytest.mark.parametrize("write", [True, False])
    def test_keep_out_writes_without_a_lock(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory, write: bool
    ) -> None:
        memory.lock(SUBJECT)
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            other.write(SUBJECT, INSTANCE) if write else other.consumed(start(), (), None, None)
        memory.write(SUBJECT, INSTANCE)
        assert other.read(SUBJECT) == INSTANCE

    def test_are_free_with_the_write_and_what_follows_is_a_transaction_of_its_own(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory
    ) -> None:
        memory.lock(SUBJECT)
        memory.write(SUBJECT, INSTANCE)
        assert memory._sessions._idle.qsize() == 10, "its connection came back"
        assert other.lock(SUBJECT)
        assert memory.unlock(SUBJECT)
        assert not memory.lock(SUBJECT), "who has no lock frees none"
        other.unlock(SUBJECT)
        with pytest.raises(StaleWriteError):
            memory.consumed(start(), (), INSTANCE, None)
        assert memory.seen(start()) is None

    def test_that_can_t_be_had_cost_no_connection(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory, url: str
    ) -> None:
        memory.lock(SUBJECT)
        assert not other.lock(SUBJECT)
        before = sessions_of(url)
        assert not other.lock(SUBJECT)
        assert sessions_of(url) == before
        assert len(before) == 2

    def test_leave_nothing_in_the_session(self, memory: PostgresMachineMemory, url: str) -> None:
        """A pooler may give each transaction another server."""
        orchestrator = counting(memory, needs_lock=True)
        for event in (start(), *map(reply, range(1, 10))):
            orchestrator.execute(event)
        assert rows(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        states = rows(url, "SELECT state FROM pg_stat_activity WHERE application_name = %s", APPLICATION_NAME)
        assert states == [("idle",)]

    def test_of_a_process_that_was_killed_are_free(self, memory: PostgresMachineMemory, url: str) -> None:
        command = [sys.executable, "-m", "tests.integration.executing", url, SUBJECT]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            assert not memory.lock(SUBJECT)
            holder.kill()
        assert any(memory.lock(SUBJECT) for _ in range(ATTEMPTS_MAX))

    def test_of_one_that_idles_too_long_are_free_and_its_write_fails(
        self, memory: PostgresMachineMemory, url: str
    ) -> None:
        with PostgresMachineMemory(url, idle_timeout_seconds=0.1) as idle:
            assert idle.lock(SUBJECT)
            assert any(memory.lock(SUBJECT) for _ in range(ATTEMPTS_MAX))
            with pytest.raises(DatabaseUnavailable, match="idle-in-transaction"):
                idle.write(SUBJECT, INSTANCE)
            assert idle._sessions._idle.qsize() == 10, "its connection came back"
            memory.write(SUBJECT, INSTANCE)
            assert idle.read(SUBJECT) == INSTANCE

    def test_lost_with_their_connection_can_be_had_anew(self, memory: PostgresMachineMemory, url: str) -> None:
        assert memory.lock(SUBJECT)
        end_sessions(url)
        assert memory.lock(SUBJECT)
        assert memory.read("another") is None, "the connection that was lost is not used again"
        assert memory.unlock(SUBJECT)
        assert memory._sessions._idle.qsize() == 10, "every connection came back once"

    def test_that_are_freed_on_a_lost_connection_are_told(self, memory: PostgresMachineMemory, url: str) -> None:
        memory.lock(SUBJECT)
        end_sessions(url)
        with pytest.raises(DatabaseUnavailable):
            memory.unlock(SUBJECT)
        assert memory.unlock(SUBJECT)
        assert memory._sessions._idle.qsize() == 10


class TestConnections:
    def test_are_bounded(self, url: str) -> None:
        counts = []
        with PostgresMachineMemory(url, connections_max=2) as memory, ThreadPoolExecutor(6) as threads:
            during = orchestrator_with(memory, lambda: counts.append(len(sessions_of(url))), needs_lock=True)
            subjects = [subject_of(execution_id=f"x-{number}") for number in range(6)]
            list(threads.map(lambda subject: retried(during, start(subject=subject)), subjects))
            list(threads.map(lambda subject: retried(during, added(1, subject=subject)), subjects))
        assert len(counts) == 6
        assert max(counts) <= 2

    def test_that_are_all_in_use_are_told(self, url: str) -> None:
        with PostgresMachineMemory(url, connections_max=2, lock_timeout_seconds=0.1) as memory:
            memory.lock("a")
            memory.lock("b")
            for call in (memory.read, memory.lock):
                with pytest.raises(DatabaseUnavailable, match=r"all 2 connections were in use for 0\.1 s; raise"):
                    call(SUBJECT)
            memory.unlock("a")
            assert memory.read(SUBJECT) is None

    def test_that_idled_while_the_server_was_away_fail_once(self, memory: PostgresMachineMemory, url: str) -> None:
        for subject in ("a", "b", "c"):
            memory.lock(subject)
        for subject in ("a", "b", "c"):
            memory.unlock(subject)
        assert end_sessions(url) == 3
        with pytest.raises(DatabaseUnavailable):
            memory.read(SUBJECT)
        for subject in ("a", "b", "c"):
            assert memory.lock(subject)

    @pytest.mark.parametrize("needs_lock", [True, False])
    @pytest.mark.parametrize("fails", [False, True])
    def test_lost_in_mid_execution_leave_nothing_half_written(
        self, memory: PostgresMachineMemory, other: PostgresMachineMemory, url: str, needs_lock: bool, fails: bool
    ) -> None:
        event = added(13 if fails else 3)
        undisturbed = counting(memory, needs_lock=needs_lock)
        undisturbed.execute(start())
        before = memory.read(SUBJECT)
        cut = orchestrator_with(memory, lambda: _cut(url, fails), needs_lock=needs_lock)
        with pytest.raises(ArvoTransactionError, match="DatabaseUnavailable: ") as raised:
            cut.execute(event)
        assert raised.value.cause is TransactionCause.WRITE_MACHINE_MEMORY_FAILURE
        assert other.read(SUBJECT) == before
        assert other.seen(event) is None
        assert other.lock(SUBJECT)
        assert other.unlock(SUBJECT)
        assert undisturbed.execute(event).events, "it connects anew"
        assert count_of(memory) == (0 if fails else 3)

    def test_lost_in_a_commit_lose_no_result(
        self, memory: PostgresMachineMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orchestrator = counting(memory, needs_lock=True)
        orchestrator.execute(start())
        execute = psycopg.Connection.execute

        def commits_and_breaks(connection: psycopg.Connection, query: Any, *rest: Any, **named: Any) -> Any:
            cursor = execute(connection, query, *rest, **named)
            if query == "COMMIT" and connection.info.pipeline_status is psycopg.pq.PipelineStatus.OFF:
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return cursor

        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "execute", commits_and_breaks)
            with pytest.raises(ArvoTransactionError, match="server closed the connection"):
                orchestrator.execute(added(3))
        assert count_of(memory) == 3
        again = orchestrator.execute(added(3))
        assert [event.type for event in again.domained_events["all"]] == ["com.add.call", "com.trace.log"]
        assert count_of(memory) == 3


def _cut(url: str, fails: bool) -> None:
    assert end_sessions(url) >= 1
    if fails:
        raise ArithmeticError("13 brings bad luck")


class TestForgetting:
    def test_bounds_what_is_kept(
        self, memory: PostgresMachineMemory, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FORGET_ROWS_MAX", 2)
        events = [added(1, f"e-{number}") for number in range(7)]
        for event in events:
            memory.consumed(event, [DomainedEvent(event, ("default",))], None, None)
        now = datetime.now(UTC)
        rows(
            url,
            "UPDATE consumptions SET consumed_at = now() - interval '1 day' * substr(event_id, 3)::int RETURNING 1",
        )
        assert memory.forget_before(now - timedelta(days=1.5)) == 5
        assert [memory.seen(event) is not None for event in events] == [True, True, *[False] * 5]
        assert memory.forget_before(now - timedelta(days=1.5)) == 0

    def test_makes_an_event_new_again(self, memory: PostgresMachineMemory) -> None:
        orchestrator = counting(memory)
        orchestrator.execute(start())
        orchestrator.execute(added(3))
        memory.forget_before(datetime.now(UTC) + timedelta(minutes=1))
        assert orchestrator.execute(start()).events == ()
        orchestrator.execute(added(3))
        assert count_of(memory) == 6

    def test_takes_a_time_that_is_the_same_everywhere(self, memory: PostgresMachineMemory) -> None:
        with pytest.raises(ValueError, match="forget_before needs a time with an offset from UTC"):
            memory.forget_before(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused.


def test_versions_of_a_machine_share_a_memory(memory: PostgresMachineMemory) -> None:
    both = create_orchestrator(machines=[counter("1.0.0"), counter("2.0.0")], memory=memory)
    for version in ("1.0.0", "2.0.0"):
        subject = subject_of(version=version)
        assert both.execute(start(subject=subject, dataschema=f"#/orc/count/{version}")).events
        (done,) = both.execute(added(0, subject=subject)).events
        assert done.dataschema == f"#/orc/count/{version}"
