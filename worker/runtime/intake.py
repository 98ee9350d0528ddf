"""What was polled and not yet applied, and how much of it the next batch takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from sys import maxsize
from typing import Final

import structlog

from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Record
from worker.ports import BatchRefused, BatchTooLarge
from worker.runtime.partitions import READ, Partition, Partitions

ALONE_FAILURES_MAX = 30
"""How often a record that takes too much of PostgreSQL on its own is tried before it becomes a dead letter."""

_NEVER: Final = maxsize
_PLACE: Final = attrgetter("partition", "offset")
_LOG = structlog.get_logger("worker.intake")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in partition and offset order. `single` is the careful partition whose next record runs on its own."""

    records: Sequence[Record]
    single: Partition | None = None


@dataclass(slots=True)
class Intake:
    """Make batches of what was polled, each partition's records in their order.

    A batch that PostgreSQL refuses is cut: its first half comes next, and so on until the culprit is alone; batches
    grow again with each that passes. A record that is refused on its own is `condemned`: it becomes a dead letter.
    """

    records_max: int
    bytes_max: int
    condemned: dict[tuple[int, int], DeadLettered] = field(default_factory=dict)
    _held: list[Record] = field(default_factory=list)
    _limit: int = field(init=False)
    _single_is_next: bool = True
    _alone_failures: Counter[tuple[int, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._limit = self.records_max

    @property
    def room(self) -> int:
        """How many records may be polled."""
        return max(self.records_max - len(self._held), 0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back."""
        return not self._held

    def batch(self, polled: Sequence[Record], partitions: Partitions, records_max: int | None = None) -> Batch:
        """Give the next batch, and hold the rest back.

        What is held of a partition that has gone, is to be taken again or waits ends here: it is read again.
        """
        read = {one.number: one.next_offset for one in partitions if one.state in READ}
        current = [one for one in (*self._held, *polled) if one.offset >= read.get(one.partition, _NEVER)]
        careful = {one.number for one in partitions if one.is_careful}
        singles = [one for one in current if one.partition in careful] if careful else []
        others = [one for one in current if one.partition not in careful] if careful else current
        if singles and (self._single_is_next or not others):
            first = min(singles, key=_PLACE)
            self._held = [one for one in current if one is not first]
            self._single_is_next = False
            return Batch([first], partitions[first.partition])
        self._single_is_next = True
        size = min(self._limit, records_max or self._limit)
        taken = self._up_to(others, size)
        self._held = singles + others[taken:]
        return Batch(sorted(others[:taken], key=_PLACE))

    def put_back(self, records: Sequence[Record]) -> None:
        """Hold these, which were taken and not applied, for the next batch."""
        self._held = [*records, *self._held]

    def cut(self, batch: Batch, error: BatchRefused | BatchTooLarge) -> None:
        """Take back a batch that PostgreSQL refused; the next is smaller, or its one record becomes a dead letter."""
        self.put_back(batch.records)
        self._limit = max(len(batch.records) // 2, 1)
        _LOG.warning("batch_refused", records=len(batch.records), error=str(error), next_records_max=self._limit)
        if len(batch.records) > 1:
            return
        (record,) = batch.records
        self._alone_failures[record.partition, record.offset] += 1
        failures = self._alone_failures[record.partition, record.offset]
        if isinstance(error, BatchRefused) or failures >= ALONE_FAILURES_MAX:
            _LOG.error("record_refused", partition=record.partition, offset=record.offset, error=str(error))
            self.condemned[record.partition, record.offset] = DeadLettered(
                DeadLetterReason.STORAGE_REFUSED, type(error).__name__, str(error)
            )

    def passed(self, records: Sequence[Record]) -> None:
        """Know that a batch is applied: the next may be larger."""
        self._limit = min(self._limit * 2, self.records_max)
        for record in records if self.condemned or self._alone_failures else ():
            self.condemned.pop((record.partition, record.offset), None)
            self._alone_failures.pop((record.partition, record.offset), None)

    def _up_to(self, records: Sequence[Record], size: int) -> int:
        """Count the records that fit into a batch, at least one if there is one."""
        sizes = [len(record.value or b"") for record in records[:size]]
        if sum(sizes) <= self.bytes_max:
            return len(sizes)
        return max(sum(total <= self.bytes_max for total in accumulate(sizes)), 1)
