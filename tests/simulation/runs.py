"""One run: what a seed draws, and what came of it."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from time import perf_counter

import structlog

from tests.simulation.deployment import Deployment
from tests.simulation.invariants import check
from tests.simulation.mutants import MUTANTS, UNCHANGED, Mutant
from tests.simulation.nemesis import FAULTS, Nemesis
from tests.simulation.network import CALL_FAULTS, Network
from tests.simulation.processes import Trace
from tests.simulation.steps import remembered_steps
from tests.simulation.watched import refused
from tests.simulation.workload import OLD_HOST, ROLLED_OUT_SECONDS, SECONDS, arrivals, event_id, flood
from worker.ports import JournalRow
from worker.runtime.loop import LoopConfig

PARTITIONS = 3
CHAOS_SECONDS = SECONDS + 20.0
FINISH_SECONDS_MAX = 400.0
SHARE_OF_KINDS = 0.5
SHARE_OF_POISON = 0.15
SHARE_OF_ROLL_OUTS = 0.25
SHARE_OF_FLOODS = 0.03
SHARE_OF_REFUSALS = 0.15
SHARE_OF_FEW_LOCKS = 0.1


@dataclass(frozen=True)
class Result:
    """What came of one seed. `outcomes` are its records' by name, a dead letter's by its reason."""

    seed: int
    failure: BaseException | None
    faults: Counter[str]
    outcomes: Counter[str]
    events: int
    seconds: float
    virtual_seconds: float
    trace: Trace

    @property
    def digest(self) -> str:
        """Name the whole course of the run."""
        digest = sha256()
        for time, who, what, how, _ in self.trace.entries:
            digest.update(f"{time!r} {who} {what} {how}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Drawn:
    """What a seed draws: servers and workers, what goes wrong, and the event that kills, if one does."""

    deployment: Deployment
    nemesis: Nemesis
    poison: str | None


def run(seed: int, mutant: str | None = None) -> Result:
    """Run one seed."""
    begun = perf_counter()
    drawn = _drawn(seed, MUTANTS[mutant] if mutant else UNCHANGED)
    deployment = drawn.deployment
    failure: BaseException | None = None
    with remembered_steps(drawn.poison, deployment.die_of_poison):
        try:
            _live(deployment)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a worker or a check raised is what came of it
            failure = error
        virtual_seconds = deployment.scheduler.now
        deployment.end()
    faults = drawn.nemesis.done + deployment.network.drawn
    outcomes = Counter(row.reason or row.outcome for row in deployment.postgres.journal.values())
    outcomes["OUTPUT_REFUSED"] = sum(refused(output) is not None for output in deployment.kafka.visible)
    return Result(
        seed, failure, faults, outcomes, outcomes.total(), perf_counter() - begun, virtual_seconds, deployment.trace
    )


def _live(deployment: Deployment) -> None:
    deployment.let(CHAOS_SECONDS)
    deployment.calm()
    deployment.finish(FINISH_SECONDS_MAX)
    check(deployment.kafka, deployment.postgres)


def _drawn(seed: int, mutant: Mutant) -> Drawn:
    """Draw a run. Each seed has some kinds of faults only, so that each kind is met without the others too."""
    random = Random(seed)
    kinds = [one for one in FAULTS if random.random() < SHARE_OF_KINDS]
    call_faults = [one for one in CALL_FAULTS if random.random() < SHARE_OF_KINDS]
    rate = random.choice([0.0, 0.003, 0.01, 0.03])
    network = Network(Random(random.random()), {**dict.fromkeys(call_faults, rate), **mutant.rates}, mutant.only)
    config = LoopConfig(
        batch_records_max=random.choice([1, 2, 5, 500]),
        batch_bytes_max=random.choice([2_000, 10**7]),
        poll_wait_seconds=random.choice([0.5, 2.0]),
    )
    deployment = Deployment(Random(random.random()), network, config, PARTITIONS, mutate=mutant.mutate)
    deployment.expect(arrivals(Random(random.random())))
    nemesis = Nemesis(Random(random.random()), mutant.faults or tuple(kinds))
    nemesis.plan(deployment, random.choice([3, 6, 10]), CHAOS_SECONDS)
    poison = event_id(random) if random.random() < SHARE_OF_POISON else None
    if random.random() < SHARE_OF_ROLL_OUTS:
        deployment.host = OLD_HOST
        deployment.scheduler.at(random.uniform(0.0, ROLLED_OUT_SECONDS), deployment.roll_out)
    if random.random() < SHARE_OF_FLOODS:
        deployment.expect(flood(random))
    if random.random() < SHARE_OF_REFUSALS:
        deployment.postgres.refuses = _refusing(event_id(random))
    if random.random() < SHARE_OF_FEW_LOCKS:
        deployment.postgres.locks_max = random.choice([1, 2, 4])
    for _ in range(random.choice([1, 2, 3])):
        deployment.start()
    return Drawn(deployment, nemesis, poison)


def _refusing(id_: str) -> Callable[[JournalRow], str | None]:
    """Have PostgreSQL refuse what one event came to, until it is a dead letter."""
    return lambda row: "invalid byte sequence" if row.event_id == id_ and row.outcome != "dead_lettered" else None


def silence_logs() -> None:
    """Have the workers say nothing: there are too many of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
