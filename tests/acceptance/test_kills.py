"""Workers that die at any moment: every input has its effect and its outputs exactly once."""

import os
import random
import time

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment
from tests.workload import STATES, records

ORDERS = 2_000
EVENTS = ORDERS * len(STATES)
KILLS = 4
SEED_VARIABLE = "WORKER_TEST_SEED"


@pytest.fixture
def chance() -> random.Random:
    """Give seeded randomness; the seed is printed, and can be given to see a failure again."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(2**32))
    print(f"{SEED_VARIABLE}={seed}")
    return random.Random(seed)


def killing_points(chance: random.Random) -> list[int]:
    """Choose how many records are journalled at each kill: one in every part of the way."""
    part = EVENTS // (KILLS + 1)
    return [part * number + chance.randrange(part) for number in range(KILLS)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_kills_lose_and_double_nothing(deployment: Deployment, chance: random.Random) -> None:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "100"}
    deployment.produce(records(ORDERS))
    for point in killing_points(chance):
        worker = deployment.start_worker()
        started_at = time.monotonic()
        before = deployment.journal_size()
        deployment.wait_until_journalled(max(point, before + 1))
        time.sleep(chance.uniform(0, 0.2))
        worker.kill()
        print(
            f"killed at {deployment.journal_size()} of {EVENTS}, {time.monotonic() - started_at:.1f} s after its start"
        )
    deployment.start_worker()
    deployment.finish()
    assert_orders_done(deployment, range(ORDERS))
