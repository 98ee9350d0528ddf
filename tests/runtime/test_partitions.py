"""The table of a partition's states."""

from itertools import product

import pytest

from worker.runtime.lifecycles import InvalidTransition
from worker.runtime.partitions import TRANSITIONS, Partition, Partitions, State, Turn


@pytest.mark.parametrize(("state", "turn"), list(product(State, Turn)))
def test_only_the_table_s_transitions_happen(state: State, turn: Turn) -> None:
    partition = Partition(3, state)
    if (state, turn) in TRANSITIONS:
        partition.turn(turn)
        assert partition.state is TRANSITIONS[state, turn]
    else:
        with pytest.raises(InvalidTransition, match="partition 3"):
            partition.turn(turn)
        assert partition.state is state


def test_every_state_is_reached_from_taking() -> None:
    reached, frontier = {State.TAKING}, {State.TAKING}
    while frontier:
        frontier = {after for (before, _), after in TRANSITIONS.items() if before in frontier} - reached
        reached |= frontier
    assert reached == set(State)


def test_an_assigned_partition_begins_to_be_taken() -> None:
    partitions = Partitions()
    partitions.assign([2, 1])
    assert [one.number for one in partitions.in_state(State.TAKING)] == [1, 2]


def test_removing_gives_what_was_known() -> None:
    partitions = Partitions()
    partitions.assign([1])
    assert [one.number for one in partitions.remove([1, 9], Turn.LOST)] == [1]
    assert partitions.get(1) is None
