"""What goes wrong beside single calls: processes, servers and the group, when and how long is the seed's word."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.deployment import Deployment

Fault = Callable[["Deployment", Random], None]


def kill(deployment: "Deployment", random: Random) -> None:
    """End a process with kill -9; another one comes in its place."""
    if deployment.members:
        random.choice(deployment.members).process.kill("by kill -9")


def stop(deployment: "Deployment", random: Random) -> None:
    """Stop a process for a while, as SIGSTOP or a long pause of its machine do."""
    if deployment.members:
        random.choice(deployment.members).process.stop_for(deployment.network.stop_seconds())


def expel(deployment: "Deployment", random: Random) -> None:
    """Have the group take a member for dead that goes on."""
    if deployment.members:
        deployment.expel(random.choice(deployment.members))


def scale_up(deployment: "Deployment", random: Random) -> None:
    """Start one worker more."""
    if len(deployment.members) < WORKERS_MAX:
        deployment.start()


def scale_down(deployment: "Deployment", random: Random) -> None:
    """Have one worker give everything back and end."""
    if len(deployment.members) > 1:
        random.choice(deployment.members).worker_stops()


def database_crash(deployment: "Deployment", random: Random) -> None:
    """Have PostgreSQL be gone for a while."""
    deployment.postgres.crash()
    deployment.without(deployment.postgres, random.choice([0.0, 1.0, 10.0]))


def database_slow(deployment: "Deployment", random: Random) -> None:
    """Have PostgreSQL take long for everything."""
    deployment.slow("database", random.choice([30.0, 1_000.0]), random.uniform(1.0, 10.0))


def database_restored(deployment: "Deployment", random: Random) -> None:
    """Put PostgreSQL back to what it was some time ago."""
    deployment.restore(random.uniform(0.0, 1.0))


def kafka_away(deployment: "Deployment", random: Random) -> None:
    """Have no broker answer for a while."""
    deployment.without(deployment.kafka, random.choice([0.5, 5.0, 35.0]))


def kafka_slow(deployment: "Deployment", random: Random) -> None:
    """Have the brokers take long for everything."""
    deployment.slow("kafka", random.choice([30.0, 1_000.0]), random.uniform(1.0, 10.0))


def markers_slow(deployment: "Deployment", random: Random) -> None:
    """Have the ends of transactions come to partitions late."""
    deployment.marker_seconds = random.choice([0.5, 5.0])


def topic_denied(deployment: "Deployment", random: Random) -> None:
    """Have the brokers refuse a topic's records for good, until somebody gives the right back."""
    deployment.deny("orc.external", random.uniform(0.5, 10.0))


def partition_added(deployment: "Deployment", random: Random) -> None:
    """Give the input topic one partition more, once: subjects may move to it."""
    deployment.add_partition()


FAULTS: Final[dict[str, Fault]] = {
    "kill -9": kill,
    "process stopped": stop,
    "session expired": expel,
    "scaled up": scale_up,
    "scaled down": scale_down,
    "database crash": database_crash,
    "database slow": database_slow,
    "database restored": database_restored,
    "Kafka away": kafka_away,
    "Kafka slow": kafka_slow,
    "markers slow": markers_slow,
    "topic denied": topic_denied,
    "partition added": partition_added,
}

WORKERS_MAX: Final = 3


@dataclass
class Nemesis:
    """Faults at times; `done` counts them."""

    random: Random
    kinds: tuple[str, ...]
    done: Counter[str] = field(default_factory=Counter)

    def plan(self, deployment: "Deployment", faults: int, seconds: float) -> None:
        """Draw faults for a span of time."""
        for _ in range(faults if self.kinds else 0):
            kind = self.random.choice(self.kinds)
            deployment.scheduler.at(self.random.uniform(0.0, seconds), partial(self._do, deployment, kind))

    def _do(self, deployment: "Deployment", kind: str) -> None:
        if deployment.network.is_calm:
            return
        self.done[kind] += 1
        deployment.trace.add(deployment.scheduler.now, "nemesis", kind, "")
        FAULTS[kind](deployment, self.random)
