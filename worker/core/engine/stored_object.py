"""A JSON object as the text that is stored: what only passes through is never made into objects."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import orjson

_NONE: Final[list[dict[str, Any]]] = []


@final
class StoredObject(Mapping[str, Any]):
    """A JSON object's text that reads as a mapping when somebody looks. It does not change."""

    __slots__ = ("_unread", "_values", "text")

    text: bytes
    """The text, to be put into a document as it is."""

    def __init__(self, text: bytes, unread: dict[str, Any] | None = None) -> None:
        """Hold a text; `unread` is what it holds, if it was decoded already and nobody has it."""
        self.text = text
        self._values: dict[str, Any] | None = None
        # A list, from which only one thread can take it.
        self._unread = _NONE if unread is None else [unread]

    def decoded(self) -> dict[str, Any]:
        """Give the members as new objects."""
        values: dict[str, Any] = orjson.loads(self.text)
        return values

    def taken(self) -> dict[str, Any]:
        """Give the members as objects that nobody else has."""
        try:
            return self._unread.pop()
        except IndexError:
            return self.decoded()

    def __getitem__(self, name: str) -> Any:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredObject):
            other = other.read()
        return self.read() == other

    __hash__ = None  # type: ignore[assignment]  # As a dictionary has none.

    def __repr__(self) -> str:
        return repr(self.read())

    def read(self) -> dict[str, Any]:
        """Give the members, shared with everybody who reads them: only to look at."""
        if self._values is None:
            self._values = self.taken()
        return self._values
