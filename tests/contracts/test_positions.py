"""The port `Positions`: who has a partition, and how far it has come."""

from dataclasses import replace

import pytest

from tests.contracts.samples import FIRST, OURS, OUTPUT, THEIRS, TOPIC_ID, position, row, wanted, writes
from tests.contracts.stores import Connected, Store
from worker.ports import Claim, DatabaseUnavailable, Position, PositionMoved, Wanted


def apply(database: Connected, offset: int = FIRST, owner: str = OURS.owner) -> None:
    """Apply a batch of one record."""
    database.lock(owner, wanted(offset))
    database.write(writes(offset + 1, journal=[row(offset, outputs=(OUTPUT,))]))
    database.commit()


def test_rows_that_are_not_there_are_left_out(ours: Connected) -> None:
    ours.insert_positions([position(0), position(2)])
    assert ours.positions([0, 1, 2]) == {0: position(0), 2: position(2)}
    assert ours.positions([]) == {}


def test_partitions_are_begun_all_or_none(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position(0)])
    with pytest.raises(PositionMoved):
        theirs.insert_positions([position(1, claim=THEIRS), position(0, claim=THEIRS)])
    assert theirs.positions([0, 1]) == {0: position(0)}


def test_a_claim_puts_in_the_new_owner_and_counts_the_death_of_the_old_one(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position(0), position(1)])
    theirs.claim([position(0), position(1)], THEIRS)
    assert theirs.positions([0, 1]) == {
        number: Position(number, TOPIC_ID, FIRST, FIRST, THEIRS.owner, THEIRS.transactional_id, deaths=1, claims=1)
        for number in (0, 1)
    }


def test_a_claim_of_what_was_released_counts_no_death(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position()])
    ours.release(OURS.owner, {0: FIRST})
    released = ours.positions([0])[0]
    assert released == Position(0, TOPIC_ID, FIRST, FIRST, None, None)
    theirs.claim([released], THEIRS)
    assert theirs.positions([0])[0] == replace(position(claim=THEIRS), claims=1)


def test_a_claim_of_our_own_counts_no_death(ours: Connected) -> None:
    ours.insert_positions([position()])
    ours.claim([position()], OURS)
    assert ours.positions([0])[0] == replace(position(), claims=1)


def test_a_claim_that_comes_a_second_time_is_refused(ours: Connected) -> None:
    # A claim that hung, and arrives when the same worker has claimed again.
    ours.insert_positions([position()])
    ours.claim([position()], OURS)
    with pytest.raises(PositionMoved):
        ours.claim([position()], OURS)


def test_deaths_add_up_until_the_position_moves(store: Store) -> None:
    claims = [Claim(f"owner-{number}", f"transactional-{number}") for number in range(4)]
    databases = [store.connect(claim.owner) for claim in claims]
    databases[0].insert_positions([position(claim=claims[0])])
    for number in (1, 2, 3):
        found = databases[number].positions([0])[0]
        databases[number].claim([found], claims[number])
        assert databases[number].positions([0])[0].deaths == number
    apply(databases[3], owner=claims[3].owner)
    assert databases[3].positions([0])[0].deaths == 0


@pytest.mark.parametrize(
    "change", [{"next_offset": FIRST + 1}, {"owner": "somebody"}, {"deaths": 1}, {"attempts": 1}, {"topic_id": "other"}]
)
def test_a_claim_of_what_is_not_as_it_was_found_changes_nothing(
    ours: Connected, theirs: Connected, change: dict[str, object]
) -> None:
    ours.insert_positions([position(0), position(1)])
    with pytest.raises(PositionMoved):
        theirs.claim([position(0), replace(position(1), **change)], THEIRS)  # type: ignore[arg-type]
    assert theirs.positions([0, 1]) == {0: position(0), 1: position(1)}


def test_a_claim_of_a_row_that_is_not_there_is_refused(ours: Connected) -> None:
    with pytest.raises(PositionMoved):
        ours.claim([position()], OURS)


def test_a_claim_ends_the_session_of_a_stopped_owner_that_holds_the_row(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position()])
    ours.lock(OURS.owner, wanted())
    ours.write(writes(journal=[row()]))
    theirs.claim([position()], THEIRS)
    with pytest.raises(DatabaseUnavailable):
        ours.commit()
    assert theirs.positions([0])[0].next_offset == FIRST, "what the stopped one wrote is gone"
    theirs.lock(THEIRS.owner, wanted())
    theirs.roll_back()


