"""Servers for the tests of the ports: each test runs on the simulated ones and on real ones."""

from collections.abc import Iterator

import pytest

from tests.contracts.brokers import BATCH_BYTES_MAX, Bench, Member, RealBench, SimulatedBench, poll_until
from tests.contracts.samples import OURS, THEIRS
from tests.contracts.stores import Connected, RealStore, SimulatedStore, Store
from worker.ports import Publisher

SERVERS = ("simulated", "real")


@pytest.fixture(params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Make a database."""
    is_real = request.param == "real"
    made: Store = RealStore(request.getfixturevalue("migrated_database_url")) if is_real else SimulatedStore()
    yield made
    made.close()


@pytest.fixture
def ours(store: Store) -> Connected:
    """Connect the worker that the test is about."""
    return store.connect(OURS.owner)


@pytest.fixture
def theirs(store: Store) -> Connected:
    """Connect another worker."""
    return store.connect(THEIRS.owner)


@pytest.fixture(params=SERVERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Make topics and a group."""
    is_real = request.param == "real"
    made: Bench = RealBench(request.getfixturevalue("kafka_cluster")) if is_real else SimulatedBench()
    yield made
    made.close()


@pytest.fixture
def member(bench: Bench) -> Member:
    """Make a member that has both partitions."""
    made = bench.member("first")
    made.join()
    poll_until(lambda: made.owned == {0, 1}, made.poll)
    return made


@pytest.fixture
def publisher(bench: Bench) -> Publisher:
    """Put a producer in place."""
    made = bench.publisher("first")
    made.replace(BATCH_BYTES_MAX)
    return made
