"""Between the COMMIT in PostgreSQL and the commit in Kafka: what is applied is published once, whatever happens."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment
from tests.workload import records
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.bootstrap import build_worker, deploy
from worker.core.records import Output
from worker.ports import PublicationUnknown
from worker.runtime.loop import Worker
from worker.runtime.partitions import Partitions
from worker.settings import load_settings

ORDERS = 5
PATIENCE_SECONDS = 20.0
LONG_BEFORE_THE_TRANSACTION_TIMEOUT_SECONDS = 15.0


class Died(BaseException):
    """The worker is gone at this point; nothing of it runs any more."""


Publish = Callable[[KafkaPublisher, Sequence[Output], Mapping[int, int]], None]


def dies_before(publisher: KafkaPublisher, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
    raise Died


def dies_within(publisher: KafkaPublisher, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
    """Leave a transaction open, with the outputs in the topics' logs."""
    producer = publisher._producer
    assert producer is not None
    producer.begin_transaction()
    for output in outputs:
        producer.produce(output.topic, value=output.value, key=output.key, headers=list(output.headers))
    producer.flush(PATIENCE_SECONDS)
    raise Died


def dies_after(publisher: KafkaPublisher, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
    publisher.publish(outputs, next_offsets)
    raise Died


def succeeds_untold(publisher: KafkaPublisher, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
    publisher.publish(outputs, next_offsets)
    raise PublicationUnknown("the answer was lost")


def fails(publisher: KafkaPublisher, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
    raise PublicationUnknown("nothing was sent")


@dataclass
class Interrupted:
    """A real publisher whose second publication goes wrong."""

    real: KafkaPublisher
    wrong: Publish
    publications: int = 0

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        self.publications += 1
        if self.publications == 2:
            self.wrong(self.real, outputs, next_offsets)
            raise AssertionError("it should have gone wrong")
        self.real.publish(outputs, next_offsets)

    def replace(self, batch_bytes_max: int) -> None:
        self.real.replace(batch_bytes_max)

    def fence(self, transactional_id: str) -> None:
        self.real.fence(transactional_id)

    def close(self) -> None:
        self.real.close()


@dataclass
class Cast:
    """The workers of one test, in this process; the dead keep their clients until the end, as hung sockets would."""

    deployment: Deployment
    workers: list[Worker] = field(default_factory=list)

    def enter(self, wrong: Publish | None = None) -> Worker:
        """Build a worker whose second publication goes wrong, if it is told how."""
        worker = build_worker(deploy(load_settings(self.deployment.environment(), self.deployment.folder).settings))
        if wrong is not None:
            assert isinstance(worker._parts.publisher, KafkaPublisher)
            publisher = Interrupted(worker._parts.publisher, wrong)
            worker._parts = replace(worker._parts, publisher=publisher)
            worker._taker = replace(worker._taker, publisher=publisher)
        self.workers.append(worker)
        return worker

    def die(self, worker: Worker) -> None:
        """Take a worker out of the group as a session's end does: nothing is released, nothing aborted."""
        worker._partitions = Partitions()
        worker._consumer.close()
        worker._parts.database.close()

    def work(self, worker: Worker) -> None:
        """Let a worker turn until everything is applied and published."""
        ends = {partition: end for partition, end in self.deployment.end_offsets().items() if end}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(self._published(worker, partition, end) for partition, end in ends.items()):
            assert time.monotonic() < deadline, "the worker did not get to the end"
            worker.turn()
        worker.close()

    def close(self) -> None:
        for worker in self.workers:
            worker._parts.publisher.close()

    def _published(self, worker: Worker, number: int, end: int) -> bool:
        partition = worker._partitions.get(number)
        return partition is not None and partition.published_offset == end


@pytest.fixture
def cast(deployment: Deployment) -> Iterator[Cast]:
    deployment.settings = {"WORKER_BATCH_RECORDS_MAX": "4"}
    deployment.produce(records(ORDERS))
    made = Cast(deployment)
    yield made
    made.close()


@pytest.mark.parametrize("wrong", [dies_before, dies_within, dies_after])
def test_the_next_worker_publishes_what_a_dead_one_applied(cast: Cast, wrong: Publish) -> None:
    victim = cast.enter(wrong)
    with pytest.raises(Died):
        cast.work(victim)
    cast.die(victim)
    left = {one.partition: one for one in cast.deployment.positions()}
    assert [one for one in left.values() if one.owner is None] == []
    assert [one for one in left.values() if one.next_offset > one.published_offset] != []

    died_at = time.monotonic()
    cast.work(cast.enter())
    assert time.monotonic() - died_at < LONG_BEFORE_THE_TRANSACTION_TIMEOUT_SECONDS
    assert_orders_done(cast.deployment, range(ORDERS))


@pytest.mark.parametrize("wrong", [succeeds_untold, fails])
def test_a_publication_of_unknown_fate_happens_once(cast: Cast, wrong: Publish) -> None:
    cast.work(cast.enter(wrong))
    assert_orders_done(cast.deployment, range(ORDERS))


@pytest.mark.parametrize("wrong", [succeeds_untold, fails])
def test_a_publication_of_unknown_fate_is_not_given_back_as_settled(cast: Cast, wrong: Publish) -> None:
    worker = cast.enter(wrong)
    publisher = worker._parts.publisher
    assert isinstance(publisher, Interrupted)
    while publisher.publications < 2:
        worker.turn()
    worker.close()
    assert [one for one in cast.deployment.positions() if one.owner is not None] != []
    cast.work(cast.enter())
    assert_orders_done(cast.deployment, range(ORDERS))