def test_a_claim_of_our_own_ends_a_session_that_our_lost_connection_left(store: Store, ours: Connected) -> None:
    ours.insert_positions([position()])
    left_behind = store.connect(OURS.owner)
    left_behind.lock(OURS.owner, wanted())
    left_behind.write(writes(journal=[row()]))
    ours.claim([position()], OURS)
    with pytest.raises(DatabaseUnavailable):
        left_behind.commit()
    assert ours.positions([0])[0] == replace(position(), claims=1)


def test_a_claim_waits_for_no_session_of_somebody_else(store: Store, ours: Connected, theirs: Connected) -> None:
    # The row's owner is not the one who holds it: nobody's session is ended then.
    ours.insert_positions([position()])
    ours.claim([position()], THEIRS)
    theirs.lock(THEIRS.owner, wanted())
    found = replace(position(claim=THEIRS), deaths=1)
    stranger = store.connect("stranger")
    with pytest.raises((DatabaseUnavailable, PositionMoved)):
        stranger.claim([replace(found, owner="nobody")], Claim("stranger", "stranger"))
    theirs.write(writes(journal=[row()]))
    theirs.commit()


def test_a_release_keeps_the_greatest_published_offset(ours: Connected) -> None:
    ours.insert_positions([position()])
    apply(ours)
    ours.release(OURS.owner, {0: FIRST + 1})
    ours.claim([ours.positions([0])[0]], OURS)
    ours.release(OURS.owner, {0: FIRST})
    assert ours.positions([0])[0].published_offset == FIRST + 1


def test_a_release_leaves_what_is_another_s(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position(0), position(1)])
    theirs.claim([position(0)], THEIRS)
    ours.release(OURS.owner, {0: FIRST, 1: FIRST, 2: FIRST})
    owners = {number: one.owner for number, one in ours.positions([0, 1, 2]).items()}
    assert owners == {0: THEIRS.owner, 1: None}


def test_a_release_of_a_row_that_is_held_is_bounded(ours: Connected, theirs: Connected, store: Store) -> None:
    ours.insert_positions([position()])
    store.connect(OURS.owner).lock(OURS.owner, wanted())
    with pytest.raises(DatabaseUnavailable):
        ours.release(OURS.owner, {0: FIRST})
    assert theirs.positions([0])[0] == position()


def test_attempts_are_counted_before_they_are_made(ours: Connected) -> None:
    ours.insert_positions([position()])
    assert [ours.note_attempt(OURS.owner, 0, FIRST) for _ in range(3)] == [0, 1, 2]
    assert ours.positions([0])[0] == replace(position(), attempts=3)


def test_attempts_survive_a_claim_and_end_when_the_position_moves(ours: Connected, theirs: Connected) -> None:
    ours.insert_positions([position()])
    ours.note_attempt(OURS.owner, 0, FIRST)
    theirs.claim([ours.positions([0])[0]], THEIRS)
    assert theirs.note_attempt(THEIRS.owner, 0, FIRST) == 1
    apply(theirs, owner=THEIRS.owner)
    assert theirs.note_attempt(THEIRS.owner, 0, FIRST + 1) == 0


@pytest.mark.parametrize(("owner", "partition", "offset"), [(OURS.owner, 0, FIRST + 1), (THEIRS.owner, 0, FIRST)])
def test_no_attempt_is_noted_where_another_is(ours: Connected, owner: str, partition: int, offset: int) -> None:
    ours.insert_positions([position()])
    with pytest.raises(PositionMoved):
        ours.note_attempt(owner, partition, offset)
    with pytest.raises(PositionMoved):
        ours.note_attempt(OURS.owner, 1, FIRST)
    assert ours.positions([0])[0].attempts == 0


def test_what_is_not_published_comes_back_byte_for_byte_in_offset_order(ours: Connected) -> None:
    bare = replace(OUTPUT, key=None, value=None, headers=())
    ours.insert_positions([position(0), position(1)])
    ours.lock(OURS.owner, Wanted({0: FIRST, 1: FIRST}, [], []))
    rows = [row(12), row(11, outputs=(OUTPUT,)), row(10, outputs=(OUTPUT, bare)), row(10, partition=1)]
    ours.write(writes(13, journal=rows))
    ours.commit()
    found = ours.unpublished(0, 10, 13)
    assert [(one.partition, one.offset, one.outputs) for one in found] == [(0, 10, (OUTPUT, bare)), (0, 11, (OUTPUT,))]
    assert [one.offset for one in ours.unpublished(0, 11, 12)] == [11], "from the first, below the second"
    assert ours.unpublished(0, 11, 11) == []


def test_a_server_that_ended_the_session_is_met_again(store: Store, ours: Connected) -> None:
    ours.insert_positions([position()])
    store.end_sessions(OURS.owner)
    with pytest.raises(DatabaseUnavailable):
        ours.positions([0])
    assert ours.positions([0])[0] == position()
