"""The checker finds what it is there to find: histories with one thing wrong each."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from machines.order import machine
from tests.acceptance import family
from tests.chaos.checker import Checker, InstanceRow, Row, Verdict, Violation, Visible, counts
from tests.chaos.history import History, followed
from tests.chaos.nemesis import Struck
from tests.chaos.pauses import effects, longest, pauses, whole_pauses
from tests.chaos.pauses import followed as blamed
from tests.chaos.records import (
    Digest,
    Place,
    input_digest,
    offset_of,
    output_digest,
    partition_of,
    place_of,
    text_digest,
)
from tests.chaos.replay import OUTCOMES, Recorded, Replayer, stored_again
from tests.chaos.script import GARBAGE as GARBAGE_KINDS
from tests.chaos.script import Kind, Planned, Script
from tests.workload import STATES, Order
from worker.core.codec import decode_record
from worker.core.digests import content_digest
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import InvalidEventError, InvalidSubjectError
from worker.core.instances import Instance, Status
from worker.core.outcomes import Advanced, DeadLettered, DeadLetterReason
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject

ORDERS = 2
COPIED, GARBAGE = place_of(0, 20), place_of(1, 20)


@dataclass(slots=True)
class World:
    """What a checker is fed, as it must be: orders on a partition each, a copy, garbage and a family."""

    sent: dict[Place, tuple[str, str | None]] = field(default_factory=dict)
    inputs: list[tuple[Place, Digest]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    visible: list[Visible] = field(default_factory=list)
    instances: list[InstanceRow] = field(default_factory=list)
    roots: dict[Digest, tuple[str, int]] = field(default_factory=dict)

    def violations(self, *, ordered: bool = True) -> list[Violation]:
        checker = Checker(self.sent, ordered)
        for place, content in self.inputs:
            checker.add_input(place, content)
        for row in self.rows:
            checker.add_row(row)
        for one in self.visible:
            checker.add_visible(one)
        checker.add_instances(self.instances, self.roots)
        return list(checker.violations())

    def add(self, place: Place, row: Row, *topics: str) -> None:
        """Take a record, its row, and its outputs on these topics."""
        content = text_digest(b"content %d" % place)
        outputs = tuple(text_digest(f"{topic} {place}".encode()) for topic in topics)
        self.inputs.append((place, content))
        self.rows.append(replace(row, place=place, content=content, outputs=outputs))
        for topic, output in zip(topics, outputs, strict=True):
            partition, offset = partition_of(place), len(self.visible)
            self.visible.append(Visible(topic, partition, offset, output, row.subject or text_digest(b"")))


def subject(number: int) -> Digest:
    return text_digest(f"subject {number}".encode())


def applied(named: Digest, revision: int) -> Row:
    event = int.from_bytes(named[:4], "big") + revision
    return Row(Place(0), text_digest(b""), named, "advanced", revision=revision, event=event)


def right() -> World:
    """Give a world without fault."""
    world = World()
    for number in range(ORDERS):
        for step in range(len(STATES)):
            place = place_of(number, step * 2)
            world.sent[place] = ("advanced", None)
            world.add(place, applied(subject(number), step + 1), "default")
        world.roots[subject(number)] = ("arvo.orc.order", number)
        world.instances.append(
            InstanceRow(subject(number), "arvo.orc.order", "done", (), len(STATES), number, "completed")
        )
    world.sent |= {COPIED: ("duplicate", None), GARBAGE: ("dead_lettered", "INVALID_EVENT")}
    world.add(COPIED, replace(applied(subject(0), 0), outcome="duplicate", revision=None, event=None))
    garbage = Row(Place(0), text_digest(b""), None, "dead_lettered", "INVALID_EVENT")
    world.add(GARBAGE, garbage, "dlq")
    _add_family(world)
    return world


def _add_family(world: World) -> None:
    parent, child = text_digest(b"parent"), text_digest(b"child")
    world.sent[place_of(2, 0)] = ("advanced", None)
    world.add(place_of(2, 0), applied(parent, 1), "default", "input")
    world.add(place_of(3, 0), applied(child, 1), "default", "input")
    world.add(place_of(2, 1), applied(parent, 2), "default")
    world.roots[parent] = ("arvo.orc.parent", 7)
    world.instances += [
        InstanceRow(parent, "arvo.orc.parent", "done", (), 2, 7, 14),
        InstanceRow(child, "arvo.orc.child", "done", (), 1, 7, 14),
    ]


Change = Callable[[World], object]


def another_row(place: Place, **changes: Any) -> Change:
    """Change the row of a record."""

    def change(world: World) -> None:
        (number,) = (number for number, row in enumerate(world.rows) if row.place == place)
        world.rows[number] = replace(world.rows[number], **changes)

    return change


def another_output(number: int, **changes: Any) -> Change:
    return lambda world: world.visible.__setitem__(number, replace(world.visible[number], **changes))


def another_instance(place: int, **changes: Any) -> Change:
    return lambda world: world.instances.__setitem__(place, replace(world.instances[place], **changes))


def without_row(place: Place) -> Change:
    return lambda world: world.rows.remove(next(row for row in world.rows if row.place == place))


def swapped(first: int, second: int) -> Change:
    def change(world: World) -> None:
        world.visible[first], world.visible[second] = world.visible[second], world.visible[first]

    return change


OTHER = text_digest(b"other")
LAST = place_of(0, 6)

CHANGES: dict[str, tuple[Change, dict[Verdict, int]]] = {
    "nothing": (lambda world: None, {}),
    "outputs of two subjects in another order": (swapped(3, 4), {}),
    "an output is not visible": (lambda world: world.visible.pop(3), {"lost": 1}),
    "an output is visible twice": (lambda world: world.visible.insert(4, world.visible[3]), {"doubled": 1}),
    "an output has other bytes": (another_output(3, content=OTHER), {"lost": 1, "doubled": 1}),
    "a dead letter is visible twice": (lambda world: world.visible.insert(9, world.visible[8]), {"doubled": 1}),
    "an event for a child is in the input twice": (
        lambda world: world.visible.insert(11, world.visible[10]),
        {"doubled": 1},
    ),
    "outputs of a subject are swapped": (swapped(0, 1), {"out of order": 1}),
    "outputs of a subject are on two partitions": (another_output(3, partition=5), {"out of order": 1}),
    "a record is not in the journal": (without_row(LAST), {"lost": 1, "doubled": 1, "wrong state": 1}),
    "a copy is not in the journal": (without_row(COPIED), {"lost": 1}),
    "a record is in the journal twice": (lambda world: world.rows.append(world.rows[8]), {"doubled": 1}),
    "an event was consumed twice": (another_row(LAST, event=applied(subject(0), 1).event), {"doubled": 1}),
    "an output is in the journal twice": (
        another_row(LAST, outputs=(text_digest(b"default 6"), text_digest(b"default 6"))),
        {"doubled": 1, "lost": 1},
    ),
    "the topic lost a record": (lambda world: world.inputs.pop(8), {"lost": 1, "doubled": 1}),
    "the journal has other bytes": (another_row(COPIED, content=OTHER), {"wrong state": 1}),
    "a copy was applied": (another_row(COPIED, outcome="advanced", revision=5), {"wrong state": 2}),
    "an event was taken for a copy": (
        another_row(LAST, outcome="duplicate", revision=None),
        {"wrong state": 2},
    ),
    "garbage has another reason": (another_row(GARBAGE, reason="NO_INSTANCE"), {"wrong state": 1}),
    "steps were applied in another order": (
        lambda world: (another_row(place_of(0, 2), revision=3)(world), another_row(place_of(0, 4), revision=2)(world)),
        {"out of order": 2},
    ),
    "an instance is not there": (lambda world: world.instances.pop(0), {"lost": 1}),
    "an instance is behind": (another_instance(0, revision=3), {"wrong state": 2}),
    "an instance is not done": (another_instance(0, status="active", states=("charging",)), {"wrong state": 1}),
    "an instance has another result": (another_instance(2, result=13), {"wrong state": 1}),
    "a child is not there": (lambda world: world.instances.pop(3), {"wrong state": 1}),
    "an instance that nobody started": (another_instance(0, number=9), {"wrong state": 1}),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_the_checker_counts_what_is_wrong(change: Change, expected: dict[Verdict, int]) -> None:
    world = right()
    change(world)
    assert {verdict: count for verdict, count in counts(world.violations()).items() if count} == expected


@pytest.mark.parametrize("told_of", [0, 1], ids=["the earlier", "the later"])
def test_a_record_that_the_client_sent_twice_is_an_event_and_its_copy(told_of: int) -> None:
    places = (place_of(0, 6), place_of(0, 7))
    world = right()
    (content,) = (content for place, content in world.inputs if place == places[0])
    world.inputs.append((places[1], content))
    copy = replace(applied(subject(0), 0), place=places[1], content=content, outcome="duplicate", event=None)
    world.rows.append(replace(copy, revision=None))
    del world.sent[places[0]]
    world.sent[places[told_of]] = ("advanced", None)
    assert world.violations() == []
    another_row(places[1], outcome="advanced", revision=5)(world)
    assert {one.verdict for one in world.violations()} == {"wrong state"}


def test_order_is_not_looked_at_where_partitions_were_added() -> None:
    world = right()
    swapped(0, 1)(world)
    another_row(place_of(0, 2), revision=3)(world)
    another_row(place_of(0, 4), revision=2)(world)
    assert world.violations(ordered=False) == []


def test_digests_tell_records_apart() -> None:
    records = [
        ("t", b"k", b"v", ()),
        ("t", b"k", None, ()),
        ("t", None, b"v", ()),
        ("t", b"", b"v", ()),
        ("t", b"kv", b"", ()),
        ("t", b"k", b"v", (("a", b"b"),)),
        ("t", b"k", b"v", (("a", None),)),
        ("t", b"k", b"v", (("ab", b""),)),
        ("u", b"k", b"v", ()),
    ]
    assert len({output_digest(*record) for record in records}) == len(records)
    assert input_digest(1, None, None, ()) != input_digest(2, None, None, ())
    assert (partition_of(COPIED), offset_of(GARBAGE)) == (0, 20)


# Replay


def host() -> Host:
    return Host(Registry([machine, *family.machines], SismicEngine()))


def replayer() -> Replayer:
    return Replayer(host(), Router(Topics("chaos"), host().registry, "chaos", version=""))


def journal_of_an_order() -> tuple[list[Recorded], Instance | None]:
    """Run an order with one copy through the core, and keep what a worker keeps."""
    instance: Instance | None = None
    recorded: list[Recorded] = []
    again, order = replayer(), Order(1)
    for place, step in enumerate((0, 1, 1, 2, 3)):
        record = order.record(step)
        event = decode_record(record.value, record.headers)
        seen = content_digest(event) if place == 2 else None
        request = StepRequest(event, decode_subject(event.subject), instance, seen, 1_000 + place)
        outcome = run_step(again.host, request)
        instance = stored_again(outcome.instance) if isinstance(outcome, Advanced) else instance
        told = OUTCOMES[type(outcome)]
        outputs = again.router.outputs(outcome.emitted) if isinstance(outcome, Advanced) else ()
        recorded.append(Recorded(place_of(0, place), record.value, record.headers, request.now, told, outputs))
    return recorded, instance


def test_a_replay_of_the_journal_gives_what_was_kept() -> None:
    recorded, instance = journal_of_an_order()
    assert [one.outcome for one in recorded] == ["advanced", "advanced", "duplicate", "advanced", "advanced"]
    assert list(replayer().violations(recorded, instance)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows, one: (rows[:-1], one), 1),
        (lambda rows, one: (rows, None), 1),
        (lambda rows, one: (rows, replace(one, revision=3)), 1),
        (lambda rows, one: (rows, replace(one, status=Status.ACTIVE)), 1),
        (lambda rows, one: ([*rows[:4], replace(rows[4], outputs=())], one), 1),
        (lambda rows, one: ([*rows[:4], replace(rows[4], outcome="failed")], one), 1),
        (lambda rows, one: ([*rows[:4], replace(rows[4], now=5_000)], one), 2),
    ],
    ids=["row missing", "instance missing", "revision", "status", "outputs", "outcome", "time"],
)
def test_a_replay_finds_what_differs(
    change: Callable[[list[Recorded], Instance], tuple[list[Recorded], Instance | None]], expected: int
) -> None:
    recorded, instance = journal_of_an_order()
    assert instance is not None
    assert len(list(replayer().violations(*change(recorded, instance)))) == expected


# The script


def test_a_script_is_told_by_its_seed() -> None:
    first, second, other = (Script(random.Random(seed)) for seed in (1, 1, 2))
    assert first.block() == second.block()
    assert first.block() != other.block()


def test_the_core_makes_of_a_script_what_the_script_says() -> None:
    script, workers = Script(random.Random(10)), replayer()
    instances: dict[str, Instance] = {}
    seen: dict[tuple[str, str, str], bytes] = {}
    planned = [one for _ in range(8) for one in script.block()]
    for one in planned:
        outcome, reason = outcome_of(one, workers, instances, seen)
        assert (outcome, reason) == one.outcome, one.id
    assert {one.kind for one in planned} == set(Kind)
    assert {one.reason for one in planned} >= {reason for reason, _ in GARBAGE_KINDS}


def outcome_of(
    one: Planned, workers: Replayer, instances: dict[str, Instance], seen: dict[tuple[str, str, str], bytes]
) -> tuple[str, str | None]:
    """Say what the worker makes of a record."""
    try:
        event = decode_record(one.record.value, one.record.headers)
        subject = decode_subject(event.subject)
    except (InvalidEventError, InvalidSubjectError) as error:
        return "dead_lettered", REASONS[type(error)]
    key = (event.subject, event.source, event.id)
    outcome = run_step(workers.host, StepRequest(event, subject, instances.get(event.subject), seen.get(key), 1_000))
    if isinstance(outcome, Advanced):
        instances[event.subject], seen[key] = outcome.instance, content_digest(event)
    return OUTCOMES[type(outcome)], outcome.reason if isinstance(outcome, DeadLettered) else None


REASONS = {
    InvalidEventError: DeadLetterReason.INVALID_EVENT,
    InvalidSubjectError: DeadLetterReason.INVALID_SUBJECT,
}


# Histories and pauses


def test_a_violation_is_followed_through_the_history(tmp_path: Path) -> None:
    path, ours = tmp_path / "history.ndjson", text_digest(b"ours")
    with History(path) as history:
        history.add("produced", 100.0, place="1/5", id="a", subject=ours.hex())
        history.add("produced", 100.5, place="1/6", id="b", subject=OTHER.hex())
        history.add("fault", 101.0, name="kill a worker", phase="begun")
        history.add("output", 102.0, topic="default", place="0/3", subject=ours.hex())
        history.add("output", 102.0, topic="default", place="1/5", subject=OTHER.hex())
        history.add("fault", 900.0, name="too late", phase="begun")
    for violation in (Violation("lost", "", subject=ours), Violation("lost", "", place_of(1, 5), ours)):
        lines = followed(path, violation)
        assert [orjson.loads(line)["what"] for line in lines] == ["produced", "fault", "output"]
    (told,) = [line for line in followed(path, Violation("lost", "", place_of(1, 5))) if "produced" in line]
    assert orjson.loads(told)["id"] == "a"


def test_pauses_are_laid_to_faults() -> None:
    seen_at = {0: [1.0, 1.1, 5.0, 5.1], 1: [1.0, 3.0, 5.0, 9.0]}
    found = pauses(seen_at, lambda partition, start, end: (partition, start) == (1, 5.0))
    assert [(one.partition, one.seconds) for one in found] == [(0, pytest.approx(3.9)), (1, 2.0), (1, 2.0)]
    whole = longest(whole_pauses(seen_at, lambda partition, start, end: False))
    assert whole is not None
    assert (whole.start, whole.end) == (5.1, 9.0)
    struck = [Struck("kill a worker", "", 2.0, 2.5), Struck("far", "", 50.0, 51.0)]
    assert list(blamed(whole, struck)) == [struck[0]]
    (far, near) = effects(struck, found, seen_at)
    assert list(near.pauses) == [pytest.approx(3.9)]
    assert (list(near.returns), list(far.returns)) == ([0.5], [])
