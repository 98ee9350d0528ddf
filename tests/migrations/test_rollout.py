"""Migrations around a roll-out: what runs before it, what after, and who may run on what."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.migrations.releases import ROOT, TAKES_AWAY, Release, add_revision, copy_of
from worker.adapters.postgres import migrate as module
from worker.adapters.postgres.migrate import (
    ROLLOUT,
    Line,
    current_revision,
    head_revision,
    left_to_run,
    migrate,
    require_current,
)
from worker.core.errors import SetupError

HEAD = head_revision()


@pytest.fixture
def newer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Have the next version's migrations: one that adds, one that takes away. Give what puts each version in place."""
    release = copy_of(tmp_path_factory.mktemp("next"))
    add_revision(release, "9001", "before", "ALTER TABLE instances ADD COLUMN note text")
    add_revision(release, "9002", "after", TAKES_AWAY)
    return release.in_place_by(monkeypatch)


class TestLine:
    LINE = Line(("1", "2", "3", "4", "5"), frozenset({"3", "5"}))

    def test_needed_is_the_last_that_runs_before(self) -> None:
        assert self.LINE.needed == "4"

    @pytest.mark.parametrize(
        ("found", "heads"),
        [("1", ["1"]), ("2", ["2", "1"]), ("3", ["3"]), ("4", ["4", "3"]), ("5", ["5"])],
    )
    def test_workers_run_on_what_only_added_since(self, found: str, heads: list[str]) -> None:
        assert self.LINE.supported(found) == heads

    def test_what_is_left(self) -> None:
        assert self.LINE.left("4") == ("5",)
        assert self.LINE.left("5") == ()
        assert self.LINE.left(None) == self.LINE.revisions


def test_a_rollout_goes_as_far_as_the_version_before_can_bear(database_url: str, newer: Release) -> None:
    newer.put_back()
    migrate(database_url)
    newer.put_in()
    assert migrate(database_url, to=ROLLOUT).applied == ("9001",)
    assert left_to_run(database_url) == ["9002"]
    require_current(database_url)
    newer.put_back()
    require_current(database_url)
    newer.put_in()
    assert migrate(database_url, to=ROLLOUT).applied == ()
    assert migrate(database_url).applied == ("9002",)
    require_current(database_url)
    newer.put_back()
    with pytest.raises(SetupError, match=f"at 9002, which this worker does not know; it needs {HEAD}: a newer worker"):
        require_current(database_url)


def test_a_rollout_does_not_go_back(database_url: str, newer: Release) -> None:
    newer.put_in()
    migrate(database_url)
    assert migrate(database_url, to=ROLLOUT).applied == ()
    assert current_revision(database_url) == "9002"


def test_a_new_database_has_no_workers_to_wait_for(database_url: str, newer: Release) -> None:
    newer.put_in()
    assert migrate(database_url, to=ROLLOUT).after == "9002"
    assert left_to_run(database_url) == []


def test_a_database_that_a_rollout_needs_more_of_is_refused(database_url: str, newer: Release) -> None:
    newer.put_back()
    migrate(database_url)
    newer.put_in()
    with pytest.raises(SetupError, match=f"schema is at {HEAD}, this worker needs 9001: run `worker migrate`"):
        require_current(database_url)


class TestBusyTables:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TABLE_LOCK_SECONDS", 1)
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.2)

    @contextmanager
    def held(self, url: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT count(*) FROM instances")
            yield connection
            connection.rollback()

    def test_a_table_in_use_is_given_up_and_told(
        self, database_url: str, newer: Release, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "TRIES_MAX", 2)
        newer.put_back()
        migrate(database_url)
        newer.put_in()
        with (
            self.held(database_url),
            pytest.raises(SetupError, match="nothing was changed: a table was in use for 1 s at each of 2 tries"),
        ):
            migrate(database_url)
        assert current_revision(database_url) == HEAD

    def test_others_get_at_the_table_between_two_tries(self, database_url: str, newer: Release) -> None:
        newer.put_back()
        migrate(database_url)
        newer.put_in()
        waits: list[float] = []
        with self.held(database_url) as holder, psycopg.connect(database_url, autocommit=True) as other:
            running = threading.Thread(target=migrate, args=(database_url,))
            running.start()
            ends_at = time.monotonic() + 4
            while time.monotonic() < ends_at:
                begun = time.monotonic()
                other.execute("SELECT count(*) FROM instances")
                waits.append(time.monotonic() - begun)
                time.sleep(0.01)
            holder.rollback()
            running.join()
        assert current_revision(database_url) == "9002"
        # Whoever came behind the migration waited with it, and went on when it gave up: never for all the four seconds.
        assert 0.2 < max(waits) < 3.5


def test_revisions_say_when_they_run_and_those_before_only_add() -> None:
    assert not list(Release(ROOT).faults())


@pytest.mark.parametrize(
    ("phase", "statement", "fault"),
    [
        ("before", "ALTER TABLE instances DROP COLUMN version", "DROP COLUMN"),
        ("before", "DROP TABLE definitions", "DROP TABLE"),
        ("before", "ALTER TABLE positions RENAME COLUMN owner TO holder", "RENAME"),
        ("before", "ALTER TABLE instances ALTER COLUMN status TYPE varchar(9)", "TYPE"),
        ("before", "ALTER TABLE instances ALTER COLUMN output SET NOT NULL", "SET NOT NULL"),
        ("before", "CREATE INDEX ON instances (version)", "CREATE INDEX"),
        ("before", "ALTER TABLE instances ADD CHECK (version <> '')", "ADD CHECK"),
        ("later", "SELECT 1", "phase"),
    ],
)
def test_a_revision_that_old_workers_can_not_bear_is_found(
    newer: Release, phase: str, statement: str, fault: str
) -> None:
    add_revision(newer, "9003", phase, statement)
    assert [fault in found and "9003" in found for found in newer.faults()] == [True]
