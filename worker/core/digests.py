"""Digests and derived ids: what names an event, its content and what comes of it.

All are functions of the event alone, so a record that is run again gives the same names.
"""

import hashlib
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Final
from uuid import UUID

import orjson

from worker.core.events import Event

_NAMESPACE: Final = UUID("6f8a1f0e-6f2b-5c1c-9d55-0a6f3b7a2f10").bytes
_FIRST_EIGHT: Final = Struct(">q").unpack_from
"""Reads the first eight bytes as a signed number, big-endian."""


def subject_digest(subject: str) -> bytes:
    """Give the SHA-256 of a subject, 32 bytes: the key that PostgreSQL indexes."""
    return hashlib.sha256(subject.encode()).digest()


def lock_key(digest: bytes) -> int:
    """Give the advisory lock key of a subject's digest: its first eight bytes, signed, big-endian."""
    key: int = _FIRST_EIGHT(digest)[0]
    return key


def event_digest(event: Event) -> bytes:
    """Give the SHA-256 of subject, source and id, 32 bytes: duplicates share it."""
    return hashlib.sha256(_name(event)).digest()


def event_key(event: Event) -> int:
    """Give the key that the journal indexes duplicates by: the first eight bytes of their digest, signed."""
    return lock_key(event_digest(event))


def _name(event: Event) -> bytes:
    return orjson.dumps([event.subject, event.source, event.id])


def content_digest(event: Event) -> bytes:
    """Give 16 bytes that differ if the content differs: type, dataschema and data.

    Time and trace headers are left out: a service that answers again stamps them anew.
    """
    content = orjson.dumps([event.type, event.dataschema, event.data], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).digest()[:16]


class DerivedIds:
    """Derive the ids of everything that one event causes, as UUIDv5."""

    __slots__ = ("_counter", "_event", "_namespace")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._namespace = b""
        self._counter = count()

    def emission(self, ordinal: int) -> str:
        """Name the emission with this ordinal."""
        return self._id(f"emission:{ordinal}")

    def execution(self, ordinal: int) -> str:
        """Name the execution that the emission with this ordinal starts."""
        return self._id(f"execution:{ordinal}")

    def error(self) -> str:
        """Name the system error event."""
        return self._id("error")

    def request(self) -> str:
        """Name the event as a request: what a service tells its side effects by."""
        return self._id("request")

    @property
    def new_id(self) -> Callable[[], str]:
        """Give what chart code calls as `new_id()`: another id at each call."""
        return lambda: self._id(f"id:{next(self._counter)}")

    def _id(self, name: str) -> str:
        if not self._namespace:
            self._namespace = _uuid5(_NAMESPACE, _name(self._event))
        digits = hashlib.sha1(self._namespace + name.encode(), usedforsecurity=False).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"


# UUIDv5, as text and as bytes: the standard library's takes several times as long, and most steps need two.
# Source: RFC 9562, section 5.5.
_VARIANTS: Final = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


def _uuid5(namespace: bytes, name: bytes) -> bytes:
    raw = bytearray(hashlib.sha1(namespace + name, usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
