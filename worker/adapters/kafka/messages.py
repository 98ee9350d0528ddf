"""librdkafka's messages as records, whatever they hold."""

from operator import methodcaller

from confluent_kafka import Message

from worker.core.records import Headers, Record

_HEADERS = methodcaller("headers")
"""Where the client can't read a name it gives a list and leaves an error behind, which Python misses at a call that it
has come to know. This way to call it always looks."""


def record_of(message: Message) -> Record:
    """Give the record of a message that is no error."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers, fault = _headers(message)
    return Record(
        partition=partition,
        offset=offset,
        timestamp=max(message.timestamp()[1], 0),
        key=message.key(),
        value=message.value(),
        headers=headers,
        fault=fault,
    )


def _headers(message: Message) -> tuple[Headers, str | None]:
    """Give a record's headers, or say why they can't be had."""
    try:
        return tuple(_HEADERS(message) or ()), None
    except SystemError:
        # The client reads the names as UTF-8 and gives nothing of a record with another one.
        return (), "The record has a header whose name is no UTF-8, so that none of its headers can be read."
