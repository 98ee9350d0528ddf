"""One worker's producer: the port `Publisher`."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tests.simulation.servers.faults import Busy, Hook
from tests.simulation.servers.group import SimMembership
from tests.simulation.servers.kafka import SimKafka
from worker.core.records import Output
from worker.ports import KafkaUnavailable, Membership, PublicationUnknown

Result = TypeVar("Result")


class Delivery:
    """Outputs on their way, in order; they go out beside whatever the caller does."""

    def __init__(self, outputs: Sequence[Output], epoch: int) -> None:
        self.waiting = deque(outputs)
        self.epoch = epoch
        self.refused: dict[Output, str] = {}
        self.error: PublicationUnknown | None = None


class SimPublisher:
    """A transactional producer: fenced by its epoch, and by the group if it is no member any more."""

    def __init__(self, kafka: SimKafka, transactional_id: str, hook: Hook) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._hook = hook
        self._epoch: int | None = None
        self._delivery: Delivery | None = None
        self.batch_bytes_max: int | None = None

    def send(self, outputs: Sequence[Output]) -> None:
        if self._epoch is None:
            raise PublicationUnknown("no producer is in place")
        if self._delivery is not None:
            raise PublicationUnknown("the last transaction has not been ended")
        self._delivery = Delivery(outputs, self._epoch)
        self._call("send", lambda: None, len(outputs))
        self._deliver(self._delivery)

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        assert isinstance(membership, SimMembership)
        epoch = self._sent().epoch

        def added() -> None:
            self._answered(lambda: self._kafka.add_offsets(self._transactional_id, epoch, next_offsets, membership))

        self._call("send_offsets", added, next_offsets, membership)

    def abort(self) -> None:
        delivery = self._sent()
        # The client lets go of what waits, and waits for what is on its way.
        delivery.waiting.clear()
        self._call("abort", lambda: self._answered(lambda: self._end(delivery.epoch, commit=False)))
        self._delivery = None

    def commit(self) -> None:
        delivery = self._sent()
        self._call("flush", lambda: self._flushed(delivery))
        transaction = self._kafka.open.get(self._transactional_id)
        if transaction is not None and transaction.epoch == delivery.epoch:
            transaction.is_ending = True
        self._call("publish", lambda: self._answered(lambda: self._end(delivery.epoch, commit=True)))
        self._delivery = None

    def replace(self, batch_bytes_max: int) -> None:
        self.close()
        self.batch_bytes_max = batch_bytes_max
        self._epoch = self._hook.call("replace", lambda: self._initialised(self._transactional_id))

    def fence(self, transactional_id: str) -> None:
        self._hook.call("fence", lambda: self._fenced(transactional_id), transactional_id)

    def close(self) -> None:
        self._epoch = None
        if self._delivery is not None:
            self._delivery.waiting.clear()
        self._delivery = None

    def _sent(self) -> Delivery:
        if self._delivery is None:
            raise PublicationUnknown("no transaction has begun")
        return self._delivery

    def _call(self, name: str, effect: Callable[[], Result], *about: object) -> Result:
        try:
            return self._hook.call(name, effect, *about)
        except PublicationUnknown:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Make no other call before the producer is replaced."""
        self._epoch = None

    def _answered(self, effect: Callable[[], Result]) -> Result:
        if not self._kafka.is_available:
            raise Busy(PublicationUnknown("no broker answers"))
        return effect()

    def _initialised(self, transactional_id: str) -> int:
        if not self._kafka.is_available:
            raise Busy(KafkaUnavailable("no broker answers"))
        return self._kafka.init_transactions(transactional_id)

    def _fenced(self, transactional_id: str) -> None:
        self._initialised(transactional_id)
        self._kafka.fences[transactional_id] += 1

    # Outputs on their way

    def _deliver(self, delivery: Delivery) -> None:
        def one_more() -> bool:
            if delivery.waiting and delivery.error is None:
                self._answered(lambda: self._produce(delivery))
            return bool(delivery.waiting) and delivery.error is None

        if delivery.waiting:
            self._hook.later("produce", one_more)

    def _produce(self, delivery: Delivery) -> None:
        output = delivery.waiting[0]
        refusal = self._kafka.refused_topics.get(output.topic)
        try:
            if refusal is None:
                self._kafka.produce(self._transactional_id, delivery.epoch, output)
            else:
                delivery.refused[output] = refusal
        except PublicationUnknown as error:
            delivery.error = error
        delivery.waiting.popleft()

    def _flushed(self, delivery: Delivery) -> None:
        if delivery.error is not None:
            raise delivery.error
        if delivery.refused:
            raise PublicationUnknown("the brokers refused outputs for good", delivery.refused)
        if delivery.waiting:
            raise Busy(PublicationUnknown(f"{len(delivery.waiting)} outputs were not taken in time"))

    def _end(self, epoch: int, *, commit: bool) -> None:
        self._kafka.end_transaction(self._transactional_id, epoch, commit=commit)
