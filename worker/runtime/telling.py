"""What the log tells of single records: dead letters, and steps that failed. No data, and no subject."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from worker.core.events import Event
from worker.core.records import Record
from worker.core.subjects import SubjectContent
from worker.core.traces import traced

_LOG: Final = structlog.get_logger("worker.batch")


@dataclass(frozen=True, slots=True)
class Trouble:
    """A record that became a dead letter or failed, and what is known of it."""

    kind: Literal["dead_letter", "step_failed"]
    record: Record
    error: str
    reason: str | None = None
    event: Event | None = None
    subject: SubjectContent | None = None

    def fields(self, topic: str) -> dict[str, object]:
        """Say where it is and what it is about; the trace, if it is part of one."""
        known = {} if self.subject is None else {"machine": self.subject.name, "version": self.subject.version}
        why = {"error": self.error} if self.reason is None else {"reason": self.reason, "error": self.error}
        place = {"topic": topic, "partition": self.record.partition, "offset": self.record.offset}
        return {**place, **known, **why, **traced(self.event)}


def tell_troubles(troubles: Iterable[Trouble], topic: str) -> None:
    """Write a line for each, of a batch that PostgreSQL has."""
    for one in troubles:
        tell = _LOG.warning if one.kind == "dead_letter" else _LOG.info
        tell(one.kind, **one.fields(topic))
