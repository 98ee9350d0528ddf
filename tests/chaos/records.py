"""Places and digests of records: all that is kept of them, so that a million fit into memory."""

from hashlib import blake2b
from typing import NewType

from worker.core.records import Headers

Place = NewType("Place", int)
"""Partition and offset of the input topic in one number."""

Digest = NewType("Digest", bytes)

DIGEST_BYTES = 12
OFFSET_BITS = 48
TIMESTAMP_BYTES = 8


def place_of(partition: int, offset: int) -> Place:
    return Place(partition << OFFSET_BITS | offset)


def partition_of(place: Place) -> int:
    return place >> OFFSET_BITS


def offset_of(place: Place) -> int:
    return place & (1 << OFFSET_BITS) - 1


def place_text(place: Place) -> str:
    return f"{partition_of(place)}/{offset_of(place)}"


def output_digest(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Digest:
    """Name a record by all of its bytes and its topic."""
    return _digest(topic.encode(), key, value, headers)


def input_digest(timestamp: int, key: bytes | None, value: bytes | None, headers: Headers) -> Digest:
    """Name a record of the input topic by all of its bytes and its timestamp."""
    return _digest(timestamp.to_bytes(TIMESTAMP_BYTES, "big"), key, value, headers)


def text_digest(content: bytes | None) -> Digest:
    """Name a subject, or a key."""
    return Digest(blake2b(content or b"", digest_size=DIGEST_BYTES).digest())


def _digest(head: bytes, key: bytes | None, value: bytes | None, headers: Headers) -> Digest:
    hashed = blake2b(digest_size=DIGEST_BYTES)
    for part in (head, key, value, *(item for name, content in headers for item in (name.encode(), content))):
        # Lengths keep parts apart; nothing at all is not the empty text.
        hashed.update(b"-" if part is None else b"%d:" % len(part) + part)
    return Digest(hashed.digest())
