"""Records that may kill: after owners died at a partition without getting on, its records run one by one.

Each attempt is noted before it is made, so a record that ends the process each time is known by its attempts, and
becomes a dead letter.
"""

from dataclasses import dataclass, field

import structlog

from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Record
from worker.ports import Positions
from worker.runtime.partitions import Partition

ATTEMPTS_MAX = 3
"""How often a record may end the process."""

_LOG = structlog.get_logger("worker.careful")


@dataclass(frozen=True, slots=True)
class Care:
    """Run `records` records one by one where owners died."""

    positions: Positions
    owner: str
    records: int
    _noted: set[tuple[int, int]] = field(default_factory=set)

    def begin(self, partition: Partition) -> None:
        """Run one batch's worth of a partition's next records one by one."""
        partition.careful_until = partition.next_offset + self.records
        _LOG.warning(
            "running_one_by_one",
            partition=partition.number,
            start=partition.next_offset,
            end=partition.careful_until,
            text="workers died here again and again; a record that kills them is found and made a dead letter",
        )

    def note(self, partition: Partition, record: Record) -> dict[tuple[int, int], DeadLettered]:
        """Note that the partition's next record is about to be run; give it as condemned if it has killed enough.

        Once in this process: what is tried again since a server failed has killed nobody.
        Raises: DatabaseUnavailable, PositionMoved.
        """
        place = record.partition, record.offset
        if place in self._noted:
            return {}
        attempts = self.positions.note_attempt(self.owner, partition.number, partition.next_offset)
        self._noted.add(place)
        if attempts < ATTEMPTS_MAX:
            return {}
        text = (
            f"the worker's process ended each of the {attempts} times that this record was run on its own: by a step "
            "beyond WORKER_STEP_TIMEOUT_SECONDS, or a crash of the interpreter"
        )
        _LOG.error("record_kills", partition=record.partition, offset=record.offset, attempts=attempts)
        outcome = DeadLettered(DeadLetterReason.CRASHED, "ProcessEnded", text)
        return {place: outcome}
