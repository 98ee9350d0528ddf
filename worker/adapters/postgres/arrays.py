"""Lists as PostgreSQL's binary arrays, put together in few calls: psycopg dumps a list item by item."""

from collections.abc import Callable, Hashable, Sequence
from struct import Struct, pack
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

Value = TypeVar("Value", bound=Hashable)

NULL: Final = b"\xff\xff\xff\xff"
"""What stands for a null in place of its size."""

_SIZE: Final = Struct(">i").pack
_TEXT: Final = 25
_BYTEA: Final = 17
_INT4: Final = 23
_INT8: Final = 20


class Array(bytes):
    """A whole array, of any type."""


class Integers(Array):
    """Of `int`."""


class BigIntegers(Array):
    """Of `bigint`."""


class Texts(Array):
    """Of `text`."""


class Blobs(Array):
    """Of `bytea`."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer:
        return bytes(obj)


def _register(kind: type[Array], oid: int) -> None:
    dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid})
    psycopg.adapters.register_dumper(kind, dumper)


_register(Integers, 1007)
_register(BigIntegers, 1016)
_register(Texts, 1009)
_register(Blobs, 1001)


def integers(values: Sequence[int]) -> Integers:
    """Give an array of 32-bit numbers."""
    return Integers(_head(_INT4, len(values)) + _numbers("i", 4, values))


def big_integers(values: Sequence[int]) -> BigIntegers:
    """Give an array of 64-bit numbers."""
    return BigIntegers(_head(_INT8, len(values)) + _numbers("q", 8, values))


def texts(values: Sequence[str | None]) -> Texts:
    """Give an array of texts. Raises: UnicodeEncodeError."""
    return Texts(_head(_TEXT, len(values)) + b"".join(map(text, values)))


def same_texts(values: Sequence[Value], write: Callable[[Value], str | None]) -> Texts:
    """Give an array of texts that few values stand for, each written once. Raises: UnicodeEncodeError."""
    written = {value: text(write(value)) for value in set(values)}
    return Texts(_head(_TEXT, len(values)) + b"".join([written[value] for value in values]))


def utf8(values: Sequence[bytes | None]) -> Texts:
    """Give an array of texts that are encoded already."""
    return Texts(_head(_TEXT, len(values)) + b"".join(map(blob, values)))


def blobs(values: Sequence[bytes | None]) -> Blobs:
    """Give an array of bytes."""
    return Blobs(_head(_BYTEA, len(values)) + b"".join(map(blob, values)))


def text(value: str | None) -> bytes:
    """Write a text with its size. Raises: UnicodeEncodeError."""
    if value is None:
        return NULL
    encoded = value.encode()
    return _SIZE(len(encoded)) + encoded


def blob(value: bytes | None) -> bytes:
    """Write bytes with their size."""
    return NULL if value is None else _SIZE(len(value)) + value


def _head(type_: int, length: int) -> bytes:
    """Begin an array: dimensions, whether there may be nulls, the items' type, and of the one dimension its bounds."""
    return pack(">iiiii", 1, 1, type_, length, 1) if length else pack(">iii", 0, 0, type_)


def _numbers(code: str, size: int, values: Sequence[int]) -> bytes:
    sized = [size] * (2 * len(values))
    sized[1::2] = values
    return pack(">" + f"i{code}" * len(values), *sized)
