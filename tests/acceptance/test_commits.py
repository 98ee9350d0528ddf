"""Between the COMMIT in PostgreSQL and the commit in Kafka: what is applied is published once, whatever happens."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.acceptance.checks import assert_orders_done
from tests.acceptance.deployment import Deployment
from tests.workload import records
from worker.adapters.kafka.publisher import KafkaPublisher
from worker.bootstrap import deploy, parts_of
from worker.core.records import Output
from worker.ports import Membership, PublicationUnknown
from worker.runtime.loop import Worker
from worker.runtime.partitions import Partitions
from worker.settings import load_settings

ORDERS = 5
PATIENCE_SECONDS = 60.0
LONG_BEFORE_THE_TRANSACTION_TIMEOUT_SECONDS = 15.0


class Died(BaseException):
    """The worker is gone at this point; nothing of it runs any more."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What happens to one call of the second publication: before its work, or after all of it."""

    call: str
    error: BaseException
    happened: bool = False


DIES_BEFORE = Wrong("send", Died())
DIES_WITHIN = Wrong("send_offsets", Died())
DIES_AFTER = Wrong("commit", Died(), happened=True)
SUCCEEDS_UNTOLD = Wrong("commit", PublicationUnknown("the answer was lost"), happened=True)
FAILS = Wrong("send", PublicationUnknown("nothing was sent"))


@dataclass
class Interrupted:
    """A real publisher whose second publication goes wrong."""

    real: KafkaPublisher
    wrong: Wrong
    publications: int = 0

    def send(self, outputs: Sequence[Output]) -> None:
        self.publications += 1
        self._call("send", lambda: self.real.send(outputs))

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        self._call("send_offsets", lambda: self.real.send_offsets(next_offsets, membership))

    def abort(self) -> None:
        self.real.abort()

    def commit(self) -> None:
        self._call("commit", self.real.commit)

    def replace(self, batch_bytes_max: int) -> None:
        self.real.replace(batch_bytes_max)

    def fence(self, transactional_id: str) -> None:
        self.real.fence(transactional_id)

    def close(self) -> None:
        self.real.close()

    def _call(self, name: str, call: Callable[[], None]) -> None:
        goes_wrong = self.publications == 2 and name == self.wrong.call
        if not goes_wrong or self.wrong.happened:
            call()
        if goes_wrong:
            raise self.wrong.error


@dataclass
class Cast:
    """The workers of one test, in this process; the dead keep their clients until the end, as hung sockets would."""

    deployment: Deployment
    workers: list[Worker] = field(default_factory=list)

    def enter(self, wrong: Wrong | None = None) -> Worker:
        """Build a worker whose second publication goes wrong, if it is told how."""
        settings = load_settings(self.deployment.environment(), self.deployment.folder).settings
        parts = parts_of(deploy(settings))
        if wrong is not None:
            assert isinstance(parts.publisher, KafkaPublisher)
            parts = replace(parts, publisher=Interrupted(parts.publisher, wrong))
        worker = Worker(parts)
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


@pytest.mark.parametrize("wrong", [DIES_BEFORE, DIES_WITHIN, DIES_AFTER])
def test_the_next_worker_publishes_what_a_dead_one_applied(cast: Cast, wrong: Wrong) -> None:
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


@pytest.mark.parametrize("wrong", [SUCCEEDS_UNTOLD, FAILS])
def test_a_publication_of_unknown_fate_happens_once(cast: Cast, wrong: Wrong) -> None:
    cast.work(cast.enter(wrong))
    assert_orders_done(cast.deployment, range(ORDERS))


@pytest.mark.parametrize("wrong", [SUCCEEDS_UNTOLD, FAILS])
def test_a_publication_of_unknown_fate_is_not_given_back_as_settled(cast: Cast, wrong: Wrong) -> None:
    worker = cast.enter(wrong)
    publisher = worker._parts.publisher
    assert isinstance(publisher, Interrupted)
    while publisher.publications < 2:
        worker.turn()
    worker.close()
    assert [one for one in cast.deployment.positions() if one.owner is not None] != []
    cast.work(cast.enter())
    assert_orders_done(cast.deployment, range(ORDERS))
