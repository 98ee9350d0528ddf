"""One producer of librdkafka's, and what the brokers said of the outputs that were put into it.

Nothing is kept, and nothing of ours is called, for an output that is taken: deliveries are told of failures alone.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.clients import Causes, KafkaConfig, describe, error_of, new_client
from worker.adapters.kafka.failures import PURGED, REFUSED_RECORDS, REFUSED_TOPICS
from worker.core.records import Output

BATCH_BYTES_MAX: Final = 1_000_000
"""What librdkafka sends to one partition at once, by its own default."""

ALONE: Final = 1
"""Bytes sent to a partition at once that leave every record on its own."""

_QUEUE_RECORDS_MAX: Final = 1_000_000
_QUEUE_KBYTES_MAX: Final = 1024 * 1024
"""Far more than the outputs of one batch: nothing else is in the queue with them."""

_QUEUE_FULL_WAIT_SECONDS: Final = 1.0
_FLUSH_LOOK_SECONDS: Final = 0.2
_RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
_UNKNOWN_TOPIC_MS: Final = 10_000
"""How long a topic that brokers don't know may be one that they have not heard of yet."""


@dataclass(slots=True)
class Deliveries:
    """Keep what the brokers refused; librdkafka calls this for each output that failed."""

    failures: list[tuple[KafkaError, str, bytes, bytes]] = field(default_factory=list)

    def __call__(self, error: KafkaError, message: Message) -> None:
        """Note one failure."""
        if error.code() not in PURGED:
            self.failures.append((error, message.topic() or "", message.key() or b"", message.value() or b""))

    @property
    def are_about_records(self) -> bool:
        """Tell whether some records were refused, alone or for others that they were sent with."""
        return any(error.code() in REFUSED_RECORDS for error, *_ in self.failures)

    def describe(self) -> str:
        """Say what the first failure was."""
        if not self.failures:
            return ""
        error, topic, *_ = self.failures[0]
        return f"; first of {len(self.failures)}: topic {topic}: {describe(error)}"

    def topics(self) -> dict[str, str]:
        """Give the topics that take nothing, with the reason."""
        return {
            topic: REFUSED_TOPICS[error.code()].format(topic)
            for error, topic, *_ in self.failures
            if error.code() in REFUSED_TOPICS
        }

    def records(self) -> dict[tuple[str, bytes, bytes], str]:
        """Give the records that were refused, by topic, key and value, with the reason."""
        return {
            (topic, key, value): REFUSED_RECORDS[error.code()].format(topic)
            for error, topic, key, value in self.failures
            if error.code() in REFUSED_RECORDS
        }


class Outbox:
    """A producer. `put` is called on one thread, then everything else on another, never at the same time."""

    def __init__(self, config: KafkaConfig, batch_bytes_max: int, **own: Any) -> None:
        self._alone = batch_bytes_max == ALONE
        self._deliveries = Deliveries()
        self._causes = Causes()
        self._outputs: Sequence[Output] = ()
        self.client = new_client(
            Producer,
            config.client(
                # The partitioner of Java's and Node's clients, so that a subject stays on one partition.
                partitioner="murmur2_random",
                message_max_bytes=_RECORD_BYTES_MAX,
                # The brokers hold a whole batch against the topic's limit, and librdkafka does not divide it then.
                batch_size=batch_bytes_max,
                queue_buffering_max_messages=_QUEUE_RECORDS_MAX,
                queue_buffering_max_kbytes=_QUEUE_KBYTES_MAX,
                topic_metadata_propagation_max_ms=_UNKNOWN_TOPIC_MS,
                # A transaction that begins right behind another waits for this: the brokers still write markers.
                retry_backoff_ms=5,
                linger_ms=1,
                # Not compressed unless a property says so: of all codecs kafkajs reads gzip alone, the slow one.
                on_delivery=self._deliveries,
                delivery_report_only_error=True,
                error_cb=self._causes,
                **own,
            ),
        )

    @property
    def topics(self) -> Collection[str]:
        """Name the topics of the outputs that were put last."""
        return {output.topic for output in self._outputs}

    def put(self, outputs: Sequence[Output]) -> None:
        """Queue outputs; they go out meanwhile. Blocks while the queue is full, for a second at most.

        Raises: KafkaException, BufferError.
        """
        self._outputs = outputs
        self._deliveries.failures.clear()
        produce = self.client.produce
        for output in outputs:
            headers: list[tuple[str, str | bytes | None]] = list(output.headers)
            try:
                produce(output.topic, output.value, output.key, headers=headers)
            except BufferError:
                self.client.poll(_QUEUE_FULL_WAIT_SECONDS)
                produce(output.topic, output.value, output.key, headers=headers)
            except KafkaException as exception:
                self._note(error_of(exception), output)
                raise

    def flush(self, seconds: float) -> int:
        """Wait until all outputs are taken, or one is known to have failed; give how many are unsettled.

        Raises: KafkaException. Those that went out behind one that failed may stay so for good: their numbers no
        longer follow.
        """
        deadline = monotonic() + seconds
        left = len(self.client)
        while left and not self.has_failures and (rest := deadline - monotonic()) > 0:
            left = self.client.flush(min(rest, _FLUSH_LOOK_SECONDS))
        return left

    def settle(self) -> None:
        """Have all failures told that are known by now."""
        with suppress(KafkaException, SystemError):  # A producer that can't go on says so at every call.
            self.client.poll(0)

    @property
    def is_alone(self) -> bool:
        """Tell whether every record is sent on its own."""
        return self._alone

    @property
    def is_undecided(self) -> bool:
        """Tell whether records were refused together, so that another try has to show which of them are."""
        return self._deliveries.are_about_records and not self._alone

    @property
    def has_failures(self) -> bool:
        """Tell whether an output is known to have failed."""
        return bool(self._deliveries.failures)

    def connections(self) -> str:
        """Say what is known of connections that failed."""
        self.settle()
        return f"; {self._causes.text()}" if self._causes.are_known else ""

    def raise_cause(self) -> None:
        """Raise what an open transaction failed with. Raises: KafkaException."""
        # Nothing is begun while a transaction is open; what ended it is told.
        self.client.begin_transaction()

    def describe(self) -> str:
        """Say what is known of the outputs that failed."""
        return self._deliveries.describe()

    def refused(self, denied: Mapping[str, str]) -> dict[Output, str]:
        """Say why brokers won't ever take some outputs; `denied` are topics known to take none."""
        topics = {**self._deliveries.topics(), **denied}
        records = self._deliveries.records() if self._alone else {}
        found = ((one, topics.get(one.topic) or records.get(_key(one))) for one in self._outputs)
        return {output: reason for output, reason in found if reason}

    def drop(self) -> None:
        """Let go of all that is queued; never fails."""
        self.client.purge(blocking=False)

    def _note(self, error: KafkaError, output: Output) -> None:
        self._deliveries.failures.append((error, *_key(output)))


def _key(output: Output) -> tuple[str, bytes, bytes]:
    return output.topic, output.key or b"", output.value or b""
