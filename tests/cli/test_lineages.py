"""Which events are one workflow's: its own, its children's and theirs, in whatever order they are read."""

from itertools import permutations
from typing import Any

import pytest

from worker.adapters.kafka.tailing import Received
from worker.cli.lineages import Lineage
from worker.cli.tailing import Wanted
from worker.core.codec import encode_record
from worker.core.errors import SetupError
from worker.core.events import create_event
from worker.core.records import Record
from worker.core.subjects import child_subject, root_subject
from worker.terminal.lines import Told

ROOT = root_subject(name="arvo.orc.root", version="1.0.0", initiator="com.example.shop", execution_id="root-1")
CHILD = child_subject(ROOT, name="arvo.orc.child", version="1.0.0", execution_id="child-1")
GRANDCHILD = child_subject(CHILD, name="arvo.orc.grandchild", version="1.0.0", execution_id="grandchild-1")
OTHER = root_subject(name="arvo.orc.root", version="1.0.0", initiator="com.example.shop", execution_id="other-1")
OTHERS_CHILD = child_subject(OTHER, name="arvo.orc.child", version="1.0.0", execution_id="child-2")


def told(number: int, subject: str, parent: object = None, type_: str = "com.test.event") -> Told:
    data: dict[str, Any] = {"number": number} if parent is None else {"number": number, "parentSubject$$": parent}
    event = create_event(
        {
            "id": str(number),
            "source": "com.example.shop",
            "type": type_,
            "subject": subject,
            "dataschema": "#/test/1.0.0",
            "data": data,
            "time": "2026-01-01T00:00:00Z",
        }
    )
    encoded = encode_record(event)
    return Told(Received("orc.default", Record(0, number, number, encoded.key, encoded.value, encoded.headers)))


FAMILY = [
    told(0, ROOT),
    told(1, CHILD, ROOT),
    told(2, GRANDCHILD, CHILD),
    told(3, GRANDCHILD),
    told(4, OTHERS_CHILD, OTHER),
    told(5, OTHERS_CHILD),
]


@pytest.mark.parametrize("wanted", [ROOT, "root-1", "root"])
def test_a_family_is_found_in_whatever_order_it_is_read(wanted: str) -> None:
    for order in permutations(FAMILY):
        lineage = Lineage(wanted)
        shown = [one.received.record.offset for read in order for one in lineage.take(read)]
        assert sorted(shown) == [0, 1, 2, 3], "each once, and nobody else's"
        assert len(lineage._held) == 2


def test_a_child_is_a_workflow_of_its_own() -> None:
    lineage = Lineage("child-1")
    assert [one.received.record.offset for read in FAMILY for one in lineage.take(read)] == [1, 2, 3]


def test_what_is_held_is_bounded_in_number_and_bytes() -> None:
    few, small = Lineage("root-1", held_max=10), Lineage("root-1", held_bytes_max=5_000)
    for number in range(1_000):
        for lineage in (few, small):
            assert lineage.take(told(number, CHILD if number % 2 else OTHERS_CHILD, OTHER)) == []
    assert len(few._held) == 10
    assert small._bytes <= 5_000
    for lineage in (few, small):
        assert sum(map(len, lineage._by_subject.values())) == len(lineage._held)
        assert lineage._children.keys() <= {OTHER}


@pytest.mark.parametrize("parent", [7, "", ["a"], {"a": 1}])
def test_a_parent_that_is_none_makes_no_child(parent: object) -> None:
    assert Lineage("root-1").take(told(1, CHILD, parent)) == []


def test_what_has_no_subject_is_nobodys() -> None:
    assert Lineage("root-1").take(Told(Received("orc.dlq", Record(0, 0, 0, None, b"no event", ())))) == []


@pytest.mark.parametrize(
    ("types", "shown"),
    [((), [0, 1, 2]), (("arvo.orc.*",), [1, 2]), (("com.test.event", "arvo.orc.b"), [0, 2]), (("arvo",), [])],
)
def test_types_are_picked(types: tuple[str, ...], shown: list[int]) -> None:
    read = [told(0, ROOT), told(1, ROOT, type_="arvo.orc.a"), told(2, ROOT, type_="arvo.orc.b")]
    for wanted in (
        Wanted((), "root-1", None, from_beginning=True, types=types),
        Wanted((), None, None, from_beginning=True, workflow="root-1", types=types),
        Wanted((), None, None, from_beginning=True, types=types),
    ):
        pick = wanted.picker()
        assert [one.received.record.offset for each in read for one in pick(each)] == shown


def test_one_of_subject_and_workflow_is_given() -> None:
    with pytest.raises(SetupError, match="--subject shows one instance, --workflow its children too"):
        Wanted((), "a", None, from_beginning=True, workflow="b").picker()
