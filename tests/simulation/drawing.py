"""What a seed draws: servers, workers and their settings, what goes wrong, and what comes in.

Each seed has some kinds of faults only, so that each kind is met without the others too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.simulation.deployment import Deployment
from tests.simulation.mutants import Mutant
from tests.simulation.nemesis import FAULTS, Nemesis
from tests.simulation.network import CALL_FAULTS, Network
from tests.simulation.workload import OLD_HOST, ROLLED_OUT_SECONDS, SECONDS, arrivals, cancels, event_id, flood
from worker.ports import JournalRow
from worker.runtime.loop import LoopConfig

PARTITIONS: Final = 3
CHAOS_SECONDS: Final = SECONDS + 20.0
SHARE_OF_KINDS: Final = 0.5
SHARE_OF_POISON: Final = 0.15


@dataclass(frozen=True)
class Drawn:
    """A run that can begin. `poison` is the event that kills whoever runs it, if one does."""

    deployment: Deployment
    nemesis: Nemesis
    poison: str | None


def draw(seed: int, mutant: Mutant) -> Drawn:
    """Draw a run."""
    random = Random(seed)
    kinds = tuple(one for one in FAULTS if random.random() < SHARE_OF_KINDS)
    network = _network(random, mutant)
    deployment = Deployment(Random(random.random()), network, _config(random), PARTITIONS, mutate=mutant.mutate)
    deployment.expect(arrivals(Random(random.random())))
    nemesis = Nemesis(Random(random.random()), mutant.faults or kinds)
    nemesis.plan(deployment, random.choice([3, 6, 10]), CHAOS_SECONDS)
    for kind, (share, arrange) in CONDITIONS.items():
        if random.random() < share:
            nemesis.done[kind] += 1
            arrange(deployment, random)
    poison = event_id(random) if mutant.poison or random.random() < SHARE_OF_POISON else None
    for _ in range(random.choice([1, 2, 3])):
        deployment.start()
    return Drawn(deployment, nemesis, poison)


def _network(random: Random, mutant: Mutant) -> Network:
    kinds = [one for one in CALL_FAULTS if random.random() < SHARE_OF_KINDS]
    rate = random.choice([0.0, 0.003, 0.01, 0.03])
    return Network(Random(random.random()), {**dict.fromkeys(kinds, rate), **mutant.rates}, mutant.only)


def _config(random: Random) -> LoopConfig:
    return LoopConfig(
        batch_records_max=random.choice([1, 2, 5, 500]),
        batch_bytes_max=random.choice([2_000, 10**7]),
        poll_wait_seconds=random.choice([0.5, 2.0]),
    )


def _roll_out(deployment: Deployment, random: Random) -> None:
    """Begin with workers that lack a version of a machine; another brings it, before its events come."""
    deployment.host = OLD_HOST
    deployment.scheduler.at(random.uniform(0.0, ROLLED_OUT_SECONDS), deployment.roll_out)


def _flood(deployment: Deployment, random: Random) -> None:
    """Have so much garbage come that the workers pause, longer each time."""
    deployment.finish_seconds_max = 9_000.0
    deployment.expect(flood(random))


def _storage_refuses(deployment: Deployment, random: Random) -> None:
    """Have PostgreSQL refuse what one event comes to, until it is a dead letter."""
    refused = event_id(random)

    def refuses(row: JournalRow) -> str | None:
        return "invalid byte sequence" if row.event_id == refused and row.outcome != "dead_lettered" else None

    deployment.postgres.refuses = refuses


def _few_locks(deployment: Deployment, random: Random) -> None:
    """Have PostgreSQL's lock table hold few subjects at once."""
    deployment.postgres.locks_max = random.choice([1, 2, 4])


def _operators(deployment: Deployment, random: Random) -> None:
    """Have operators cancel some of what runs."""
    deployment.expect(cancels(random))


CONDITIONS: Final[Mapping[str, tuple[float, Callable[[Deployment, Random], None]]]] = {
    "roll-out": (0.25, _roll_out),
    "flood": (0.03, _flood),
    "storage refuses": (0.15, _storage_refuses),
    "few locks": (0.1, _few_locks),
    "operators": (0.3, _operators),
}
"""What a whole run is under, and the share of seeds that are."""
