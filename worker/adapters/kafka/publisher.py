"""Outputs and offsets in one Kafka transaction, or one after the other: the runtime's `Publisher` port, twice.

A membership that was refused leaves a transaction that can be aborted. Anything else but success is unknown. After it
the producer is replaced; under the same transactional id, where there is one, and its `init_transactions` ends what
was open.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from time import monotonic, sleep
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from worker.adapters.kafka.bounded import GRACE_SECONDS, Unreturned, call_within
from worker.adapters.kafka.clients import KafkaConfig, describe, error_of
from worker.adapters.kafka.consumer import GroupMembership
from worker.adapters.kafka.failures import explain, is_moved_on, remedy
from worker.adapters.kafka.outbox import ALONE, BATCH_BYTES_MAX, Outbox
from worker.adapters.kafka.topics import TopicAdmin
from worker.core.records import Output
from worker.ports import KafkaFatal, KafkaUnavailable, Membership, MembershipRefused, PublicationUnknown

LEFT_BEHIND_MAX: Final = 3
"""Producers that never came back from a call; with more of them, the process had better start anew."""

_RETRY_PAUSE_SECONDS: Final = 0.1
_SEND_OFFSETS: Final = "send_offsets_to_transaction"

OFFSETS_SECONDS_MAX: Final = 5.0
"""What sending offsets may take: milliseconds, and some seconds while the group's coordinator moves. It is the one call
that librdkafka may lose (below); another producer then takes a second, so waiting for it any longer is the worse stall.
"""

ABORT_SECONDS_MAX: Final = 5.0
"""What an abort may take: milliseconds; another producer is the quicker way then."""


class KafkaPublisher:
    """Publish with one transactional producer at a time."""

    def __init__(self, config: KafkaConfig, transactional_id: str, input_topic: str) -> None:
        self._config = config
        self._transactional_id = transactional_id
        self._input_topic = input_topic
        self._batch_bytes_max = BATCH_BYTES_MAX
        self._sends_alone = False
        self._outbox: Outbox | None = None
        self._admin: TopicAdmin | None = None
        self._left_behind: list[Thread] = []

    def send(self, outputs: Sequence[Output]) -> None:
        """Begin a transaction and queue outputs, which go out meanwhile."""

        def begin(outbox: Outbox) -> None:
            outbox.client.begin_transaction()
            outbox.put(outputs)

        self._call("begin_transaction", begin)

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        """Add the offsets to the transaction, if the brokers find the membership current."""
        assert isinstance(membership, GroupMembership)
        offsets = [TopicPartition(self._input_topic, partition, offset) for partition, offset in next_offsets.items()]
        seconds = min(self._config.call_timeout_seconds, OFFSETS_SECONDS_MAX)

        def send(outbox: Outbox) -> None:
            # librdkafka loses the call, and its time-out with it, if the group's coordinator leaves the cluster while
            # it waits for it (librdkafka issues 5456 and 5511).
            try:
                call_within(
                    seconds + GRACE_SECONDS,
                    _SEND_OFFSETS,
                    lambda: outbox.client.send_offsets_to_transaction(offsets, membership.metadata, seconds),
                )
            except KafkaException as exception:
                if is_moved_on(error_of(exception)):
                    raise MembershipRefused(f"{_SEND_OFFSETS}: {describe(error_of(exception))}") from exception
                raise

        self._call(_SEND_OFFSETS, send)

    def abort(self) -> None:
        """Abort the transaction, and wait until its coordinator has noted that."""
        seconds = min(self._config.call_timeout_seconds, ABORT_SECONDS_MAX)
        self._call("abort_transaction", lambda outbox: outbox.client.abort_transaction(seconds))

    def commit(self) -> None:
        """Wait until all outputs are taken, and commit."""
        self._call("commit_transaction", self._commit)
        if self._sends_alone:
            self._send_together_again()

    def replace(self, batch_bytes_max: int = BATCH_BYTES_MAX) -> None:
        """Put a fresh producer in place under the same transactional id."""
        self.close()
        self._batch_bytes_max = min(batch_bytes_max, BATCH_BYTES_MAX)
        together = ALONE if self._sends_alone else self._batch_bytes_max
        self._outbox = self._initialised(self._transactional_id, together)

    def fence(self, transactional_id: str) -> None:
        """End another producer's open transaction and fence it for good."""
        self._initialised(transactional_id, BATCH_BYTES_MAX)

    def close(self) -> None:
        """Drop the producer with whatever it still holds."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.drop()

    def _commit(self, outbox: Outbox) -> None:
        deadline = monotonic() + self._config.call_timeout_seconds
        outbox.flush(self._config.call_timeout_seconds)
        if outbox.has_failures:
            # It can't be committed, and librdkafka would try until its time is over.
            outbox.raise_cause()
        outbox.client.commit_transaction(max(deadline - monotonic(), 0.0))

    def _call(self, name: str, call: Callable[[Outbox], None]) -> None:
        """Make a call that belongs to a transaction. Raises: PublicationUnknown, KafkaFatal."""
        outbox = self._outbox
        if outbox is None:
            raise PublicationUnknown(f"{name} failed: the producer has not been put in place yet")
        try:
            call(outbox)
        except (KafkaException, SystemError) as exception:
            raise self._unknown(name, exception, outbox) from exception
        except BufferError as exception:
            raise PublicationUnknown(f"{name} failed: the producer's queue stayed full") from exception
        except Unreturned as exception:
            self._leave_behind(exception)
            raise PublicationUnknown(f"{exception}. Another producer ends what is open") from exception

    def _unknown(self, name: str, exception: KafkaException | SystemError, outbox: Outbox) -> PublicationUnknown:
        outbox.settle()
        self._sends_alone = self._sends_alone or outbox.is_undecided
        error = _cause(error_of(exception), outbox)
        denied = self._denied(outbox) if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED else {}
        return PublicationUnknown(explain(name, error, outbox.describe()), outbox.refused(denied))

    def _denied(self, outbox: Outbox) -> Mapping[str, str]:
        """Ask which topics are meant: a transaction's coordinator refuses all of them together."""
        try:
            self._admin = self._admin or TopicAdmin(self._config)
            return self._admin.denied(sorted(outbox.topics))
        except KafkaUnavailable:
            return {}

    def _leave_behind(self, unreturned: Unreturned) -> None:
        """Give up the producer: brokers refuse what it may still send once another one has its id."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        self._left_behind.append(unreturned.thread)
        self.close()
        if len(self._left_behind) > LEFT_BEHIND_MAX:
            raise KafkaFatal(
                f"{unreturned}, for the {len(self._left_behind)}th time: the group's coordinator can't be reached. "
                "This process ends, and whoever takes its partitions goes on as after a crash"
            ) from unreturned

    def _send_together_again(self) -> None:
        """Go back to many records at once: what was refused is out of the way."""
        self._sends_alone = False
        try:
            self.replace(self._batch_bytes_max)
        except KafkaUnavailable:
            # What was published is; the next `send` fails, and is followed by `replace`.
            self._outbox = None

    def _initialised(self, transactional_id: str, batch_bytes_max: int) -> Outbox:
        timeout_ms = self._config.transaction_timeout_ms
        outbox = Outbox(
            self._config,
            batch_bytes_max,
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
            message_timeout_ms=timeout_ms // 2,
            # A re-bootstrap gives up every broker while none answers, and librdkafka then waits for ever for the
            # group's coordinator among them.
            metadata_recovery_strategy="none",
        )
        deadline = monotonic() + self._config.call_timeout_seconds
        while True:
            try:
                outbox.client.init_transactions(max(deadline - monotonic(), 0.0))
            except KafkaException as exception:
                error = error_of(exception)
                if not error.retriable() or monotonic() >= deadline:
                    why = f"{describe(error)}{outbox.connections()}"
                    text = f"transactional id {transactional_id} can't be taken ({why}){remedy(error)}"
                    raise KafkaUnavailable(text) from exception
                sleep(_RETRY_PAUSE_SECONDS)
            else:
                return outbox


def _cause(error: KafkaError, outbox: Outbox) -> KafkaError:
    """Give the error that a transaction failed with, where a call says only that it has failed."""
    if error.code() != KafkaError._STATE:  # noqa: SLF001
        return error
    try:
        outbox.raise_cause()
    except KafkaException as exception:
        return error_of(exception)
    return error


class PlainPublisher:
    """Publish outputs, then commit offsets: a batch whose end is not known is published again, so outputs may double.

    `commit_offsets` is the consumer's, which raises KafkaUnavailable where the membership is no longer current.
    """

    def __init__(self, config: KafkaConfig, commit_offsets: Callable[[Mapping[int, int], Membership], None]) -> None:
        self._config = config
        self._commit_offsets = commit_offsets
        self._batch_bytes_max = BATCH_BYTES_MAX
        self._sends_alone = False
        self._outbox: Outbox | None = None
        self._offsets: tuple[Mapping[int, int], Membership] | None = None

    def send(self, outputs: Sequence[Output]) -> None:
        """Queue outputs, which go out meanwhile."""
        self._offsets = None
        if self._outbox is None:
            raise PublicationUnknown("produce failed: the producer has not been put in place yet")
        try:
            self._outbox.put(outputs)
        except KafkaException as exception:
            raise self._unknown(explain("produce", error_of(exception)), self._outbox) from exception
        except BufferError as exception:
            raise PublicationUnknown("produce failed: the producer's queue stayed full") from exception

    def send_offsets(self, next_offsets: Mapping[int, int], membership: Membership) -> None:
        """Keep the offsets until the outputs are taken."""
        self._offsets = next_offsets, membership

    def abort(self) -> None:
        """Do nothing: there is no transaction, and no membership is refused before `commit`."""

    def commit(self) -> None:
        """Wait until all outputs are taken, and commit the offsets."""
        outbox, offsets = self._outbox, self._offsets
        if outbox is None or offsets is None:
            raise PublicationUnknown("commit failed: nothing was sent")
        try:
            left = outbox.flush(self._config.call_timeout_seconds)
        except KafkaException as exception:
            raise self._unknown(explain("flush", error_of(exception), outbox.describe()), outbox) from exception
        if left or outbox.has_failures:
            text = f"flush failed: brokers did not take all outputs, and {left} are unsettled{outbox.describe()}"
            raise self._unknown(f"{text}. They are published again", outbox)
        try:
            self._commit_offsets(*offsets)
        except KafkaUnavailable as error:
            raise PublicationUnknown(f"commit failed: {error}. Outputs that are there already may double") from error
        if self._sends_alone:
            self._sends_alone = False
            self._outbox = self._fresh()

    def replace(self, batch_bytes_max: int = BATCH_BYTES_MAX) -> None:
        """Put a fresh producer in place, once a broker answers it."""
        self.close()
        self._batch_bytes_max = min(batch_bytes_max, BATCH_BYTES_MAX)
        fresh = self._fresh()
        try:
            fresh.client.list_topics(timeout=self._config.call_timeout_seconds)
        except KafkaException as exception:
            why = f"{describe(error_of(exception))}{fresh.connections()}"
            raise KafkaUnavailable(f"no broker answers the producer ({why})") from exception
        self._outbox = fresh

    def fence(self, transactional_id: str) -> None:
        """Do nothing: there are no transactions that another one could have left open."""

    def close(self) -> None:
        """Drop the producer with whatever it still holds."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.drop()

    def _fresh(self) -> Outbox:
        return Outbox(
            self._config,
            ALONE if self._sends_alone else self._batch_bytes_max,
            acks="all",
            enable_idempotence=True,
            message_timeout_ms=round(self._config.call_timeout_seconds * 1000),
        )

    def _unknown(self, text: str, outbox: Outbox) -> PublicationUnknown:
        self._sends_alone = self._sends_alone or outbox.is_undecided
        return PublicationUnknown(text, outbox.refused({}))
