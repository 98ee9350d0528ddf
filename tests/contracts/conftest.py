"""Servers for the tests of the ports: each test runs on the simulated ones and on real ones."""

from collections.abc import Iterator

import pytest

from tests.contracts.brokers import (
    BATCH_BYTES_MAX,
    BROKERS_SHARE_OUT,
    SERVERS,
    Bench,
    Member,
    RealBench,
    SimulatedBench,
    poll_until,
)
from tests.contracts.samples import OURS, THEIRS
from tests.contracts.stores import Connected, RealStore, SimulatedStore, Store
from worker.ports import Publisher


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
    """Make topics and a group, whose members share partitions out, or, by KIP-848, whose brokers do."""
    made: Bench = SimulatedBench()
    if request.param != "simulated":
        cluster = request.getfixturevalue("kafka_cluster")
        made = RealBench(cluster, "consumer" if request.param == BROKERS_SHARE_OUT else "classic")
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
