"""The instance record: what is kept of one running workflow."""

from dataclasses import dataclass
from enum import StrEnum

from worker.core.engine.api import Snapshot


class Status(StrEnum):
    """Where an instance stands in its life."""

    ACTIVE = "active"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, as it was after its last step.

    `source` and `version` name the machine; a wildcard version in the subject is pinned here.
    `now` is the last step's time in milliseconds since the epoch; it never goes back.
    `revision` counts the steps, from 1.
    """

    subject: str
    source: str
    version: str
    status: Status
    snapshot: Snapshot
    init_event_id: str
    parent_subject: str | None
    now: int
    revision: int
