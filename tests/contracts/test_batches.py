"""The port `Database`: one batch's transaction."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.samples import (
    FIRST,
    OURS,
    OUTPUT,
    THEIRS,
    consumed,
    digest,
    instance,
    position,
    row,
    wanted,
    writes,
)
from tests.contracts.stores import Connected, Store
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.engine.api import Snapshot
from worker.core.instances import Status
from worker.ports import (
    BatchRefused,
    BatchTooLarge,
    DatabaseRefused,
    DatabaseUnavailable,
    PositionMoved,
    RevisionMismatch,
    Wanted,
)

LOCKS_TOO_MANY = 40_000
DEDUPLICATION_DAYS = DatabaseConfig("").deduplication_days


@pytest.fixture(autouse=True)
def begun(ours: Connected) -> None:
    """Begin a partition for each of the two."""
    ours.insert_positions([position(0), position(1, claim=THEIRS)])


def batch(database: Connected, offset: int = FIRST, **written: Any) -> None:
    """Apply a batch of one record."""
    database.lock(OURS.owner, wanted(offset))
    written.setdefault("journal", [row(offset)])
    database.write(writes(offset + 1, **written))
    database.commit()


def found(database: Connected, offset: int, number: int = 1) -> object:
    """Read an instance as the next batch does."""
    database.lock(OURS.owner, wanted(offset))
    read = database.read([digest(number)])
    database.roll_back()
    return read.get(digest(number))


def next_offset(database: Connected) -> int:
    return database.positions([0])[0].next_offset


# What is visible, and when


def test_nothing_is_seen_before_the_commit_and_everything_after_it(
    store: Store, ours: Connected, theirs: Connected
) -> None:
    ours.lock(OURS.owner, wanted())
    assert ours.read([digest()]) == {}
    ours.write(writes(created=[(digest(), instance())], journal=[row(outputs=(OUTPUT,))]))
    assert (store.journal(), next_offset(theirs)) == ({}, FIRST)
    ours.commit()
    assert (store.journal(), next_offset(theirs)) == ({(0, FIRST): (OUTPUT,)}, FIRST + 1)
    assert found(ours, FIRST + 1) == instance()


def test_what_is_rolled_back_was_never_there(store: Store, ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    ours.write(writes(created=[(digest(), instance())], journal=[row()]))
    ours.roll_back()
    ours.roll_back()
    assert (store.journal(), next_offset(ours), found(ours, FIRST)) == ({}, FIRST, None)


def test_a_lost_connection_rolls_back(store: Store, ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    ours.write(writes(created=[(digest(), instance())], journal=[row()]))
    store.end_sessions(OURS.owner)
    with pytest.raises(DatabaseUnavailable):
        ours.commit()
    assert (store.journal(), next_offset(ours), found(ours, FIRST)) == ({}, FIRST, None)


def test_a_closed_connection_rolls_back_and_frees_its_locks(store: Store, ours: Connected, theirs: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    ours.write(writes(journal=[row()]))
    ours.close()
    store.end_sessions(OURS.owner)
    theirs.lock(THEIRS.owner, wanted(partition=1))
    theirs.roll_back()
    assert (store.journal(), next_offset(theirs)) == ({}, FIRST)


def test_a_commit_whose_answer_is_lost_is_told_by_the_position(store: Store, ours: Connected) -> None:
    deaf = store.connect_deaf(OURS.owner)
    deaf.lock(OURS.owner, wanted())
    deaf.write(writes(journal=[row()]))
    with pytest.raises(DatabaseUnavailable):
        deaf.commit()
    assert (list(store.journal()), next_offset(ours)) == ([(0, FIRST)], FIRST + 1)


def test_a_transaction_that_the_server_ended_is_found_ended_at_the_next_call(store: Store, ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    store.end_sessions(OURS.owner)
    with pytest.raises(DatabaseUnavailable):
        ours.read([digest()])
    assert found(ours, FIRST) is None


# Positions


@pytest.mark.parametrize("offset", [FIRST - 1, FIRST + 1])
def test_a_batch_at_another_offset_is_refused(ours: Connected, offset: int) -> None:
    with pytest.raises(PositionMoved):
        ours.lock(OURS.owner, wanted(offset))
    assert found(ours, FIRST) is None, "the transaction is over, and its locks are free"


def test_a_batch_of_an_owner_from_before_is_refused(ours: Connected, theirs: Connected) -> None:
    theirs.claim([position()], THEIRS)
    with pytest.raises(PositionMoved):
        ours.lock(OURS.owner, wanted())
    theirs.lock(THEIRS.owner, wanted())
    theirs.roll_back()


def test_a_batch_of_a_partition_without_a_row_is_refused(ours: Connected) -> None:
    with pytest.raises(PositionMoved):
        ours.lock(OURS.owner, wanted(0, partition=7))


def test_the_batch_moves_its_positions_alone(ours: Connected) -> None:
    ours.insert_positions([position(2)])
    ours.lock(OURS.owner, Wanted({0: FIRST, 2: FIRST}, [], []))
    ours.write(replace(writes(), next_offsets={0: FIRST + 2, 2: FIRST + 3}, published_offsets={0: FIRST + 1, 2: 0}))
    ours.commit()
    rows = {number: (one.next_offset, one.published_offset) for number, one in ours.positions([0, 1, 2]).items()}
    assert rows == {0: (FIRST + 2, FIRST + 1), 1: (FIRST, FIRST), 2: (FIRST + 3, FIRST)}


def test_a_batch_waits_for_the_row_that_a_batch_before_holds(store: Store, ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    second = store.connect(OURS.owner)
    with pytest.raises(DatabaseUnavailable):
        second.lock(OURS.owner, wanted())
    ours.write(writes(journal=[row()]))
    ours.commit()
    with pytest.raises(PositionMoved):
        second.lock(OURS.owner, wanted())
    second.lock(OURS.owner, wanted(FIRST + 1))


# Subjects


def test_a_subject_is_locked_until_the_end_of_the_transaction(ours: Connected, theirs: Connected) -> None:
    ours.lock(OURS.owner, wanted(numbers=(1, 2)))
    with pytest.raises(DatabaseUnavailable):
        theirs.lock(THEIRS.owner, wanted(numbers=(3, 2), partition=1))
    ours.write(writes(created=[(digest(2), instance(2))], journal=[row()]))
    ours.commit()
    theirs.lock(THEIRS.owner, wanted(numbers=(3, 2), partition=1))
    assert theirs.read([digest(3), digest(2)]) == {digest(2): instance(2)}, "what was written under the lock"
    theirs.roll_back()


def test_other_subjects_are_free(ours: Connected, theirs: Connected) -> None:
    ours.lock(OURS.owner, wanted(numbers=(1, 2)))
    theirs.lock(THEIRS.owner, wanted(numbers=(3, 4), partition=1))
    theirs.roll_back()
    ours.roll_back()


def test_a_rolled_back_lock_is_free(ours: Connected, theirs: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    ours.roll_back()
    theirs.lock(THEIRS.owner, wanted(partition=1))
    theirs.roll_back()


def test_a_lock_that_was_refused_holds_nothing(ours: Connected, theirs: Connected) -> None:
    with pytest.raises(PositionMoved):
        ours.lock(OURS.owner, wanted(FIRST + 1))
    theirs.lock(THEIRS.owner, wanted(partition=1))
    theirs.roll_back()


# Instances


def test_a_changed_instance_replaces_the_stored_one(ours: Connected) -> None:
    batch(ours, created=[(digest(), instance())])
    ended = instance(revision=3, status=Status.DONE, now=2_000)
    batch(ours, FIRST + 1, changed=[(digest(), ended, 1)])
    assert found(ours, FIRST + 2) == ended


@pytest.mark.parametrize("revision", [0, 2, 8])
def test_another_revision_is_an_alarm_and_nothing_is_written(store: Store, ours: Connected, revision: int) -> None:
    batch(ours, created=[(digest(), instance())])
    ours.lock(OURS.owner, wanted(FIRST + 1))
    with pytest.raises(RevisionMismatch):
        ours.write(writes(FIRST + 2, changed=[(digest(), instance(revision=9), revision)], journal=[row(FIRST + 1)]))
    assert (list(store.journal()), next_offset(ours), found(ours, FIRST + 1)) == ([(0, FIRST)], FIRST + 1, instance())


def test_an_instance_that_is_there_is_not_made_again(ours: Connected) -> None:
    batch(ours, created=[(digest(), instance())])
    ours.lock(OURS.owner, wanted(FIRST + 1))
    with pytest.raises(RevisionMismatch):
        ours.write(writes(FIRST + 2, created=[(digest(), instance())], journal=[row(FIRST + 1)]))
    assert found(ours, FIRST + 1) == instance()


def test_a_change_of_what_is_not_there_is_an_alarm(ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    with pytest.raises(RevisionMismatch):
        ours.write(writes(changed=[(digest(), instance(revision=2), 1)], journal=[row()]))


def test_values_come_back_as_they_went(ours: Connected) -> None:
    numbers = [2**63 - 1, -(2**63), 1, 1.0, 0.1 + 0.2, 1e-7, 1e16, 1e22, -1.5e300, 5e-324]
    given = {"deep": [[{"\U0001f600": 1e22}]], "values": [*numbers, "\u2028", "\x01", "\\u0000", "", True, None]}
    odd = instance(snapshot=Snapshot(("root",), given, given, remembered={"root": given}, output=given))
    batch(ours, created=[(digest(), odd)])
    assert repr(found(ours, FIRST + 1)) == repr(odd), "1 and 1.0 are equal, and two things"


# The journal


def test_an_event_that_was_consumed_is_seen(ours: Connected) -> None:
    batch(ours, journal=[consumed(key=7)])
    (seen,) = ours.lock(OURS.owner, wanted(FIRST + 1, keys=(7, 8)))
    assert (seen.subject_digest, seen.source, seen.id, seen.content_digest) == (digest(), "source", "id", b"c" * 16)
    ours.roll_back()
    assert ours.lock(OURS.owner, wanted(FIRST + 1, keys=(8,))) == []
    ours.roll_back()


def test_an_event_that_was_not_consumed_is_not_seen(ours: Connected) -> None:
    dead_letter = consumed()._replace(consumed=False, outcome="dead_lettered")
    batch(ours, journal=[dead_letter])
    assert ours.lock(OURS.owner, wanted(FIRST + 1, keys=(7,))) == []
    ours.roll_back()


@pytest.mark.parametrize("store", ["real"], indirect=True)
@pytest.mark.parametrize(("days", "count"), [(DEDUPLICATION_DAYS - 1, 1), (DEDUPLICATION_DAYS + 1, 0)])
def test_an_event_is_seen_for_as_long_as_the_window_is(store: Store, ours: Connected, days: int, count: int) -> None:
    # The simulated server has no days: simulations are shorter than any window.
    batch(ours, journal=[consumed(key=7)])
    store.age(days)
    assert len(ours.lock(OURS.owner, wanted(FIRST + 1, keys=(7,)))) == count
    ours.roll_back()


def test_events_that_share_a_key_are_all_seen(ours: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    rows = [consumed(FIRST, event_id="a"), consumed(FIRST + 1, subject_digest=digest(2))]
    ours.write(writes(FIRST + 2, journal=rows))
    ours.commit()
    seen = ours.lock(OURS.owner, wanted(FIRST + 2, keys=(7,)))
    assert {(one.subject_digest, one.id) for one in seen} == {(digest(1), "a"), (digest(2), "id")}
    ours.roll_back()


def test_what_is_written_under_the_lock_is_seen_by_who_waited_for_it(ours: Connected, theirs: Connected) -> None:
    ours.lock(OURS.owner, wanted())
    with pytest.raises(DatabaseUnavailable):
        theirs.lock(THEIRS.owner, wanted(keys=(7,), partition=1))
    ours.write(writes(journal=[consumed()]))
    ours.commit()
    assert len(theirs.lock(THEIRS.owner, wanted(keys=(7,), partition=1))) == 1
    theirs.roll_back()


def test_a_record_that_is_journalled_already_is_an_alarm(store: Store, ours: Connected) -> None:
    batch(ours)
    ours.lock(OURS.owner, wanted(FIRST + 1))
    with pytest.raises(DatabaseRefused):
        ours.write(writes(FIRST + 2, journal=[row(FIRST + 1), row(FIRST)]))
    assert (list(store.journal()), next_offset(ours)) == ([(0, FIRST)], FIRST + 1)
    batch(ours, FIRST + 1)


def test_a_batch_without_records_may_move_positions(ours: Connected) -> None:
    ours.lock(OURS.owner, wanted(numbers=()))
    assert ours.read([]) == {}
    ours.write(writes(FIRST + 5, published=FIRST + 5))
    ours.commit()
    assert ours.positions([0])[0].published_offset == FIRST + 5


# Refusals


def test_a_batch_whose_data_is_refused_is_not_done_and_its_other_records_may_be(store: Store, ours: Connected) -> None:
    store.refuse_zeros()
    ours.lock(OURS.owner, wanted())
    with pytest.raises(BatchRefused):
        ours.write(writes(FIRST + 2, journal=[row(FIRST), row(FIRST + 1, error_message="a\0b")]))
    assert (store.journal(), next_offset(ours)) == ({}, FIRST)
    batch(ours)
    assert list(store.journal()) == [(0, FIRST)]


def test_a_batch_that_takes_more_locks_than_there_are_is_too_large(ours: Connected) -> None:
    with pytest.raises(BatchTooLarge):
        ours.lock(OURS.owner, wanted(numbers=tuple(range(LOCKS_TOO_MANY))))
    ours.lock(OURS.owner, wanted(numbers=tuple(range(100))))
    ours.roll_back()


# Versions


def test_a_version_that_another_brought_later_is_coming(store: Store, ours: Connected) -> None:
    store.bring(OURS.owner, "arvo.orc.test", "1.0.0")
    assert not ours.is_coming("arvo.orc.test", "2.0.0")
    store.bring(THEIRS.owner, "arvo.orc.test", "2.0.0")
    assert ours.is_coming("arvo.orc.test", "2.0.0")
    assert not ours.is_coming("arvo.orc.other", "2.0.0")


def test_a_version_that_was_brought_long_before_us_is_not_coming(store: Store, ours: Connected) -> None:
    store.bring(THEIRS.owner, "arvo.orc.test", "2.0.0")
    store.let_an_hour_pass()
    store.bring(OURS.owner, "arvo.orc.test", "1.0.0")
    assert not ours.is_coming("arvo.orc.test", "2.0.0")


def test_a_version_that_comes_back_is_coming(store: Store, ours: Connected) -> None:
    # A worker that starts again with what was there before is as good as a new one.
    store.bring(THEIRS.owner, "arvo.orc.test", "2.0.0")
    store.let_an_hour_pass()
    store.bring(OURS.owner, "arvo.orc.test", "1.0.0")
    assert not ours.is_coming("arvo.orc.test", "2.0.0")
    store.bring("owner-3", "arvo.orc.test", "2.0.0")
    assert ours.is_coming("arvo.orc.test", "2.0.0")


def test_it_can_be_asked_within_a_batch(store: Store, ours: Connected) -> None:
    store.bring(OURS.owner, "arvo.orc.test", "1.0.0")
    ours.lock(OURS.owner, wanted())
    assert not ours.is_coming("arvo.orc.test", "2.0.0")
    ours.write(writes(journal=[row()]))
    ours.commit()
    assert next_offset(ours) == FIRST + 1
