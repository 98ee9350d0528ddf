"""The whole table in memory: the real runtime on the simulated servers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pytest

from tests.failpoints.cells import Cell, Deed, cells
from tests.failpoints.reaching import LEAVING, REACHED, Scene
from tests.failpoints.running import stranger
from tests.failpoints.tampering import Fired, Plan, Tampering
from tests.runtime import world as worlds
from tests.runtime.world import Member, World, append, kafka_with_orders
from tests.simulation.servers import Killed, SimKafka, SimPostgres
from worker.ports import KafkaFatal, RevisionMismatch
from worker.runtime.loop import LoopConfig, Parts, Worker

ORDERS = 5
PARTITIONS = 2
BATCH_RECORDS_MAX = 4
TURNS_MAX = 60
TURNS_BEFORE_THE_END = 3
CALLS_MAX = 5


def die() -> NoReturn:
    raise Killed


@dataclass
class Server:
    """A way to a simulated server; blocked, no call gets an answer in time."""

    server: SimKafka | SimPostgres

    def stall(self) -> None:
        self.server.is_available = False

    def restore(self) -> None:
        self.server.is_available = True


@dataclass
class Stage:
    """A deployment in memory, for one cell."""

    world: World
    fired: list[Fired] = field(default_factory=list)

    def start(self, *plans: Plan) -> Member | None:
        """Start a worker in which something is planned, and have it get every partition; None if it died at once."""
        ways = {"database": Server(self.world.tables), "kafka": Server(self.world.kafka)}
        tampering = Tampering(plans, self.fired.append, ways, die)
        try:
            with workers_made_of(tampering):
                return self.world.start_alone()
        except Killed:
            self._bury()
            return None

    def turn(self, member: Member) -> None:
        """Have a worker turn once, and end it as its process ends."""
        try:
            self.world.turn(member)
        except (KafkaFatal, RevisionMismatch):
            member.worker._distrust(list(member.worker._partitions))
            self.end(member)

    def end(self, member: Member) -> None:
        """Have a worker give everything back, as it does when it is asked to end."""
        try:
            member.worker.close()
            self.world.members.remove(member)
        except Killed:
            self.world.kill(member)

    def _bury(self) -> None:
        """Have the group notice whoever died before he was known."""
        alive = [member.consumer for member in self.world.members]
        for client in [client for client in self.world.kafka.group.members if client not in alive]:
            self.world.kafka.expel(client)


@contextmanager
def workers_made_of(tampering: Tampering) -> Iterator[None]:
    """Have the world's next workers made of tampered parts."""

    def make(parts: Parts) -> Worker:
        return Worker(tampering.parts(parts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "Worker", make)
        yield


def set_stage(scene: Scene) -> Stage:
    """Make what was there before."""
    kafka = kafka_with_orders(ORDERS, PARTITIONS)
    if scene is Scene.STRANGE:
        encoded = stranger()
        append(kafka, 0, encoded.key, encoded.value, encoded.headers)
    stage = Stage(World(kafka, LoopConfig(batch_records_max=BATCH_RECORDS_MAX)))
    if scene in (Scene.LEFT, Scene.DEADLY):
        before = stage.start(LEAVING)
        assert before is not None
        turn_until(stage, before, lambda: bool(stage.fired))
        stage.fired.clear()
    if scene is Scene.DEADLY:
        rows = stage.world.tables.positions
        rows |= {number: replace(row, deaths=2) for number, row in rows.items()}
    return stage


def turn_until(stage: Stage, member: Member, done: Callable[[], bool]) -> None:
    """Turn a worker until it is so, or nothing is left to do."""
    for _ in range(TURNS_MAX):
        if done() or stage.world.is_done:
            return
        stage.turn(member)
    raise AssertionError("turned in vain")


def play(cell: Cell, at: int) -> bool:
    """Have a call go wrong, the `at`-th of its worker; tell whether there was one."""
    reach = REACHED[cell.step.name]
    stage = set_stage(reach.scene)
    world, fired = stage.world, stage.fired
    member = stage.start(*reach.first, Plan(cell.step.name, cell.deed, cell.error, at))
    if member is not None and reach.asked_to_end:
        for _ in range(TURNS_BEFORE_THE_END):
            stage.turn(member)
        stage.end(member)
    elif member is not None:
        turn_until(stage, member, lambda: bool(fired))
    assert [one.call for one in fired] in ([], [cell.step.name])
    hold(cell, fired, is_alive=member in world.members)
    go_on(world, member)
    world.check()
    return bool(fired)


def hold(cell: Cell, fired: Sequence[Fired], *, is_alive: bool) -> None:
    """Hold what a call did against what its port says."""
    for one in fired:
        assert not (is_alive and cell.deed in (Deed.KILLED_BEFORE, Deed.KILLED_AFTER))
        assert one.raised is None or one.raised in cell.step.raises


def go_on(world: World, member: Member | None) -> None:
    """Have another worker take one partition, or all if the first has ended, and wait until everything is done."""
    successor = world.start()
    kept = 1 if member in world.members else 0
    for partition in list(world.kafka.records)[kept:]:
        world.kafka.give(partition, successor.consumer)
    world.drain()


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_a_failure_of_any_call_does_no_harm(cell: Cell) -> None:
    reach = REACHED[cell.step.name]
    assert play(cell, reach.at_in_memory or reach.at), "the call was not reached"


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_nor_does_one_at_any_time(cell: Cell) -> None:
    for at in range(1, CALLS_MAX + 1):
        if not play(cell, at):
            break
