"""What Kafka's errors mean to a publication, as tables: what kind each is of, and what is done about it."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from confluent_kafka import KafkaError

from worker.adapters.kafka.clients import describe


class Kind(StrEnum):
    """How far an error of a producer reaches."""

    RETRIABLE = "retriable"
    ABORTABLE = "abortable"
    FENCED = "fenced"
    FATAL = "fatal"


_CODES_OF_FENCING: Final = frozenset(
    (
        KafkaError._FENCED,  # noqa: SLF001 - The names of librdkafka's own errors begin so.
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    )
)
_KINDS: Final[Sequence[tuple[Callable[[KafkaError], bool], Kind]]] = (
    (lambda error: error.code() in _CODES_OF_FENCING, Kind.FENCED),
    (lambda error: error.fatal(), Kind.FATAL),
    (lambda error: error.txn_requires_abort(), Kind.ABORTABLE),
    (lambda error: error.retriable(), Kind.RETRIABLE),
)
_NEXT: Final[Mapping[Kind, str]] = {
    Kind.RETRIABLE: "The brokers may answer again: a fresh producer ends what is open, and what is not published is "
    "published again",
    Kind.ABORTABLE: "This transaction is at its end: a fresh producer ends what is open, and what is not published is "
    "published again",
    Kind.FENCED: "Another worker took a partition of this one, or the transaction outlived transaction.timeout.ms: a "
    "fresh producer is put in place, and partitions that are still owned are taken again",
    Kind.FATAL: "This producer can't go on: a fresh one takes its place, and what is not published is published again",
}
_REMEDIES: Final[Mapping[int, str]] = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "set WORKER_KAFKA__TRANSACTION_TIMEOUT_MS to no more than the brokers' "
    "transaction.max.timeout.ms",
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT: "brokers must keep records in the format of Kafka 3.6 or newer",
}

REFUSED_TOPICS: Final[Mapping[int, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this worker may not write to topic {}; grant it WRITE",
    KafkaError.TOPIC_EXCEPTION: "{} can't be the name of a topic",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "topic {} does not exist; create it",
    KafkaError._UNKNOWN_PARTITION: "topic {} has no partitions; create it anew",  # noqa: SLF001
    KafkaError._UNKNOWN_TOPIC: "topic {} does not exist; create it",  # noqa: SLF001
}
"""Errors that are true of every record for a topic. A topic counts as unknown only once it stayed so for a while."""

REFUSED_RECORDS: Final[Mapping[int, str]] = {
    KafkaError.INVALID_MSG: "the record is corrupt to the brokers of topic {}",
    KafkaError.INVALID_MSG_SIZE: "the record is too large for topic {}",
    KafkaError.INVALID_RECORD: "topic {} takes no such record; does it compact records by key, and this one has none?",
    KafkaError.INVALID_TIMESTAMP: "topic {} does not take records of this time",
    KafkaError.MSG_SIZE_TOO_LARGE: "the record is too large for topic {}",
    KafkaError.POLICY_VIOLATION: "a policy of the brokers refuses the record for topic {}",
    KafkaError.RECORD_LIST_TOO_LARGE: "the record is too large for topic {}",
}
"""Errors that are true of a record if it was sent on its own: brokers refuse all records that come together."""

MOVED_ON: Final = frozenset((KafkaError.ILLEGAL_GENERATION, KafkaError.STALE_MEMBER_EPOCH))
"""The group takes offsets from this member, but not with the generation that it knew."""

PURGED: Final = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT))  # noqa: SLF001
"""Not a word of the brokers': the client itself let go of records when something else had failed."""


def kind_of(error: KafkaError) -> Kind:
    """Tell the kind; what is none of the others ends the transaction."""
    return next((kind for holds, kind in _KINDS if holds(error)), Kind.ABORTABLE)


def is_moved_on(error: KafkaError) -> bool:
    """Tell whether a transaction can be aborted, and its offsets sent again with the membership of now."""
    return error.code() in MOVED_ON and kind_of(error) is Kind.ABORTABLE


def remedy(error: KafkaError) -> str:
    """Say what an operator has to do, if anybody has; rights that are missing are told by `describe`."""
    found = _REMEDIES.get(error.code())
    return f"; {found}" if found else ""


def explain(call: str, error: KafkaError, also: str = "") -> str:
    """Say which call failed, how, what else is known, and what comes next."""
    kind = kind_of(error)
    return f"{call} failed ({kind}; {describe(error)}{also}{remedy(error)}). {_NEXT[kind]}"
