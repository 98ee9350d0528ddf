"""A short run on real servers: a broker, PostgreSQL and two workers, with a few faults of every group."""

import pytest

from tests.chaos.nemesis import FAULTS
from tests.chaos.run import Wishes, run
from tests.chaos.site import Shape

FAULT_NAMES = ("kill a worker", "freeze a worker", "kill a broker", "crash PostgreSQL", "cut PostgreSQL", "cut Kafka")
MINUTES = 0.5
SEED = 7


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_half_a_minute_of_chaos_loses_and_doubles_nothing(kafka_jars: None) -> None:
    faults = [fault for fault in FAULTS if fault.name in FAULT_NAMES]
    shape = Shape(brokers=1, workers=2, partitions=4, session_timeout_seconds=3)
    result = run(Wishes(MINUTES, SEED, shape, faults))
    print("\n".join(result.lines))
    assert result.is_good, f"{result.summary}; see {result.folder}"
    assert min(result.inputs, result.outputs) > 500, "it did flow"
