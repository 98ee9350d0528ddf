"""One run: what a seed draws, and what came of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from time import perf_counter

from tests.simulation.deployment import Deployment
from tests.simulation.invariants import check
from tests.simulation.mutants import MUTANTS
from tests.simulation.nemesis import FAULTS, Nemesis
from tests.simulation.network import CALL_FAULTS, Network
from tests.simulation.processes import Trace
from tests.simulation.workload import SECONDS, arrivals
from worker.runtime.loop import LoopConfig, Parts

PARTITIONS = 3
CHAOS_SECONDS = SECONDS + 20.0
FINISH_SECONDS_MAX = 400.0


@dataclass(frozen=True)
class Result:
    """What came of one seed."""

    seed: int
    failure: BaseException | None
    faults: Counter[str]
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


def run(seed: int, mutant: str | None = None) -> Result:
    """Run one seed."""
    begun = perf_counter()
    deployment, nemesis = _drawn(seed, MUTANTS[mutant] if mutant else unchanged)
    failure: BaseException | None = None
    try:
        deployment.let(CHAOS_SECONDS)
        deployment.calm()
        deployment.finish(FINISH_SECONDS_MAX)
        check(deployment.kafka, deployment.postgres)
    except BaseException as error:  # whatever a worker or a check raised is the result
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = error
    virtual = deployment.scheduler.now
    deployment.end()
    return Result(
        seed,
        failure,
        nemesis.done + deployment.network.drawn,
        len(deployment.postgres.journal),
        perf_counter() - begun,
        virtual,
        deployment.trace,
    )


def unchanged(parts: Parts, _: Deployment) -> Parts:
    """Leave the protocol as it is."""
    return parts


def _drawn(seed: int, mutate: Callable[[Parts, Deployment], Parts]) -> tuple[Deployment, Nemesis]:
    """Draw a deployment. Each seed has some kinds of faults only, so that each kind is met without the others too."""
    random = Random(seed)
    kinds = [one for one in FAULTS if random.random() < 0.5]
    call_faults = [one for one in CALL_FAULTS if random.random() < 0.5]
    rate = random.choice([0.0, 0.003, 0.01, 0.03])
    network = Network(Random(random.random()), dict.fromkeys(call_faults, rate))
    config = LoopConfig(
        batch_records_max=random.choice([1, 2, 5, 500]),
        batch_bytes_max=random.choice([2_000, 10**7]),
        poll_wait_seconds=random.choice([0.5, 2.0]),
    )
    deployment = Deployment(Random(random.random()), network, config, PARTITIONS, mutate=mutate)
    deployment.expect(arrivals(Random(random.random())))
    nemesis = Nemesis(Random(random.random()), tuple(kinds))
    nemesis.plan(deployment, random.choice([3, 6, 10]), CHAOS_SECONDS)
    for _ in range(random.choice([1, 2, 3])):
        deployment.start()
    return deployment, nemesis
