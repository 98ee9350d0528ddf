"""The life of the worker's producer, as a table, and the one publication that may be under way.

A transaction is begun on the loop's thread and ended on another, so that PostgreSQL works on the next batch meanwhile.
Never are two under way. Anything but success leaves the producer `UNKNOWN`: it is replaced under the same id, which
ends what was open, before anything else is published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker.core.records import Output
from worker.ports import Background, Consumer, KafkaFatal, KafkaUnavailable, Pending, PublicationUnknown, Publisher
from worker.runtime.lifecycles import following


class ProducerState(StrEnum):
    """Where the producer stands."""

    ABSENT = "absent"
    READY = "ready"
    OPEN = "open"
    COMMITTING = "committing"
    UNKNOWN = "unknown"
    CLOSED = "closed"


class ProducerTurn(StrEnum):
    """What can happen to the producer."""

    REPLACED = "replaced"
    SENT = "sent"
    HANDED_OVER = "handed_over"
    COMMITTED = "committed"
    FAILED = "failed"
    CLOSED = "closed"


PRODUCER_TRANSITIONS: Final[Mapping[tuple[ProducerState, ProducerTurn], ProducerState]] = {
    (ProducerState.ABSENT, ProducerTurn.REPLACED): ProducerState.READY,
    (ProducerState.ABSENT, ProducerTurn.CLOSED): ProducerState.CLOSED,
    (ProducerState.READY, ProducerTurn.SENT): ProducerState.OPEN,
    (ProducerState.READY, ProducerTurn.FAILED): ProducerState.UNKNOWN,
    (ProducerState.READY, ProducerTurn.CLOSED): ProducerState.CLOSED,
    (ProducerState.OPEN, ProducerTurn.HANDED_OVER): ProducerState.COMMITTING,
    (ProducerState.OPEN, ProducerTurn.FAILED): ProducerState.UNKNOWN,
    (ProducerState.OPEN, ProducerTurn.CLOSED): ProducerState.CLOSED,
    (ProducerState.COMMITTING, ProducerTurn.COMMITTED): ProducerState.READY,
    (ProducerState.COMMITTING, ProducerTurn.FAILED): ProducerState.UNKNOWN,
    (ProducerState.COMMITTING, ProducerTurn.CLOSED): ProducerState.CLOSED,
    (ProducerState.UNKNOWN, ProducerTurn.REPLACED): ProducerState.READY,
    (ProducerState.UNKNOWN, ProducerTurn.CLOSED): ProducerState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A transaction that is being ended, and the offsets that it takes along."""

    next_offsets: Mapping[int, int]
    pending: Pending


@dataclass(slots=True)
class Producer:
    """Publish batches in their order, one at a time.

    `seconds_max` is longer than all time-outs of a publication together: what is still under way then never ends.
    """

    publisher: Publisher
    consumer: Consumer
    background: Background
    seconds_max: float
    state: ProducerState = ProducerState.ABSENT
    _under_way: _UnderWay | None = field(default=None, init=False)

    @property
    def is_ready(self) -> bool:
        """Whether a batch can be published now."""
        return self.state is ProducerState.READY

    @property
    def is_busy(self) -> bool:
        """Whether a publication is under way."""
        return self.state is ProducerState.COMMITTING

    def begin(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        """Begin to publish. The caller owns these partitions, and serves rebalances on this thread alone.

        Raises: PublicationUnknown.
        """
        try:
            self.publisher.send(outputs)
            self._turn(ProducerTurn.SENT)
            # Together with the look at what is owned: callbacks of rebalances run on this thread, so none comes
            # between, and the brokers refuse the membership if the group has moved on since.
            membership = self.consumer.membership()
        except PublicationUnknown:
            self._turn(ProducerTurn.FAILED)
            raise
        except KafkaUnavailable as error:
            self._turn(ProducerTurn.FAILED)
            raise PublicationUnknown(str(error)) from error

        def end() -> None:
            self.publisher.send_offsets(next_offsets, membership)
            self.publisher.commit()

        self._turn(ProducerTurn.HANDED_OVER)
        self._under_way = _UnderWay(next_offsets, self.background.start(end))

    def settle(self, wait_seconds: float) -> Mapping[int, int]:
        """Give the offsets that are published now, by the publication that was under way; none if none was.

        Raises: TimeoutError, if it still is; PublicationUnknown.
        """
        if self._under_way is None:
            return {}
        published, pending = self._under_way.next_offsets, self._under_way.pending
        try:
            pending.result(wait_seconds)
        except TimeoutError:
            raise
        except BaseException:
            self._under_way = None
            self._turn(ProducerTurn.FAILED)
            raise
        self._under_way = None
        self._turn(ProducerTurn.COMMITTED)
        return published

    def publish(self, outputs: Sequence[Output], next_offsets: Mapping[int, int]) -> None:
        """Publish and wait. Raises: PublicationUnknown, KafkaFatal if it does not end."""
        self.begin(outputs, next_offsets)
        self.finish()

    def finish(self) -> Mapping[int, int]:
        """Settle what is under way. Raises: PublicationUnknown, KafkaFatal if it does not end."""
        try:
            return self.settle(self.seconds_max)
        except TimeoutError as error:
            # Its thread can't be ended, and no fresh producer may stand beside the old one.
            raise KafkaFatal(
                f"a publication did not end in {self.seconds_max:g} s, past its own time-outs; this process ends, and "
                "whoever takes its partitions goes on as after a crash"
            ) from error

    def replace(self, batch_bytes_max: int) -> None:
        """Put a fresh producer in place. Raises: KafkaUnavailable."""
        self.publisher.replace(batch_bytes_max)
        self._turn(ProducerTurn.REPLACED)

    def close(self) -> None:
        """Drop the producer; never fails."""
        self._turn(ProducerTurn.CLOSED)
        self.publisher.close()

    def _turn(self, turn: ProducerTurn) -> None:
        self.state = following(PRODUCER_TRANSITIONS, self.state, turn, "the producer")
