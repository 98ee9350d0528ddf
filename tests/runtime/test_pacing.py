"""A batch is begun so that it is applied as the publication before it ends."""

import pytest

from tests.runtime.test_loop import recorded_batches, taken, turns
from tests.runtime.world import World, append, kafka_with_orders
from tests.simulation.servers import FakeClock
from tests.workload import Order
from worker.runtime.loop import LoopConfig
from worker.runtime.pacing import GATHER_SECONDS_MAX, Pace

PUBLICATION = 0.04
BATCH = 0.01


def paced(publication_seconds: float = PUBLICATION, batch_seconds: float = BATCH) -> tuple[Pace, FakeClock]:
    """Give a pace that has seen many of these, and a publication that has just begun."""
    clock = FakeClock()
    pace = Pace(clock)
    pace.applied(batch_seconds)
    for _ in range(50):
        pace.publishing()
        clock.advance(publication_seconds)
        pace.published()
    pace.publishing()
    return pace, clock


def test_a_batch_may_wait_until_it_would_end_with_the_publication() -> None:
    pace, clock = paced()
    assert pace.spare_seconds() == pytest.approx(PUBLICATION - BATCH)
    clock.advance(PUBLICATION - BATCH - 0.001)
    assert pace.spare_seconds() == pytest.approx(0.001)
    clock.advance(0.002)
    assert pace.spare_seconds() == 0.0


def test_a_batch_that_takes_longer_than_a_publication_does_not_wait() -> None:
    pace, _ = paced(batch_seconds=PUBLICATION * 2)
    assert pace.spare_seconds() == 0.0


def test_no_batch_waits_for_long() -> None:
    pace, _ = paced(publication_seconds=30.0)
    assert pace.spare_seconds() == GATHER_SECONDS_MAX


def test_before_anything_is_known_nothing_waits() -> None:
    assert Pace(FakeClock()).spare_seconds() == 0.0


class TestGathering:
    def arranged(self, records_max: int) -> World:
        """Have a publication under way that takes its time, with records behind it."""
        world = World(kafka_with_orders(2, steps=1), LoopConfig(batch_records_max=records_max))
        member = taken(world)
        for _ in range(50):
            member.worker._pace.publishing()
            world.clock.advance(PUBLICATION)
            member.worker._pace.published()
        member.background.stuck = True
        turns(world, member, 1)
        assert world.tables.positions[0].next_offset == min(records_max, 2)
        return world

    def come(self, world: World, *numbers: int) -> None:
        for number in numbers:
            record = Order(number).record(0)
            append(world.kafka, 0, record.key, record.value, record.headers)

    def test_what_comes_while_a_batch_would_wait_shares_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = self.arranged(records_max=10)
        (member,) = world.members
        batches = recorded_batches(monkeypatch)
        self.come(world, 7)
        waited: list[float] = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            world.clock.advance(seconds)
            self.come(world, 8, 9)
            # Behind a batch that is ahead, the publication is waited for.
            member.background.stuck = False

        member.background.wait = wait
        world.turn(member)
        assert waited == [pytest.approx(PUBLICATION)]
        assert list(map(len, batches)) == [3]
        world.drain()
        world.check()

    def test_a_full_batch_does_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = self.arranged(records_max=2)
        (member,) = world.members
        batches = recorded_batches(monkeypatch)
        self.come(world, 7, 8, 9)
        waited: list[float] = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            member.background.stuck = False

        member.background.wait = wait
        world.turn(member)
        assert list(map(len, batches)) == [2]
        assert PUBLICATION not in waited
        world.drain()
        world.check()
