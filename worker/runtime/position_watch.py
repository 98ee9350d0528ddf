"""Notice without a record that a position row is not as this worker left it: the database was restored, say."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.ports import Clock, Position, Positions
from worker.runtime.partitions import Partition


@dataclass(slots=True)
class PositionWatch:
    """Look at the rows every `seconds`."""

    positions: Positions
    owner: str
    clock: Clock
    seconds: float
    _next_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._next_at = self.clock.monotonic() + self.seconds

    def is_due(self) -> bool:
        """Tell whether it is time to look; it is not any more then."""
        now = self.clock.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + self.seconds
        return True

    def moved(self, known: Sequence[Partition]) -> list[Partition]:
        """Give those, of partitions without a batch under way, whose rows are others. Raises: DatabaseUnavailable."""
        rows = self.positions.positions([one.number for one in known]) if known else {}
        return [one for one in known if not self._is_as_left(one, rows.get(one.number))]

    def _is_as_left(self, partition: Partition, row: Position | None) -> bool:
        return row is not None and (row.next_offset, row.owner) == (partition.next_offset, self.owner)
