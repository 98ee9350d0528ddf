"""One run of a seed, and what came of it."""

import logging
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter

import structlog

from tests.simulation.deployment import Deployment
from tests.simulation.drawing import CHAOS_SECONDS, draw
from tests.simulation.invariants import check
from tests.simulation.mutants import MUTANTS, UNCHANGED
from tests.simulation.processes import Trace
from tests.simulation.steps import remembered_steps
from tests.simulation.watched import refused


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


def run(seed: int, mutant: str | None = None) -> Result:
    """Run one seed."""
    begun = perf_counter()
    drawn = draw(seed, MUTANTS[mutant] if mutant else UNCHANGED)
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
    deployment.finish()
    check(deployment.kafka, deployment.postgres)


def silence_logs() -> None:
    """Have the workers say nothing: there are too many of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
