"""The history of a run: one JSON object a line, by which a violation is followed event by event."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from tests.chaos.checker import Violation
from tests.chaos.records import place_text

AROUND_SECONDS = 10.0
LINES_SHOWN = 60


@dataclass(slots=True)
class History:
    """Write what happened, from any thread. `at` is in seconds since the epoch; `what` says which fields there are.

    | what | fields |
    |---|---|
    | produced | place (partition/offset of the input topic), id, kind, subject (digest) |
    | input, output | topic, place, cause (the event's parent id), id, subject |
    | fault | name, phase (begun, healed), detail |
    | worker | worker, event and the other fields of its log line |
    """

    path: Path
    _file: BinaryIO = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Self:
        self._file = self.path.open("wb", buffering=1 << 16)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, what: str, at: float | None = None, **told: Any) -> None:
        line = orjson.dumps({"at": time.time() if at is None else at, "what": what, **told}, default=str) + b"\n"
        with self._lock:
            self._file.write(line)

    def flush(self) -> None:
        with self._lock:
            self._file.flush()


def followed(path: Path, violation: Violation) -> Iterator[str]:
    """Give the lines that tell of a violation's record and subject, with the faults and log lines around them."""
    marks = {place_text(violation.place)} if violation.place is not None else set()
    subjects = {violation.subject.hex()} if violation.subject is not None else set()
    with path.open("rb") as lines:
        ours = [told for line in lines if _is_of((told := orjson.loads(line)), marks, subjects)]
    if not ours:
        return
    first, last = ours[0]["at"] - AROUND_SECONDS, ours[-1]["at"] + AROUND_SECONDS
    with path.open("rb") as lines:
        near = [
            told
            for line in lines
            if (told := orjson.loads(line))["what"] in ("fault", "worker") and first <= told["at"] <= last
        ]
    for told in sorted([*ours, *near], key=lambda one: float(one["at"]))[:LINES_SHOWN]:
        yield orjson.dumps(told).decode()


def _is_of(told: dict[str, Any], marks: set[str], subjects: set[str]) -> bool:
    is_input = told["what"] in ("produced", "input")
    return told.get("subject") in subjects or (is_input and told.get("place") in marks)
