"""The table: every call that the runtime makes to a server × every way in which it can go wrong.

Steps come from the ports themselves, and how they fail from the `Raises:` of their docstrings, so a new method is in
the table as soon as it is written. What is left out of the table stands here with its reason.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker import ports

PORTS: Final[Mapping[str, tuple[type, ...]]] = {
    "positions": (ports.Positions,),
    "database": (ports.Database,),
    "consumer": (ports.Consumer,),
    "publisher": (ports.Publisher,),
}
"""By the field of `Parts`: the ports of the part that is there."""

CALLS: Final[Mapping[str, tuple[str, ...]]] = {"look": ("KafkaUnavailable",), "housekeep": ("DatabaseUnavailable",)}
"""By the field of `Parts`, calls that are ports of one method; what they raise is in the docstring of `Parts`."""

SAFE_PARTS: Final[Mapping[str, str]] = {
    "host": "runs machines, in this process",
    "router": "makes outputs of events, in this process",
    "limits": "what topics took at the start",
    "clock": "the machine's own",
    "background": "a thread; what it calls are calls of ports",
    "claim": "names",
    "config": "numbers",
    "stages": "counts and seconds, in this process",
    "observer": "looks on, in this process",
    "tracer": "looks on, in this process",
}
"""Fields of `Parts` that are no servers, and why."""


class Deed(StrEnum):
    """What becomes of a call."""

    KILLED_BEFORE = "killed-before"
    KILLED_AFTER = "killed-after"
    FAILS = "fails"
    FAILS_THOUGH_DONE = "fails-though-done"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a port: `field` is that of `Parts`, `raises` what the docstring says."""

    field: str
    port: str
    method: str
    raises: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.port}.{self.method}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One call that goes wrong in one way."""

    step: Step
    deed: Deed
    error: str | None = None

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.step.name, self.deed.value, self.error)))


UNCERTAIN: Final = ("DatabaseUnavailable", "KafkaUnavailable", "PublicationUnknown")
"""Errors that leave open what was done. All others say that nothing was, so they are not raised after the deed."""

CANT_FAIL: Final[Mapping[str, str]] = {
    "Consumer.join": "subscribes; the group is joined within polls",
    "Consumer.pause": "tells the client alone",
    "Consumer.close": "leaves the group if it can; the session's end does so else",
    "Database.roll_back": "a connection that is lost has rolled back",
    "Database.close": "a connection that is lost is closed",
    "Publisher.close": "drops what the producer holds",
}
"""Methods without `Raises:`, and why; they are killed, and hang."""

CANT_HANG: Final[Mapping[str, str]] = {
    "Consumer.join": "waits for no server",
    "Consumer.pause": "waits for no server",
    "Consumer.membership": "waits for no server",
    "Publisher.send": "queues; what hangs then is `send_offsets` or `commit`",
}
"""Methods that wait for no server, so that one which does not answer is not met within them."""

CANT_BE_DONE: Final[Mapping[str, str]] = {
    "Consumer.poll": "no record is passed over when it fails",
}
"""Methods that by their promise did nothing when they fail."""


def steps() -> Iterator[Step]:
    """Give every method of every port."""
    for field, protocols in PORTS.items():
        for protocol in protocols:
            for method, function in inspect.getmembers(protocol, inspect.isfunction):
                if not method.startswith("_"):
                    yield Step(field, protocol.__name__, method, documented(function))
    for field, raises in CALLS.items():
        yield Step(field, "Parts", field, raises)


def documented(function: object) -> tuple[str, ...]:
    """Give the errors that a docstring names behind `Raises:`."""
    _, _, told = (inspect.getdoc(function) or "").partition("Raises:")
    sentence = told.partition(";")[0]
    return tuple(name for name in re.findall(r"[A-Z]\w+", sentence) if is_error(name))


def is_error(name: str) -> bool:
    found = getattr(ports, name, None)
    return isinstance(found, type) and issubclass(found, Exception)


def cells() -> list[Cell]:
    """Give the whole table, in the order of the ports."""
    return [cell for step in steps() for cell in cells_of(step)]


def cells_of(step: Step) -> Iterator[Cell]:
    """Give the ways in which one call can go wrong."""
    yield Cell(step, Deed.KILLED_BEFORE)
    yield Cell(step, Deed.KILLED_AFTER)
    for error in step.raises:
        yield Cell(step, Deed.FAILS, error)
        if error in UNCERTAIN and step.name not in CANT_BE_DONE:
            yield Cell(step, Deed.FAILS_THOUGH_DONE, error)
    if step.name not in CANT_HANG:
        yield Cell(step, Deed.HANGS)
