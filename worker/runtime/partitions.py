"""The life of one input partition in this worker, as a table.

A partition is taken before it is read (`taking.py`), read while it is running, and taken again whenever it is
no longer certain what is applied or published. Only a running partition is released: its row then says that
everything applied is published. In any other state the row keeps its owner, and the next owner fences.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where a partition stands."""

    TAKING = "taking"
    RUNNING = "running"
    APPLIED = "applied"
    REFUSED = "refused"


class Turn(StrEnum):
    """What can happen to a partition while it is assigned."""

    TAKEN = "taken"
    REFUSED = "refused"
    APPLIED = "applied"
    PUBLISHED = "published"
    UNSETTLED = "unsettled"


TRANSITIONS: Mapping[tuple[State, Turn], State] = {
    (State.TAKING, Turn.TAKEN): State.RUNNING,
    (State.TAKING, Turn.REFUSED): State.REFUSED,
    (State.TAKING, Turn.UNSETTLED): State.TAKING,
    (State.RUNNING, Turn.APPLIED): State.APPLIED,
    (State.RUNNING, Turn.UNSETTLED): State.TAKING,
    (State.APPLIED, Turn.PUBLISHED): State.RUNNING,
    (State.APPLIED, Turn.UNSETTLED): State.TAKING,
}


class InvalidTransition(Exception):
    """A partition was told what can't happen in its state: a fault of the runtime."""


@dataclass(slots=True)
class Partition:
    """One assigned partition: what this worker knows to be applied and published."""

    number: int
    state: State = State.TAKING
    next_offset: int = 0
    published_offset: int = 0

    def turn(self, turn: Turn) -> None:
        """Go to the next state. Raises: InvalidTransition."""
        following = TRANSITIONS.get((self.state, turn))
        if following is None:
            raise InvalidTransition(f"partition {self.number}: {turn} can't happen while {self.state}")
        self.state = following


@dataclass(slots=True)
class Partitions:
    """The partitions that are assigned to this worker now."""

    _assigned: dict[int, Partition] = field(default_factory=dict)

    def assign(self, numbers: Iterable[int]) -> None:
        """Begin with these, to be taken."""
        for number in numbers:
            self._assigned[number] = Partition(number)

    def remove(self, numbers: Iterable[int]) -> list[Partition]:
        """Forget these and give what was known of them."""
        return [self._assigned.pop(number) for number in numbers if number in self._assigned]

    def get(self, number: int) -> Partition | None:
        """Give an assigned partition."""
        return self._assigned.get(number)

    def in_state(self, state: State) -> list[Partition]:
        """Give those in a state, by number."""
        return [one for _, one in sorted(self._assigned.items()) if one.state is state]

    def __getitem__(self, number: int) -> Partition:
        return self._assigned[number]

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._assigned.values()))

    def __len__(self) -> int:
        return len(self._assigned)
