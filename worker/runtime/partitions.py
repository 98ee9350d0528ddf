"""The life of one input partition in this worker, as a table.

A partition is taken before it is read (`taking.py`), and taken again whenever it is no longer certain what is applied
or published. Only where everything applied is known to be published is its row released; in any other state the row
keeps its owner, and the next owner fences.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker.runtime.lifecycles import following


class State(StrEnum):
    """Where a partition stands."""

    TAKING = "taking"
    SETTLED = "settled"
    PUBLISHING = "publishing"
    AHEAD = "ahead"
    WAITING = "waiting"
    REFUSED = "refused"
    RELEASED = "released"
    ABANDONED = "abandoned"


class Turn(StrEnum):
    """What can happen to a partition while it is assigned."""

    TAKEN = "taken"
    REFUSED = "refused"
    APPLIED = "applied"
    PUBLISHED = "published"
    UNSETTLED = "unsettled"
    HELD = "held"
    RESUMED = "resumed"
    REVOKED = "revoked"
    LOST = "lost"


TRANSITIONS: Final[Mapping[tuple[State, Turn], State]] = {
    # Paused: what is applied and what is published is being found out.
    (State.TAKING, Turn.TAKEN): State.SETTLED,
    (State.TAKING, Turn.REFUSED): State.REFUSED,
    (State.TAKING, Turn.PUBLISHED): State.TAKING,
    (State.TAKING, Turn.UNSETTLED): State.TAKING,
    (State.TAKING, Turn.REVOKED): State.ABANDONED,
    (State.TAKING, Turn.LOST): State.ABANDONED,
    # Read; everything applied is published.
    (State.SETTLED, Turn.APPLIED): State.PUBLISHING,
    (State.SETTLED, Turn.HELD): State.WAITING,
    (State.SETTLED, Turn.UNSETTLED): State.TAKING,
    (State.SETTLED, Turn.REVOKED): State.RELEASED,
    (State.SETTLED, Turn.LOST): State.ABANDONED,
    # Read; a batch is applied and its publication is about to begin, or under way.
    (State.PUBLISHING, Turn.APPLIED): State.AHEAD,
    (State.PUBLISHING, Turn.PUBLISHED): State.SETTLED,
    (State.PUBLISHING, Turn.UNSETTLED): State.TAKING,
    (State.PUBLISHING, Turn.REVOKED): State.ABANDONED,
    (State.PUBLISHING, Turn.LOST): State.ABANDONED,
    # Not read; one more batch is applied, whose publication waits for that of the batch before.
    (State.AHEAD, Turn.PUBLISHED): State.PUBLISHING,
    (State.AHEAD, Turn.UNSETTLED): State.TAKING,
    (State.AHEAD, Turn.REVOKED): State.ABANDONED,
    (State.AHEAD, Turn.LOST): State.ABANDONED,
    # Paused on purpose: for a version under roll-out, or in a flood of dead letters.
    (State.WAITING, Turn.RESUMED): State.SETTLED,
    (State.WAITING, Turn.UNSETTLED): State.TAKING,
    (State.WAITING, Turn.REVOKED): State.RELEASED,
    (State.WAITING, Turn.LOST): State.ABANDONED,
    # Paused until somebody has done what the refusal says; nothing of it is unpublished by this worker.
    (State.REFUSED, Turn.REVOKED): State.RELEASED,
    (State.REFUSED, Turn.LOST): State.ABANDONED,
}

READ: Final = (State.SETTLED, State.PUBLISHING)
"""The states in which records of a partition are applied."""

APPLIED: Final = (State.PUBLISHING, State.AHEAD)
"""The states with a publication to begin, or under way."""

TAKEN: Final = (State.SETTLED, State.PUBLISHING, State.AHEAD, State.WAITING)
"""The states that rest on what is known of the partition."""


@dataclass(slots=True, eq=False)
class Partition:
    """One assignment of a partition: what this worker knows to be applied and published.

    A partition that goes and comes back is another object: what was found out before does not hold any more.
    Records below `careful_until` are run one by one, since the last owners died here. `waits_until` is when a waiting
    partition goes on, in seconds of the clock, and `waits_for` which record's version it waits for: the record that was
    `waited_for` is not waited for again.
    """

    number: int
    state: State = State.TAKING
    next_offset: int = 0
    published_offset: int = 0
    careful_until: int = 0
    waits_until: float = 0.0
    waits_for: int = -1
    waited_for: int = -1

    @property
    def is_careful(self) -> bool:
        """Whether the next record is to be run on its own."""
        return self.next_offset < self.careful_until

    def turn(self, turn: Turn) -> None:
        """Go to the next state. Raises: InvalidTransition."""
        self.state = following(TRANSITIONS, self.state, turn, f"partition {self.number}")


@dataclass(slots=True)
class Partitions:
    """The partitions that are assigned to this worker now."""

    _assigned: dict[int, Partition] = field(default_factory=dict)

    def assign(self, numbers: Iterable[int]) -> None:
        """Begin with these, to be taken."""
        for number in numbers:
            self._assigned[number] = Partition(number)

    def remove(self, numbers: Iterable[int], turn: Turn) -> list[Partition]:
        """Forget these, which were revoked or lost, and give what was known of them."""
        gone = [self._assigned.pop(number) for number in numbers if number in self._assigned]
        for partition in gone:
            partition.turn(turn)
        return gone

    def get(self, number: int) -> Partition | None:
        """Give an assigned partition."""
        return self._assigned.get(number)

    def in_state(self, *states: State) -> list[Partition]:
        """Give those in one of these states, by number."""
        return [one for _, one in sorted(self._assigned.items()) if one.state in states]

    def __getitem__(self, number: int) -> Partition:
        return self._assigned[number]

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._assigned.values()))

    def __len__(self) -> int:
        return len(self._assigned)
