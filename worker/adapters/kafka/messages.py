"""librdkafka's messages as records, whatever they hold."""

from operator import methodcaller
from typing import Final

from confluent_kafka import Message

from worker.core import records
from worker.core.records import Headers, Record

_HEADERS = methodcaller("headers")
"""Where the client can't read a name it gives a list and leaves an error behind, which Python misses at a call that it
has come to know. This way to call it always looks."""

_UNREADABLE: Final = "The record has a header whose name is no UTF-8, so that none of its headers can be read."


def record_of(message: Message) -> Record:
    """Give the record of a message that is no error."""
    partition, offset, stamp = message.partition(), message.offset(), message.timestamp()[1]
    assert partition is not None
    assert offset is not None
    headers: Headers
    fault = None
    try:
        headers = tuple(_HEADERS(message) or ())
    except SystemError:
        # The client reads the names as UTF-8 and gives nothing of a record with another one.
        headers, fault = (), _UNREADABLE
    # By position and in one go: this is done for every record.
    return records.record_of(partition, offset, max(stamp, 0), message.key(), message.value(), headers, fault)
