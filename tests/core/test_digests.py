"""What names an event, its content and what comes of it."""

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from tests.core.lab import reply_of
from tests.core.strategies import events
from worker.core.digests import DerivedIds, content_digest, event_key, lock_key, subject_digest
from worker.core.events import Event


def test_the_subject_s_digest_is_its_sha_256() -> None:
    assert subject_digest("é") == hashlib.sha256("é".encode()).digest()


@pytest.mark.parametrize(
    ("head", "key"),
    [("00" * 8, 0), ("0000000000000001", 1), ("7f" + "ff" * 7, 2**63 - 1), ("80" + "00" * 7, -(2**63)), ("ff" * 8, -1)],
)
def test_the_lock_key_is_the_first_eight_bytes_signed_and_big_endian(head: str, key: int) -> None:
    assert lock_key(bytes.fromhex(head) + b"rest") == key


@pytest.mark.parametrize("changed", [{"subject": "other"}, {"source": "com.other"}, {"id": "other"}])
def test_the_event_s_key_and_ids_are_of_subject_source_and_id(changed: dict[str, Any]) -> None:
    event = reply_of()
    other = replace(event, **changed)
    assert event_key(event) != event_key(other)
    assert DerivedIds(event).emission(0) != DerivedIds(other).emission(0)


@pytest.mark.parametrize(
    "changed", [{"type": "evt.other.type"}, {"time": "2027-01-01T00:00:00Z"}, {"data": {"y": 2}}, {"dataschema": None}]
)
def test_nothing_else_changes_key_and_ids(changed: dict[str, Any]) -> None:
    event = reply_of()
    other = replace(event, **changed)
    assert event_key(event) == event_key(other)
    assert DerivedIds(event).emission(0) == DerivedIds(other).emission(0)


def test_parts_of_the_key_can_not_run_into_each_other() -> None:
    assert event_key(reply_of(source="a", id="bc")) != event_key(reply_of(source="ab", id="c"))
    assert event_key(reply_of(source="a", id='b","c')) != event_key(reply_of(source='a","b', id="c"))


@pytest.mark.parametrize("changed", [{"type": "evt.other.type"}, {"dataschema": None}, {"data": {"y": 1.0}}])
def test_content_differs_by_type_dataschema_and_data(changed: dict[str, Any]) -> None:
    assert content_digest(replace(reply_of(1), **changed)) != content_digest(reply_of(1))


def test_content_is_the_same_whatever_the_order_of_keys_the_time_and_the_trace() -> None:
    one = reply_of(data={"a": {"x": 1, "y": 2}, "b": 3})
    again = reply_of(data={"b": 3, "a": {"y": 2, "x": 1}}, time="2027-01-01T00:00:00Z", traceparent="00-9", to="a.b.c")
    assert content_digest(one) == content_digest(again)
    assert len(content_digest(one)) == 16


def test_ids_are_stored_in_journals_and_never_change() -> None:
    # Another value here means that a record run again by a newer worker is published under other ids.
    ids = DerivedIds(replace(reply_of(), subject="s", source="com.test", id="e-1"))
    assert ids.emission(0) == "e4d740ed-6715-5661-8db8-8f3c45b846b6"
    assert ids.execution(0) == "d6560cb4-da1f-507a-b7c6-4cd84f96dbdc"
    assert ids.error() == "143a1d34-9b6f-52ba-92c7-bacc3787e37e"
    assert ids.new_id() == "45f9681d-5fcd-54b5-b116-d26bf6c075fa"


@given(events())
def test_all_ids_of_one_event_differ_and_are_uuids_of_version_5(event: Event) -> None:
    ids = DerivedIds(event)
    new_id = ids.new_id
    all_ids = [ids.emission(0), ids.emission(1), ids.execution(0), ids.execution(1), ids.error(), new_id(), new_id()]
    assert len(set(all_ids)) == len(all_ids)
    assert {UUID(one).version for one in all_ids} == {5}


def test_new_id_counts_on_however_it_is_asked_for() -> None:
    ids = DerivedIds(reply_of())
    assert ids.new_id() != ids.new_id()
    again = DerivedIds(reply_of())
    assert [ids.new_id(), ids.new_id()] != [again.new_id(), again.new_id()]
