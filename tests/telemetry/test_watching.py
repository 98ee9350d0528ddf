"""A worker that is watched does what one does that isn't, and what is told of it is what happened."""

from collections import Counter

import pytest

from tests.runtime import world as worlds
from tests.runtime.world import Member, World, kafka_with_orders
from tests.simulation.servers import FakeClock
from tests.telemetry.bench import TURN_SECONDS_MAX
from tests.telemetry.scraping import Scraped, scraped
from worker.adapters.telemetry.board import Board, Counts
from worker.adapters.telemetry.health import Health
from worker.adapters.telemetry.instruments import Meters
from worker.adapters.telemetry.recorder import Names, Recorder
from worker.adapters.telemetry.telemetry import Sources, Telemetry
from worker.adapters.telemetry.watching import watched
from worker.ports import DatabaseUnavailable, MembershipRefused, PublicationUnknown, Upkept
from worker.runtime.loop import LoopConfig, Parts, Worker

NOTHING = dict.fromkeys(("advanced", "unexpected", "failed", "cancelled", "duplicate", "ignored", "dead_lettered"), 0)


class Watch:
    """Watch the workers of a world; the first one's telemetry is looked at. A check makes others."""

    def __init__(self) -> None:
        self.telemetry: Telemetry | None = None

    def worker(self, parts: Parts) -> Worker:
        meters = Meters({}, {})
        machines = {one.definition_hash: (one.source, one.version) for one in worlds.HOST.registry.machines}
        recorder = Recorder(meters.instruments, Board(parts.clock), Names("orc.input", "group", machines))
        sources = Sources(lambda _: {}, Counts, dict, parts.stages)
        made = Telemetry(meters, recorder, Health(recorder.board, TURN_SECONDS_MAX), sources)
        self.telemetry = self.telemetry or made
        return Worker(watched(parts, recorder))

    @property
    def seen(self) -> Telemetry:
        assert self.telemetry is not None
        return self.telemetry

    def scrape(self) -> Scraped:
        assert self.seen.recorder._told == set(), "the telemetry had no faults"
        return scraped(self.seen.scrape()[1].decode())


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(worlds, "Worker", made.worker)
    return made


def drained(world: World) -> Member:
    member = world.start_alone()
    world.drain()
    # What the brokers have is learned of by the next turns.
    for _ in range(3):
        world.turn(member)
    return member


def test_what_is_counted_is_what_the_servers_have(watch: Watch) -> None:
    world = World(kafka_with_orders(9, 3, garbage=2))
    drained(world)
    world.check()
    found = watch.scrape()
    journal = world.tables.journal.values()
    assert found.by("orchestrator_events_total", "outcome") == {**NOTHING, **Counter(one.outcome for one in journal)}
    assert found.value("orchestrator_dead_letters_total") == 8
    assert found.value("orchestrator_dead_letters_total", reason="INVALID_EVENT") == 8
    assert found.by("messaging_client_sent_messages_total", "messaging_destination_name") == Counter(
        one.topic for one in world.kafka.visible
    )
    assert found.value("messaging_client_consumed_messages_total") == len(journal)
    assert found.by("orchestrator_state_entries_total", "state")["(ended)"] == 9
    batches = found.value("orchestrator_batch_records_count")
    assert found.by("db_client_operation_duration_seconds_count", "db_operation_name")["commit"] == batches
    assert found.by("orchestrator_publications_total", "what") == {
        "committed": batches,
        "aborted": 0,
        "unknown": 0,
    }
    assert found.by("orchestrator_rebalances_total", "what") == {"assigned": 1, "revoked": 0, "lost": 0}
    assert found.value("orchestrator_partitions", state="settled") == 3
    assert found.value("orchestrator_retries_total") is None
    assert watch.seen.health.readiness().failing == ()


def test_failures_are_told_and_pass(watch: Watch) -> None:
    world = World(kafka_with_orders(6))
    member = world.start_alone()
    world.turn(member)
    inner = member.database
    working = inner.lock, inner.positions

    def lock(*_: object) -> object:
        raise DatabaseUnavailable("away")

    inner.lock = inner.positions = lock  # type: ignore[assignment, method-assign]
    world.turn(member)
    world.turn(member)
    assert "database" in watch.seen.health.readiness().failing
    inner.lock, inner.positions = working  # type: ignore[method-assign]
    world.drain()
    world.check()
    found = watch.scrape()
    assert found.value("orchestrator_retries_total", what="unsettled", error_type="DatabaseUnavailable")
    assert found.value("db_client_operation_duration_seconds_count", error_type="DatabaseUnavailable")
    assert found.value("orchestrator_events_total", outcome="advanced") == 24, "what was rolled back is not counted"
    assert watch.seen.health.readiness().failing == ()


@pytest.mark.parametrize(
    ("error", "how", "replaced"), [(PublicationUnknown("cut"), "unknown", 2), (MembershipRefused(), "aborted", 1)]
)
def test_publications_are_told_by_how_they_end(watch: Watch, error: Exception, how: str, replaced: int) -> None:
    world = World(kafka_with_orders(6))
    member = world.start_alone()
    publisher, send_offsets = member.publisher, member.publisher.send_offsets
    errors = [error]

    def once(*asked: object) -> None:
        if errors:
            raise errors.pop()
        send_offsets(*asked)  # type: ignore[arg-type]

    publisher.send_offsets = once  # type: ignore[assignment, method-assign]
    world.drain()
    world.check()
    found = watch.scrape()
    assert found.value("orchestrator_publications_total", what=how) == 1
    assert found.value("orchestrator_producers_total", what="replaced") == replaced
    assert found.value("orchestrator_events_total", outcome="advanced") == 24


def test_the_upkeep_is_told_by_who_did_it_and_what_it_changed(watch: Watch) -> None:
    results: list[Upkept | Exception] = [
        Upkept({"journal_days_made": 3, "instances_removed": 0}, (), 0.2, 0.0),
        DatabaseUnavailable("away"),
        Upkept({"instances_removed": 7}, ("2026-01-01",), 0.2, 0.0),
    ]

    def housekeep() -> Upkept:
        result = results.pop(0) if results else Upkept(idle_seconds=5.0)
        if isinstance(result, Exception):
            raise result
        return result

    world = World(kafka_with_orders(1), LoopConfig(housekeeping_seconds=0.0), housekeep)
    member = drained(world)
    while results:
        world.turn(member)
    world.turn(member)
    found = watch.scrape()
    changes = found.by("orchestrator_upkeep_changes_total", "what")
    assert {what: count for what, count in changes.items() if count} == {"journal_days_made": 3, "instances_removed": 7}
    assert len(changes) == 5
    assert found.value("orchestrator_upkeep_duration_seconds_count", error_type="DatabaseUnavailable") == 1
    assert found.value("orchestrator_upkeep_duration_seconds_count") == 3
    assert found.value("orchestrator_upkeep_age_seconds") == pytest.approx(5.0, abs=2.0)
    world.clock.advance(100)
    assert watch.scrape().value("orchestrator_upkeep_age_seconds") == pytest.approx(105.0, abs=2.0)


def test_the_clock_of_a_world_is_the_telemetry_s(watch: Watch) -> None:
    world = World(kafka_with_orders(1), clock=FakeClock())
    drained(world)
    assert watch.seen.health.liveness().is_fine
    world.clock.advance(TURN_SECONDS_MAX + 1)
    assert not watch.seen.health.liveness().is_fine
