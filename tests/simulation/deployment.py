"""Servers and workers of one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tests.simulation.network import Network
from tests.simulation.processes import NetworkHook, Process, SimBackground, Trace
from tests.simulation.scheduler import Scheduler, Stuck
from tests.simulation.servers import Killed, SimConsumer, SimDatabase, SimPublisher
from tests.simulation.servers.group import Group
from tests.simulation.servers.postgres import Backup
from tests.simulation.watched import Violation, WatchedKafka, WatchedPostgres
from tests.simulation.workload import HOST, LIMITS, ROUTER, Arrival
from worker.core.step import Host
from worker.ports import Claim, KafkaFatal, KafkaUnavailable
from worker.runtime.loop import LoopConfig, Parts, Worker
from worker.runtime.partitions import State

SESSION_SECONDS = 10.0
"""How long the group waits for a member's heartbeat."""

BACKUPS_EVERY_SECONDS = 2.0
SHARE_OF_SURVIVORS = 0.5
"""How often the worker that has the last word is one that was there all the time."""


@dataclass(eq=False)
class Member:
    """One worker process and its connections."""

    process: Process
    consumer: SimConsumer
    parts: Parts
    worker: Worker | None = None

    def run(self) -> None:
        """Be the process: what ends a real one ends here."""
        self.worker = Worker(self.parts)
        self.worker.run()

    def worker_stops(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.process.stir()


class SlowGroup(Group):
    """A group whose rebalances take a while."""

    scheduler: Scheduler
    network: Network

    def rebalance(self) -> None:
        self.is_rebalancing = True
        self.scheduler.after(0.01 + 10 * self.network.way(), self.progress)


@dataclass
class Deployment:
    """Everything there is, on one scheduler."""

    random: Random
    network: Network
    config: LoopConfig
    partitions: int
    scheduler: Scheduler = field(default_factory=Scheduler)
    trace: Trace = field(default_factory=Trace)
    members: list[Member] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    marker_seconds: float = 0.002
    mutate: Callable[[Parts, "Deployment"], Parts] = lambda parts, _: parts
    host: Host = HOST
    is_over: bool = False
    finish_seconds_max: float = 400.0
    """How long the last worker may take: poison takes long, since a process has to die of it several times."""

    def __post_init__(self) -> None:
        self.partitions_begun = self.partitions
        self.postgres = WatchedPostgres(note=partial(self._note, "postgres"))
        group = SlowGroup(automatic=range(self.partitions))
        group.scheduler, group.network = self.scheduler, self.network
        self.kafka = WatchedKafka(
            self.partitions,
            output_partitions=2,
            now_ms=lambda: 1_800_000_000_000 + int(self.scheduler.now * 1000),
            markers=self._mark_later,
            group=group,
            scheduler=self.scheduler,
            postgres=self.postgres,
            note=partial(self._note, "kafka"),
            fences=self.postgres.fences,
        )
        self._back_up()

    def _note(self, server: str, what: str, whom: str, offsets: Mapping[int, int]) -> None:
        self.trace.add(self.scheduler.now, server, what, whom, (offsets,))

    # Producers

    def expect(self, arrivals: list[Arrival]) -> None:
        """Have producers send these."""
        for one in arrivals:
            self.scheduler.at(one.time, partial(self._append, one))

    def _append(self, one: Arrival) -> None:
        partition = (self.kafka.partition_of(one.key, self.partitions) + one.astray) % self.partitions
        self.kafka.append(partition, one.key, one.value, one.headers)
        self.stir()

    def stir(self) -> None:
        """Have those that poll look again."""
        for member in self.members:
            if member.process.is_running:
                member.process.stir()

    # Workers

    def start(self) -> Member:
        """Start a worker."""
        number = len(self.processes) + 1
        process = Process(f"w{number}", self.scheduler, self.network, self.trace)
        process.skew_ms = self.random.choice([0, 0, 50, 2_000])
        self.processes.append(process)
        hook = NetworkHook(process)
        claim = Claim(f"owner-{number}", f"transactional-{number}")
        consumer = SimConsumer(self.kafka, hook, lambda: process.is_running)
        consumer.hears_when_it_polls = False
        database = SimDatabase(self.postgres, claim.owner, hook)
        parts = Parts(
            host=self.host,
            router=ROUTER,
            limits=LIMITS,
            look=self._look,
            positions=database,
            database=database,
            publisher=SimPublisher(self.kafka, claim.transactional_id, hook),
            consumer=consumer,
            background=SimBackground(process),
            clock=process,
            claim=claim,
            housekeep=lambda: None,
            config=self.config,
        )
        member = Member(process, consumer, self.mutate(parts, self))
        self.members.append(member)
        machines = self.host.registry.machines
        self.postgres.register(claim.owner, [(one.source, one.version) for one in machines])
        process.when_stopped = lambda seconds: self._stopped(member, seconds)
        process.start(lambda: self._live(member))
        return member

    def die_of_poison(self) -> None:
        """End the process whose thread this is; the checks at the end are nobody's."""
        for process in self.processes:
            if self.scheduler.current in process.tasks:
                process.kill("by poison")
                raise Killed

    def _live(self, member: Member) -> None:
        try:
            member.run()
        except KafkaFatal as error:
            self.trace.add(self.scheduler.now, member.process.name, "fatal", str(error))
        finally:
            self._gone(member)

    def _gone(self, member: Member) -> None:
        """Have the supervisor start another in the place of one that died."""
        if member not in self.members:
            return
        self.members.remove(member)
        member.process.kill("it ended")
        self._heartbeats_end(member)
        if not self.members:
            self.scheduler.after(self.random.uniform(0.2, 3.0), self._replace)

    def _replace(self) -> None:
        if not (self.members or self.is_over):
            self.last = self.start()

    def _heartbeats_end(self, member: Member) -> None:
        self.scheduler.after(self.random.uniform(0.5, SESSION_SECONDS), lambda: self._expire(member))

    def _expire(self, member: Member) -> None:
        if not member.process.is_running:
            self.expel(member)

    def _stopped(self, member: Member, seconds: float) -> None:
        """Have the group miss a process that is stopped, if it is so for long."""
        if seconds > SESSION_SECONDS / 2:
            self._heartbeats_end(member)
        self.scheduler.at(member.process.stopped_until, lambda: self._heartbeat(member))

    def expel(self, member: Member) -> None:
        """Have the group take a member for dead; it learns that by a heartbeat."""
        self.kafka.group.remove(member.consumer)
        self.scheduler.after(self.random.choice([0.001, 0.5, 3.0]), lambda: self._heartbeat(member))

    def _heartbeat(self, member: Member) -> None:
        if member.process.is_running:
            member.consumer.hear()
            self.kafka.group.progress()

    def _look(self) -> dict[str, int]:
        if not self.kafka.is_available:
            raise KafkaUnavailable("no broker answers")
        return dict(LIMITS.record_bytes_max)

    # Servers

    def without(self, server: WatchedPostgres | WatchedKafka, seconds: float) -> None:
        """Have a server be away for so long."""

        def back() -> None:
            server.is_available = True
            self.stir()

        server.is_available = False
        self.scheduler.after(seconds, back)

    def slow(self, server: str, factor: float, seconds: float) -> None:
        """Stretch a server's ways for so long."""

        def back() -> None:
            self.network.slowness[server] = 1.0

        self.network.slowness[server] = factor
        self.scheduler.after(seconds, back)

    def deny(self, topic: str, seconds: float) -> None:
        """Have a topic's records refused for so long."""
        self.kafka.refused_topics[topic] = "TOPIC_AUTHORIZATION_FAILED"
        self.scheduler.after(seconds, self.kafka.refused_topics.clear)

    def add_partition(self) -> None:
        """Make one partition more, at most; what was backed up before does not know it."""
        if self.partitions == self.partitions_begun:
            self.partitions += 1
            self.backups.clear()
            self.kafka.add_partition()

    def roll_out(self) -> None:
        """Have workers that start from now on bring a new version, beginning with one."""
        self.host = HOST
        if not self.network.is_calm:
            self.start()

    def restore(self, share: float) -> None:
        """Put PostgreSQL back to one of its backups."""
        if not self.backups:
            return
        backup = self.backups[int(share * len(self.backups))]
        self.postgres.restore(backup)
        self.backups = self.backups[: self.backups.index(backup) + 1]

    def _back_up(self) -> None:
        # Before a partition has begun, a backup is an empty database, which no worker goes on with.
        if len(self.postgres.positions) == self.partitions:
            self.backups.append(self.postgres.backup())
        self.scheduler.after(BACKUPS_EVERY_SECONDS, self._back_up)

    def _mark_later(self, write: Callable[[], None]) -> None:
        def mark() -> None:
            write()
            self.stir()

        self.scheduler.after(self.random.expovariate(1.0 / self.marker_seconds), mark)

    # The course of a run

    def let(self, seconds: float) -> None:
        """Let time pass. Raises: what failed meanwhile."""
        until = self.scheduler.now + seconds
        while self.scheduler.now < until:
            self.scheduler.wait(until)
            if self.scheduler.failure is not None:
                raise self.scheduler.failure

    def calm(self) -> None:
        """Let everything work from now on, and one worker do it: one that lived through it all, or a fresh one."""
        self.network.is_calm = True
        self.network.slowness.update(database=1.0, kafka=1.0)
        self.postgres.is_available = self.kafka.is_available = True
        self.kafka.refused_topics.clear()
        self.marker_seconds = 0.002
        able = [one for one in self.members if one.worker is not None and one.parts.host is HOST]
        self.last = self.random.choice(able) if able and self.random.random() < SHARE_OF_SURVIVORS else self.start()
        for member in self.members:
            member.process.stopped_until = 0.0
            if member is not self.last:
                member.worker_stops()

    def finish(self) -> None:
        """Let the last worker do everything and give everything back. Raises: Violation, if it does not in time."""
        seconds_max = self.finish_seconds_max
        until = self.scheduler.now + seconds_max
        while not (self.is_done and self.is_settled):
            if self.scheduler.now > until:
                raise Violation(f"not done {seconds_max:g} s after the last fault: {self._left()}")
            self.let(1.0)
        self.is_over = True
        while self.members:
            if self.scheduler.now > until + seconds_max:
                raise Violation("workers do not stop")
            for member in self.members:
                member.worker_stops()
            self.let(1.0)

    @property
    def is_done(self) -> bool:
        """Whether everything that came is applied and published, and no transaction is open."""
        rows = self.postgres.positions
        return not self.kafka.open and all(
            not self.kafka.end(one)
            or (one in rows and rows[one].next_offset >= self.kafka.end(one) <= self.kafka.known_published(one))
            for one in self.kafka.records
        )

    @property
    def is_settled(self) -> bool:
        """Whether the last worker is alone and has everything, and nothing is under way in it."""
        worker = self.last.worker
        if worker is None or self.members != [self.last]:
            return False
        return [one.state for one in worker._partitions] == [State.SETTLED] * self.partitions

    def _left(self) -> str:
        ends = {one: self.kafka.end(one) for one in self.kafka.records}
        rows = {one: (row.next_offset, row.owner) for one, row in self.postgres.positions.items()}
        return f"ends {ends}, applied {rows}, committed {self.kafka.committed}, open {list(self.kafka.open)}"

    def end(self) -> None:
        """End every process and its threads."""
        for process in self.processes:
            process.kill("the run is over")
        while any(process.tasks for process in self.processes):
            try:
                self.scheduler.sleep(0.0)
            except Stuck:
                return
