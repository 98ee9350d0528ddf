"""Workers that stop, die or freeze beside another one: it goes on in their place, soon, and nothing is doubled."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from tests.acceptance.checks import assert_orders_done, published_of
from tests.acceptance.deployment import (
    SESSION_TIMEOUT_SECONDS,
    Deployment,
    WorkerProcess,
    wait_until,
)
from tests.workload import STATES, Order, records

ORDERS = 600
EVENTS = ORDERS * len(STATES)
TAKEOVER_SECONDS = SESSION_TIMEOUT_SECONDS + 2
SHUTDOWN_SECONDS = 5.0
PATIENCE_SECONDS = 30.0


def event_ids() -> list[str]:
    """Name the events of the workload in the order in which they are produced."""
    return [f"{Order(number).id}-{step}" for step in range(len(STATES)) for number in range(ORDERS)]


def owned(deployment: Deployment) -> dict[str | None, set[int]]:
    owners: dict[str | None, set[int]] = {}
    for position in deployment.positions():
        owners.setdefault(position.owner, set()).add(position.partition)
    return owners


def start_two(deployment: Deployment) -> tuple[WorkerProcess, WorkerProcess, set[int]]:
    """Start two workers and wait until each serves half of the partitions; name those of the second."""
    first = deployment.start_worker()
    everything = set(range(deployment.partitions))
    wait_until(lambda: everything in owned(deployment).values(), PATIENCE_SECONDS, "the first serves all partitions")
    (owner,) = owned(deployment)
    second = deployment.start_worker()
    half = len(everything) // 2
    shares = [half, len(everything) - half]
    wait_until(
        lambda: None not in owned(deployment) and sorted(map(len, owned(deployment).values())) == shares,
        PATIENCE_SECONDS,
        "two workers share the partitions",
    )
    return first, second, everything - owned(deployment)[owner]


@contextmanager
def watching(deployment: Deployment) -> Iterator[Consumer]:
    """Read what becomes visible in the domains' topics from now on."""
    consumer = Consumer(
        {
            "bootstrap.servers": deployment.cluster.bootstrap_servers,
            "group.id": "watching",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    topics = [deployment.topics.domain(domain) for domain in deployment.domains]
    consumer.assign(
        [TopicPartition(topic, number, OFFSET_END) for topic in topics for number in range(deployment.partitions)]
    )
    try:
        yield consumer
    finally:
        consumer.close()


def first_output_after(consumer: Consumer, moment: float, causes: set[str]) -> float:
    """Wait for the first output of one of the causes that was produced after a moment; say how long after it came."""
    while time.time() < moment + PATIENCE_SECONDS:
        for record in consumer.consume(500, 0.05):
            if made_after(record, moment) and published_of(record).parentid in causes:
                return time.time() - moment
    raise TimeoutError(f"no output within {PATIENCE_SECONDS:g} s")


def made_after(record: Message, moment: float) -> bool:
    return record.error() is None and record.timestamp()[1] > moment * 1000


@pytest.mark.alone
@pytest.mark.slow
def test_the_other_goes_on_for_a_killed_worker(deployment: Deployment) -> None:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "20"}
    _, victim, theirs = start_two(deployment)
    placed = deployment.produce(records(ORDERS))
    deployment.wait_until_journalled(EVENTS // 10)
    causes = {id_ for id_, (partition, _) in zip(event_ids(), placed, strict=True) if partition in theirs}
    with watching(deployment) as consumer:
        consumer.consume(1, 1.0)
        killed_at = victim.kill()
        elapsed = first_output_after(consumer, killed_at, causes)
    print(f"went on {elapsed:.1f} s after the kill; the session time-out is {SESSION_TIMEOUT_SECONDS:g} s")
    assert elapsed < TAKEOVER_SECONDS
    deployment.finish()
    assert_orders_done(deployment, range(ORDERS))


@pytest.mark.alone
@pytest.mark.slow
def test_a_worker_that_is_asked_to_end_leaves_nothing_to_clean_up(deployment: Deployment) -> None:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "50"}
    orders = 5 * ORDERS
    worker = deployment.start_worker()
    deployment.produce(records(orders))
    deployment.wait_until_journalled(EVENTS // 4)
    asked_at = time.monotonic()
    assert worker.terminate() == 0
    assert time.monotonic() - asked_at < SHUTDOWN_SECONDS
    left = deployment.positions()
    assert [one for one in left if one.owner is not None or one.published_offset != one.next_offset] == []
    assert 0 < deployment.journal_size() < 5 * EVENTS, "it was in the middle of its work"

    heir = deployment.start_worker()
    deployment.finish()
    assert heir.told("fencing") == []
    assert heir.told("publishing_from_journal") == []
    assert_orders_done(deployment, range(orders))


@pytest.mark.slow
def test_a_worker_that_froze_comes_back_and_doubles_nothing(deployment: Deployment) -> None:
    half = ORDERS // 2
    zombie, other, _ = start_two(deployment)
    deployment.produce(records(half))
    deployment.wait_until_journalled(half // 4)
    zombie.suspend()
    wait_until(lambda: len(owned(deployment)) == 1, PATIENCE_SECONDS, "the other has taken all partitions")
    zombie.resume()
    deployment.wait_until_applied()
    wait_until(lambda: len(owned(deployment)) == 2, PATIENCE_SECONDS, "the zombie is back")
    assert other.told("fencing") != []
    assert zombie.told("lost") != []

    deployment.produce(Order(number).record(step) for step in range(len(STATES)) for number in range(half, ORDERS))
    deployment.wait_until_applied()
    assert len(owned(deployment)) == 2, "the zombie serves its share"
    deployment.finish()
    assert_orders_done(deployment, range(ORDERS))
