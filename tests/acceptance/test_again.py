"""Where outputs may appear twice: a database that was restored, and at-least-once delivery. None is ever lost."""

import random
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.acceptance.checks import (
    Published,
    expected_outputs,
    instance_faults,
    instances,
    order_faults,
    output_faults,
    published_of,
)
from tests.acceptance.deployment import Deployment
from tests.servers.postgres import Databases, database_name
from tests.workload import STATES, Order, records

ORDERS = 300
EVENTS = ORDERS * len(STATES)


def once(published: Iterable[Published]) -> list[Published]:
    """Leave out what a reader that remembers ids would."""
    return list({one.id: one for one in reversed(list(published))}.values())[::-1]


def assert_nothing_is_lost(deployment: Deployment, published: list[Published]) -> None:
    numbers = range(ORDERS)
    assert list(output_faults(expected_outputs(numbers), once(published))) == []
    assert list(order_faults(once(published))) == []
    assert list(instance_faults(numbers, instances(deployment))) == []


@pytest.mark.slow
def test_a_restored_database_is_brought_forward_and_its_outputs_appear_twice_with_equal_ids(
    deployment: Deployment, databases: Databases
) -> None:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "50"}
    first = deployment.start_worker()
    deployment.produce(records(ORDERS // 2))
    deployment.wait_until_journalled(EVENTS // 4)
    first.kill()
    backup = databases.make(database_name(deployment.database_url))

    second = deployment.start_worker()
    deployment.produce(
        Order(number).record(step) for step in range(len(STATES)) for number in range(ORDERS // 2, ORDERS)
    )
    deployment.finish()
    before = [published_of(record) for record in deployment.outputs()]
    assert len(before) == EVENTS
    assert second.told("database_behind") == []

    restored = replace(deployment, database_url=backup, folder=deployment.folder / "restored", workers=[])
    restored.folder.mkdir()
    third = restored.start_worker()
    restored.finish()
    third.close()
    assert third.told("database_behind") != []
    after = [published_of(record) for record in restored.outputs()]
    assert len(after) > EVENTS
    assert {one.id for one in after} == {one.id for one in before}
    assert_nothing_is_lost(restored, after)


@pytest.mark.slow
def test_at_least_once_loses_nothing_through_a_kill_and_doubles_with_equal_ids(deployment: Deployment) -> None:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "50", "WORKER_DELIVERY": "at_least_once"}
    worker = deployment.start_worker()
    deployment.produce(records(ORDERS))
    deployment.wait_until_journalled(EVENTS // 2)
    time.sleep(random.SystemRandom().uniform(0, 0.1))
    worker.kill()
    deployment.start_worker()
    deployment.finish()
    assert_nothing_is_lost(deployment, [published_of(record) for record in deployment.outputs()])
    assert {one.partition: one.next_offset for one in deployment.positions()} == deployment.committed()
