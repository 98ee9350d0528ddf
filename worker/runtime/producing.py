"""The life of the worker's producer, as a table, and the one publication that may be under way.

A transaction is begun on the loop's thread and ended on another, so that PostgreSQL works on the next batch meanwhile.
Never are two under way. When the group has moved on and the brokers refuse the offsets, the transaction is aborted and
what it held is sent again at once, with the membership of now. Anything else but success leaves the producer
`UNKNOWN`: it is replaced under the same id, which ends what was open, before anything else is published.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog

from worker.core.records import Output
from worker.ports import (
    Background,
    Consumer,
    KafkaFatal,
    KafkaUnavailable,
    MembershipRefused,
    Pending,
    PublicationUnknown,
    Publisher,
)
from worker.runtime.lifecycles import following

REFUSALS_MAX: Final = 4
"""How often in a row one publication's membership may be refused. A rebalance costs one, two at most while a member's
client hears of it; a member that was taken for dead and has not heard would be refused for ever."""

_LOG = structlog.get_logger("worker.producing")


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
    REFUSED = "refused"
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
    (ProducerState.COMMITTING, ProducerTurn.REFUSED): ProducerState.READY,
    (ProducerState.COMMITTING, ProducerTurn.FAILED): ProducerState.UNKNOWN,
    (ProducerState.COMMITTING, ProducerTurn.CLOSED): ProducerState.CLOSED,
    (ProducerState.UNKNOWN, ProducerTurn.REPLACED): ProducerState.READY,
    (ProducerState.UNKNOWN, ProducerTurn.CLOSED): ProducerState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published together: outputs, each with the partition that it comes of, and the partitions' offsets."""

    outputs: Sequence[tuple[int, Output]]
    next_offsets: Mapping[int, int]

    def only(self, is_due: Callable[[int], bool]) -> "Publication":
        """Leave out the partitions that are not due."""
        next_offsets = {number: offset for number, offset in self.next_offsets.items() if is_due(number)}
        return Publication([one for one in self.outputs if one[0] in next_offsets], next_offsets)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A transaction that is being ended, and how often the brokers refused what it holds before."""

    publication: Publication
    pending: Pending
    refusals: int


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that was made where it was begun."""

    error: Exception | None
    is_done: bool = True

    def result(self, wait_seconds: float) -> None:  # noqa: ARG002 - There is nothing to wait for.
        """Raise what the call raised."""
        if self.error is not None:
            raise self.error


class AtOnce:
    """Make calls where they are begun, on the loop's thread."""

    def start(self, call: Callable[[], None]) -> Pending:
        """Make a call."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - Whoever asks for the result is told.
            return _Ended(error)
        return _Ended(None)


def _always(_: int) -> bool:
    return True


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

    def begin(self, publication: Publication) -> None:
        """Begin to publish. The caller owns these partitions, and serves rebalances on this thread alone.

        Raises: PublicationUnknown.
        """
        self._begin(publication, refusals=0)

    def _begin(self, publication: Publication, refusals: int) -> None:
        try:
            self.publisher.send([output for _, output in publication.outputs])
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
            try:
                self.publisher.send_offsets(publication.next_offsets, membership)
            except MembershipRefused:
                self.publisher.abort()
                raise
            self.publisher.commit()

        self._turn(ProducerTurn.HANDED_OVER)
        self._under_way = _UnderWay(publication, self.background.start(end), refusals)

    def settle(self, wait_seconds: float, is_due: Callable[[int], bool] = _always) -> Mapping[int, int]:
        """Give the offsets that are published now, by the publication that was under way; none if none was.

        What the brokers refused, since the group had moved on, is sent again here, for the partitions that are still
        due, and waited for anew. Raises: TimeoutError, if it still is under way; PublicationUnknown.
        """
        while self._under_way is not None:
            under_way = self._under_way
            try:
                under_way.pending.result(wait_seconds)
            except TimeoutError:
                raise
            except MembershipRefused as error:
                self._ended(ProducerTurn.REFUSED)
                self._send_again(under_way, is_due, error)
            except BaseException:
                self._ended(ProducerTurn.FAILED)
                raise
            else:
                self._ended(ProducerTurn.COMMITTED)
                return under_way.publication.next_offsets
        return {}

    def _ended(self, turn: ProducerTurn) -> None:
        self._under_way = None
        self._turn(turn)

    def _send_again(self, refused: _UnderWay, is_due: Callable[[int], bool], error: MembershipRefused) -> None:
        """Begin anew with what is due still of a transaction that was aborted. Raises: PublicationUnknown."""
        refusals = refused.refusals + 1
        if refusals >= REFUSALS_MAX:
            self._turn(ProducerTurn.FAILED)
            raise PublicationUnknown(f"refused {refusals} times in a row: {error}") from error
        # On the thread that serves rebalances, like every beginning: what is owned now is what the membership is for.
        rest = refused.publication.only(is_due)
        left = sorted(refused.publication.next_offsets.keys() - rest.next_offsets.keys())
        _LOG.info("sent_again", partitions=sorted(rest.next_offsets), left=left, error=str(error))
        if rest.next_offsets:
            self._begin(rest, refusals)

    def publish(self, publication: Publication) -> None:
        """Publish and wait. Raises: PublicationUnknown, KafkaFatal if it does not end."""
        self.begin(publication)
        self.finish()

    def finish(self, is_due: Callable[[int], bool] = _always) -> Mapping[int, int]:
        """Settle what is under way. Raises: PublicationUnknown, KafkaFatal if it does not end."""
        try:
            return self.settle(self.seconds_max, is_due)
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
