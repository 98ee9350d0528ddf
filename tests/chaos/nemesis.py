"""What breaks things: faults drawn by a seed, each healed before its group is struck again."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from tests.acceptance.deployment import WorkerProcess
from tests.chaos.history import History
from tests.chaos.site import Site, kill
from tests.servers.proxy import Pace, TcpProxy

LANES = 2
PAUSE_SECONDS = (3.0, 9.0)
FIRST_SECONDS = 3.0
LANE_SECONDS = 7.0
CONNECTIONS_MAX = 100
SLOW = Pace(delay_seconds=0.03, bytes_per_second=2_000_000)

Strike = Callable[[Site, random.Random], str]
"""Break something, wait, and heal it; say what it was."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. Two of one group never overlap; `weight` is how often it is drawn beside others."""

    name: str
    group: str
    strike: Strike
    weight: int = 2


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was."""

    name: str
    detail: str
    begun: float
    healed: float


@dataclass(slots=True)
class Nemesis:
    """Strike in several lanes, each with a seed of its own, until the time is over."""

    site: Site
    history: History
    seed: int
    faults: Sequence["Fault"]
    lanes: int = LANES
    struck: list[Struck] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _groups: dict[str, threading.Lock] = field(init=False)

    def __post_init__(self) -> None:
        self._groups = {fault.group: threading.Lock() for fault in self.faults}

    def run(self, seconds: float) -> None:
        """Strike for so long, and return when everything is healed."""
        threads = [threading.Thread(target=self._lane, args=(number,)) for number in range(self.lanes)]
        for thread in threads:
            thread.start()
        try:
            self._over.wait(seconds)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _lane(self, number: int) -> None:
        chance = random.Random(f"{self.seed}-{number}")
        pause = FIRST_SECONDS + number * LANE_SECONDS
        while not self._over.wait(pause):
            (fault,) = chance.choices(self.faults, [fault.weight for fault in self.faults])
            self._strike(fault, chance)
            pause = chance.uniform(*PAUSE_SECONDS)

    def _strike(self, fault: Fault, chance: random.Random) -> None:
        with self._groups[fault.group]:
            if self._over.is_set():
                return
            begun = time.time()
            self.history.add("fault", begun, name=fault.name, phase="begun")
            try:
                detail = fault.strike(self.site, chance)
            except Exception as error:  # noqa: BLE001 - told in the report
                detail = f"{type(error).__name__}: {error}"
                self.errors.append(f"{fault.name}: {detail}")
            struck = Struck(fault.name, detail, begun, time.time())
            self.struck.append(struck)
            self.history.add("fault", struck.healed, name=fault.name, phase="healed", detail=detail)


# Workers


def _serving(site: Site, chance: random.Random) -> WorkerProcess | None:
    serving = [worker for slot in site.slots if (worker := slot.current)]
    return chance.choice(serving) if serving else None


def kill_worker(site: Site, chance: random.Random) -> str:
    worker = _serving(site, chance)
    if worker is None:
        return "nobody served"
    kill(worker)
    site.wait_until_wanted()
    return worker.name


def kill_workers(site: Site, chance: random.Random) -> str:
    """All at once."""
    killed = [worker for slot in site.slots if (worker := slot.current)]
    for worker in killed:
        kill(worker)
    site.wait_until_wanted()
    return ", ".join(worker.name for worker in killed)


def pause_worker(site: Site, chance: random.Random) -> str:
    """For less than the session time-out."""
    return _pause(site, chance, chance.uniform(0.1, 0.7))


def freeze_worker(site: Site, chance: random.Random) -> str:
    """For longer than the session time-out: it comes back as a zombie."""
    return _pause(site, chance, chance.uniform(1.2, 2.5))


def _pause(site: Site, chance: random.Random, sessions: float) -> str:
    worker = _serving(site, chance)
    if worker is None:
        return "nobody served"
    seconds = sessions * site.shape.session_timeout_seconds
    with suppress(ProcessLookupError):
        worker.suspend()
        time.sleep(seconds)
        worker.resume()
    return f"{worker.name} for {seconds:.1f} s"


def scale_workers(site: Site, chance: random.Random) -> str:
    """Down to one by SIGTERM, and up again."""
    site.want(1)
    site.wait_until_wanted()
    time.sleep(chance.uniform(1, 8))
    site.want(len(site.slots))
    site.wait_until_wanted()
    return f"to 1 and back to {len(site.slots)}"


# Brokers


def kill_broker(site: Site, chance: random.Random) -> str:
    server = chance.choice(site.brokers.servers)
    server.kill()
    time.sleep(chance.uniform(0.2, 5))
    server.start()
    site.brokers.wait_until_in_sync()
    return f"broker {server.node}"


def restart_broker(site: Site, chance: random.Random) -> str:
    server = chance.choice(site.brokers.servers)
    server.restart()
    site.brokers.wait_until_in_sync()
    return f"broker {server.node}"


# PostgreSQL


def restart_database(site: Site, chance: random.Random) -> str:
    site.end_database(signal.SIGINT)
    time.sleep(chance.uniform(0, 2))
    site.postgres.start()
    return "clean"


def crash_database(site: Site, chance: random.Random) -> str:
    site.end_database(signal.SIGQUIT)
    time.sleep(chance.uniform(0, 5))
    site.postgres.start()
    return "immediate"


def fill_database(site: Site, chance: random.Random) -> str:
    """Take every connection there is, those of the workers too."""
    with ExitStack() as held:
        taken = _take_connections(site, held)
        with suppress(psycopg.Error), site.connect() as last:
            last.execute("SELECT")  # Of those that were just freed.
        time.sleep(chance.uniform(1, 5))
    return f"{taken} connections"


def _take_connections(site: Site, held: ExitStack) -> int:
    taken: list[psycopg.Connection] = []
    for number in range(CONNECTIONS_MAX * 2):
        try:
            taken.append(held.enter_context(site.connect()))
        except psycopg.OperationalError:
            if number > CONNECTIONS_MAX * 2 - 2 or not _end_others(taken):
                break
    return len(taken)


def _end_others(ours: Sequence[psycopg.Connection]) -> bool:
    """End the sessions of everybody else; tell whether there were any."""
    if not ours:
        return False
    rows = ours[0].execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> ALL(%s)",
        [[one.info.backend_pid for one in ours]],
    )
    ended = bool(rows.fetchall())
    time.sleep(0.05)
    return ended


# The network


def _proxies(chance: random.Random, proxies: Sequence[TcpProxy]) -> list[TcpProxy]:
    """Choose one, or all."""
    return [chance.choice(proxies)] if chance.random() < 0.7 else list(proxies)


@contextmanager
def _restoring(proxies: Sequence[TcpProxy]) -> Iterator[None]:
    try:
        yield
    finally:
        for proxy in proxies:
            proxy.restore()


def _on_network(
    which: Callable[[Site], Sequence[TcpProxy]], do: Callable[[TcpProxy], None], seconds: tuple[float, float]
) -> Strike:
    def strike(site: Site, chance: random.Random) -> str:
        chosen = _proxies(chance, which(site))
        lasting = chance.uniform(*seconds)
        with _restoring(chosen):
            for proxy in chosen:
                do(proxy)
            time.sleep(lasting)
        return f"{len(chosen)} of {len(which(site))} for {lasting:.1f} s"

    return strike


def _to_database(site: Site) -> Sequence[TcpProxy]:
    return site.database_proxies


def _to_kafka(site: Site) -> Sequence[TcpProxy]:
    return site.kafka_proxies


FAULTS = (
    Fault("kill a worker", "workers", kill_worker, 5),
    Fault("kill all workers", "workers", kill_workers, 1),
    Fault("pause a worker", "workers", pause_worker),
    Fault("freeze a worker", "workers", freeze_worker, 3),
    Fault("scale the workers", "workers", scale_workers),
    Fault("kill a broker", "brokers", kill_broker, 3),
    Fault("restart a broker", "brokers", restart_broker),
    Fault("restart PostgreSQL", "database", restart_database),
    Fault("crash PostgreSQL", "database", crash_database, 3),
    Fault("fill PostgreSQL", "database", fill_database),
    Fault("cut PostgreSQL", "to database", _on_network(_to_database, TcpProxy.cut, (0.2, 5))),
    Fault("stall PostgreSQL", "to database", _on_network(_to_database, TcpProxy.stall, (1, 12))),
    Fault("slow PostgreSQL", "to database", _on_network(_to_database, lambda proxy: proxy.slow(SLOW), (3, 10))),
    Fault("cut Kafka", "to Kafka", _on_network(_to_kafka, TcpProxy.cut, (0.2, 5))),
    Fault("stall Kafka", "to Kafka", _on_network(_to_kafka, TcpProxy.stall, (1, 12))),
    Fault("slow Kafka", "to Kafka", _on_network(_to_kafka, lambda proxy: proxy.slow(SLOW), (3, 10))),
)
